"""Packs samples into packs of a fixed capacity, and proves how many packs are needed at least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from ..errors import Infeasible, check_integer, one_of
from ..inputs import columns
from ..kernels.array_types import Integers
from .distinct_lengths import DistinctLengths
from .exact import Allowance, pack_patterns
from .lower_bounds import packs_at_least

__all__ = ["MOST_CAPACITY", "Packing", "Solver", "filled_packing", "pack", "search"]

Solver = Literal["fast", "exact"]
MOST_CAPACITY = 1 << 61  # sums of two capacities fit 64 bits
_UNLIMITED = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Packing:
    """Samples in packs.

    Attributes:
        members: the samples, pack by pack, int64.
        offsets: pack p holds `members[offsets[p]:offsets[p + 1]]`, int64 (packs + 1).
        at_least: a proven lower bound: no way to pack these samples needs fewer packs.
    """

    members: Integers
    offsets: Integers
    at_least: int

    def __len__(self) -> int:
        return self.offsets.size - 1

    @property
    def gap(self) -> float:
        """Packs above the proven lower bound, as a fraction of it: 0 is optimal."""
        return len(self) / self.at_least - 1 if self.at_least else 0.0

    def loads(self, lengths: Integers) -> Integers:
        """The total length of each pack, int64 (packs,)."""
        running = np.zeros(self.members.size + 1, np.int64)
        np.cumsum(lengths[self.members], out=running[1:])
        loads: Integers = running[self.offsets[1:]] - running[self.offsets[:-1]]
        return loads


def pack(lengths: ArrayLike, capacity: int, *, max_per_pack: int | None = None, solver: Solver = "fast") -> Packing:
    """Pack samples so that the lengths in a pack sum to at most `capacity`.

    Args:
        lengths: integers from 1 to `capacity`, array-like of shape (n_samples,).
        capacity: the most that the lengths of a pack may sum to.
        max_per_pack: the most samples in a pack; no limit if left out.
        solver: `"fast"` is best-fit decreasing over the distinct lengths; its time and memory do not depend on how long
            they are. `"exact"` is column generation (Gilmore and Gomory 1961), rounded to whole packs. It takes up to
            about five seconds, is mostly optimal for some hundred distinct lengths, and needs scipy. Its steps are
            counted and limited; when they are used up, it returns the best packs found so far.

    Returns:
        The packs. Samples of equal length are taken in the order given.

    Raises:
        Infeasible: a length is not whole, below 1 or above the capacity, an argument is out of range, or `"exact"`
            would need too large a table.

    Example:
        >>> packing = pack([4, 6, 5, 3, 2], 10)
        >>> [packing.members[a:b].tolist() for a, b in zip(packing.offsets, packing.offsets[1:])]
        [[1, 0], [2, 3, 4]]
        >>> packing.at_least, packing.gap
        (2, 0.0)
    """
    solver = one_of(solver, "solver", get_args(Solver))
    capacity = check_integer(capacity, "capacity", least=1)
    if capacity > MOST_CAPACITY:
        raise Infeasible(
            f"capacity is {capacity}, the most is {MOST_CAPACITY}", f"pass capacity={MOST_CAPACITY} or less"
        )
    if max_per_pack is not None:
        max_per_pack = check_integer(max_per_pack, "max_per_pack", least=1)
    column = np.require(checked_lengths(lengths, capacity), requirements=["C", "W"])  # all that the kernels take
    if solver == "exact":
        return search(column, capacity, max_per_pack, Allowance.of())
    from ..kernels.packing import best_fit_decreasing

    distinct = DistinctLengths.of(column)
    table = best_fit_decreasing(distinct.lengths, distinct.counts, capacity, max_per_pack or _UNLIMITED)
    return filled_packing(table, distinct, packs_at_least(distinct.lengths, distinct.counts, capacity, max_per_pack))


def search(
    column: Integers, capacity: int, max_per_pack: int | None, allowance: Allowance, *, enough: int = 0
) -> Packing:
    """Pack by the exact solver within an allowance; stops when there are `enough` packs or fewer."""
    distinct = DistinctLengths.of(column)
    patterns, copies, at_least = pack_patterns(
        distinct.lengths, distinct.counts, capacity, max_per_pack, allowance=allowance, enough=enough
    )
    return filled_packing(_as_stacks(patterns, copies), distinct, at_least)


def filled_packing(table: Integers, distinct: DistinctLengths, at_least: int) -> Packing:
    """Put the samples into the packs that a table describes."""
    from ..kernels.packing import fill_packs

    members, offsets = fill_packs(table, distinct.places, distinct.starts)
    return Packing(members, offsets, at_least)


def checked_lengths(values: ArrayLike, capacity: int) -> Integers:
    """Check lengths: int64; one that no pack can hold is refused."""
    lengths = columns.whole_numbers(values, called="lengths", least=1)
    if lengths.max(initial=0) > capacity:
        sample = int(lengths.argmax())
        raise Infeasible(
            f"sample {sample} has length {lengths[sample]}, the capacity is {capacity}",
            f"pass capacity={lengths[sample]} or more, or leave longer samples out",
        )
    return lengths


def _as_stacks(patterns: Integers, copies: Integers) -> Integers:
    """Patterns as the table that `fill_packs` reads: for each pattern one chain of rows, longest sample first."""
    rows: list[tuple[int, int, int, int, int, int]] = []
    for pattern, count in zip(patterns, copies, strict=True):
        chain = np.repeat(np.arange(pattern.size), pattern)[::-1]
        for depth, length in enumerate(chain, start=1):
            rows.append((len(rows) - 1 if depth > 1 else -1, int(length), 0, 0, depth, -1))
        rows[-1] = (rows[-1][0], rows[-1][1], int(count), 0, len(chain), -1)
    return np.array(rows, np.int64).reshape(-1, 6)
