"""Packs samples: micro-batches of a number of packs, each of a fixed capacity."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from ..errors import Infeasible
from ..kernels.array_types import Floats, Integers
from ..kernels.packing import COPIES, best_fit_decreasing, best_fit_vectors, next_fit
from ..kernels.partition import longest_first
from .admission import Admission
from .cut import Cut
from .distinct_lengths import DistinctLengths
from .equal_packs import EqualPacks
from .exact import Allowance
from .lower_bounds import packs_at_least, slowest_ranks_at_least
from .measured_cutter import MeasuredCutter
from .numbers import NumberRows, Numbers
from .packing import Packing, Solver, filled_packing, search
from .sort_keys import mixed_places, most_expensive_of_strata

__all__ = ["PackBorders", "PackCutter", "pack_offsets"]


_HALVINGS = 8  # steps of the bisection of the fraction of the capacities: finds it to 1/256


@dataclass(frozen=True)
class PackCutter(MeasuredCutter):
    """Packs samples, and distributes the packs over micro-batches of like cost.

    Args:
        amounts: what each item takes of each capacity, its lengths; read as int64 (items, capacities).
        limits: the capacities, int64 (capacities,).
        packs: the most packs in a micro-batch.
        max_per_pack: the most items in a pack.
        costs: read as float64 (items,), what the micro-batches of a step are to have equally much of.
        solver: "fast" or "exact".
    """

    packs: int
    max_per_pack: int
    costs: Numbers
    solver: Solver
    # What all cuts of a window may use together; None means that each cut has an allowance of its own.
    _allowance: Allowance | None = field(init=False, repr=False, default=None)

    builder = "packed"
    names_in_identity: ClassVar = {"amounts": "lengths", "limits": "capacities"}

    @property
    def most_size(self) -> float:
        """See `Cutter`: of several capacities, the largest fractions may be of different ones."""
        return self.packs if self.has_one_limit else math.inf

    def batches_needed(self, items: Integers, step_size: int) -> int:
        """See `Cutter`; by the fast solver, as it is asked for many times."""
        if not self.has_one_limit:
            packs = len(self._packed(items, 0))
        else:
            column = self.amounts.columns[0][items]
            packs = _packs_of(self._stacks(DistinctLengths.of(column), int(self.limits[0])))
        return -(-packs // self.packs)

    def batches_needed_for_copies(self, items: Integers, copies: Integers) -> int | None:
        """See `Cutter`."""
        if self.searches or not self._amounts_follow_from_keys:
            return None
        lengths, capacity = self.amounts.columns[0][items][::-1], int(self.limits[0])
        table = best_fit_decreasing(np.ascontiguousarray(lengths), copies[::-1].copy(), capacity, self.max_per_pack)
        return -(-_packs_of(table) // self.packs)

    def over_strata(self, descending: Integers, window_count: int) -> PackCutter:
        """See `Cutter`."""
        longest = most_expensive_of_strata(self.amounts, descending, window_count)
        return replace(self, amounts=longest, costs=longest.columns[0].read_as(np.float64))

    @property
    def searches(self) -> bool:
        """See `Cutter`."""
        return self.solver != "fast"

    def for_window(self, divisor: int = 1) -> PackCutter:
        """See `Cutter`: the exact solver is a search; its work limit is an `Allowance`."""
        if not self.searches:
            return self
        limited = copy(self)
        object.__setattr__(limited, "_allowance", Allowance.of(divisor))
        return limited

    def cut(self, items: Integers, batches: int | None, step_size: int) -> Cut:
        """See `Cutter`: if more packs are allowed than needed, all of them are filled less."""
        batches = batches or 0
        packing = self._packed(items, batches * self.packs)
        start = packing.offsets[:-1]
        costs = np.add.reduceat(self.costs[items[packing.members]], start) if len(packing) else np.empty(0)
        wanted = max(-(-len(packing) // self.packs), min(batches, len(packing)))
        descending = np.argsort(-costs, kind="stable")
        batch_of = np.empty(len(packing), np.int64)
        batch_of[descending] = longest_first(costs[descending], wanted, self.packs)
        by_batch = np.argsort(batch_of, kind="stable")
        places = Cut(packing.members, packing.offsets, costs).chosen(by_batch).places
        held = np.bincount(batch_of, weights=np.diff(packing.offsets), minlength=wanted).astype(np.int64)
        offsets = np.concatenate([[0], held.cumsum()])
        totals = np.bincount(batch_of, weights=costs, minlength=wanted).astype(np.float64)
        return self.split_to(Cut(places, offsets, totals), batches, items)

    def with_equal_costs(self, items: Integers, cut: Cut, step_size: int) -> Cut:
        """See `Cutter`: packs of a step, or of all steps, exchange samples; see `EqualPacks`."""
        return EqualPacks(
            self.amounts[items],
            self.costs[items],
            self.limits,
            self.packs,
            self.max_per_pack,
            step_size,
            lambda places: self.pack_offsets(items[places]),
        ).of(cut)

    def costs_of(self, items: Integers, offsets: Integers) -> Floats:
        """See `Cutter`: the sum over the samples."""
        return np.add.reduceat(self.costs[items], offsets[:-1])

    def slowest_ranks_at_least(self, items: Integers, ranks: int) -> float:
        """See `Cutter`; with one capacity, no pack has two samples longer than half of it."""
        if not self.has_one_limit:
            return float(self.costs[items].max(initial=0))
        return slowest_ranks_at_least(
            self.costs[items], self.amounts.columns[0][items], int(self.limits[0]), ranks, self.packs
        )

    def tokens(self, items: Integers) -> tuple[float, float]:
        """See `Cutter`: padding is what the packs leave empty."""
        packs = self.pack_offsets(items).size - 1
        return float(self.amounts.columns[0][items].sum()), float(packs * self.limits[0])

    @property
    def item_lengths(self) -> Numbers:
        """See `Cutter`: of the first capacity."""
        return self.amounts.columns[0]

    def excess(self, items: Integers) -> float:
        """See `Cutter`: how many packs are too many, or the largest fraction of a capacity above 1."""
        alone = float((self.amounts[items] / self.limits).max()) - 1
        return max(0.0, alone, float(self.pack_offsets(items).size - 1 - self.packs))

    def batches_at_least(self, items: Integers) -> int:
        """See `Cutter`."""
        most = min(self.max_per_pack, items.size)
        bounds = []
        for column, capacity in zip(self.amounts[items].T, self.limits.tolist(), strict=True):
            distinct = DistinctLengths.of(np.ascontiguousarray(column))
            bounds.append(packs_at_least(distinct.lengths, distinct.counts, capacity, most or None))
        return -(-max(bounds) // self.packs)

    def halves(self, items: Integers) -> tuple[Integers, Integers]:
        """See `Cutter`: the samples keep their order, so that no part needs more packs than the whole."""
        descending = np.argsort(-self.costs[items], kind="stable")
        half = longest_first(self.costs[items[descending]], 2, items.size)
        return np.sort(descending[half == 0]), np.sort(descending[half == 1])

    def pack_offsets(self, items: Integers) -> Integers:
        """Where the packs of a micro-batch start, and the end of the last; see `pack_offsets`."""
        return pack_offsets(self.amounts[items], self.limits, self.max_per_pack)

    def _packed(self, items: Integers, allowed: int) -> Packing:
        """Pack the samples; if more packs are `allowed` than needed, fill each as little as possible."""
        lengths = self.amounts[items]
        if not self.has_one_limit:
            descending = mixed_places(self._size_keys[items])
            pack_of, held = self._fit_vectors(lengths[descending].astype(np.float64), allowed)
            offsets = np.concatenate([[0], held.cumsum()])
            return Packing(descending[np.argsort(pack_of, kind="stable")], offsets, 0)
        column, capacity = np.ascontiguousarray(lengths[:, 0]), int(self.limits[0])
        if self.solver == "exact":
            most = None if self.max_per_pack >= column.size else self.max_per_pack
            return self._searched(column, capacity, most, allowed)
        return self._best_fit(DistinctLengths.of(column), capacity, allowed)

    def _searched(self, column: Integers, capacity: int, most: int | None, allowed: int) -> Packing:
        """Pack by the exact solver; each cut of a window may use half of what is left of its allowance.

        The number of cuts is not known in advance: with halves, some is left for every one of them.
        """
        if self._allowance is None:
            return search(column, capacity, most, Allowance.of(), enough=allowed)
        half = self._allowance.left // 2
        own = Allowance(half)
        packing = search(column, capacity, most, own, enough=allowed)
        self._allowance.left -= half - own.left
        return packing

    def _fit_vectors(self, lengths: Floats, allowed: int) -> tuple[Integers, Integers]:
        """The pack of each item, and the sizes of packs, at about the smallest fraction of the capacities that allows it."""
        capacities = self.limits.astype(np.float64)
        low, high = float((lengths / capacities).max(initial=0.0)), 1.0
        best = best_fit_vectors(lengths, capacities, self.max_per_pack)
        for _ in range(_HALVINGS if best[1].size < allowed else 0):
            middle = (low + high) / 2
            tried = best_fit_vectors(lengths, capacities * middle, self.max_per_pack)
            if tried[1].size <= allowed:
                best, high = tried, middle
            else:
                low = middle
        return best

    def _best_fit(self, distinct: DistinctLengths, capacity: int, allowed: int) -> Packing:
        """Packs at the smallest fill at which `allowed` packs hold all samples; at the capacity if there is none.

        A sample longer than the fill cannot share a pack, as the others alone need the fill. It gets a pack of its own.
        """
        tokens = np.concatenate([[0], (distinct.lengths * distinct.counts).cumsum()])
        fill, table = capacity, self._stacks(distinct, capacity)
        low = 0 if _packs_of(table) <= allowed else fill - 1
        # Bisection takes for granted that a larger fill never needs more packs. Best fit breaks that rule now and then;
        # then the fill found is not the smallest, but it holds all samples all the same.
        while fill - low > 1:
            middle = (low + fill) // 2
            short = distinct.up_to(middle)
            longer = distinct.places.size - int(distinct.starts[short])  # samples that each have a pack of their own
            packs = allowed - longer
            tried = None
            if tokens[short] <= packs * middle:  # else it is known without packing that they do not suffice
                tried = self._stacks(distinct, middle)
            if tried is not None and _packs_of(tried) <= packs:
                fill, table = middle, tried
            else:
                low = middle
        rest = filled_packing(table, distinct, 0)
        alone = np.sort(distinct.places[rest.members.size :])
        if not alone.size:
            return rest
        return Packing(
            np.concatenate([alone, rest.members]),
            np.concatenate([np.arange(alone.size), alone.size + rest.offsets]),
            0,
        )

    def _stacks(self, distinct: DistinctLengths, fill: int) -> Integers:
        """The samples that are no longer than the fill in packs of it; see `best_fit_decreasing`."""
        fitting = distinct.up_to(fill)
        return best_fit_decreasing(distinct.lengths[:fitting], distinct.counts[:fitting], fill, self.max_per_pack)


def _packs_of(table: Integers) -> int:
    return int(table[:, COPIES].sum())


@dataclass(frozen=True)
class PackBorders:
    """Finds where the packs start in a micro-batch, from its samples alone; see `PackedPlan.packs`."""

    lengths: NumberRows
    capacities: Integers
    max_per_pack: int
    admission: Admission
    packs: int

    @property
    def capacity(self) -> int | None:
        """The capacity of a pack; None if there are several."""
        return int(self.capacities[0]) if self.capacities.size == 1 else None

    @property
    def further_limits(self) -> str:
        """For a message: what else than one capacity ends a pack; "" if nothing does."""
        found = [f"{self.capacities.size} capacities"] if self.capacities.size > 1 else []
        # Of one capacity lengths are 1 or more, so that a pack never has more samples than elements.
        if self.max_per_pack < (self.capacity or math.inf):
            found.append(f"max_per_pack={self.max_per_pack}")
        if self.admission.bundles is not None:
            found.append("samples that stay together")
        return " and ".join(found)

    @property
    def capacity_tells(self) -> bool:
        """Whether packs that are filled up to the capacity, one after the other, are those of the plan."""
        return not self.further_limits

    def cuts_as(self, other: Any) -> bool:
        """Whether others cut the same micro-batches into the same packs, as far as their limits tell; not by the lengths."""
        if other is self or not isinstance(other, PackBorders):
            return other is self
        one, two = self.admission.bundles, other.admission.bundles
        return (
            np.array_equal(self.capacities, other.capacities)
            and self.max_per_pack == other.max_per_pack
            and self.sample_count == other.sample_count
            and (one is two if one is None or two is None else all(map(np.array_equal, one, two)))
        )

    @property
    def sample_count(self) -> int:
        """How many numbers a sampler can yield."""
        bundles = self.admission.bundles
        return self.lengths.shape[0] if bundles is None else bundles.members.size

    def __call__(self, samples: Integers) -> Integers:
        """Where each pack starts in `samples`, and where the last ends, int64 (packs + 1)."""
        most = self.sample_count
        if samples.size and not 0 <= samples.min() <= samples.max() < most:
            raise Infeasible(
                f"samples from {samples.min()} to {samples.max()} are to be found in a plan over {most}",
                "pass micro-batches of this plan, of the dataset that it was made for",
            )
        items, first = self.admission.items_in(samples)
        if not np.array_equal(self.admission.emitted(items), samples):
            raise Infeasible(
                f"a micro-batch of {samples.size} samples holds parts of what `together` keeps in one pack",
                "pass whole micro-batches of this plan, in their order",
            )
        offsets: Integers = first[pack_offsets(self.lengths[items], self.capacities, self.max_per_pack)]
        return offsets


def pack_offsets(lengths: Integers, capacities: Integers, max_per_pack: int) -> Integers:
    """Where the packs of a sequence of items start, and where the last ends, int64 (packs + 1).

    Each pack takes what fits, in the order of the items ("next fit"). No way to cut the sequence into packs, without
    changing its order, needs fewer. So a batch does not have to carry the borders of its packs: they are computed again
    from its samples.

    Args:
        lengths: int64 (items, capacities).
        capacities: int64 (capacities,).
        max_per_pack: the most items in a pack.
    """
    return next_fit(lengths, capacities, max_per_pack)
