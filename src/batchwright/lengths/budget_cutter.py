"""Cuts samples at a budget: as many as fit into a micro-batch, those of like length together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..kernels.array_types import Floats, Integers
from ..kernels.cuts import count_longest, count_summed, cut_longest, cut_several, of_first
from ..kernels.step_balance import fill_up_to_most_expensive
from .cut import Cut, by_steps
from .cutter import Prefixes
from .even_cuts import cut_evenly
from .measured_cutter import MeasuredCutter
from .numbers import Numbers
from .sort_keys import mixed_places, most_expensive_of_strata, sorted_and_counted, sorted_places
from .step_balance import (
    EQUAL_ENOUGH,
    NewStep,
    distributed_over_steps,
    equal_parts,
    redistributed,
    sorted_in_steps,
    split_again,
    step_costs,
)

__all__ = ["BudgetCutter", "SortedPrefixes"]


# Where a window is cut into more micro-batches than it needs, those of fewer samples than this stay at the full budget: one
# sample more or less is over 3 % of their cost. Only if the one budget is padded, and they are at most half of the window;
# see `_kept_at_full_budget`. A judgement, not a measurement: that step balance can hardly make up for such a difference.
_FEW = 32
# Steps that are even only in `balance` are taken if they cost less than this part of steps that are even in both: for a
# gain of less than 1 % it is not worth it that ranks differ in what the budget counts.
_EVEN_IN_BOTH = 0.99


@dataclass(frozen=True)
class BudgetCutter(MeasuredCutter):
    """Cuts samples, sorted longest first, so that no budget is exceeded.

    Budgets neither split samples nor keep some together: here an item, as other cutters have it, is a sample, with the same
    number. A budget is a limit, the argument `max_tokens`.

    Args:
        amounts: what each sample takes of each budget, its cost; read as float64 (samples, budgets).
        limits: the most that a micro-batch may take of each budget, `max_tokens`; float64 (budgets,).
        padded: bool (budgets,): whether a micro-batch costs longest x count, or the sum.
        max_samples: the most samples in a micro-batch.
        round_count: a micro-batch of this many samples or more has a multiple of it.
        keep_shapes: whether there are to be few different shapes (number of samples x longest length); micro-batches then
            stay as they were cut.
        lengths: read as float64 (samples,), what is padded; only reports need it.
        balance: read as float64 (samples,), what the micro-batches of a step are to have equally much of; None for what the
            budget counts, or the sum of the parts that are used of several. Where a budget is padded, micro-batches are only
            sorted by it.
        costs_are_lengths: whether the costs are lengths, perhaps rounded up; only loaders that pad need it.
        rounded: the lengths that samples are padded to by themselves, as `lengths`; None if these are not rounded up.
    """

    padded: NDArray[np.bool_]
    max_samples: int
    round_count: int
    keep_shapes: bool
    lengths: Numbers
    balance: Numbers | None = None
    costs_are_lengths: bool = field(default=False, compare=False)
    rounded: Numbers | None = field(default=None, compare=False)

    builder = "budgeted"
    names_in_identity: ClassVar = {
        "amounts": "costs",
        "limits": "budgets",
        "max_samples": "most_samples",
        "round_count": "count_multiple",
        "keep_shapes": "rounded",
    }

    def batches_needed_for_copies(self, items: Integers, copies: Integers) -> int | None:
        """See `Cutter`."""
        if self._cost_of_key is None:  # several budgets, or samples of one key that differ in their costs
            return None
        count = count_longest if self.padded[0] else count_summed
        costs = np.ascontiguousarray(self.amounts.columns[0][items])
        return count(costs, copies, float(self.limits[0]), self.max_samples, self.round_count)

    def batches_needed(self, items: Integers, step_size: int) -> int:
        """See `Cutter`."""
        return self.batches_of(self.sorted_longest_first(items)[1])

    def prefixes(self, items: Integers, step_size: int) -> Prefixes:
        """See `Cutter`."""
        if not self.has_one_limit:  # equal samples are shuffled, and how depends on how many samples there are
            return Prefixes(self, items, step_size)
        places, costs = self.sorted_longest_first(items)
        return SortedPrefixes(self, items, step_size, places, costs[:, 0])

    def sorted_longest_first(self, items: Integers) -> tuple[Integers, Floats]:
        """Places of these samples, longest first, and their costs in this order: float64 (samples, budgets)."""
        keys = self._size_keys[items]
        if not self.has_one_limit:
            places = mixed_places(keys)
            return places, self.amounts[items[places]]
        places, counts = sorted_and_counted(keys)
        table = self._cost_of_key
        if table is None or counts is None:
            return places, self.amounts[items[places]]
        return places, np.repeat(table[: counts.size], counts)[:, None]

    @cached_property
    def _cost_of_key(self) -> Floats | None:
        """The cost of the samples of each sort key, float64 (keys,); None if samples of one key may differ in it.

        There are few keys, so a look-up here stays in the cache of the processor, and one in `amounts` does not.
        """
        # The key of the largest is 0.
        return np.ascontiguousarray(self._size_keys.values[::-1]) if self._amounts_follow_from_keys else None

    def batches_of(self, costs: Floats) -> int:
        """How many micro-batches samples make at the full budgets; `costs` are as `sorted_longest_first` gives them."""
        return self._cutting(costs)(0, 1.0).size - 1

    def over_strata(self, descending: Integers, window_count: int) -> BudgetCutter:
        """See `Cutter`."""
        largest = most_expensive_of_strata(self.amounts, descending, window_count)
        # It only counts micro-batches, so what its lengths are does not matter.
        return replace(self, amounts=largest, lengths=largest.columns[0], balance=None)

    def cut(self, items: Integers, batches: int | None, step_size: int) -> Cut:
        """See `Cutter`: if fewer than `batches` are needed, lowers the budget, then splits the most expensive ones."""
        return self.cut_sorted(items, *self.sorted_longest_first(items), batches or 0)

    def cut_sorted(self, items: Integers, places: Integers, costs: Floats, batches: int) -> Cut:
        """See `cut`; of `places` and `costs`, which `sorted_longest_first` returns for these items."""
        cut_at = self._cutting(costs)
        offsets = cut_at(0, 1.0)
        if offsets.size - 1 < batches:
            kept = self._kept_at_full_budget(offsets)
            start = int(offsets[kept])
            evened = start + cut_evenly(batches - kept, lambda first, fraction: cut_at(start + first, fraction))
            offsets = np.concatenate([offsets[:kept], evened])
        cut = Cut(places, offsets, self.costs_of(items if self.balance is None else items[places], offsets, costs))
        return self.split_to(cut, batches, items)

    def with_equal_costs(self, items: Integers, cut: Cut, step_size: int) -> Cut:
        """See `Cutter`.

        In three cases micro-batches are only sorted into steps: if their shapes are to be kept, if they are padded and
        `balance` is given, and if one of several budgets is padded.
        """
        if self.keep_shapes:
            return by_steps(cut)
        if self.padded.any():
            only_padded = self.has_one_limit and self.balance is None
            return self._filled_up(items, cut, step_size) if only_padded else by_steps(cut)
        distributed = self._redistributed(items, cut, step_size)
        if not self.has_one_limit or self.balance is None:
            return distributed
        alike = self._split_again(items, cut, step_size)
        alike_is_cheaper = step_costs(alike, step_size) < _EVEN_IN_BOTH * step_costs(distributed, step_size)
        return sorted_in_steps(alike, step_size) if alike_is_cheaper else distributed

    def _filled_up(self, items: Integers, cut: Cut, step_size: int) -> Cut:
        """Steps in which a micro-batch cheaper than the most expensive one exchanged one sample for a longer one.

        The most expensive micro-batch of a step becomes no more expensive. The padding this adds costs less than the time
        that a rank would have waited.
        """
        # Some micro-batches would not be as expensive as the others even with the longest sample. They come last, so
        # that at most one step has both kinds.
        costs = self.amounts.columns[0][items]
        stuck = np.diff(cut.offsets) * costs.max() < EQUAL_ENOUGH * cut.costs.max()
        steps = cut.chosen(np.lexsort((-cut.costs, stuck)))
        places = steps.places.copy()
        descending = sorted_places(self._size_keys[items[places]])
        filled_up = fill_up_to_most_expensive(
            costs[places], places, steps.offsets, descending, step_size, float(self.limits[0]), EQUAL_ENOUGH
        )
        return Cut(places, steps.offsets, filled_up, in_steps=True)

    def _redistributed(self, items: Integers, cut: Cut, step_size: int) -> Cut:
        """Steps whose samples were distributed over their micro-batches a second time, equal in every budget and balance."""
        several = not self.has_one_limit or self.balance is not None
        return redistributed(
            distributed_over_steps(cut, step_size) if several else cut,
            step_size,
            lambda steps: np.add.reduceat(self._measures(items[steps.places]), steps.offsets[:-1]),
            lambda places, _: self._new_step(items[places], step_size),
        )

    def _split_again(self, items: Integers, cut: Cut, step_size: int) -> Cut:
        """Steps of micro-batches with similar `balance`, of which two at a time divided their samples again.

        They may be cheaper than steps of all samples: one sample may have more of `balance` than a micro-batch has on
        average.
        """
        return redistributed(
            cut,
            step_size,
            lambda steps: steps.costs[:, None],
            lambda places, offsets: self._pairs_split_again(items[places], offsets),
        )

    def _measures(self, items: Integers) -> Floats:
        """What the micro-batches of a step are to be equal in, float64 (samples, measures): budgets and balance."""
        costs = self.amounts[items]
        return costs if self.balance is None else np.column_stack([costs, self.balance[items]])

    def _new_step(self, items: Integers, step_size: int) -> NewStep | None:
        """One step whose sums count, distributed again; None if that would exceed a limit."""
        measures = self._measures(items)
        parts = equal_parts(measures, step_size, self.max_samples)
        loads = np.array([measures[part].sum(axis=0) for part in parts])
        sizes = [part.size for part in parts]
        if np.any(loads[:, : self.limits.size] > self.limits) or min(sizes) == 0 or max(sizes) > self.max_samples:
            return None
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        return NewStep(parts, loads, self.costs_of(items[np.concatenate(parts)], offsets))

    def _pairs_split_again(self, items: Integers, offsets: Integers) -> NewStep | None:
        """One step of micro-batches that start at `offsets`, made to be more alike in `balance`."""
        assert self.balance is not None
        batch_of = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
        parts = split_again(self.balance[items], self.amounts[items], batch_of, self.limits, self.max_samples)
        costs = np.array([self.balance[items[part]].sum() for part in parts])
        return NewStep(parts, costs[:, None], costs)

    def slowest_ranks_at_least(self, items: Integers, ranks: int) -> float:
        """See `Cutter`."""
        return float(self.costs_of(items, np.arange(items.size + 1)).max(initial=0))

    def tokens(self, items: Integers) -> tuple[float, float]:
        """See `Cutter`."""
        lengths = self.lengths[items]
        rounded = lengths if self.rounded is None else self.rounded[items]
        return float(lengths.sum()), float(rounded.max() * rounded.size if self.padded[0] else rounded.sum())

    @property
    def item_lengths(self) -> Numbers:
        """See `Cutter`."""
        return self.lengths

    @property
    def padded_budget(self) -> tuple[Numbers, float] | None:
        """See `Cutter`."""
        if not (self.costs_are_lengths and self.has_one_limit and self.padded[0]):
            return None
        return self.amounts.columns[0], float(self.limits[0])

    def excess(self, items: Integers) -> float:
        """See `Cutter`: the largest fraction of a budget above 1, or how many samples are too many."""
        costs = self.amounts[items]
        totals = np.where(self.padded, costs.max(axis=0) * items.size, costs.sum(axis=0))
        return max(0.0, float((totals / self.limits).max()) - 1, float(items.size - self.max_samples))

    def batches_at_least(self, items: Integers) -> int:
        """See `Cutter`: as cut longest first where padding counts, else the sum divided by the budget."""
        costs = self.amounts[items]
        by_count = -(-items.size // self.max_samples)
        # 1e-9: a sum of floats that is a whole number of budgets may come out slightly above it.
        sums = np.ceil(costs.sum(axis=0) / self.limits - 1e-9).max(initial=0)
        # For a padded budget, cutting longest first is optimal: no other way needs fewer micro-batches.
        alone = [
            cut_longest(-np.sort(-costs[:, measure]), self.limits[measure], self.max_samples, 1).size - 1
            for measure in np.flatnonzero(self.padded)
        ]
        return max(by_count, int(sums), *alone, 0)

    def halves(self, items: Integers) -> tuple[Integers, Integers]:
        """See `Cutter`: the longer half of the samples, then the shorter half."""
        descending = np.argsort(self._size_keys[items], kind="stable")
        return descending[: items.size // 2], descending[items.size // 2 :]

    def _kept_at_full_budget(self, offsets: Integers) -> int:
        """How many of the first micro-batches stay at the full budget when the others are cut at a lower one.

        These have few long samples each. Without one of these, a micro-batch would cost much less, and steps would be
        uneven.
        """
        if not (self.has_one_limit and self.padded[0]):
            return 0
        # The first that has enough samples; 0 if none has, since then a lower budget is the only way to more micro-batches.
        kept = int((np.diff(offsets) < _FEW).argmin())
        # All additional micro-batches come from those that are not kept. Where half are kept, the budget of the others
        # has to fall about twice as far as if all were cut again. If more were kept it would fall further: so all are cut.
        return kept if kept <= len(offsets) // 2 else 0

    def _cutting(self, costs: Floats) -> Callable[[int, float], Integers]:
        """The function that cuts from a sample on, at a fraction of the budgets, and returns the offsets."""
        if self.padded.size == 1 and self.padded[0]:
            column = np.ascontiguousarray(costs[:, 0])
            return lambda first, fraction: cut_longest(
                column[first:], self.limits[0] * fraction, self.max_samples, self.round_count
            )
        return lambda first, fraction: cut_several(
            costs[first:], self.limits * fraction, self.padded, self.max_samples, self.round_count
        )

    def costs_of(self, items: Integers, offsets: Integers, costs: Floats | None = None) -> Floats:
        """See `Cutter`: in the unit of the budget; with several, the sum of the parts used; with `balance`, its sum.

        Pass the `costs` of the samples if they are known already.
        """
        if self.balance is not None:
            return np.add.reduceat(self.balance[items], offsets[:-1])
        costs = self.amounts[items] if costs is None else costs
        total = np.zeros(offsets.size - 1)
        for measure, budget in enumerate(self.limits):
            column = costs[:, measure]
            if self.padded[measure]:
                used = np.maximum.reduceat(column, offsets[:-1]) * np.diff(offsets)
            else:
                used = np.add.reduceat(column, offsets[:-1])
            total += used if self.has_one_limit else used / budget
        return total


@dataclass(frozen=True)
class SortedPrefixes(Prefixes):
    """The first samples of a sequence that is sorted once: `places`, longest first, and the `costs` in this order."""

    cutter: BudgetCutter
    places: Integers
    costs: Floats

    def batches_needed(self, count: int) -> int:
        """See `Prefixes`."""
        return self.cutter.batches_of(self._first(count)[1][:, None])

    def cut(self, count: int, batches: int | None) -> Cut:
        """See `Prefixes`."""
        places, costs = self._first(count)
        return self.cutter.cut_sorted(self.items[:count], places, costs[:, None], batches or 0)

    def _first(self, count: int) -> tuple[Integers, Floats]:
        """Places of the first `count` samples, longest first, and their costs; most windows fit whole, and copy nothing."""
        return (self.places, self.costs) if count >= self.places.size else of_first(self.places, self.costs, count)
