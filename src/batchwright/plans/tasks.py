"""Plans that keep each micro-batch, or each optimizer step, to one task."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import Infeasible, check_integer, shown
from ..groups import Groups
from ..micro_batches import AS_IT_WAS, LAST, MicroBatches, counted
from ..orders.inclusion import GroupRates, InclusionRates
from ..orders.reordered import Reordered
from ..orders.task_schedule import reduced, task_schedule
from ..position import number_of
from ..public import internal
from .fixed import FixedPlan
from .plan import Plan
from .poor import faults_of_tasks

if TYPE_CHECKING:
    from ..audit import Audit
    from .task_summary import TaskSummary

__all__ = ["TaskPlan", "Unit"]

Unit = Literal["batch", "step"]
# The first micro-batch is computed alone, so that a loop starts at once; then 64 together, doubled up to 1024. With so many
# the fixed cost of calling the plan of each task no longer matters (chosen by trial).
_AT_ONCE = 64, 1024


def own_batches(plan: MicroBatches, numbers: list[int]) -> list[np.ndarray]:
    """The micro-batches of these numbers, ascending; plans of a fixed size compute all of them in one call."""
    if isinstance(plan, FixedPlan):
        return list(plan.order.batches_at(np.array(numbers)))
    return [plan[number] for number in numbers]


class TaskPlan(Plan):
    """Micro-batches of one task each; made by `alternating` and `rotating`.

    With `unit="step"` the tasks of a run on several ranks are those of `plan.stepped(world_size * accumulate)`.

    Attributes:
        names: the names of the tasks.
        children: the plan of each task.
        groups: one group for each task, which holds its samples; if the tasks share one dataset, the groups of that dataset.
        starts: what is added to the sample numbers of each task.
        unit: "batch" if a task keeps a micro-batch, "step" if it keeps a whole step.
        named: whether lists hold pairs (task, sample number in the dataset of the task).
        ahead: how many micro-batches each task has had beyond its turns; above 0 only in a run whose step size changed.
        bound: how far a task can be from its share after any number of turns, in turns; at most 1.
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
        self.children: list[Any] = list(children.values())
        self.weights_of_tasks = reduced(weights)
        in_turn = task_schedule(self.weights_of_tasks, self.names)
        # In a periodic schedule one rank could get the same task in every step, so the turns are reordered. If a task keeps
        # a whole step, all ranks have the same task and there is no need.
        self.turns = in_turn if unit == "step" else Reordered(in_turn, self.weights_of_tasks)
        self.groups = groups
        self.starts = tuple(starts)
        self.unit = unit
        self.ahead = (0,) * len(self.names)
        self.named = named
        self.epoch_batches = epoch_batches
        self.target = target

    def __getitem__(self, batch: int) -> np.ndarray:
        """The samples of micro-batch `batch`, int64 (samples of the micro-batch,)."""
        task, own = self.turn_of(counted(batch))
        found: np.ndarray = self.children[task][own] + self.starts[task]
        return found

    @internal
    def computed_together(self, first: int, stride: int, count: int) -> Iterator[list[list[Any]]]:
        """See `MicroBatches`; each is a list of samples, or of (task, number) pairs if `named`."""
        at_once = 1
        while count > 0:
            asked = min(at_once, count)
            found = self._batches([first + stride * number for number in range(asked)])
            if self.named:
                yield [[(self.names[task], number) for number in batch.tolist()] for task, batch in found]
            else:
                yield [(batch + self.starts[task]).tolist() for task, batch in found]
            first, count = first + asked * stride, count - asked
            at_once = min(max(_AT_ONCE[0], 2 * at_once), _AT_ONCE[1])

    def _batches(self, numbers: list[int]) -> list[tuple[int, np.ndarray]]:
        """The task of each of these micro-batches, and its samples by their numbers in the dataset of the task."""
        wanted = [self.turn_of(number) for number in numbers]
        by_task: dict[int, list[int]] = {}
        for task, own in wanted:
            by_task.setdefault(task, []).append(own)
        found = {task: iter(own_batches(self.children[task], own)) for task, own in by_task.items()}
        return [(task, next(found[task])) for task, _ in wanted]

    def task_of(self, batch: int) -> Hashable:
        """The name of the task that micro-batch `batch` belongs to.

        Args:
            batch: the number of the micro-batch, from 0.

        Example:
            >>> import batchwright as bw
            >>> plan = bw.alternating({"a": bw.shuffled(9, 3), "b": bw.shuffled(3, 3)})
            >>> ["".join(sorted(plan.task_of(t) for t in range(first, first + 4))) for first in (0, 4)]
            ['aaab', 'aaab']
        """
        name: Hashable = self.names[self.turn_of(counted(batch))[0]]
        return name

    @property
    def bound(self) -> float:
        """The largest distance of a task from its share, in turns, after any number of turns."""
        return self.turns.bound

    @cached_property
    def run_identity(self) -> dict[str, str]:
        """Every argument that can change a micro-batch, by name, as short text; see `BasePlan`."""
        tasks = {f"task {number}": child.run_fingerprint for number, child in enumerate(self.children)}
        shares = ",".join(map(str, self.weights_of_tasks))
        if self.named:  # only then are the names part of the lists of a sampler
            tasks["tasks"] = repr(self.names)
        return {
            "order": "tasks" if self.unit == "step" else "tasks, reordered",
            "target": shares, "unit": self.unit, "named": str(self.named),
            "starts": ",".join(map(str, self.starts)), "epoch_batches": str(self.epoch_batches), **tasks,
        }  # fmt: skip

    @property
    def identity(self) -> dict[str, str]:
        """See `BasePlan`: with the step size of the plan of each task."""
        return super().identity | {f"task {number}": child.fingerprint for number, child in enumerate(self.children)}

    @property
    def shortcomings(self) -> list[str]:
        """Problems of the plan and of the plans of its tasks, as texts; see `Plan`."""
        of_tasks = (
            f"task {name!r}: {text}"
            for name, child in zip(self.names, self.children, strict=True)
            for text in child.shortcomings
        )
        return [*of_tasks, *self._uneven_steps(), *faults_of_tasks(self)]

    def _uneven_steps(self) -> list[str]:
        """The tasks by lengths whose own plans have other steps than this plan."""
        return [
            f"task {name!r}: its plan was cut for steps of {child.step_size} micro-batches, these have {self.step_size}, so "
            f"the ranks of a step get unequal work; pass its plan.stepped({self.step_size})"
            for name, child in zip(self.names, self.children, strict=True)
            if self.unit == "step" and self.step_size > 1 and child.cutter is not None
            if child.step_size != self.step_size
        ]

    def stepped(self, step_size: int) -> TaskPlan:
        """The plan with steps of `step_size` micro-batches; with `unit="step"` each step has one task. See `Plan`."""
        if check_integer(step_size, "step_size", least=1) == self.step_size or self.unit != "step":
            return self
        found = copy.copy(self)
        found.step_size, found.ahead, found.first = step_size, (0,) * len(self.names), 0
        return found

    def with_step_size_from(self, batch: int, step_size: int) -> tuple[TaskPlan, int]:
        """See `MicroBatches`: the step size changes at once; every task continues with its next micro-batch.

        A turn that was not finished is not resumed; the turn of the next task begins.
        """
        turn, part = divmod(batch, self.step_size)
        if self.unit != "step" or (step_size == self.step_size and not part):
            return self, batch
        # Turns keep their numbers, so the schedule stays as it is. `ahead` is the difference between what a task has had and
        # what it would have had by this turn in steps of the new size; it is negative if it has had less.
        had = self._next(batch)
        turn += part > 0
        found = copy.copy(self)
        found.step_size = step_size
        found.ahead = tuple(own - step_size * count for own, count in zip(had, self.turns.counts(turn), strict=True))
        found.first = turn * step_size if any(found.ahead) else 0
        return found, turn * step_size

    def plan_state(self, batch: int, since: int) -> dict[str, Any]:
        """The step size, how far the tasks are ahead, and the entries of their own plans; see `MicroBatches`."""
        found: dict[str, Any] = {"step_size": self.step_size} if self.unit == "step" else {}
        if any(self.ahead):
            found |= {"ahead": list(self.ahead), "first": self.first}
        now, then = self._next(batch), self._next(max(since, self.first))
        of_tasks = [child.plan_state(*numbers) for child, *numbers in zip(self.children, now, then, strict=True)]
        return found | ({"tasks": of_tasks} if any(of_tasks) else {})

    def resumed(self, plan_state: Mapping[str, Any], batch: int) -> TaskPlan:
        """The micro-batches of a run whose state holds `plan_state`; see `Plan`."""
        step_size, first, ahead, tasks = self._checked(plan_state)
        found = copy.copy(self.stepped(step_size))
        found.ahead, found.first = ahead, first if any(ahead) else 0
        own = found._next(batch)
        if min(own) < 0 or max(own) > LAST:
            raise Infeasible(
                f"the state stands at micro-batch {batch}, by which its tasks have had {shown(min(own))} to "
                f"{shown(max(own))} micro-batches",
                AS_IT_WAS,
            )
        found.children = [
            child.resumed(task, number) for child, task, number in zip(self.children, tasks, own, strict=True)
        ]
        return found

    def _checked(self, plan_state: Mapping[str, Any]) -> tuple[int, int, tuple[int, ...], list[Mapping[str, Any]]]:
        """The entries of a state for this plan: `step_size`, `first`, `ahead`, and the entries for the plan of each task."""
        damaged = Infeasible(f"the state says {shown(dict(plan_state))} of its plan", AS_IT_WAS)
        if set(plan_state) - {"step_size", "ahead", "first", "tasks"} or ("step_size" in plan_state) != (
            self.unit == "step"
        ):
            raise damaged
        step_size, first = (
            number_of(plan_state.get(name, 1), f"the state's {name}") for name in ("step_size", "first")
        )
        ahead = self._of_each_task(plan_state, "ahead", 0)
        tasks = self._of_each_task(plan_state, "tasks", {})
        if not (1 <= step_size <= LAST and all(isinstance(task, Mapping) for task in tasks)):
            raise damaged
        return step_size, first, tuple(number_of(number, "the state's ahead") for number in ahead), tasks

    def _of_each_task(self, plan_state: Mapping[str, Any], called: str, otherwise: Any) -> list[Any]:
        """An entry of a state that is a list with one value for each task; `otherwise` for each if it is missing."""
        given = plan_state.get(called, [otherwise] * len(self.names))
        if not isinstance(given, list) or len(given) != len(self.names):
            raise Infeasible(f"the state's {called} is {shown(given)}, of {len(self.names)} tasks", AS_IT_WAS)
        return given

    def epochs_before(self, batch: int) -> float:
        """How many epochs came before this micro-batch; see `MicroBatches`."""
        return (batch + sum(self.ahead)) / self.epoch_batches

    def _next(self, batch: int) -> list[int]:
        """The number, in the plan of each task, of the task's next micro-batch, if `batch` comes next."""
        turn, part = divmod(batch, self.step_size)
        had = [self.step_size * count + ahead for count, ahead in zip(self.turns.counts(turn), self.ahead, strict=True)]
        if part:
            had[self.turns.at(turn)[0]] += part
        return had

    @internal
    def turn_of(self, batch: int) -> tuple[int, int]:
        """The number of the task that a micro-batch belongs to, and its number in the plan of this task."""
        turn, within = divmod(batch, self.step_size)
        task, before = self.turns.at(turn)
        return task, before * self.step_size + within + self.ahead[task]

    def shares(self, epoch: int = 0) -> np.ndarray:
        """The expected share of every group in an epoch, float64 in the order of `groups.names`, summing to 1.

        The share of a task in the samples is its share in the micro-batches, weighted by the mean size of its micro-batches.
        """
        return self.drawn_in(epoch).prior(self.groups)

    @property
    def _of_turns(self) -> np.ndarray:
        """The share of each task in the micro-batches, float64 (tasks,), with sum 1."""
        total = sum(self.weights_of_tasks)
        return np.array([weight / total for weight in self.weights_of_tasks])

    @property
    def settles_after(self) -> float | None:
        """The number of epochs after which no share changes: 0 if none ever does, None if some may change without end."""
        after = 0.0
        for epochs, child in zip(self._own_epochs(), self.children, strict=True):
            if child.settles_after is None:
                return None
            after = max(after, child.settles_after / epochs)
        return after

    @property
    def shards_change_rates(self) -> bool:
        """See `BasePlan`."""
        return any(child.shards_change_rates for child in self.children)

    @property
    def mean_batch_size(self) -> float:
        """The mean number of samples in a micro-batch, over all turns."""
        return float(self._of_turns @ [child.mean_batch_size for child in self.children])

    def inclusion_rates(self, start: float, stop: float) -> InclusionRates:
        """What is drawn from epoch `start` to epoch `stop`; both may be fractions of an epoch.

        The share of a task in the samples is its share in the micro-batches, weighted by the mean size of its micro-batches.
        """
        return self._together(
            child.inclusion_rates(start * epochs, stop * epochs)
            for epochs, child in zip(self._own_epochs(), self.children, strict=True)
        )

    @internal
    def drawn_between(self, start: int, stop: int) -> InclusionRates:
        """See `BasePlan`."""
        return self._together(
            child.drawn_between(first, max(first + 1, last))
            for child, first, last in zip(self.children, self._next(start), self._next(stop), strict=True)
        )

    def _together(self, rates: Iterable[InclusionRates]) -> InclusionRates:
        """The rates of each task as parts of the whole."""
        found: list[GroupRates] = []
        parts = self._of_turns * [child.mean_batch_size for child in self.children] / self.mean_batch_size
        for part, own, begins in zip(parts.tolist(), rates, self.starts, strict=True):
            found += own.within(part, begins)
        return InclusionRates(found)

    def _own_epochs(self) -> list[float]:
        """How many epochs of its own plan each task completes in one epoch of this plan."""
        return [
            share * self.epoch_batches / child.epoch_batches
            for share, child in zip(self._of_turns.tolist(), self.children, strict=True)
        ]

    def summary(self, step_size: int | None = None) -> TaskSummary:
        """The plan in numbers: turns, passes and sizes of each task; see `Plan.summary`."""
        from .task_summary import summarise

        return summarise(self, self.step_size if step_size is None else step_size)

    def audit(self, *, batches: int = 1000, first: int = 0) -> Audit:
        """Measure turns, purity and order of the tasks on the micro-batches of the plan; see `batchwright.audit`."""
        from ..audit.tasks import audit_tasks

        return audit_tasks(self, batches=batches, first=first)

    @internal
    def audit_of_run(self, step_size: int, *, epoch: int = 0, batches: int = 1000) -> Audit:
        """See `Plan`: of the first micro-batches of the epoch."""
        return self.stepped(step_size).audit(batches=batches, first=epoch * self.epoch_length(step_size))

    def __repr__(self) -> str:
        turn = f"one of {len(self.names)} tasks a {self.unit}"
        return f"<plan: {self.epoch_batches} micro-batches an epoch, {turn}, {self.target}>"
