"""Turns in an order of chance, so that they are in step with no number of ranks.

Ranks take turns in turn: of W ranks, rank r has turns r, r + W, r + 2 W, ... Where shares repeat with a period that has a
divisor in common with W, a rank would have the turns of some parties alone, for ever. No fixed pattern is free of that, and
W is not known when a plan is built. So the turns of every stretch are moved about by a hash of the stretch's number, each
within its window: the j-th turn of a party of rate r stays one of `floor((j - 1) / r) + 1 .. ceil(j / r)`, which is what
keeps everybody within one turn of its share after every turn (see `lane`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..kernels.hashing import PURPOSE, child_key
from ..kernels.turns import reorder
from .turns import LONGEST_PERIOD, Turns

__all__ = ["Reordered"]

_SHORT = 128  # turns of a stretch: few enough to be made for one turn alone; more where shares have a longer period
_ATTEMPTS = 4
_FARTHEST = 1024  # turns; farther ones only change places, so that a stretch costs no more than its length times this
_WORD = (1 << 64) - 1
_FITS = 1 << 62  # products below it fit 64 bits


class _Stretch(NamedTuple):
    """Turns as they come: who has each, how often he had one before in the stretch, and how often everybody before it."""

    number: int
    who: np.ndarray
    before: np.ndarray
    begun: list[int]


class Reordered:
    """Turns of the same shares as others, moved about within stretches.

    Args:
        inner: turns within one of everybody's share after every turn.
        weights: their weights, whole numbers of 0 or more.
    """

    def __init__(self, inner: Turns, weights: Sequence[int]) -> None:
        self._inner = inner
        self._weights = list(weights)
        self._total = sum(weights)
        periods = max(1, _SHORT // self._total)
        self._length = periods * self._total if self._total <= LONGEST_PERIOD else _SHORT
        self._kept: _Stretch | None = None

    @property
    def bound(self) -> float:
        """How far from its share of all turns anybody can be: less than one turn, and a whole part of the sum of weights."""
        return 1 - 1 / self._total

    def at(self, turn: int) -> tuple[int, int]:
        """Whose turn it is, and how many he had before."""
        stretch, place = self._found(turn)
        party = int(stretch.who[place])
        return party, stretch.begun[party] + int(stretch.before[place])

    def counts(self, turn: int) -> list[int]:
        """How many of the turns before this one everybody had."""
        stretch, place = self._found(turn)
        within = np.bincount(stretch.who[:place], minlength=len(self._weights)).tolist()
        return [begun + had for begun, had in zip(stretch.begun, within, strict=True)]

    def _found(self, turn: int) -> tuple[_Stretch, int]:
        number, place = divmod(turn, self._length)
        stretch = self._kept
        if stretch is None or stretch.number != number:
            stretch = self._kept = self._made(number)
        return stretch, place

    def _made(self, number: int) -> _Stretch:
        first = number * self._length
        begun = self._inner.counts(first)
        who = np.array([self._inner.at(turn)[0] for turn in range(first, first + self._length)], np.int64)
        earliest, latest = self._windows(first, begun, who)
        key = child_key(child_key(0, PURPOSE.TURNS), number & _WORD)
        reorder(who, earliest, latest, _ATTEMPTS, _FARTHEST, np.uint64(key))
        return _Stretch(number, who, _earlier(who), begun)

    def _windows(self, first: int, begun: Sequence[int], who: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The first and the last place of the stretch that each of its turns may have."""
        kind = np.int64 if self._total * (self._length + 2) < _FITS else object
        weights = np.array(self._weights, kind)[who]
        behind = [had * self._total - weight * first for had, weight in zip(begun, self._weights, strict=True)]
        moments = np.array(behind, kind)[who] + _earlier(who).astype(kind) * self._total
        earliest = np.maximum(moments // weights, 0)
        latest = np.minimum(-(-(moments + self._total) // weights) - 1, self._length - 1)
        return earliest.astype(np.int64), latest.astype(np.int64)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_kept": None}


def _earlier(who: np.ndarray) -> np.ndarray:
    """How many of the turns before each are of the same party."""
    by_party = np.argsort(who, kind="stable")
    begins = np.flatnonzero(np.diff(who[by_party], prepend=-1))
    earlier = np.empty(who.size, np.int64)
    earlier[by_party] = np.arange(who.size) - np.repeat(begins, np.diff(np.append(begins, who.size)))
    return earlier
