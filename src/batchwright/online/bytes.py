"""Memory bounded in bytes: what a sample weighs, and which sample goes when the limit is passed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import Infeasible
from .buffer import Group
from .feed import Feed, measure_of

__all__ = ["ByteLimit", "Weigher"]


@dataclass(frozen=True, slots=True)
class Weigher:
    """What a sample weighs, and how much is to be kept at most.

    Raises:
        Infeasible: the limit is below one byte.
    """

    size: Callable[[Any], int]
    limit: int
    title: str = "buffer_bytes"

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise Infeasible(f"{self.title} is {self.limit}, the least is 1", f"pass {self.title}=1 or more")

    @classmethod
    def asked_for(cls, buffer_bytes: int | None, size: Callable[[Any], int] | str | int | None) -> Weigher | None:
        """A weigher, if these arguments of a stream ask for one.

        Raises:
            Infeasible: only one of them is given.
        """
        if buffer_bytes is None and size is None:
            return None
        if buffer_bytes is None or size is None:
            raise Infeasible("only one of buffer_bytes and size is given", "pass both or neither")
        return cls(measure_of(size, argument="size"), buffer_bytes)

    def half(self) -> Weigher:
        """The same for half of the bytes."""
        return Weigher(self.size, self.limit // 2, "half of buffer_bytes")

    def of_items(self, feed: Feed) -> Weigher:
        """The same for samples as the feed gives them."""
        size = self.size
        return Weigher(lambda item: size(item[1]), self.limit, self.title) if feed.by_reference else self

    def refusal(self, item: Any) -> str | None:
        """Why a sample cannot be kept, or None."""
        try:
            size = self.size(item)
        except Exception as error:
            return f"size raised {type(error).__name__}: {error}"
        if not 0 <= size <= self.limit:
            return f"its size is {size} and {self.title} is {self.limit}"
        return None


class ByteLimit:
    """Keeps the samples of all queues together at the weigher's limit or below it.

    The oldest sample goes from the group that has just grown, if it holds more than an even part; else from the next group,
    in turn, that does. (Where the limit is passed there is one.)
    """

    def __init__(self, weigher: Weigher, groups: list[Group]) -> None:
        self.held = 0
        self._weigher = weigher
        self._groups = groups
        self._hand = 0

    def append(self, group: Group, item: Any) -> None:
        """Put a sample at the end of its queue, and drop what there is no room for."""
        queue = group.queue
        if not queue.maxlen:
            return
        if len(queue) == queue.maxlen:
            self.popleft(group)
        size = self._weigher.size(item)
        queue.append(item)
        group.bytes += size
        self.held += size
        while self.held > self._weigher.limit:
            self.popleft(group if self._is_large(group) else self._next_large())

    def popleft(self, group: Group) -> Any:
        """Take the oldest sample of a queue."""
        item = group.queue.popleft()
        size = self._weigher.size(item)
        group.bytes -= size
        self.held -= size
        return item

    def recount(self) -> None:
        """Weigh everything again, after queues were cut."""
        for group in self._groups:
            group.bytes = sum(map(self._weigher.size, group.queue))
        self.held = sum(group.bytes for group in self._groups)

    def _is_large(self, group: Group) -> bool:
        return group.bytes * len(self._groups) > self._weigher.limit

    def _next_large(self) -> Group:
        while True:
            self._hand = (self._hand + 1) % len(self._groups)
            if self._is_large(self._groups[self._hand]):
                return self._groups[self._hand]

    def state_dict(self) -> dict[str, int]:
        """Whose turn it is to lose a sample; the rest is in the queues."""
        return {"hand": self._hand}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from `state`, over queues that were restored before."""
        self._hand = state["hand"]
        self.recount()
