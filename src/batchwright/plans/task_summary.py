"""The summary of a plan of tasks."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..micro_batches import whole_steps
from .printed import Printed, PrintedColumn, columns_of, in_steps, table

if TYPE_CHECKING:
    from ..kinds import TaskKind

__all__ = ["TaskLine", "TaskSummary", "summarise"]

_COLUMNS = (
    PrintedColumn("share", "share", ".4%"),
    PrintedColumn("batches", "batches", ".1f"),
    PrintedColumn("own epoch", "own_epoch", ""),
    PrintedColumn("passes", "passes", ".3f"),
)


@dataclass(frozen=True)
class TaskLine:
    """One task of a summary.

    Attributes:
        name: the task.
        share: its share of the micro-batches.
        batches: its micro-batches in an epoch, on average.
        own_epoch: micro-batches in an epoch of its own plan.
        passes: epochs of its own plan in an epoch.
        plan: the `repr` of its plan.
    """

    name: Hashable
    share: float
    batches: float
    own_epoch: int
    passes: float
    plan: str


@dataclass(frozen=True)
class TaskSummary(Printed):
    """A plan of tasks in numbers; `print` it.

    Attributes:
        epoch_batches: micro-batches in an epoch.
        unit: what a task has alone, a "batch" or a "step".
        target: the target as the user wrote it.
        bound: the largest distance of a task from its share, in turns, after any number of turns.
        tasks: one line for each task.
        notes: samples that repeat or are practically never drawn.
        step_size: micro-batches in a step; an epoch is a whole number of steps.
    """

    epoch_batches: int
    unit: str
    target: str
    bound: float
    tasks: list[TaskLine]
    notes: list[str]
    step_size: int = 1

    def columns(self) -> dict[str, list[Any]]:
        """See `Exported`: one line for each of `tasks`."""
        return columns_of(self.tasks)

    def head(self) -> list[str]:
        """See `Printed`."""
        return [
            f"{self.epoch_batches} micro-batches an epoch{in_steps(self.step_size)}, one task a {self.unit}, {self.target}, "
            f"never more than {self.bound:.3f} turns off",
            *table("task", _COLUMNS, self.tasks),
        ]


def summarise(plan: TaskKind, step_size: int) -> TaskSummary:
    """Make the summary of a plan of tasks in a run of steps of this size."""
    plan, lines = plan.stepped(step_size), []
    length, total = whole_steps(plan.epoch_batches, step_size), sum(plan.weights_of_tasks)
    for name, weight, child in zip(plan.names, plan.weights_of_tasks, plan.children, strict=True):
        share = weight / total
        batches, own = share * length, child.epoch_length()
        lines.append(TaskLine(name, share, batches, own, batches / own, repr(child)))
    return TaskSummary(length, plan.unit, plan.target, plan.bound, lines, plan.shortcomings, step_size)
