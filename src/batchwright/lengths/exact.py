"""The exact packer: a linear programme over packs, rounded to whole packs.

The programme minimises the number of packs over *all* possible packs. It has one column for each pack; columns are generated
only if they improve the optimum, and the best new one is found by solving a knapsack (Gilmore and Gomory 1961). The optimum,
rounded up, is a lower bound for every packing. To get whole packs, the packs whose share is 1 or more are taken, rounded
down, and the programme is solved again for the samples that are left, until there are none. After each solution best-fit
decreasing packs the rest as well, and the result with the fewest packs is returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import Infeasible
from ..kernels.array_types import Floats, Integers
from .lower_bounds import packs_at_least

__all__ = ["Allowance", "pack_patterns"]

_PAYS = 1e-7  # a pack joins the programme if it is worth so much more than 1: above the rounding errors of the solver
_VARIATIONS = 30  # further packs tried in a round: several columns a round need far fewer rounds (chosen by trial)
_ROUNDS = 200  # columns may be added in this many rounds at most (chosen by trial); the bound stays valid with fewer
_MOST_LENGTHS = 2048  # distinct lengths: the programme has a row for each
_MOST_CELLS = 1 << 27  # cells in the table of one knapsack, two bytes each: 256 MB
_KEPT = 4  # knapsacks leave a quarter of the steps: to round the optimum, more programmes are solved (chosen by trial)
_STEPS_OF_PROGRAMME = 1 << 20  # what it costs to solve a small programme; every cell of a large one adds two steps

STEPS = 1 << 30
"""Search steps of one packing: about five seconds. Not seconds are counted, so that all machines make the same packs."""


@dataclass
class Allowance:
    """The search steps that are left.

    A knapsack takes one step for each number of copies that is tried in a cell; a linear programme takes steps by its size.

    Attributes:
        left: how many steps are left.
    """

    left: int

    @classmethod
    def of(cls, divisor: int = 1) -> Allowance:
        """The steps of one packing, or this fraction of them: one in `divisor`."""
        return cls(STEPS // divisor)

    def spend(self, steps: int, *, keep: int = 0) -> bool:
        """Spend this many steps if they are left beside `keep` others; returns whether it did."""
        enough = steps <= self.left - keep
        self.left -= steps if enough else 0
        return enough


def pack_patterns(
    lengths: Integers,
    wanted: Integers,
    capacity: int,
    max_per_pack: int | None = None,
    *,
    allowance: Allowance,
    enough: int = 0,
) -> tuple[Integers, Integers, int]:
    """Put `wanted[i]` samples of `lengths[i]` into as few packs as possible, by linear programming.

    Needs scipy (its HiGHS solver). The search ends when it has `enough` packs or fewer, when it has proven that there are no
    fewer, or when the allowance is used up.

    Args:
        lengths: the distinct lengths, ascending, int64 (lengths,).
        wanted: how many samples of each length, int64 (lengths,).
        capacity: the largest sum of lengths in a pack.
        max_per_pack: the most samples in a pack; None for no limit.
        allowance: the search steps that may be used; they are taken from it.
        enough: a number of packs that is few enough; 0 to search for the fewest.

    Returns:
        patterns: the different packs, int64 (patterns, lengths): pack k has `patterns[k, i]` samples of `lengths[i]`.
        copies: how often each pattern is used, int64 (patterns,).
        bound: a proven lower bound of the number of packs.

    Raises:
        Infeasible: one knapsack would take too long or too much memory.
    """
    # The time of a knapsack grows with the capacity, so lengths are counted in their greatest common divisor.
    unit = int(np.gcd.reduce(lengths)) or 1
    lengths, capacity = lengths // unit, capacity // unit
    capacity = min(capacity, int(lengths @ wanted))
    cells = lengths.size * (capacity + 1) * ((max_per_pack or 0) + 1)
    if lengths.size > _MOST_LENGTHS or cells > _MOST_CELLS:
        raise Infeasible(
            f"solver='exact' with {lengths.size} distinct lengths, a capacity of {capacity * unit} and "
            f"max_per_pack={max_per_pack} makes a table of {cells} cells, the most is {_MOST_CELLS}, "
            f"of {_MOST_LENGTHS} lengths",
            "pass solver='fast', or lengths rounded up to multiples of more",
        )
    programme = _Programme(lengths, capacity, max_per_pack or 0, allowance)
    best = programme.best_fit(wanted)
    programme.add(best.patterns)
    bound = packs_at_least(lengths, wanted, capacity, max_per_pack)
    fixed = _PackPatterns(np.empty((0, lengths.size), np.int64), np.empty(0, np.int64))
    left = wanted
    while best.total > (enough or bound) >= bound and left.any():
        shares, at_least = programme.solve(left)
        if not shares.size:
            break
        # Only the first programme has all samples; the bounds of later ones hold for what is left of them.
        if not fixed.total:
            bound = max(bound, at_least)
        taken = programme.whole_packs(shares, left)
        fixed = fixed.plus(taken)
        left = left - taken.samples
        finished = fixed.plus(programme.best_fit(left))
        if finished.total < best.total:
            best = finished
    return *best, bound


class _PackPatterns(NamedTuple):
    """Different packs, int64 (patterns, lengths), and how often each is used, int64 (patterns,)."""

    patterns: Integers
    copies: Integers

    @property
    def total(self) -> int:
        """How many packs there are."""
        return int(self.copies.sum())

    @property
    def samples(self) -> Integers:
        """How many samples of each length they take."""
        return self.copies @ self.patterns

    def plus(self, others: _PackPatterns) -> _PackPatterns:
        """These packs and others."""
        return _PackPatterns(
            np.concatenate([self.patterns, others.patterns]), np.concatenate([self.copies, others.copies])
        )


class _Programme:
    """A linear programme over one set of lengths; its columns are the packs found so far."""

    def __init__(self, lengths: Integers, capacity: int, max_per_pack: int, allowance: Allowance) -> None:
        self.lengths, self.capacity, self.max_per_pack = lengths, capacity, max_per_pack
        self.columns: list[Integers] = []
        self._known: set[bytes] = set()
        self._allowance = allowance
        self._kept = allowance.left // _KEPT
        most = max_per_pack or capacity
        self.add(np.diag(np.minimum(capacity // lengths, most)))  # packs of one length: with them there is a solution

    def add(self, packs: Integers) -> int:
        """Add the packs that are no columns yet; returns how many it added."""
        before = len(self.columns)
        for pack in packs:
            if pack.any() and pack.tobytes() not in self._known:
                self._known.add(pack.tobytes())
                self.columns.append(np.array(pack, np.int64))
        return len(self.columns) - before

    def best_fit(self, wanted: Integers) -> _PackPatterns:
        """Best-fit decreasing over `wanted`."""
        from ..kernels.packing import best_fit_decreasing, stack_contents

        table = best_fit_decreasing(self.lengths, wanted, self.capacity, self.max_per_pack or np.iinfo(np.int64).max)
        return _PackPatterns(*stack_contents(table, self.lengths.size))

    def whole_packs(self, shares: Floats, wanted: Integers) -> _PackPatterns:
        """The packs whose share is 1 or more, with shares rounded down; if there are none, one pack of the largest share."""
        whole = np.floor(shares + 1e-9).astype(np.int64)
        if not whole.any():
            whole[int(shares.argmax())] = 1
        left, patterns, copies = wanted.copy(), [], []
        for column in np.argsort(-shares, kind="stable")[: np.count_nonzero(whole)]:
            pattern = np.minimum(self.columns[column], left)
            takes = np.flatnonzero(pattern)
            if whole[column] and takes.size:
                patterns.append(pattern)
                copies.append(min(whole[column], (left[takes] // pattern[takes]).min()))
                left -= copies[-1] * pattern
        return _PackPatterns(np.array(patterns).reshape(-1, wanted.size), np.array(copies, np.int64))

    def solve(self, wanted: Integers) -> tuple[Floats, int]:
        """The optimum over all packs for `wanted`: the share of each column, and the lower bound that it proves.

        If the allowance ends earlier, it is the optimum over the packs found so far, or there are no shares.
        """
        bound, shares = 0, np.empty(0)
        for _ in range(_ROUNDS):
            if not self._allowance.spend(_STEPS_OF_PROGRAMME + 2 * self.lengths.size * len(self.columns)):
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

    def _priced(self, values: Floats, wanted: Integers) -> tuple[float, Integers] | None:
        """The most valuable pack and its value; None if the allowance is too small to find it."""
        from ..kernels.packing import most_valuable_pack

        each = (self.capacity + 1 - self.lengths) * np.minimum(wanted, self.capacity // self.lengths)
        if not self._allowance.spend(int(each[values > 0].sum()) * (self.max_per_pack + 1), keep=self._kept):
            return None
        worth, pack = most_valuable_pack(self.lengths, values, wanted, self.capacity, self.max_per_pack)
        return worth, pack

    def _variations(self, values: Floats, wanted: Integers, pack: Integers) -> Integers:
        """The most valuable pack, and further packs that improve the optimum too."""
        found = [pack]
        lowered = values.copy()
        for _ in range(_VARIATIONS):
            lowered[pack > 0] *= 0.9  # lengths just taken are worth less, so that the next pack is another (by trial)
            priced = self._priced(lowered, wanted)
            if priced is None:
                break
            _, pack = priced
            if pack @ values > 1 + _PAYS:
                found.append(pack)
        return np.array(found)

    def _optimum(self, wanted: Integers) -> tuple[Floats, Floats, float]:
        """The optimum over the columns: the share of each, the value of a sample of each length (dual), the packs used."""
        from scipy.optimize import linprog
        from scipy.sparse import csc_matrix

        holds = csc_matrix(np.array(self.columns, np.float64).T)
        result: Any = linprog(np.ones(len(self.columns)), A_ub=-holds, b_ub=-wanted, method="highs-ds")
        return result.x, np.maximum(-result.ineqlin.marginals, 0.0), float(result.fun)
