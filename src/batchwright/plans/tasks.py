"""Plans that keep each micro-batch, or each optimizer step, to one task."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import Infeasible, shown
from ..groups import Groups
from ..orders.reordered import Reordered
from ..orders.turns import reduced, turns
from .fixed import FixedPlan
from .micro_batches import LAST, MicroBatches, check_stretch, counted
from .plan import Plan
from .poor import faults_of_tasks
from .position import AS_IT_WAS, Position, fingerprint_of
from .standing import Standing
from .strata import Strata, Stratum

if TYPE_CHECKING:
    from ..audit import Audit
    from .task_summary import TaskSummary

__all__ = ["TaskEpoch", "TaskPlan", "Unit"]

Unit = Literal["batch", "step"]
_AT_ONCE = 64, 1024  # micro-batches after the first, then so many that a call of each task's plan costs nothing


class TaskEpoch(MicroBatches):
    """Consecutive micro-batches of a task plan: an epoch of it, for one multiple."""

    def __init__(self, plan: TaskPlan, standing: Standing, run: int, length: int) -> None:
        self._plan = plan
        self._run = run
        self._length = length
        self._turn = standing.turn
        begun = plan.turns.counts(standing.turn)
        self._before = [had - run * turn for had, turn in zip(standing.had, begun, strict=True)]

    def task_at(self, number: int) -> tuple[int, int]:
        """Which task micro-batch `number` is of, counted from 0, and which of the task's own micro-batches it is."""
        turn, within = divmod(number, self._run)
        task, before = self._plan.turns.at(self._turn + turn)
        return task, self._before[task] + before * self._run + within

    def task_of(self, number: int) -> Hashable:
        """The name of the task that micro-batch `number` is of."""
        name: Hashable = self._plan.names[self.task_at(number)[0]]
        return name

    def _micro_batch(self, number: int) -> np.ndarray:
        ((task, batch),) = self._batches([number])
        return batch + self._plan.starts[task]

    def lists(self, first: int, stride: int) -> Iterator[list[Any]]:
        """Micro-batches first, first + stride, ... to the end, each a fresh list, of (task, number) pairs if so planned."""
        names, starts, named = self._plan.names, self._plan.starts, self._plan.named
        at_once = 1
        while first < self._length:
            count = min(at_once, -(-(self._length - first) // stride))
            for task, batch in self._batches([first + stride * i for i in range(count)]):
                if named:
                    yield [(names[task], number) for number in batch.tolist()]
                else:
                    yield (batch + starts[task]).tolist()
            first += count * stride
            at_once = min(max(_AT_ONCE[0], 2 * at_once), _AT_ONCE[1])

    def _batches(self, numbers: list[int]) -> list[tuple[int, np.ndarray]]:
        """The task of each of these micro-batches, and its samples as the task's own plan numbers them."""
        wanted = [self.task_at(number) for number in numbers]
        by_task: dict[int, list[int]] = {}
        for task, own in wanted:
            by_task.setdefault(task, []).append(own)
        found = {task: iter(own_batches(self._plan.children[task], own)) for task, own in by_task.items()}
        return [(task, next(found[task])) for task, _ in wanted]

    def __repr__(self) -> str:
        return f"<{self._length} micro-batches of {self._plan!r}>"


def own_batches(plan: Plan, numbers: list[int]) -> list[np.ndarray]:
    """Micro-batches of a plan counted through its epochs, ascending."""
    if isinstance(plan, FixedPlan):
        return list(plan.order.windows(np.array(numbers)))
    length, batches, epoch, known = plan.epoch_length(), [], None, -1
    for number in numbers:
        if epoch is None or number // length != known:
            known = number // length
            epoch = plan.epoch(known)
        batches.append(epoch[number % length])
    return batches


class TaskPlan(Plan):
    """Micro-batches of one task each; made by `alternating` and `rotating`.

    `plan[t]` and `plan.task_of(t)` are those of a run whose multiple is 1; with `unit="step"` the tasks of a run on several
    ranks are those of `plan.epoch(e, multiple)`.

    Attributes:
        names: the tasks.
        children: their plans.
        groups: which samples are which task's; of the one dataset, where the tasks share it.
        starts: what is added to a task's own indices.
        unit: "batch", or "step" where a task keeps a whole global batch.
        named: whether lists hold (task, number in the task's dataset) pairs.
        epoch_batches: micro-batches in an epoch, before it is rounded up to a multiple.
        bound: how far, in turns, a task can be from its share after any number of them; 1 at most.
    """

    def __init__(
        self,
        children: dict[Any, Plan],
        weights: Sequence[int],
        *,
        groups: Groups,
        starts: Sequence[int],
        unit: Unit,
        named: bool,
        epoch_batches: int,
        target: str,
    ) -> None:
        self.names = list(children)
        self.children = list(children.values())
        self.weights_of_tasks = reduced(weights)
        in_turn = turns(self.weights_of_tasks, self.names)
        # where a task keeps a whole step, all ranks have it: nothing to be in step with
        self.turns = in_turn if unit == "step" else Reordered(in_turn, self.weights_of_tasks)
        self.groups = groups
        self.starts = tuple(starts)
        self.unit = unit
        self.named = named
        self.epoch_batches = epoch_batches
        self.target = target

    def __getitem__(self, batch: int) -> np.ndarray:
        """The samples of micro-batch `batch`, int64."""
        task, own = self.turns.at(counted(batch))
        return own_batches(self.children[task], [own])[0] + self.starts[task]

    def task_of(self, batch: int) -> Hashable:
        """The name of the task that micro-batch `batch` is of.

        Example:
            >>> import batchwright as bw
            >>> plan = bw.alternating({"a": bw.shuffled(9, 3), "b": bw.shuffled(3, 3)})
            >>> ["".join(sorted(plan.task_of(t) for t in range(first, first + 4))) for first in (0, 4)]
            ['aaab', 'aaab']
        """
        name: Hashable = self.names[self.turns.at(counted(batch))[0]]
        return name

    @property
    def bound(self) -> float:
        """How far, in turns, a task can be from its share after any number of them."""
        return self.turns.bound

    @cached_property
    def identity(self) -> dict[str, str]:
        """Every argument that can change a micro-batch, by name, as short text; see `Plan`."""
        tasks = {f"task {number}": child.fingerprint for number, child in enumerate(self.children)}
        shares = ",".join(map(str, self.weights_of_tasks))
        if self.named:  # they are in what a sampler yields
            tasks["tasks"] = repr(self.names)
        return {
            "order": "tasks" if self.unit == "step" else "tasks, reordered",
            "target": shares, "unit": self.unit, "named": str(self.named),
            "starts": ",".join(map(str, self.starts)), "epoch_batches": str(self.epoch_batches), **tasks,
        }  # fmt: skip

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that two plans share exactly if their arguments are the same."""
        return fingerprint_of(self.identity)

    @property
    def shortcomings(self) -> list[str]:
        """What the plan delivers poorly, in words: see `Plan`; of single tasks with their names."""
        of_tasks = (
            f"task {name!r}: {text}"
            for name, child in zip(self.names, self.children, strict=True)
            for text in child.shortcomings
        )
        return [*of_tasks, *faults_of_tasks(self)]

    def epoch_length(self, multiple: int = 1) -> int:
        """Micro-batches in an epoch, rounded up to a multiple; nothing is repeated for it, the tasks simply go on."""
        if multiple < 1:
            raise Infeasible(f"multiple is {multiple}", "pass world_size * accumulate, 1 or more")
        return -(-self.epoch_batches // multiple) * multiple

    def epoch(self, epoch: int, multiple: int = 1) -> TaskEpoch:
        """The micro-batches of an epoch of a run that always had this multiple."""
        return self.epoch_at(self.started(epoch, multiple))

    def epoch_at(self, position: Position) -> TaskEpoch:
        """The whole epoch that a position lies in."""
        standing, run = self._standing(position), self._run(position.multiple)
        return TaskEpoch(self, standing, run, self.epoch_length(position.multiple))

    def started(self, epoch: int, multiple: int) -> Position:
        """The beginning of an epoch in a run that always had this multiple."""
        if epoch < 0:
            raise Infeasible(f"epoch is {epoch}", "pass 0 or more")
        turn = epoch * self.epoch_length(multiple) // self._run(multiple)
        return Position(epoch, 0, multiple, self._origin(self._always(turn, multiple), multiple))

    def moved(self, position: Position, epoch: int) -> Position:
        """The beginning of another epoch of the run that stands at `position`."""
        standing, run = self._standing(position), self._run(position.multiple)
        further = (epoch - position.epoch) * self.epoch_length(position.multiple) // run
        there = standing.after(further, run, self.turns)
        if epoch < 0 or min(there.had) < 0:  # before the run's multiple was changed: as if it always had been this one
            return self.started(epoch, position.multiple)
        return Position(epoch, 0, position.multiple, self._origin(there, position.multiple))

    def refitted(self, position: Position, multiple: int) -> Position:
        """The same place for a run that goes on with another multiple.

        Every task goes on with its next micro-batch, none left out and none twice. Where a task keeps a whole step, a step
        that was broken off is not taken up again: the next task's turn begins.
        """
        if position.multiple == multiple:
            return position
        standing, run = self._standing(position), self._run(position.multiple)
        if position.consumed == 0:
            return position._replace(multiple=multiple, origin=self._origin(standing, multiple))
        taken, part = divmod(position.consumed, run)
        here = standing.after(taken, run, self.turns)
        if part:
            here = here.broken_off(part, self.turns)
        length = self.epoch_length(multiple)
        left = -(-(self.epoch_length(position.multiple) - position.consumed) // multiple) * multiple
        consumed = length - min(left, length)  # as in `FixedPlan.refitted`
        there = here.after(-consumed // self._run(multiple), self._run(multiple), self.turns)
        return Position(position.epoch, consumed, multiple, self._origin(there, multiple))

    def check_position(self, position: Position) -> None:
        """Refuse a place that no run comes to; see `Plan.check_position`."""
        length, run = self.epoch_length(position.multiple), self._run(position.multiple)
        if position.origin % 2 and not 0 <= position.origin >> 1 < 1 << Standing.bits(len(self.names)):
            raise Infeasible(f"the state's origin is not that of {len(self.names)} tasks", AS_IT_WAS)
        odd = position.origin % 2
        turn = Standing.decoded(position.origin, len(self.names)).turn if odd else position.origin // 2
        check_stretch(position, turn * run, length)
        here = self._standing(position).after(position.consumed // run, run, self.turns)
        if not 0 <= min(here.had) <= max(here.had) <= LAST or here.turn < 0:
            raise Infeasible(
                f"the state stands at turn {shown(here.turn)}, by which its tasks have had {shown(min(here.had))} to "
                f"{shown(max(here.had))} micro-batches",
                AS_IT_WAS,
            )

    def _run(self, multiple: int) -> int:
        """Micro-batches of a turn."""
        return multiple if self.unit == "step" else 1

    def _always(self, turn: int, multiple: int) -> Standing:
        """Where a run stands that always had this multiple."""
        return Standing(turn, tuple(self._run(multiple) * had for had in self.turns.counts(turn)))

    def _origin(self, standing: Standing, multiple: int) -> int:
        return standing.encoded(always=self._always(standing.turn, multiple))

    def _standing(self, position: Position) -> Standing:
        if position.origin % 2:
            return Standing.decoded(position.origin, len(self.names))
        return self._always(position.origin // 2, position.multiple)

    def shares(self, epoch: int = 0) -> np.ndarray:
        """The share of every task among the micro-batches, float64, summing to 1."""
        total = sum(self.weights_of_tasks)
        return np.array([weight / total for weight in self.weights_of_tasks])

    @property
    def settles_after(self) -> float | None:
        """After how many epochs no share moves any more: 0 if none ever does, None if some may for ever."""
        after = 0.0
        for epochs, child in zip(self._own_epochs(), self.children, strict=True):
            if child.settles_after is None:
                return None
            after = max(after, child.settles_after / epochs)
        return after

    @property
    def mean_batch_size(self) -> float:
        """Samples in a micro-batch, on average over all turns."""
        return float(self.shares() @ [child.mean_batch_size for child in self.children])

    def strata(self, start: float, stop: float) -> Strata:
        """What is drawn from epoch `start` to epoch `stop`, either of which may lie within one.

        A task has its share of the micro-batches, and so of the samples as many as these hold.
        """
        found: list[Stratum] = []
        parts = self.shares() * [child.mean_batch_size for child in self.children] / self.mean_batch_size
        for part, epochs, child, begins in zip(
            parts.tolist(), self._own_epochs(), self.children, self.starts, strict=True
        ):
            found += child.strata(start * epochs, stop * epochs).within(part, begins)
        return Strata(found)

    def _own_epochs(self) -> list[float]:
        """How many epochs of its own every task goes through in one of this plan."""
        return [
            share * self.epoch_batches / child.epoch_length()
            for share, child in zip(self.shares().tolist(), self.children, strict=True)
        ]

    def epochs_at(self, position: Position) -> float:
        """How many epochs of the plan were drawn before a position."""
        return (sum(self._standing(position).had) + position.consumed) / self.epoch_batches

    def locate(self, indices: Any) -> tuple[list[Hashable], np.ndarray]:
        """The task of each of these samples and its number in the task's own dataset; see `FixedPlan.locate`."""
        return self.groups.locate(indices)

    def summary(self) -> TaskSummary:
        """What the plan will do, in numbers: turns, passes and sizes of every task."""
        from .task_summary import summarise

        return summarise(self)

    def audit(self, *, batches: int = 1000, first: int = 0) -> Audit:
        """Measure turns, purity and order of the tasks on what the plan really yields; see `batchwright.audit`."""
        from ..audit.tasks import audit

        return audit(self, batches=batches, first=first)

    def __repr__(self) -> str:
        turn = f"one of {len(self.names)} tasks a {self.unit}"
        return f"<plan: {self.epoch_batches} micro-batches an epoch, {turn}, {self.target}>"
