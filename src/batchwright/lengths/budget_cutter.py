"""Cutting at a budget: as many samples as fit, like lengths together."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..kernels.cuts import cut_longest, cut_several
from ..kernels.step_balance import raise_to_most_expensive
from .cut import (
    Cut,
    Unsearched,
    by_steps,
    falling_ranks,
    like_ranks,
    mixed_places,
    most_expensive_of_layers,
    sorted_places,
    split_to,
    spread,
)
from .step_balance import LEVEL, Dealt, dealt_anew, level_parts, spread_over_steps

__all__ = ["BudgetCutter"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_FEW = 32  # samples: one more or less is 3 % of a micro-batch's cost


@dataclass(frozen=True)
class BudgetCutter(Unsearched):
    """Cuts samples that stand longest first so that no budget is exceeded.

    Args:
        costs: float64 (samples, budgets).
        budgets: float64 (budgets,).
        padded: for each budget, whether a micro-batch costs longest x count, or the sum.
        most_samples: in one micro-batch.
        count_multiple: counts of this and more are a multiple of it.
        rounded: whether shapes are to be few, and so stay as they were cut.
        lengths: float64 (samples,), what is padded, for reports.
        balance: float64 (samples,), what the micro-batches of a step are to be equal in; None for what the budget counts,
            or the sum of the shares of several.
    """

    costs: Floats
    budgets: Floats
    padded: NDArray[np.bool_]
    most_samples: int
    count_multiple: int
    rounded: bool
    lengths: Floats
    balance: Floats | None = None
    ranks: Integers = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranks", falling_ranks(self.sizes))

    kind = "budgeted"
    least_steps = 1
    room = math.inf

    @property
    def settled(self) -> bool:
        """See `Cutter`: with several budgets, samples of one rank may differ in what they cost."""
        return self.budgets.size == 1

    @property
    def alike(self) -> Integers:
        """See `Cutter`."""
        return self.ranks if self.settled else like_ranks(self.costs)

    @cached_property
    def sizes(self) -> Floats:
        """See `Cutter`: the largest share of a budget."""
        sizes: Floats = (self.costs / self.budgets).max(axis=1)
        return sizes

    def needed(self, samples: Integers, multiple: int) -> Callable[[int], int]:
        """See `Cutter`."""
        if not self.settled:  # the order of chance depends on how many there are
            return lambda count: self._first_cut(self.costs[samples[mixed_places(self.ranks[samples[:count]])]])
        places = sorted_places(self.ranks[samples])
        column = self.costs[samples[places], 0]
        return lambda count: self._first_cut(column[places < count][:, None])

    def _first_cut(self, costs: Floats) -> int:
        """Micro-batches of samples in this order at the whole budgets."""
        return self._cutting(costs)(0, 1.0).size - 1

    def over_layers(self, falling: Integers, windows: int) -> BudgetCutter:
        """See `Cutter`."""
        largest = most_expensive_of_layers(self.costs, falling, windows)
        return replace(self, costs=largest, lengths=largest[:, 0], balance=None)

    def cut(self, samples: Integers, batches: int, multiple: int) -> Cut:
        """See `Cutter`: a lower budget until `batches` micro-batches are needed, then the most expensive are split."""
        places = (sorted_places if self.settled else mixed_places)(self.ranks[samples])
        costs = self.costs[samples[places]]
        cut_at = self._cutting(costs)
        offsets = cut_at(0, 1.0)
        if offsets.size - 1 < batches:
            long = self._long(offsets)
            begin = int(offsets[long])
            shared = begin + spread(batches - long, lambda first, share: cut_at(begin + first, share))
            offsets = np.concatenate([offsets[:long], shared])
        cut = Cut(places, offsets, self._costs(samples[places], offsets, costs))
        return split_to(cut, batches, samples, self)

    def levelled(self, samples: Integers, cut: Cut, multiple: int) -> Cut:
        """See `Cutter`.

        Where padding counts, a micro-batch cheaper than the most expensive of its step takes one longer sample in exchange:
        what it then pads is less than what its rank would have waited. With sums, the samples of a step are distributed over
        its micro-batches a second time, so that these are equal in every budget. Micro-batches of rounded shapes are left as
        they are. So are those of several budgets, if one of these is padded.
        """
        if self.rounded:
            return by_steps(cut)
        if not self.padded.any():
            several = self.budgets.size > 1 or self.balance is not None
            return dealt_anew(
                spread_over_steps(cut, multiple) if several else cut,
                multiple,
                lambda steps: np.add.reduceat(self._kinds(samples[steps.members]), steps.offsets[:-1]),
                lambda members: self._dealt(samples[members], multiple),
            )
        if not self.settled or self.balance is not None:
            return by_steps(cut)
        # A micro-batch that even the longest sample would not make as expensive as the others: for steps of its own.
        stuck = np.diff(cut.offsets) * self.costs[samples, 0].max() < LEVEL * cut.costs.max()
        steps = cut.chosen(np.lexsort((-cut.costs, stuck)))
        members = steps.members.copy()
        falling = sorted_places(self.ranks[samples[members]])
        column = self.costs[samples[members], 0]
        costs = raise_to_most_expensive(
            column, members, steps.offsets, falling, multiple, float(self.budgets[0]), LEVEL
        )
        return Cut(members, steps.offsets, costs, stepped=True)

    def _kinds(self, samples: Integers) -> Floats:
        """What micro-batches of sums are to be level in, (samples, kinds): every budget, and the balance."""
        return self.costs[samples] if self.balance is None else np.column_stack([self.costs, self.balance])[samples]

    def _dealt(self, samples: Integers, multiple: int) -> Dealt | None:
        """One step whose sums count, dealt again; None where a limit is in the way."""
        kinds = self._kinds(samples)
        parts = level_parts(kinds, multiple, self.most_samples)
        loads = np.array([kinds[part].sum(axis=0) for part in parts])
        sizes = [part.size for part in parts]
        if np.any(loads[:, : self.budgets.size] > self.budgets) or min(sizes) == 0 or max(sizes) > self.most_samples:
            return None
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        return Dealt(parts, loads, self._costs(samples[np.concatenate(parts)], offsets))

    def cost(self, samples: Integers) -> float:
        """See `Cutter`: what the budget counts, the sum of the shares of several, or the balance."""
        return float(self._costs(samples, np.array([0, samples.size]))[0])

    def tokens(self, samples: Integers) -> tuple[float, float]:
        """See `Cutter`."""
        lengths = self.lengths[samples]
        return float(lengths.sum()), float(lengths.max() * lengths.size if self.padded[0] else lengths.sum())

    def excess(self, samples: Integers) -> float:
        """See `Cutter`: the largest share over a budget, or the samples too many."""
        costs = self.costs[samples]
        totals = np.where(self.padded, costs.max(axis=0) * samples.size, costs.sum(axis=0))
        return max(0.0, float((totals / self.budgets).max()) - 1, float(samples.size - self.most_samples))

    def at_least(self, samples: Integers) -> int:
        """See `Cutter`: what cutting longest first needs where padding counts, the mean load where it does not."""
        costs = self.costs[samples]
        by_count = -(-samples.size // self.most_samples)
        sums = np.ceil(costs.sum(axis=0) / self.budgets - 1e-9).max(initial=0)
        alone = [
            cut_longest(-np.sort(-costs[:, kind]), self.budgets[kind], self.most_samples, 1).size - 1
            for kind in np.flatnonzero(self.padded)
        ]
        return max(by_count, int(sums), *alone, 0)

    def part(self, samples: Integers) -> tuple[Integers, Integers]:
        """See `Cutter`: in the middle, the longer half first."""
        falling = np.argsort(self.ranks[samples], kind="stable")
        return falling[: samples.size // 2], falling[samples.size // 2 :]

    def _long(self, offsets: Integers) -> int:
        """How many of the first micro-batches stay at the whole budget where there is room for more of them.

        One of few long samples would lose a large share of its cost with one of them, and no step would be level.
        """
        if not (self.settled and self.padded[0]):
            return 0
        long = int((np.diff(offsets) < _FEW).argmin())
        return long if long <= len(offsets) // 2 else 0

    def _cutting(self, costs: Floats) -> Callable[[int, float], Integers]:
        """Offsets from a sample on at a share of the budgets."""
        if self.padded.size == 1 and self.padded[0]:
            column = np.ascontiguousarray(costs[:, 0])
            return lambda first, share: cut_longest(
                column[first:], self.budgets[0] * share, self.most_samples, self.count_multiple
            )
        return lambda first, share: cut_several(
            costs[first:], self.budgets * share, self.padded, self.most_samples, self.count_multiple
        )

    def _costs(self, samples: Integers, offsets: Integers, costs: Floats | None = None) -> Floats:
        """What micro-batches cost: see `cost`. `costs` are those of the samples, where they are at hand."""
        if self.balance is not None:
            return np.add.reduceat(self.balance[samples], offsets[:-1])
        costs = self.costs[samples] if costs is None else costs
        total = np.zeros(offsets.size - 1)
        for kind, budget in enumerate(self.budgets):
            column = costs[:, kind]
            if self.padded[kind]:
                used = np.maximum.reduceat(column, offsets[:-1]) * np.diff(offsets)
            else:
                used = np.add.reduceat(column, offsets[:-1])
            total += used if self.settled else used / budget
        return total
