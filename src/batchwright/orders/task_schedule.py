"""Endless schedules of tasks in given shares; the task of any turn is found directly.

After every turn, each task is within one turn of its share, whatever the shares. Shares with a short period get one
table, by Tijdeman's chairman assignment, which repeats: each of n tasks is then within 1 - 1 / (2n - 2). Other shares
(irrational ones, sizes of large datasets) are scheduled in blocks that do not depend on each other: see
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

__all__ = ["LONGEST_PERIOD", "Blocks", "Periodic", "TaskSchedule", "reduced", "task_schedule"]

LONGEST_PERIOD = 1 << 16  # turns in a table, of 1 MB
_LONGEST_BLOCK = 1 << 22  # slots in a block: it takes a third of a second and 32 MB
_FINEST = (
    1 << 59
)  # weights sum to this at most: the sums and differences of two, in kernels, fit 64 bits. It is 1 turn in 10^17


class TaskSchedule(Protocol):
    """An endless sequence of turns."""

    @property
    def bound(self) -> float:
        """The largest distance of a task from its share, in turns, after any number of turns."""
        ...

    def at(self, turn: int) -> tuple[int, int]:
        """The task of a turn, and how many turns that task had before."""
        ...

    def counts(self, turn: int) -> list[int]:
        """How many turns before `turn` each task had."""
        ...


def reduced(weights: Sequence[int]) -> tuple[int, ...]:
    """Divide integer weights by their common divisor; scale them down if they sum to more than 2^59.

    Rounding changes no share by more than 2^-59, one turn in 10^17, and makes none 0.
    """
    divisor, total = math.gcd(*weights), sum(weights)
    if total <= divisor * _FINEST:
        return tuple(weight // divisor for weight in weights)
    return tuple(weight and max(1, weight * _FINEST // total) for weight in weights)


def task_schedule(weights: Sequence[int], names: Sequence[Hashable] | None = None) -> TaskSchedule:
    """A schedule of turns in proportion to `reduced` weights; a task of weight 0 gets none.

    Raises:
        Infeasible: shares so small and so different that no table of turns is short enough; names the smallest.
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
    return Blocks(weights, tasks[:often], tasks[often:])


def _often(weights: Sequence[int]) -> tuple[int, int]:
    """How many tasks, largest weight first, the first schedule gets so that blocks are shortest; and their length."""
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
        """The task of a turn, and how many turns it had before."""
        who, before = self._table
        period, place = divmod(turn, who.size)
        number = int(who[place])
        return number, period * self.weights[number] + int(before[place])

    def counts(self, turn: int) -> list[int]:
        """How many of the turns before this one each task had."""
        period, place = divmod(turn, sum(self.weights))
        within = np.bincount(self._table[0][:place], minlength=len(self.weights)).tolist()
        return [period * weight + had for weight, had in zip(self.weights, within, strict=True)]

    def __getstate__(self) -> dict[str, tuple[int, ...]]:
        return {"weights": self.weights}


class Blocks:
    """Turns computed block by block: frequent tasks in one schedule, rare ones in another.

    Args:
        weights: integers, 0 or more; their sum is at most 2^60.
        often, rarely: the tasks of the first and of the second schedule (there may be no second); all weights are above
            0.
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
        """One turn; no task ever reaches it."""
        return 1.0

    def at(self, turn: int) -> tuple[int, int]:
        """The task of a turn, and how many turns it had before."""
        rare = self._schedules[-1]
        number = len(self._schedules) - 1 if rare.slots(turn + 1) > rare.slots(turn) else 0
        place, before = self._schedules[number].at(turn)
        return self._parts[number][place], before

    def counts(self, turn: int) -> list[int]:
        """How many of the turns before this one each task had."""
        counts = [0] * self._count
        for schedule, tasks in zip(self._schedules, self._parts, strict=True):
            for task, had in zip(tasks, schedule.counts(turn), strict=True):
                counts[task] = had
        return counts
