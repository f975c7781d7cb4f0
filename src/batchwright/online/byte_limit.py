"""A limit of memory in bytes: measures samples, and refuses those that are too large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..errors import Infeasible, check_integer, said, shown
from .feed import Feed
from .measures import Refused, measure_of, number

__all__ = ["Weigher"]


def _size(measure: Callable[[Any], Any], sample: Any) -> Any:
    return number("size", measure(sample))


@dataclass(frozen=True, slots=True)
class Weigher:
    """Measures the bytes of a sample; has the most bytes that are kept."""

    size: Callable[[Any], int]
    limit: int
    title: str = "buffer_bytes"

    @classmethod
    def from_arguments(
        cls, buffer_bytes: int | None, size: Callable[[Any], int] | str | int | None, *, least: int = 1
    ) -> Weigher | None:
        """A weigher, if these arguments of a stream need one; else None.

        Raises:
            Infeasible: only one of them is given, or `buffer_bytes` is below `least`.
        """
        if buffer_bytes is None and size is None:
            return None
        if buffer_bytes is None or size is None:
            given, lacking = ("size", "buffer_bytes") if buffer_bytes is None else ("buffer_bytes", "size")
            raise Infeasible(f"{given} is given and {lacking} is not", "pass both or neither")
        limit = check_integer(buffer_bytes, "buffer_bytes", least=least)
        return cls(partial(_size, measure_of(size, argument="size")), limit)

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
        except Refused as refused:
            return str(refused)
        except Infeasible:
            raise
        except Exception as error:
            return f"size raised {said(error)}"
        if not 0 <= size <= self.limit:
            return f"its size is {shown(size)} and {self.title} is {self.limit}"
        return None
