"""Whose turn is it: an endless sequence of turns in given shares, any of which can be had at once.

Everybody is within one turn of his share after every turn, for ever, whatever the shares. Shares with a short period are
dealt out once, by Tijdeman's chairman assignment, and repeated: everybody is then within 1 - 1 / (2n - 2). Others
(irrational ones, sizes of large datasets) are laid out in blocks that do not depend on each other: see `lane`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from ..errors import Infeasible, shown
from ..kernels.turns import chairman
from .lane import Lane

__all__ = ["LONGEST_PERIOD", "Blocks", "Periodic", "Turns", "reduced", "turns"]

LONGEST_PERIOD = 1 << 16
_LONGEST_BLOCK = 1 << 22  # slots; a third of a second to make, 32 MB
_FINEST = 1 << 59  # shares are kept to this part of a turn: one turn in 10^17


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


def reduced(weights: Sequence[int]) -> tuple[int, ...]:
    """Whole-number weights in the same proportion without a common divisor, their sum rounded to 2^59 where it is larger.

    Nobody's share changes by more than 2^-59 then, which is a turn in 10^17; nobody's becomes 0.
    """
    divisor, total = math.gcd(*weights), sum(weights)
    if total <= divisor * _FINEST:
        return tuple(weight // divisor for weight in weights)
    return tuple(weight and max(1, weight * _FINEST // total) for weight in weights)


def turns(weights: Sequence[int], names: Sequence[Hashable] | None = None) -> Turns:
    """Turns in proportion to `reduced` weights; who has weight 0 never comes.

    Raises:
        Infeasible: shares so small and so far apart that no table of turns is short enough, with the name of the smallest.
    """
    if sum(weights) <= LONGEST_PERIOD:
        return Periodic(tuple(weights))
    parties = sorted((i for i, weight in enumerate(weights) if weight), key=lambda i: -weights[i])
    often, longest = _often([weights[i] for i in parties])
    if longest > _LONGEST_BLOCK:
        rarest = parties[-1] if names is None else names[parties[-1]]
        raise Infeasible(
            f"{shown(rarest)} has one turn in {sum(weights) // weights[parties[-1]]}, and others lie so far between that "
            f"the shortest table of turns has {longest} entries, {_LONGEST_BLOCK} at most",
            f"leave {shown(rarest)} out or give it more",
        )
    return Blocks(weights, parties[:often], parties[often:])


def _often(weights: Sequence[int]) -> tuple[int, int]:
    """How many of these parties, the heaviest first, share the first lane so that blocks are shortest; how long they are."""
    total, rare = sum(weights), 0
    best, longest = len(weights), total // weights[-1]
    if longest <= LONGEST_PERIOD:
        return best, longest
    for often in range(len(weights) - 1, 0, -1):
        rare += weights[often]
        block = max(total // weights[often - 1], rare // weights[-1])
        if block < longest:
            best, longest = often, block
    return best, longest


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


class Blocks:
    """Turns laid out block by block: those who come often in one lane, those who come rarely in another.

    Args:
        weights: whole numbers, 0 or more; their sum is at most 2^60.
        often, rarely: who shares the first lane and who the second, where there is one; all of a weight above 0.
    """

    def __init__(self, weights: Sequence[int], often: Sequence[int], rarely: Sequence[int] = ()) -> None:
        self._count = len(weights)
        self._parts = [part for part in (often, rarely) if part]
        self._lanes = [
            Lane([weights[i] for i in part], sum(weights), late=number > 0) for number, part in enumerate(self._parts)
        ]

    @property
    def bound(self) -> float:
        """One turn, which nobody is ever off by."""
        return 1.0

    def at(self, turn: int) -> tuple[int, int]:
        """Whose turn it is, and how many he had before."""
        rare = self._lanes[-1]
        number = len(self._lanes) - 1 if rare.slots(turn + 1) > rare.slots(turn) else 0
        place, before = self._lanes[number].at(turn)
        return self._parts[number][place], before

    def counts(self, turn: int) -> list[int]:
        """How many of the turns before this one everybody had."""
        counts = [0] * self._count
        for lane, parties in zip(self._lanes, self._parts, strict=True):
            for party, had in zip(parties, lane.counts(turn), strict=True):
                counts[party] = had
        return counts
