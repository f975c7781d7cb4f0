"""Turns of tasks, shuffled so that every rank gets every task.

Of W ranks, rank r has turns r, r + W, r + 2 W, ... If the tasks repeated with a fixed period that has a common divisor
with W, a rank would always get the same few tasks. No fixed pattern avoids that for every W, and W is not known when a
plan is built. So the turns of each block are shuffled, by a hash of the number of the block. Turn j of a task of
rate r stays in its interval, turns `floor((j - 1) / r) + 1 .. ceil(j / r)`. That keeps every task within one turn of
its share after every turn (see `earliest_deadline`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..kernels.hashing import PURPOSE, child_key
from ..kernels.task_schedule import reorder
from .task_schedule import LONGEST_PERIOD, TaskSchedule
from .turn_blocks import Block, TurnBlocks

__all__ = ["Reordered"]

_SHORT = 128  # turns in a block: cheap enough to compute for a single turn; more if the shares have a longer period
_ATTEMPTS = 4  # how often each turn is tried at a random place; chosen by trial
# Turns: moving a turn shifts those between, so farther ones are only swapped, and the cost stays bounded.
_FARTHEST = 1024
_WORD = (1 << 64) - 1
_FITS = 1 << 62  # products below this fit 64 bits; larger ones are computed with Python's integers


class Reordered(TurnBlocks):
    """The turns of another schedule, shuffled within blocks.

    Args:
        inner: a schedule in which every task is within one turn of its share after every turn.
        weights: the weights of the tasks, integers of 0 or more.
    """

    def __init__(self, inner: TaskSchedule, weights: Sequence[int]) -> None:
        self._inner = inner
        self._total = sum(weights)
        self._repeats = self._total <= LONGEST_PERIOD
        periods = max(1, _SHORT // self._total)
        super().__init__(weights, periods * self._total if self._repeats else _SHORT)

    def __getstate__(self) -> dict[str, Any]:
        # Without what follows from the weights: a plan is sent to every worker.
        return {name: value for name, value in vars(self).items() if name != "_first_block"}

    @property
    def bound(self) -> float:
        """The largest distance of a task from its share, in turns: less than 1, in steps of 1 / the sum of the weights."""
        return 1 - 1 / self._total

    def slots(self, turn: int) -> int:
        """See `TurnBlocks`: every turn is one."""
        return turn

    def _made(self, number: int) -> Block:
        first = number * self._length
        counts = self._inner.counts(first)
        # Where a block is whole periods of the other schedule, all blocks are the same before they are shuffled.
        tasks, earliest, latest = (part.copy() for part in self._first_block) if self._repeats else self._before(first)
        key = child_key(child_key(0, PURPOSE.TURNS), number & _WORD)
        reorder(tasks, earliest, latest, _ATTEMPTS, _FARTHEST, np.uint64(key))
        return Block(tasks.astype(np.int32), _earlier(tasks).astype(np.int32), counts)

    @cached_property
    def _first_block(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._before(0)

    def _before(self, first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The turns of a block before they are shuffled, and the first and the last place that each may have, int64."""
        tasks = np.array([self._inner.at(turn)[0] for turn in range(first, first + self._length)], np.int64)
        return tasks, *self._intervals(first, self._inner.counts(first), tasks)

    def _intervals(self, first: int, counts: Sequence[int], tasks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The first and the last place in the block that each of its turns may have, int64."""
        kind = np.int64 if self._total * (self._length + 2) < _FITS else object
        weights = np.array(self._weights, kind)[tasks]
        behind = [had * self._total - weight * first for had, weight in zip(counts, self._weights, strict=True)]
        moments = np.array(behind, kind)[tasks] + _earlier(tasks).astype(kind) * self._total
        earliest = np.maximum(moments // weights, 0)
        latest = np.minimum(-(-(moments + self._total) // weights) - 1, self._length - 1)
        return earliest.astype(np.int64), latest.astype(np.int64)


def _earlier(tasks: np.ndarray) -> np.ndarray:
    """For each turn, how many earlier turns are of the same task, int64."""
    by_task = np.argsort(tasks, kind="stable")
    starts = np.flatnonzero(np.diff(tasks[by_task], prepend=-1))
    earlier = np.empty(tasks.size, np.int64)
    earlier[by_task] = np.arange(tasks.size) - np.repeat(starts, np.diff(np.append(starts, tasks.size)))
    return earlier
