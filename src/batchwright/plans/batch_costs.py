"""For `plan.cost`: what micro-batches cost that a user gives by their sample numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import Infeasible, shown
from ..inputs.columns import sample_numbers
from ..kernels.array_types import Floats, Integers
from ..lengths.admission import Admission
from ..lengths.cutter import Cutter
from ..readings import reading

__all__ = ["are_several", "costs_of_batches", "numbers_of_batch"]


def are_several(batch: Any) -> bool:
    """Whether these are several micro-batches, not the sample numbers of one."""
    way_out = "pass the sample numbers of a micro-batch, or of several"
    if not hasattr(batch, "__len__") or getattr(batch, "ndim", 1) == 0:
        raise Infeasible(f"batch is {shown(batch)}", way_out)
    with reading(batch, "batch", way_out):
        return len(batch) > 0 and np.ndim(next(iter(batch))) > 0


def numbers_of_batch(batch: Any, count: int) -> Integers:
    """The sample numbers of a micro-batch of a plan of `count` samples, int64."""
    samples = sample_numbers(batch, called="batch").astype(np.int64)
    if samples.ndim != 1:
        raise Infeasible(
            f"the sample numbers of a micro-batch are of shape {samples.shape}", "pass a list of numbers for each"
        )
    if samples.size and (samples.min() < 0 or samples.max() >= count):
        raise Infeasible(
            f"a micro-batch has samples {samples.min()} to {samples.max()}, the plan has {count}",
            f"pass numbers from 0 to {count - 1}",
        )
    return samples


def costs_of_batches(batches: Sequence[Any], count: int, admission: Admission, cutter: Cutter) -> Floats:
    """The cost of each of these micro-batches, float64; their samples are numbered 0 to `count` - 1."""
    numbers = [numbers_of_batch(batch, count) for batch in batches]
    items, starts = admission.items_in(np.concatenate([np.empty(0, np.int64), *numbers]))
    offsets = np.searchsorted(starts, np.cumsum([0, *map(len, numbers)]))
    full = np.flatnonzero(np.diff(offsets))
    costs = np.zeros(len(batches))
    if full.size:
        costs[full] = cutter.costs_of(items, np.append(offsets[full], items.size))
    return costs
