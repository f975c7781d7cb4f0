"""Endless schedules of tasks in given shares; the task of any turn is computed directly.

After every turn, each task is within one turn of its share, for any shares. Shares with a short period get one table that
repeats, made by Tijdeman's chairman assignment (1980): each of n tasks is then within 1 - 1 / (2n - 2) turns of its share.
Other shares (irrational ones, sizes of large datasets) are scheduled in blocks that do not depend on each other: see
`earliest_deadline`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from ..errors import Infeasible, shown
from ..kernels.task_schedule import chairman
from .earliest_deadline import EarliestDeadline

__all__ = ["LONGEST_PERIOD", "BlockSchedule", "Periodic", "TaskSchedule", "reduced", "task_schedule"]

LONGEST_PERIOD = 1 << 16  # turns in a table: 1 MB, two integers a turn
_LONGEST_BLOCK = 1 << 22  # slots in a block: to compute it takes a third of a second and 32 MB
# The largest sum of weights: kernels add and subtract two such sums, which must fit 64 bits. Shares are then exact up to one
# turn in 10^17.
_FINEST = 1 << 59


class TaskSchedule(Protocol):
    """An endless sequence of turns."""

    @property
    def bound(self) -> float:
        """The largest distance of a task from its share, in turns, after any number of turns."""
        ...

    def at(self, turn: int) -> tuple[int, int]:
        """The number of the task of this turn, and how many turns the task had before."""
        ...

    def counts(self, turn: int) -> list[int]:
        """How many of the turns 0..turn-1 each task had."""
        ...


def reduced(weights: Sequence[int]) -> tuple[int, ...]:
    """Divide integer weights by their common divisor; scale them down if they sum to more than 2^59.

    Scaling changes no share by more than 2^-59, one turn in 10^17, and makes no share 0.

    Args:
        weights: integers, 0 or more, at least one above 0; a Python integer may be of any size.
    """
    divisor, total = math.gcd(*weights), sum(weights)
    if total <= divisor * _FINEST:
        return tuple(weight // divisor for weight in weights)
    return tuple(weight and max(1, weight * _FINEST // total) for weight in weights)


def task_schedule(weights: Sequence[int], names: Sequence[Hashable] | None = None) -> TaskSchedule:
    """A schedule of turns in proportion to `reduced` weights; a task of weight 0 gets none.

    Args:
        weights: integers, 0 or more, from `reduced`.
        names: the names of the tasks, for the message; default: their numbers.

    Raises:
        Infeasible: the shares are so small and so different that every table of turns would be too long; the message names
            the smallest share.
    """
    if sum(weights) <= LONGEST_PERIOD:
        return Periodic(tuple(weights))
    tasks = sorted((i for i, weight in enumerate(weights) if weight), key=lambda i: -weights[i])
    often, longest = _often([weights[i] for i in tasks])
    if longest > _LONGEST_BLOCK:
        rarest = tasks[-1] if names is None else names[tasks[-1]]
        raise Infeasible(
            f"{shown(rarest)} has one turn in {sum(weights) // weights[tasks[-1]]}, and others lie so far between that "
            f"the shortest table of turns has {longest} entries, {_LONGEST_BLOCK} at most",
            f"leave {shown(rarest)} out or give it more",
        )
    return BlockSchedule(weights, tasks[:often], tasks[often:])


def _often(weights: Sequence[int]) -> tuple[int, int]:
    """How many tasks, by descending weight, the first of two schedules gets so that blocks are shortest; their length."""
    # A block is as long as the distance between two turns of the rarest task in it. So very rare tasks get a table of their
    # own, whose slots are spread evenly over those of the first.
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
    """A schedule that repeats after as many turns as the sum of the weights.

    Args:
        weights: integers, 0 or more.
    """

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
        """Tijdeman's bound, 1 - 1 / (2n - 2) for n tasks."""
        return 1 - 1 / max(1, 2 * sum(weight > 0 for weight in self.weights) - 2)

    def at(self, turn: int) -> tuple[int, int]:
        """See `TaskSchedule`."""
        who, before = self._table
        period, place = divmod(turn, who.size)
        number = int(who[place])
        return number, period * self.weights[number] + int(before[place])

    def counts(self, turn: int) -> list[int]:
        """See `TaskSchedule`."""
        period, place = divmod(turn, sum(self.weights))
        within = np.bincount(self._table[0][:place], minlength=len(self.weights)).tolist()
        return [period * weight + had for weight, had in zip(self.weights, within, strict=True)]

    def __getstate__(self) -> dict[str, tuple[int, ...]]:
        # Without the table: it follows from the weights, and a plan is sent to every worker.
        return {"weights": self.weights}


class BlockSchedule:
    """A schedule that is computed block by block: frequent tasks in one table, rare ones in another.

    Args:
        weights: integers, 0 or more; their sum is at most 2^60.
        often, rarely: the numbers of the tasks of the first and of the second table (`rarely` may be empty); all their
            weights are above 0.
    """

    def __init__(self, weights: Sequence[int], often: Sequence[int], rarely: Sequence[int] = ()) -> None:
        self._count = len(weights)
        self._parts = [part for part in (often, rarely) if part]
        self._schedules = [
            EarliestDeadline([weights[i] for i in part], sum(weights), late=number > 0)
            for number, part in enumerate(self._parts)
        ]

    @property
    def bound(self) -> float:
        """One turn, which no task ever reaches."""
        return 1.0

    def at(self, turn: int) -> tuple[int, int]:
        """See `TaskSchedule`."""
        rare = self._schedules[-1]
        number = len(self._schedules) - 1 if rare.slots(turn + 1) > rare.slots(turn) else 0
        place, before = self._schedules[number].at(turn)
        return self._parts[number][place], before

    def counts(self, turn: int) -> list[int]:
        """See `TaskSchedule`."""
        counts = [0] * self._count
        for schedule, tasks in zip(self._schedules, self._parts, strict=True):
            for task, had in zip(tasks, schedule.counts(turn), strict=True):
                counts[task] = had
        return counts
