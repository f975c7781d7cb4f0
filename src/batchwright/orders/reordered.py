"""Task turns, shuffled so that every rank gets every task.

Of W ranks, rank r has turns r, r + W, r + 2 W, ... If the tasks repeated with a fixed period that has a common divisor with
W, a rank would always get the same few tasks. No fixed pattern avoids that for every W, and W is not known when a plan is
built. So the turns of each stretch are shuffled, by a hash of the number of the stretch. Turn j of a task of rate r stays in
its interval, turns `floor((j - 1) / r) + 1 .. ceil(j / r)`. That keeps every task within one turn of its share after every
turn (see `earliest_deadline`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..kernels.hashing import PURPOSE, child_key
from ..kernels.task_schedule import reorder
from .task_schedule import LONGEST_PERIOD, TaskSchedule

__all__ = ["Reordered"]

_SHORT = 128  # turns in a stretch: cheap enough to compute for a single turn; more if the shares have a longer period
_ATTEMPTS = 4
_FARTHEST = 1024  # turns; farther ones are only swapped, so that a stretch costs at most its length times this
_WORD = (1 << 64) - 1
_FITS = 1 << 62  # products below it fit 64 bits


class _Stretch(NamedTuple):
    """A stretch of turns: the task of each, its count before within the stretch, and all counts before the stretch."""

    number: int
    who: np.ndarray
    before: np.ndarray
    begun: list[int]


class Reordered:
    """The turns of another order of tasks, shuffled within stretches.

    Args:
        inner: turns after each of which every task is within one turn of its share.
        weights: their weights, whole numbers of 0 or more.
    """

    def __init__(self, inner: TaskSchedule, weights: Sequence[int]) -> None:
        self._inner = inner
        self._weights = list(weights)
        self._total = sum(weights)
        periods = max(1, _SHORT // self._total)
        self._length = periods * self._total if self._total <= LONGEST_PERIOD else _SHORT
        self._kept: _Stretch | None = None

    @property
    def bound(self) -> float:
        """The largest distance of a task from its share, in turns: less than 1, in steps of 1 / the sum of the weights."""
        return 1 - 1 / self._total

    def at(self, turn: int) -> tuple[int, int]:
        """The task of a turn, and how many turns it had before."""
        stretch, place = self._found(turn)
        task = int(stretch.who[place])
        return task, stretch.begun[task] + int(stretch.before[place])

    def counts(self, turn: int) -> list[int]:
        """How many of the turns before this one each task had."""
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
        earliest, latest = self._intervals(first, begun, who)
        key = child_key(child_key(0, PURPOSE.TURNS), number & _WORD)
        reorder(who, earliest, latest, _ATTEMPTS, _FARTHEST, np.uint64(key))
        return _Stretch(number, who, _earlier(who), begun)

    def _intervals(self, first: int, begun: Sequence[int], who: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
    """How many of the turns before each are of the same task."""
    by_task = np.argsort(who, kind="stable")
    begins = np.flatnonzero(np.diff(who[by_task], prepend=-1))
    earlier = np.empty(who.size, np.int64)
    earlier[by_task] = np.arange(who.size) - np.repeat(begins, np.diff(np.append(begins, who.size)))
    return earlier
