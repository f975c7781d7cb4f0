"""Find the sampler that a loader draws from, wrapped by a trainer or not; read batches beside its run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from ..errors import Infeasible, typed
from .moved import Moved, put_back
from .sampler import BatchSampler

__all__ = ["inside", "moved_by_loops", "needed_sampler", "next_start", "sampler_of", "unmoved"]


def sampler_of(loader: Any) -> BatchSampler | None:
    """The batchwright sampler that a loader draws from, wrapped by a trainer or not; None if there is none."""
    inner = loader
    while inner is not None and not isinstance(inner, BatchSampler):
        inner = inside(inner)
    return inner


def inside(loader: Any) -> Any:
    """The object from which a loader or a batch sampler takes its batches."""
    inner = getattr(loader, "batch_sampler", None)
    if inner is None and getattr(loader, "batch_size", 0) is None:  # the loader passes complete batches to the dataset
        return getattr(loader, "sampler", None)
    return inner


def needed_sampler(source: Any) -> BatchSampler:
    """The sampler that was given, or that a given loader draws from.

    Raises:
        Infeasible: it is neither.
    """
    sampler = sampler_of(source)
    if sampler is None:
        raise Infeasible(
            f"a sampler or a loader of a plan is needed, this is {typed(source)}",
            "pass plan.loader(...) or plan.sampler(...)",
        )
    return sampler


def next_start(loader: Any, sampler: BatchSampler) -> tuple[int, int]:
    """Where the next loop over a loader of a sampler begins: its epoch, and how many batches of it are left out.

    A plan's loader answers for itself: after a loop that took only one batch, the next loop starts again before it.
    """
    if hasattr(loader, "next_start") and not isinstance(loader, BatchSampler):
        start: tuple[int, int] = loader.next_start()
        return start
    return sampler.epoch, sampler.batches_done


@contextmanager
def unmoved(loader: Any, *, after: int = 0) -> Iterator[Iterable[Any]]:
    """The batches that a loader gives next; behind this context, all is as it was before.

    The position of the run has not moved, nor that of a loop that is under way. What has no batches of a plan or a stream
    is read as it is.

    Args:
        loader: any loader.
        after: batches of this rank that are left out first.

    Raises:
        Infeasible: a stream that was read before cannot be put back.
    """
    sampler = sampler_of(loader)
    parts = list(moved_by_loops(loader))
    if sampler is None and not any(_says_what_moves(one.part) for one in parts):
        yield loader
        return
    with put_back(parts):
        if sampler is not None and after:
            epoch, done = next_start(loader, sampler)
            later, batch = divmod(done + after, len(sampler))
            sampler.seek(batch, epoch=epoch + later)
        yield loader if sampler is not None else islice(loader, after, None)


def _says_what_moves(part: Any) -> bool:
    return hasattr(type(part), "moved_by_loops")


def moved_by_loops(loader: Any) -> Iterator[Moved]:
    """The objects whose attributes say where a loop over a loader is: itself, and those from which it takes its batches."""
    if _says_what_moves(loader):
        yield from loader.moved_by_loops()
        return
    inner = inside(loader)
    if inner is None or not hasattr(loader, "__dict__"):
        return
    yield Moved(loader, ("_iterator",) if "_iterator" in vars(loader) else ())  # which a loader keeps with its workers
    wrapped = vars(loader).get("base_dataloader")  # Accelerate's loaders have one inside
    if wrapped is not None:
        yield from moved_by_loops(wrapped)
        return
    yield from moved_by_loops(inner)
    dataset: Any = getattr(loader, "dataset", None)
    if _says_what_moves(dataset):
        yield from dataset.moved_by_loops()
