"""The exact-minded packer: a linear programme over whole packs, rounded to a packing that can be had.

Gilmore and Gomory (1961): minimise the number of packs over *all* possible packs, of which only those that
pay are ever made (the pricing step is a knapsack). The optimum of the programme, rounded up, bounds every
packing from below. What it takes whole is fixed, the rest is solved again until nothing is left; at each
stage best-fit decreasing may finish what remains, and the cheapest finish wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import Infeasible
from .bounds import packs_at_least

__all__ = ["Allowance", "pack_kinds"]

Integers = NDArray[np.int64]
_PAYS = 1e-7  # a pack must be worth this much more than its price to join the programme
_VARIATIONS = 30  # packs tried a round, each with the value of the lengths last taken cut down
_ROUNDS = 200
_MOST_KINDS = 2048  # distinct lengths: the programme has a row for each
_MOST_CELLS = 1 << 27  # of the table of one knapsack, two bytes each
_KEPT = 4  # the part of the steps that no knapsack may take: rounding what was found takes programmes too
_STEPS_OF_PROGRAMME = 1 << 20  # to solve a small programme; every cell of a large one adds two

STEPS = 1 << 30
"""Of one packing: about five seconds. They are counted, so that every machine makes the same packs."""


@dataclass
class Allowance:
    """Search steps that are left.

    A knapsack takes one for every number of copies that is tried in a cell, a linear programme some for its size.
    """

    left: int

    @classmethod
    def of(cls, parts: int = 1) -> Allowance:
        """That of one packing, or one of so many parts of it."""
        return cls(STEPS // parts)

    def take(self, steps: int, *, keep: int = 0) -> bool:
        """Whether so many are left, with `keep` untouched; they are then taken."""
        enough = steps <= self.left - keep
        self.left -= steps if enough else 0
        return enough


def pack_kinds(
    lengths: Integers,
    wanted: Integers,
    capacity: int,
    max_per_pack: int | None = None,
    *,
    allowance: Allowance,
    enough: int = 0,
) -> tuple[Integers, Integers, int]:
    """Packs for `wanted[i]` samples of `lengths[i]`: kinds of packs, copies of each, a proven lower bound.

    Kind k takes `kinds[k, i]` samples of `lengths[i]`, distinct and ascending. Needs scipy (its HiGHS solver). The search
    ends with `enough` packs or fewer, with a proof that there are no fewer, or where its next step is not allowed.

    Raises:
        Infeasible: one knapsack would take too long, or too much memory.
    """
    unit = int(np.gcd.reduce(lengths)) or 1  # what all lengths are multiples of
    lengths, capacity = lengths // unit, capacity // unit
    capacity = min(capacity, int(lengths @ wanted))
    cells = lengths.size * (capacity + 1) * ((max_per_pack or 0) + 1)
    if lengths.size > _MOST_KINDS or cells > _MOST_CELLS:
        raise Infeasible(
            f"solver='exact' with {lengths.size} distinct lengths, a capacity of {capacity * unit} and "
            f"max_per_pack={max_per_pack} makes a table of {cells} cells, the most is {_MOST_CELLS}, "
            f"of {_MOST_KINDS} lengths",
            "pass solver='fast', or lengths rounded up to multiples of more",
        )
    programme = _Programme(lengths, capacity, max_per_pack or 0, allowance)
    best = programme.best_fit(wanted)
    programme.add(best.kinds)
    bound = packs_at_least(lengths, wanted, capacity, max_per_pack)
    fixed = _Packs(np.empty((0, lengths.size), np.int64), np.empty(0, np.int64))
    left = wanted
    while best.total > (enough or bound) >= bound and left.any():
        shares, at_least = programme.solve(left)
        if not shares.size:
            break
        if not fixed.total:  # the first programme is the whole one: its bound is the one that counts
            bound = max(bound, at_least)
        taken = programme.whole_packs(shares, left)
        fixed = fixed.plus(taken)
        left = left - taken.samples
        finished = fixed.plus(programme.best_fit(left))
        if finished.total < best.total:
            best = finished
    return *best, bound


class _Packs(NamedTuple):
    """Kinds of packs, one a row, and copies of each."""

    kinds: Integers
    copies: Integers

    @property
    def total(self) -> int:
        """How many packs there are."""
        return int(self.copies.sum())

    @property
    def samples(self) -> Integers:
        """How many samples of each length they take."""
        return self.copies @ self.kinds

    def plus(self, others: _Packs) -> _Packs:
        """These packs and others."""
        return _Packs(np.concatenate([self.kinds, others.kinds]), np.concatenate([self.copies, others.copies]))


class _Programme:
    """The packs made so far, one a column, over one set of lengths."""

    def __init__(self, lengths: Integers, capacity: int, max_per_pack: int, allowance: Allowance) -> None:
        self.lengths, self.capacity, self.max_per_pack = lengths, capacity, max_per_pack
        self.columns: list[Integers] = []
        self._known: set[bytes] = set()
        self._allowance = allowance
        self._kept = allowance.left // _KEPT
        most = max_per_pack or capacity
        self.add(np.diag(np.minimum(capacity // lengths, most)))

    def add(self, packs: Integers) -> int:
        """Take in the packs that are not known yet; how many there were."""
        before = len(self.columns)
        for pack in packs:
            if pack.any() and pack.tobytes() not in self._known:
                self._known.add(pack.tobytes())
                self.columns.append(np.array(pack, np.int64))
        return len(self.columns) - before

    def best_fit(self, wanted: Integers) -> _Packs:
        """Best-fit decreasing over `wanted`."""
        from ..kernels.packing import best_fit_decreasing, stack_contents

        table = best_fit_decreasing(self.lengths, wanted, self.capacity, self.max_per_pack or np.iinfo(np.int64).max)
        return _Packs(*stack_contents(table, self.lengths.size))

    def whole_packs(self, shares: NDArray[np.float64], wanted: Integers) -> _Packs:
        """The packs that an optimum takes whole, the largest shares first; if it takes none, one of its largest share."""
        whole = np.floor(shares + 1e-9).astype(np.int64)
        if not whole.any():
            whole[int(shares.argmax())] = 1
        left, kinds, copies = wanted.copy(), [], []
        for column in np.argsort(-shares, kind="stable")[: np.count_nonzero(whole)]:
            kind = np.minimum(self.columns[column], left)
            takes = np.flatnonzero(kind)
            if whole[column] and takes.size:
                kinds.append(kind)
                copies.append(min(whole[column], (left[takes] // kind[takes]).min()))
                left -= copies[-1] * kind
        return _Packs(np.array(kinds).reshape(-1, wanted.size), np.array(copies, np.int64))

    def solve(self, wanted: Integers) -> tuple[NDArray[np.float64], int]:
        """The optimum over all packs for `wanted`: the share of each column, the bound it proves.

        Where its steps are not allowed, the optimum over the packs found so far, or no shares.
        """
        bound, shares = 0, np.empty(0)
        for _ in range(_ROUNDS):
            if not self._allowance.take(_STEPS_OF_PROGRAMME + 2 * self.lengths.size * len(self.columns)):
                break
            shares, values, packs = self._optimum(wanted)
            priced = self._priced(values, wanted)
            if priced is None:
                break
            worth, pack = priced
            # Values scaled so that no pack is worth more than 1 are feasible in the dual (Farley 1990).
            bound = max(bound, int(np.ceil(packs / max(worth, 1.0) - 1e-6)))
            if worth < 1 + _PAYS or not self.add(self._variations(values, wanted, pack)):
                break
        return shares, bound

    def _priced(self, values: NDArray[np.float64], wanted: Integers) -> tuple[float, Integers] | None:
        """The most valuable pack and its value; None where its steps are not allowed."""
        from ..kernels.packing import most_valuable_pack

        each = (self.capacity + 1 - self.lengths) * np.minimum(wanted, self.capacity // self.lengths)
        if not self._allowance.take(int(each[values > 0].sum()) * (self.max_per_pack + 1), keep=self._kept):
            return None
        worth, pack = most_valuable_pack(self.lengths, values, wanted, self.capacity, self.max_per_pack)
        return worth, pack

    def _variations(self, values: NDArray[np.float64], wanted: Integers, pack: Integers) -> Integers:
        """The most valuable pack and others like it that pay too."""
        found = [pack]
        lowered = values.copy()
        for _ in range(_VARIATIONS):
            lowered[pack > 0] *= 0.9
            priced = self._priced(lowered, wanted)
            if priced is None:
                break
            _, pack = priced
            if pack @ values > 1 + _PAYS:
                found.append(pack)
        return np.array(found)

    def _optimum(self, wanted: Integers) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """The optimum over the columns at hand: shares, the value of a sample of each length, packs used."""
        from scipy.optimize import linprog
        from scipy.sparse import csc_matrix

        holds = csc_matrix(np.array(self.columns, np.float64).T)
        result: Any = linprog(np.ones(len(self.columns)), A_ub=-holds, b_ub=-wanted, method="highs-ds")
        return result.x, np.maximum(-result.ineqlin.marginals, 0.0), float(result.fun)
