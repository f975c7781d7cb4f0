"""Whose turn is it: an endless sequence of turns in given shares, any of which can be had at once.

Shares with a short period are dealt out once, by Tijdeman's chairman assignment, and repeated: everybody is within
1 - 1 / (2n - 2) of his share after every turn, for ever. Other shares (irrational ones, sizes of large datasets) are halved
again and again: a tree in which each node gives `round(turns * left / (left + right))` of its turns to its left branch. A
branch is never off by more than half a turn of what its node had, so nobody drifts; how far anybody can be is known from the
tree (`bound`): 1 turn for up to three parties, and 1.68 for any number, since on the way from a leaf to the root of a tree
that always joins the lightest two the weights grow like Fibonacci numbers, whose reciprocals sum to 3.36.
"""

from __future__ import annotations

import heapq
import math
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from ..kernels.turns import chairman

__all__ = ["LONGEST_PERIOD", "Halved", "Periodic", "Turns", "turns"]

LONGEST_PERIOD = 1 << 16


class Turns(Protocol):
    """An endless sequence of turns, extended to negative numbers so that differences can be taken anywhere."""

    @property
    def bound(self) -> float:
        """How far from its share of all turns anybody can be, in turns, after any number of them."""
        ...

    def at(self, turn: int) -> tuple[int, int]:
        """Whose turn it is, and how many he had before."""
        ...

    def counts(self, turn: int) -> list[int]:
        """How many of the turns before this one everybody had."""
        ...


def turns(weights: Sequence[int]) -> Turns:
    """Turns in proportion to whole-number weights of any size; who has weight 0 never comes."""
    divisor = math.gcd(*weights)
    reduced = [weight // divisor for weight in weights]
    return Periodic(tuple(reduced)) if sum(reduced) <= LONGEST_PERIOD else Halved(tuple(reduced))


@dataclass(frozen=True)
class Periodic:
    """Turns that repeat after the sum of the weights."""

    weights: tuple[int, ...]

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        weights = np.array(self.weights, np.int64)
        present = np.flatnonzero(weights)
        who, before = np.empty(weights.sum(), np.int64), np.empty(weights.sum(), np.int64)
        chairman(weights[present], who, before)
        return present[who], before

    @property
    def bound(self) -> float:
        """Tijdeman's bound."""
        return 1 - 1 / max(1, 2 * sum(weight > 0 for weight in self.weights) - 2)

    def at(self, turn: int) -> tuple[int, int]:
        """Whose turn it is, and how many he had before."""
        who, before = self._table
        period, place = divmod(turn, who.size)
        number = int(who[place])
        return number, period * self.weights[number] + int(before[place])

    def counts(self, turn: int) -> list[int]:
        """How many of the turns before this one everybody had."""
        period, place = divmod(turn, sum(self.weights))
        within = np.bincount(self._table[0][:place], minlength=len(self.weights)).tolist()
        return [period * weight + had for weight, had in zip(self.weights, within, strict=True)]

    def __getstate__(self) -> dict[str, tuple[int, ...]]:
        return {"weights": self.weights}


@dataclass(frozen=True, order=True)
class _Branch:
    """A node of the tree; a leaf, which has no halves, is one party."""

    weight: int
    number: int
    halves: tuple[_Branch, _Branch] | None = None


@dataclass(frozen=True)
class Halved:
    """Turns split in two again and again, in whole numbers: exact for weights of any size and any turn."""

    weights: tuple[int, ...]

    @cached_property
    def _root(self) -> _Branch:
        """The better of two trees: branches of closest weight joined first, or the lightest two."""
        return min((_closest(self.weights), _lightest(self.weights)), key=_bound)

    @property
    def bound(self) -> float:
        """Half a turn at each branching on the way, passed on in proportion; the worst over all parties."""
        return _bound(self._root)

    def at(self, turn: int) -> tuple[int, int]:
        """Whose turn it is, and how many he had before."""
        branch = self._root
        while branch.halves is not None:
            left, right = branch.halves
            to_left = _part(turn, left, branch)
            if _part(turn + 1, left, branch) > to_left:
                branch, turn = left, to_left
            else:
                branch, turn = right, turn - to_left
        return branch.number, turn

    def counts(self, turn: int) -> list[int]:
        """How many of the turns before this one everybody had."""
        counts = [0] * len(self.weights)
        waiting = [(self._root, turn)]
        while waiting:
            branch, had = waiting.pop()
            if branch.halves is None:
                counts[branch.number] = had
                continue
            left, right = branch.halves
            to_left = _part(had, left, branch)
            waiting += [(left, to_left), (right, had - to_left)]
        return counts

    def __getstate__(self) -> dict[str, tuple[int, ...]]:
        return {"weights": self.weights}


def _part(turns: int, of: _Branch, among: _Branch) -> int:
    """A branch's share of its node's turns, rounded."""
    return (2 * turns * of.weight + among.weight) // (2 * among.weight)


def _leaves(weights: Sequence[int]) -> list[_Branch]:
    return sorted(_Branch(weight, number) for number, weight in enumerate(weights) if weight)


def _joined(one: _Branch, other: _Branch, number: int) -> _Branch:
    return _Branch(one.weight + other.weight, number, (one, other))


def _lightest(weights: Sequence[int]) -> _Branch:
    heap = _leaves(weights)
    for number in range(len(weights), len(weights) + len(heap) - 1):
        heapq.heappush(heap, _joined(heapq.heappop(heap), heapq.heappop(heap), number))
    return heap[0]


def _closest(weights: Sequence[int]) -> _Branch:
    row = _leaves(weights)
    number = len(weights)
    while len(row) > 1:
        place = max(range(len(row) - 1), key=lambda i: row[i].weight / row[i + 1].weight)
        one, other = row.pop(place), row.pop(place)
        insort(row, _joined(one, other, number))
        number += 1
    return row[0]


def _bound(root: _Branch) -> float:
    worst = 0.0
    waiting = [(half, 0.0) for half in root.halves or ()]
    while waiting:
        branch, inherited = waiting.pop()
        if branch.halves is None:
            worst = max(worst, 0.5 + branch.weight * inherited)
        else:
            passed_on = inherited + 0.5 / branch.weight
            waiting += [(half, passed_on) for half in branch.halves]
    return worst
