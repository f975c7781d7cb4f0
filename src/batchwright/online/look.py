"""A look at the batch that a loader of a stream gives next: composed in this process, whichever worker reads it later."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any

from ..errors import Infeasible
from .once import has_state, once_only
from .own_split import OwnSplit
from .sources import SelfSplit, Source
from .worker_info import as_worker

__all__ = ["BESIDE", "check_look", "check_unmoved", "check_unread", "find_moved", "first_batch", "read_by"]

BESIDE = "what reads batches beside the training, such as recalibrate, would move it"


def check_look(sources: Sequence[Source], workers: int) -> None:
    """Refuse a look at sources that it would move, or that cannot be read here as a worker reads them.

    Raises:
        Infeasible: a source is an iterator, has a position of its own, or splits itself over workers.
    """
    check_unmoved(sources, "a look would move it")
    for source in _all_of(sources):
        if workers > 1 and isinstance(source, (SelfSplit, OwnSplit)):
            raise Infeasible(
                f"source {source.name!r} splits itself over {workers} workers, which may wait for each other",
                "look at a loader of the stream with num_workers=0, or take the first batch of another loader",
            )


def check_unmoved(sources: Sequence[Source], so: str) -> None:
    """Refuse what would move a source for those that are reading it; `so` says what it is.

    Raises:
        Infeasible: a source is an iterator, or has a position of its own.
    """
    found = find_moved(sources)
    if found is not None:
        name, why, way_out = found
        raise Infeasible(f"source {name!r} {why}: {so}", way_out)


def check_unread(sources: Sequence[Source]) -> None:
    """Refuse a pass from the start over iterators that were read, before it counts as one.

    Raises:
        Infeasible: a source is an iterator that was read.
    """
    for source in _all_of(sources):
        once = getattr(source, "once", None)
        if once is not None:
            once.check(source.name)


def find_moved(sources: Sequence[Source]) -> tuple[str, str, str] | None:
    """A source of which all readings share one position: its name, why, and a way out. None if each has its own."""
    for source in _all_of(sources):
        iterable = getattr(source, "iterable", ())
        if once_only(iterable):
            return (
                source.name,
                "is an iterator, which can be read once",
                "pass what makes the iterator (a list, a dataset, online.Sharded)",
            )
        if isinstance(iterable, Iterator):
            return source.name, "is its own iterator", "let its __iter__ return a new iterator, as a generator does"
        if has_state(iterable):
            return (
                source.name,
                "has a position of its own (state_dict)",
                "let its __iter__ return a new iterator that has state_dict and load_state_dict in its place",
            )
    return None


def _all_of(sources: Sequence[Source]) -> Iterator[Source]:
    for source in sources:
        yield source
        inner = getattr(source, "sources", ())
        yield from _all_of(inner() if callable(inner) else inner)


def read_by(stream: Any, first: int) -> Any:
    """A copy of a stream for a loader whose first worker reads what is due from worker `first`.

    Torch asks its workers in turn, and a run may have stopped within a turn.
    """
    one = copy.copy(stream)
    one._first_worker, one._of_loader = first, True
    return one


def first_batch(stream: Any, workers: int, first: int) -> list[Any]:
    """The batch that a loader with so many workers gives first, which begins with worker `first`; none at the end."""
    found: list[Any] = []
    for number in range(max(1, workers)):
        one = read_by(stream, first)
        with as_worker(number, workers, one) if workers else nullcontext():
            found = list(islice(iter(one), 1))
        if found:
            break  # torch asks its workers in turn, and leaves out those that have nothing
    return found
