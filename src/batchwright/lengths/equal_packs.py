"""Makes packs of the same step cost alike: samples are distributed again, or exchanged between packs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..kernels.array_types import Floats, Integers
from ..kernels.partition import longest_first
from .cut import Cut
from .step_balance import (
    EQUAL_ENOUGH,
    NewStep,
    distributed_over_steps,
    equal_parts,
    level_over_steps,
    redistributed,
    sorted_in_steps,
    split_again,
    waiting,
)

__all__ = ["EqualPacks"]

Way = Callable[[Integers, Integers], NewStep | None]

_WAITING = 0.01  # of the work: if ranks wait longer than this, steps that are made level one by one are tried too
_NEARLY_LEVEL = 0.998  # of steps that all packs of a window made level: a search for a better one rarely finds it


@dataclass(frozen=True)
class EqualPacks:
    """The samples of one window, whose packs are to be equal within every step.

    Attributes:
        lengths: int64 (samples, capacities).
        costs: what the micro-batches of a step are to be equal in, float64 (samples,).
        capacities: int64 (capacities,).
        packs: the most packs in a micro-batch.
        max_per_pack: the most samples in a pack.
        step_size: micro-batches in a step.
        pack_offsets: of the samples of one micro-batch, where its packs start, and their number.
    """

    lengths: Integers
    costs: Floats
    capacities: Integers
    packs: int
    max_per_pack: int
    step_size: int
    pack_offsets: Callable[[Integers], Integers]

    def of(self, cut: Cut) -> Cut:
        """The micro-batches in steps: samples of a step are distributed to equal packs, and these to micro-batches.

        If a cost is to be equal, one sample may cost more than a micro-batch does on average: a step of all lengths
        could not be level. Then micro-batches of like cost make a step. Packs of all steps exchange samples; where a
        micro-batch has several packs, those of one step do.
        """
        if not self._has_cost():
            several = self.capacities.size > 1
            apart = distributed_over_steps(cut, self.step_size) if several else cut
            return self._again(apart, self._redistributed)
        if self.packs > 1:
            pairs = self._again(cut, self._split_again)
            return self._better(self._sorted(pairs), self._sorted(self._again(pairs, self._redistributed)))
        sizes, limits = self.lengths.astype(np.float64), self.capacities.astype(np.float64)
        over_steps = level_over_steps(cut, self.costs, sizes, limits, self.max_per_pack, self.step_size)
        found = self._each_by_itself(over_steps)
        if waiting(found, self.step_size) < _WAITING:
            return found
        return self._better(found, self._each_by_itself(cut))

    def _has_cost(self) -> bool:
        """Whether costs are not in proportion to what the capacities count."""
        lengths, costs = self.lengths.astype(np.float64), self.costs
        if self.capacities.size == 1:
            return not np.allclose(costs[0] * lengths[:, 0], lengths[0, 0] * costs, rtol=1e-12, atol=0)
        return not np.allclose(costs, (lengths / self.capacities).sum(axis=1), rtol=1e-12, atol=0)

    def _sorted(self, steps: Cut) -> Cut:
        return sorted_in_steps(steps, self.step_size)

    def _better(self, one: Cut, other: Cut) -> Cut:
        """The steps in which ranks wait less."""
        return min(one, other, key=lambda steps: waiting(steps, self.step_size))

    def _each_by_itself(self, cut: Cut) -> Cut:
        """Steps that are made level one by one."""
        return self._sorted(self._again(cut, self._split_again, self._redistributed, enough=_NEARLY_LEVEL))

    def _again(self, cut: Cut, *ways: Way, enough: float = EQUAL_ENOUGH) -> Cut:
        """Make uneven steps more alike in cost, each by itself, in one way after the other."""
        for way in ways:
            cut = redistributed(cut, self.step_size, lambda steps: steps.costs[:, None], way, enough)
        return cut

    def _redistributed(self, places: Integers, offsets: Integers) -> NewStep | None:
        """One step, all of it distributed again; None if that would exceed a limit."""
        measures = self._measures(places)
        packs = [part for part in equal_parts(measures, self.step_size * self.packs, self.max_per_pack) if part.size]
        return self._new_step(places, packs)

    def _split_again(self, places: Integers, offsets: Integers) -> NewStep | None:
        """One step of micro-batches that start at `offsets`, its packs made to cost more alike."""
        ends = pairwise(offsets.tolist())
        starts = np.concatenate([start + self.pack_offsets(places[start:end])[:-1] for start, end in ends])
        pack_of = np.repeat(np.arange(starts.size), np.diff(np.append(starts, places.size)))
        sizes, limits = self.lengths[places].astype(np.float64), self.capacities.astype(np.float64)
        return self._new_step(places, split_again(self.costs[places], sizes, pack_of, limits, self.max_per_pack))

    def _measures(self, places: Integers) -> Floats:
        """What the packs of a step are to be equal in, float64 (samples, measures): lengths and costs.

        Costs in proportion to the first length are left out.
        """
        lengths, costs = self.lengths[places].astype(np.float64), self.costs[places]
        proportional = costs[0] * lengths[:, 0], lengths[0, 0] * costs
        alike = self.capacities.size == 1 or np.allclose(*proportional, rtol=1e-12, atol=0)
        return lengths if alike else np.column_stack([lengths, costs])

    def _new_step(self, places: Integers, packs: list[Integers]) -> NewStep | None:
        """These packs, distributed over the micro-batches of a step; None if one would exceed a limit."""
        lengths, costs = self.lengths[places], self.costs[places]
        loads = np.array([lengths[part].sum(axis=0) for part in packs])
        if np.any(loads > self.capacities) or max(part.size for part in packs) > self.max_per_pack:
            return None
        totals = np.array([costs[part].sum() for part in packs])
        descending = np.argsort(-totals, kind="stable")
        batch_of = longest_first(totals[descending], self.step_size, self.packs)
        dealt = [[packs[pack] for pack in descending[batch_of == batch]] for batch in range(self.step_size)]
        if not all(dealt):
            return None
        work = np.bincount(batch_of, weights=totals[descending], minlength=self.step_size).astype(np.float64)
        return NewStep([np.concatenate(parts) for parts in dealt], work[:, None], work)
