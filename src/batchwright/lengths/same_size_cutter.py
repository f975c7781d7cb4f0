"""Cuts samples, sorted longest first, into micro-batches of one size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..kernels.array_types import Floats, Integers
from ..kernels.cuts import cut_longest
from .cut import Cut, by_steps
from .cutter import Cutter
from .even_cuts import cut_evenly, even_offsets
from .numbers import Numbers
from .sort_keys import Keys, sorted_places

__all__ = ["GroupCutter"]


@dataclass(frozen=True)
class GroupCutter(Cutter):
    """Sorts samples longest first and cuts them into micro-batches of `batch_size` samples.

    Args:
        lengths: the length of each sample, read as float64 (samples,).
        batch_size: samples in a micro-batch.
        level: whether the micro-batches of a step may differ in size, to have like costs.
    """

    lengths: Numbers
    batch_size: int
    level: bool = False

    builder = "grouped"
    count_ignores_order = True

    @cached_property
    def similarity_keys(self) -> Keys:
        """See `Cutter`: by length, the longest first."""
        return Keys(self.lengths)

    def sizes_of(self, items: Integers) -> Floats:
        """See `Cutter`: 1 for each sample, because only their number counts."""
        return np.ones(items.size)

    def batches_needed(self, items: Integers, step_size: int) -> int:
        """See `Cutter`."""
        return self.batches_at_least(items)

    def over_strata(self, descending: Integers, window_count: int) -> GroupCutter:
        """See `Cutter`."""
        return replace(self, lengths=Numbers.of(self.lengths[descending[::window_count]]))

    def batches_needed_for_copies(self, items: Integers, copies: Integers) -> int:
        """See `Cutter`."""
        return -(-int(copies.sum()) // self.batch_size)

    def with_equal_costs(self, items: Integers, cut: Cut, step_size: int) -> Cut:
        """See `Cutter`: nothing is moved, because sizes are fixed and samples of like length stay together."""
        return by_steps(cut)

    def cut(self, items: Integers, batches: int | None, step_size: int) -> Cut:
        """See `Cutter`: the smaller micro-batches, if any, have the shortest samples."""
        places = sorted_places(self.similarity_keys[items])
        needed = self.batches_at_least(items)
        offsets = even_offsets(items.size, max(batches or 0, needed), self.batch_size, step_size if batches else 1)
        lengths = self.lengths[items[places]]
        if self.level and batches:
            steps = offsets[::step_size]
            parts = [
                start + self._equal_parts(lengths[start:end], step_size) for start, end in pairwise(steps.tolist())
            ]
            offsets = np.concatenate([*(part[:-1] for part in parts), [items.size]])
        longest = np.maximum.reduceat(lengths, offsets[:-1])
        return Cut(places, offsets, longest * np.diff(offsets), in_steps=self.level)

    def _equal_parts(self, lengths: np.ndarray, parts: int) -> Integers:
        """Offsets that cut descending lengths into `parts` parts; the most expensive costs as little as possible."""
        limit = float(lengths[0] * lengths.size)

        def cut_at(first: int, fraction: float) -> Integers:
            return cut_longest(lengths[first:], limit * fraction, lengths.size, 1)

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

    def costs_of(self, items: Integers, offsets: Integers) -> Floats:
        """See `Cutter`: the length of the longest sample x the number of samples."""
        return np.maximum.reduceat(self.lengths[items], offsets[:-1]) * np.diff(offsets).astype(np.float64)

    def slowest_ranks_at_least(self, items: Integers, ranks: int) -> float:
        """See `Cutter`."""
        return float(self.lengths[items].max(initial=0))

    def tokens(self, items: Integers) -> tuple[float, float]:
        """See `Cutter`."""
        lengths = self.lengths[items]
        return float(lengths.sum()), float(lengths.max() * lengths.size)

    @property
    def item_lengths(self) -> Numbers:
        """See `Cutter`."""
        return self.lengths

    def excess(self, items: Integers) -> float:
        """See `Cutter`: the samples beyond `batch_size`; 0 with `level`, where only the number in a step is fixed."""
        return 0.0 if self.level else max(0.0, float(items.size - self.batch_size))

    def batches_at_least(self, items: Integers) -> int:
        """See `Cutter`."""
        return -(-items.size // self.batch_size)

    def halves(self, items: Integers) -> tuple[Integers, Integers]:
        """See `Cutter`: two halves."""
        return np.arange(items.size // 2), np.arange(items.size // 2, items.size)
