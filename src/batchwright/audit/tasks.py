"""Measures the guarantees of a plan of tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import check_integer
from .drawn import samples_in
from .guarantee import Guarantee, measured
from .report import Audit

if TYPE_CHECKING:
    from ..kinds import TaskKind

__all__ = ["audit_tasks"]


def audit_tasks(plan: TaskKind, *, batches: int = 1000, first: int = 0) -> Audit:
    """Measure the guarantees of a plan of tasks over micro-batches first..first+batches-1, from what `plan[t]` yields.

    - G2 one task: samples of a micro-batch that are not of its task; with `unit="step"`, the task of the step.
    - G3 drift: the largest distance of a task from its share of all turns so far, in turns; the bound is `plan.bound`.
    - G4 order: micro-batches that are not the next ones of the own plan of their task.

    The guarantees within a task are those of its own plan: audit `plan.children`.
    """
    batches, first = check_integer(batches, "batches", least=1), check_integer(first, "first", least=0)
    return measured(first, batches, [OneTask(plan), TaskDrift(plan), TaskOrder(plan)], _turns(plan, first, batches))


@dataclass(frozen=True)
class Turn:
    """One micro-batch of a plan of tasks.

    Attributes:
        number: its number.
        task: its task, from 0, according to the plan; with `unit="step"`, the task of the step.
        samples: `plan[number]`, numbered as in the task's own plan.
        had: the micro-batches that every task has had since micro-batch 0, before this one.
    """

    number: int
    task: int
    samples: np.ndarray
    had: list[int]


def _turns(plan: TaskKind, first: int, batches: int) -> Iterator[Turn]:
    turn = first // plan.step_size
    had = [count * plan.step_size for count in plan.turns.counts(turn)]
    for number in range(turn * plan.step_size, first + batches):
        task = plan.names.index(plan.task_of(number - number % plan.step_size))
        if number >= first:
            yield Turn(number, task, plan[number] - plan.starts[task], list(had))
        had[task] += 1


class OneTask(Guarantee[Turn]):
    """G2: all samples of a micro-batch are of its task."""

    def __init__(self, plan: TaskKind) -> None:
        super().__init__("G2 one task")
        self._names, self._groups = plan.names, [child.groups for child in plan.children]

    def see(self, seen: Turn) -> None:
        """See `Guarantee`."""
        own = samples_in(self._groups[seen.task], seen.samples)
        self.offer(seen.samples.size - own.size, f"micro-batch {seen.number}, task {self._names[seen.task]!r}")


class TaskDrift(Guarantee[Turn]):
    """G3: every task has its share of the turns, after any number of them."""

    def __init__(self, plan: TaskKind) -> None:
        super().__init__("G3 drift", plan.bound)
        self._names, self._weights, self._step_size = plan.names, plan.weights_of_tasks, plan.step_size

    def see(self, seen: Turn) -> None:
        """See `Guarantee`."""
        turns, part = divmod(seen.number + 1, self._step_size)
        if part:
            return
        total = sum(self._weights)
        for task, (weight, before) in enumerate(zip(self._weights, seen.had, strict=True)):
            had = before + (task == seen.task)
            off = abs(had * total - weight * turns * self._step_size) / (total * self._step_size)
            self.offer(off, f"micro-batch {seen.number}, task {self._names[task]!r}")


class TaskOrder(Guarantee[Turn]):
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
