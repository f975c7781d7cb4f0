"""Reads samples by their numbers, where a reading that failed has a number as a sample has, and ends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count, repeat
from operator import itemgetter
from typing import Any, NoReturn

from ..errors import Infeasible, PoorWarning
from ..readings import call_in_loop

__all__ = ["SAME_SOURCE", "Numbered", "joined", "lasting", "shorter"]

_END = object()
SAME_SOURCE = "resume with the source that the stream was stopped with, or begin again"


def shorter(title: str, read: int) -> Infeasible:
    """The error for a state whose position is after the end of the source."""
    return Infeasible(
        f"the state has read {read:,} samples where {title} has fewer now",
        SAME_SOURCE,
    )


class Numbered:
    """Samples of an iterator by ascending numbers; if `skips`, readings between them may fail.

    An iterator that ends right after it has raised, as a generator does, raises once more: that is no end of the source.

    Args:
        iterator: gives the samples, from number 0 on.
        numbers: those that are wanted.
        skips: whether failed readings are skipped.
        least: how many readings there are for certain.
        title: what errors call the source.
    """

    def __init__(
        self, iterator: Iterator[Any], numbers: Iterable[int], *, skips: bool, least: int = 0, title: str = ""
    ) -> None:
        self._iterator, self._numbers = iterator, iter(numbers)
        self._skips, self._least, self._title = skips, least, title
        self._at = 0  # the number that comes next
        self._failure: Exception | None = None  # of the last reading

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        wanted = next(self._numbers)
        while True:
            try:
                sample = next(self._iterator, _END)
            except (Infeasible, PoorWarning):
                raise
            except Exception as error:
                self._failure = error
                self._at += 1
                if self._at > wanted or not self._skips:
                    raise
            else:
                if sample is _END:
                    self._raise_the_end()
                self._failure = None
                self._at += 1
                if self._at > wanted:
                    return sample

    def _raise_the_end(self) -> NoReturn:
        if self._failure is not None:
            raise self._failure
        if self._at < self._least:
            raise shorter(self._title, self._least)
        raise StopIteration


def lasting(reader: Any, position: Any, *, skips: bool) -> Iterator[Any]:
    """The samples of a reader from a position on; if `skips`, they end only where its source does."""
    samples: Iterator[Any] = reader.open(position)
    return Numbered(samples, count(), skips=True) if skips and not getattr(reader, "lasts", False) else samples


def joined(open_part: Callable[[int, int], Iterator[Any]], starts: list[int], parts: int, taken: int) -> Iterator[Any]:
    """The iterators of the samples of several parts, to be chained: unlike a generator, a chain outlives what they raise.

    Args:
        open_part: opens a part by its number, after so many samples of it.
        starts: for each part opened so far, the number of its first sample; the next ones are added.
        parts: how many there are.
        taken: the samples read so far.
    """
    while True:
        part, readings = _opened(open_part, len(starts) - 1, taken - starts[-1]), count(taken)
        yield part if parts == 1 else map(itemgetter(1), zip(readings, part, strict=False))
        if len(starts) == parts:
            return
        taken = next(readings) - 1  # `zip` has counted one more before it found the end
        starts.append(taken)


def _opened(open_part: Callable[[int, int], Iterator[Any]], at: int, taken: int) -> Iterator[Any]:
    """A part; if it does not open, one that raises why: a generator that raises here would end the chain."""
    try:
        return call_in_loop(open_part, at, taken)
    except (Infeasible, PoorWarning):
        raise
    except Exception as error:
        return map(_thrown, repeat(error))


def _thrown(error: Exception) -> NoReturn:
    raise error
