"""Cuts consecutive samples into steps whose micro-batches cost as nearly the same as their order allows."""

from __future__ import annotations

import numpy as np

from .array_types import Floats, Integers
from .compile import inner, kernel

__all__ = ["equal_steps"]

_HALVINGS = 45  # of the range in which the smallest possible largest cost lies: its error is below 1e-13 of the range


@inner
def _cut(costs, first, last, step, limit, padded, offsets, at):
    """Cut samples first..last-1 into `step` ranges, as full as `limit` allows; False if some samples are left.

    While there are as many samples as ranges, no range is empty. A single sample is always allowed.
    """
    start = first
    for part in range(step):
        most = last - (step - part - 1)  # the others need a sample each
        end = start
        used = 0.0
        while end < last and (end == start or end < most):
            cost = max(used, costs[end]) if padded else used + costs[end]
            if end > start and (cost * (end - start + 1) if padded else cost) > limit:
                break
            used = cost
            end += 1
        offsets[at + part + 1] = end
        start = end
    return start == last


@kernel("int64[:](float64[:], int64[:], int64, float64, boolean)")
def equal_steps(costs: Floats, runs: Integers, step: int, limit: float, padded: bool) -> Integers:
    """Offsets of micro-batches over the same samples: each `step` runs are cut again, so that the largest cost is least.

    Args:
        costs: of the samples in their order.
        runs: offsets of micro-batches within the limit, int64 (runs + 1,).
        step: micro-batches in a step.
        limit: the largest cost of a micro-batch of two samples or more.
        padded: whether the cost of a micro-batch is its most expensive sample times its number of samples, else the sum.

    Returns:
        int64 (steps * step + 1,). The last step may end with empty micro-batches, if it has fewer samples than
        micro-batches.
    """
    count = runs.size - 1
    steps = max(1, (count + step - 1) // step)
    offsets = np.empty(steps * step + 1, np.int64)
    offsets[0] = runs[0]
    for number in range(steps):
        at = number * step
        first, last = runs[min(at, count)], runs[min(at + step, count)]
        whole = 0.0
        for sample in range(first, last):
            whole = max(whole, costs[sample]) if padded else whole + costs[sample]
        low = 0.0
        high = min(limit, whole * (last - first) if padded else whole)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if _cut(costs, first, last, step, middle, padded, offsets, at):
                high = middle
            else:
                low = middle
        if not _cut(costs, first, last, step, high, padded, offsets, at):
            _cut(costs, first, last, step, limit, padded, offsets, at)  # sums of floats depend on where they begin
    return offsets
