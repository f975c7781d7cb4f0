"""Cuts samples, sorted longest first, into micro-batches of one size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from ..kernels.array_types import Floats, Integers
from ..kernels.cuts import cut_longest
from .cut import Cut, Unsearched, by_steps, check_fillable, cut_evenly
from .numbers import Keys, Numbers
from .sort_keys import sorted_places

__all__ = ["GroupCutter", "even_offsets"]


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


@dataclass(frozen=True)
class GroupCutter(Unsearched):
    """Sorts samples longest first and cuts them into micro-batches of `batch_size` samples.

    Args:
        lengths: the length of each sample, read as float64 (samples,).
        batch_size: samples in a micro-batch.
        level: whether the micro-batches of a step may differ in size, to have like costs.
    """

    lengths: Numbers
    batch_size: int
    level: bool = False
    length_keys: Keys = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length_keys", Keys(self.lengths))

    builder = "grouped"
    count_ignores_order = True
    least_steps = 1
    room = math.inf

    @property
    def similarity_keys(self) -> Keys:
        """See `Cutter`."""
        return self.length_keys

    def sizes_of(self, samples: Integers) -> Floats:
        """See `Cutter`: 1 for each sample, because only their number counts."""
        return np.ones(samples.size)

    def batches_needed(self, samples: Integers, step_size: int) -> int:
        """See `Cutter`."""
        return self.at_least(samples)

    def over_strata(self, falling: Integers, windows: int) -> GroupCutter:
        """See `Cutter`."""
        return replace(self, lengths=Numbers.of(self.lengths[falling[::windows]]))

    def batches_of_alike(self, samples: Integers, counts: Integers) -> int:
        """See `Cutter`."""
        return -(-int(counts.sum()) // self.batch_size)

    def with_equal_costs(self, samples: Integers, cut: Cut, step_size: int) -> Cut:
        """See `Cutter`: nothing is moved, because sizes are fixed and samples of like length stay together."""
        return by_steps(cut)

    def cut(self, samples: Integers, batches: int, step_size: int) -> Cut:
        """See `Cutter`: the smaller micro-batches, if any, have the shortest samples."""
        places = sorted_places(self.length_keys[samples])
        needed = self.at_least(samples)
        offsets = even_offsets(samples.size, max(batches, needed), self.batch_size, step_size if batches else 1)
        lengths = self.lengths[samples[places]]
        if self.level and batches:
            steps = offsets[::step_size]
            parts = [
                start + self._equal_parts(lengths[start:end], step_size) for start, end in pairwise(steps.tolist())
            ]
            offsets = np.concatenate([*(part[:-1] for part in parts), [samples.size]])
        longest = np.maximum.reduceat(lengths, offsets[:-1])
        return Cut(places, offsets, longest * np.diff(offsets), in_steps=self.level)

    def _equal_parts(self, lengths: np.ndarray, parts: int) -> Integers:
        """Offsets that cut falling lengths into `parts` parts, the most expensive of which costs as little as possible."""
        limit = float(lengths[0] * lengths.size)

        def cut_at(first: int, share: float) -> Integers:
            return cut_longest(lengths[first:], limit * share, lengths.size, 1)

        offsets = cut_evenly(parts, cut_at)
        # One part may hold all the short samples at no more than the smallest possible cost, and then there are too few
        # parts. To halve the most expensive one raises no cost.
        while offsets.size - 1 < parts:
            sizes = np.diff(offsets)
            costs = np.where(sizes > 1, lengths[offsets[:-1]] * sizes, -1)
            most_expensive = int(costs.argmax())
            middle = offsets[most_expensive] + sizes[most_expensive] // 2
            offsets = np.insert(offsets, most_expensive + 1, middle)
        return offsets

    def costs_of(self, samples: Integers, offsets: Integers) -> Floats:
        """See `Cutter`: the length of the longest sample x the number of samples."""
        return np.maximum.reduceat(self.lengths[samples], offsets[:-1]) * np.diff(offsets).astype(np.float64)

    def rows_at_least(self, samples: Integers, ranks: int) -> float:
        """See `Cutter`."""
        return float(self.lengths[samples].max(initial=0))

    def tokens(self, samples: Integers) -> tuple[float, float]:
        """See `Cutter`."""
        lengths = self.lengths[samples]
        return float(lengths.sum()), float(lengths.max() * lengths.size)

    def excess(self, samples: Integers) -> float:
        """See `Cutter`: the samples beyond `batch_size`; 0 with `level`, where only the number in a step is fixed."""
        return 0.0 if self.level else max(0.0, float(samples.size - self.batch_size))

    def at_least(self, samples: Integers) -> int:
        """See `Cutter`."""
        return -(-samples.size // self.batch_size)

    def part(self, samples: Integers) -> tuple[Integers, Integers]:
        """See `Cutter`: two halves."""
        return np.arange(samples.size // 2), np.arange(samples.size // 2, samples.size)
