"""A buffer bounded in bytes: what a sample weighs, and which sample goes when the limit is passed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .buffer import Group

__all__ = ["ByteLimit"]


class ByteLimit:
    """Keeps the samples of all queues together at `limit` bytes or fewer.

    The oldest sample goes from the group that has just grown, if it holds more than an even part; else from the next group,
    in turn, that does. (Where the limit is passed there is one.)
    """

    def __init__(self, limit: int, size: Callable[[Any], int], groups: list[Group], *, by_reference: bool) -> None:
        self.limit = limit
        self.held = 0
        self._size = size
        self._groups = groups
        self._by_reference = by_reference
        self._hand = 0

    def refusal(self, item: Any) -> str | None:
        """Why a sample cannot be kept, or None."""
        try:
            size = self._size_of(item)
        except Exception as error:
            return f"size raised {type(error).__name__}: {error}"
        if not 0 <= size <= self.limit:
            return f"its size is {size} and buffer_bytes is {self.limit}"
        return None

    def append(self, group: Group, item: Any) -> None:
        """Put a sample at the end of its queue, and drop what there is no room for."""
        queue = group.queue
        if not queue.maxlen:
            return
        if len(queue) == queue.maxlen:
            self.popleft(group)
        size = self._size_of(item)
        queue.append(item)
        group.bytes += size
        self.held += size
        while self.held > self.limit:
            self.popleft(group if self._is_large(group) else self._next_large())

    def popleft(self, group: Group) -> Any:
        """Take the oldest sample of a queue."""
        item = group.queue.popleft()
        size = self._size_of(item)
        group.bytes -= size
        self.held -= size
        return item

    def recount(self) -> None:
        """Weigh everything again, after queues were cut."""
        for group in self._groups:
            group.bytes = sum(map(self._size_of, group.queue))
        self.held = sum(group.bytes for group in self._groups)

    def _size_of(self, item: Any) -> int:
        return self._size(item[1] if self._by_reference else item)

    def _is_large(self, group: Group) -> bool:
        return group.bytes * len(self._groups) > self.limit

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
