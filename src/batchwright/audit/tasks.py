"""The guarantees of a plan of tasks, measured on its micro-batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import check_integer
from .drawn import grouped
from .guarantee import Guarantee, measured
from .report import Audit

if TYPE_CHECKING:
    from ..kinds import TaskKind

__all__ = ["audit"]


def audit(plan: TaskKind, *, batches: int = 1000, first: int = 0) -> Audit:
    """Measure what a plan of tasks promises over micro-batches first..first+batches-1, from what `plan[t]` yields.

    - G2 one task: samples of a micro-batch that its task, which is that of its step, does not have.
    - G3 drift: the largest distance of a task from its share of all turns so far, in turns; the bound is the plan's.
    - G4 order: micro-batches that are not the next ones of their task's own plan.

    What the micro-batches of a task promise is its own plan's to keep: audit `plan.children`.
    """
    batches, first = check_integer(batches, "batches", least=1), check_integer(first, "first", least=0)
    return measured(first, batches, [OneTask(plan), Drift(plan), Order(plan)], _turns(plan, first, batches))


@dataclass(frozen=True)
class Turn:
    """One micro-batch of a plan of tasks.

    Attributes:
        number: which.
        task: its task, counted from 0, as the plan says; where a task keeps a whole step, that of the step.
        samples: what `plan[number]` is, as the task's own plan numbers them.
        had: how many micro-batches every task has had since micro-batch 0, before this one.
    """

    number: int
    task: int
    samples: np.ndarray
    had: list[int]


def _turns(plan: TaskKind, first: int, batches: int) -> Iterator[Turn]:
    begun = first // plan.step
    had = [count * plan.step for count in plan.turns.counts(begun)]
    for number in range(begun * plan.step, first + batches):
        task = plan.names.index(plan.task_of(number - number % plan.step))
        if number >= first:
            yield Turn(number, task, plan[number] - plan.starts[task], list(had))
        had[task] += 1


class OneTask(Guarantee[Turn]):
    """G2: all samples of a micro-batch are its task's."""

    def __init__(self, plan: TaskKind) -> None:
        super().__init__("G2 one task")
        self._names, self._groups = plan.names, [child.groups for child in plan.children]

    def see(self, seen: Turn) -> None:
        """See `Guarantee`."""
        own = grouped(self._groups[seen.task], seen.samples)
        self.offer(seen.samples.size - own.size, f"micro-batch {seen.number}, task {self._names[seen.task]!r}")


class Drift(Guarantee[Turn]):
    """G3: every task has its share of the turns, whenever one ends."""

    def __init__(self, plan: TaskKind) -> None:
        super().__init__("G3 drift", plan.bound)
        self._names, self._weights, self._step = plan.names, plan.weights_of_tasks, plan.step

    def see(self, seen: Turn) -> None:
        """See `Guarantee`."""
        turns, part = divmod(seen.number + 1, self._step)
        if part:
            return
        total = sum(self._weights)
        for task, (weight, before) in enumerate(zip(self._weights, seen.had, strict=True)):
            had = before + (task == seen.task)
            off = abs(had * total - weight * turns * self._step) / (total * self._step)
            self.offer(off, f"micro-batch {seen.number}, task {self._names[task]!r}")


class Order(Guarantee[Turn]):
    """G4: the micro-batches of a task are those of its own plan, in order."""

    def __init__(self, plan: TaskKind) -> None:
        super().__init__("G4 order")
        self._names, self._children, self._strayed, self._first = plan.names, plan.children, 0, ""

    def see(self, seen: Turn) -> None:
        """See `Guarantee`."""
        if not np.array_equal(seen.samples, self._children[seen.task][seen.had[seen.task]]):
            self._strayed += 1
            self._first = self._first or f"micro-batch {seen.number}, task {self._names[seen.task]!r}, and those after"
            self.offer(self._strayed, self._first)
