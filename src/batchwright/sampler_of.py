"""Find the sampler that a loader draws from, wrapped by a trainer or not."""

from __future__ import annotations

from typing import Any

from .errors import Infeasible, typed
from .sampler import BatchSampler

__all__ = ["inside", "needed_sampler", "next_start", "sampler_of"]


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
