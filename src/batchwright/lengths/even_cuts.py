"""Divides a sequence of samples evenly: by number, or at the smallest fraction of a limit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import Infeasible
from ..kernels.array_types import Integers

__all__ = ["check_fillable", "cut_evenly", "even_offsets"]


def cut_evenly(batches: int, cut_at: Callable[[int, float], Integers]) -> Integers:
    """Cut into at most `batches` micro-batches, at the smallest fraction of the limit that allows it.

    At the full limit, fewer than `batches` micro-batches may be needed. At a fraction of the limit all of them are smaller,
    until `batches` are needed. If many samples cost the same, a tiny change of the fraction changes the number of
    micro-batches a lot, and no fraction may give exactly `batches`. So two neighbouring fractions are used. The first
    samples are cut at the one that gives too many micro-batches, the others at the one that gives few enough.

    Args:
        batches: the most micro-batches; cutting at the full limit must give no more.
        cut_at: `cut_at(first, fraction)` cuts all samples from number `first` on at a fraction of the limit, and returns
            the offsets of the micro-batches, counted from `first`.
    """
    # Bisection on the fraction, in steps of 2^-20 of the limit: one token of a budget of a million.
    low, high = 0, 1 << 20
    while high - low > 1:
        middle = (low + high) // 2
        if cut_at(0, middle / (1 << 20)).size - 1 <= batches:
            high = middle
        else:
            low = middle
    first_offsets = cut_at(0, low / (1 << 20))  # too many micro-batches, if this fraction were used for all samples
    enough = high / (1 << 20)
    # Bisection on how many of these first micro-batches are kept: as many as possible, so that all of `batches` are used.
    kept, too_many = 0, first_offsets.size - 1
    while too_many - kept > 1:
        middle = (kept + too_many) // 2
        if middle + cut_at(int(first_offsets[middle]), enough).size - 1 <= batches:
            kept = middle
        else:
            too_many = middle
    start = int(first_offsets[kept])
    return np.concatenate([first_offsets[:kept], start + cut_at(start, enough)])


def even_offsets(count: int, batches: int, batch_size: int, step_size: int) -> Integers:
    """Offsets of `batches` micro-batches of `batch_size` samples; the last steps may have smaller ones, but none is empty.

    As few steps as possible are smaller, and within them sizes differ by at most one.

    Args:
        count: how many samples there are.
        batches: how many micro-batches; enough for all samples.
        batch_size: the largest size.
        step_size: micro-batches in a step.

    Returns:
        int64 (batches + 1,).

    Raises:
        Infeasible: there are fewer samples than micro-batches.
    """
    check_fillable(count, batches)
    full = min(batches, count // batch_size)
    if full * batch_size < count or full < batches:
        full = full // step_size * step_size
        while count - full * batch_size < batches - full:
            full -= step_size
    short = batches - full
    sizes = np.full(batches, batch_size)
    if short:
        sizes[full:] = (count - full * batch_size) // short
        sizes[full : full + (count - full * batch_size) % short] += 1
    return np.concatenate([[0], sizes.cumsum()])


def check_fillable(samples: int, batches: int) -> None:
    """Refuse fewer samples than micro-batches.

    Raises:
        Infeasible: there are fewer.
    """
    if samples < batches:
        raise Infeasible(
            f"{samples} samples cannot fill {batches} micro-batches",
            "pass a larger window, more samples, or a smaller world_size or accumulate",
        )
