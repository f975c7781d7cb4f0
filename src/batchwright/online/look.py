"""A look at the batch that a loader of a stream gives next: composed in this process, whichever worker reads it later."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any

from ..errors import Infeasible
from .own_split import OwnSplit
from .sources import SelfSplit, Source, has_state, reads_once
from .worker_info import as_worker

__all__ = ["check_look", "first_batch", "read_by"]


def check_look(sources: Sequence[Source], workers: int) -> None:
    """Refuse a look at sources that it would move, or that cannot be read here as a worker reads them.

    Raises:
        Infeasible: a source is an iterator, has a position of its own, or splits itself over workers.
    """
    once = reads_once(sources)
    if once is not None:
        raise Infeasible(
            f"source {once!r} is an iterator, which can be read once: a look would take its first samples",
            "pass what makes the iterator (a list, a dataset, online.Sharded)",
        )
    for source in _all_of(sources):
        if has_state(getattr(source, "iterable", ())):
            raise Infeasible(
                f"source {source.name!r} has a position of its own (state_dict), which a look would move",
                "look at a stream of a source of its own, made of the same arguments",
            )
        if workers > 1 and isinstance(source, (SelfSplit, OwnSplit)):
            raise Infeasible(
                f"source {source.name!r} splits itself over {workers} workers, which may wait for each other",
                "look at a loader of the stream with num_workers=0, or take the first batch of another loader",
            )


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
