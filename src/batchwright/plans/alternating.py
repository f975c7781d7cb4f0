"""Multi-task training: every micro-batch, or every step, is of one task."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from ..calls import recorded
from ..errors import Infeasible, check_bool, check_mapping, one_of, shown, typed, warn
from ..groups import Groups
from ..targets import resolve
from .balanced import epoch_batches
from .plan import Plan
from .poor import faults_of_tasks
from .tasks import TaskPlan, Unit

__all__ = ["alternating"]


@recorded
def alternating(
    tasks: Mapping[Any, Plan],
    *,
    target: Any = "natural",
    unit: Unit = "batch",
    same_dataset: bool = False,
    named: bool = False,
    epoch: int | Literal["natural"] = "natural",
) -> TaskPlan:
    """Micro-batches of one task each; every task keeps its own plan and batch size.

    The k-th turn of a task is the k-th micro-batch of its plan. Shares count micro-batches. After any number of turns,
    every task is within one turn of its share, for any shares (the chairman assignment, Tijdeman 1980). Any turn is
    computed directly.

    With `unit="batch"`, consecutive turns go to different ranks. If turns came with a fixed period, a rank could always
    get the same tasks. So turns are shuffled, as far as every task stays within one turn of its share. Then every rank
    gets every task in its share on average, for any number of ranks.

    Args:
        tasks: for each task, by name, its plan. With `unit="step"`, pass a plan by lengths in the steps of the run:
            `plan.stepped(world_size * accumulate)`; only then are the micro-batches of a step of like cost.
        target: the shares: "natural" is proportional to the length of each task's own epoch, "uniform" gives every task
            one turn a round (in the order given with `unit="step"`, shuffled in each round with "batch"), a mapping is
            explicit, `targets.temperature(T)` is between natural and uniform.
        unit: "batch": every micro-batch has its own task; "step": every step has one task, the same for all ranks and
            all accumulated micro-batches.
        same_dataset: True if the samples of all plans are numbered in one dataset. `plan.groups` are then those of the
            plans, unless one label means different samples in two of them. If False, indices are those of the
            concatenation of the tasks' datasets in the order given, and `plan.locate(indices)` finds the task.
        named: whether samplers yield pairs (task, number in the task's dataset) in place of indices.
        epoch: "natural" (as many micro-batches as all tasks' own epochs together) or a number of micro-batches.

    Warns:
        PoorWarning: samples are practically never drawn: less than once in a hundred times as many draws as there are
            samples.

    Raises:
        Infeasible: there are no tasks, a task is no plan, the target moves, the plans cannot share a dataset, or shares
            span too many orders of magnitude for a schedule (the smallest is below a millionth of others that are
            themselves below a millionth).

    Example:
        >>> import batchwright as bw
        >>> plan = bw.alternating({"tag": bw.shuffled(40, 4), "parse": bw.shuffled(60, 3)}, target="uniform")
        >>> [sorted((plan.task_of(t), len(plan[t])) for t in (first, first + 1)) for first in (0, 2)]
        [[('parse', 3), ('tag', 4)], [('parse', 3), ('tag', 4)]]
    """
    for name, plan in check_mapping(tasks, "tasks").items():
        if not isinstance(plan, Plan):
            raise Infeasible(
                f"task {shown(name)} is {typed(plan)}",
                "pass a plan, such as balanced(labels, batch_size=...) or shuffled(n, batch_size=...)",
            )
        if plan.whole_epochs:
            raise Infeasible(
                f"task {shown(name)} is a plan for evaluation, whose epochs would not end with its samples",
                "evaluate every task by itself, or pass the training plan sequential(n, batch_size=...)",
            )
    unit = one_of(unit, "unit", get_args(Unit))
    lengths = [plan.epoch_length() for plan in tasks.values()]
    wanted = resolve(target)
    if not wanted.stays:
        raise Infeasible(
            f"the target {wanted} moves, and tasks take turns in shares that stay",
            "pass a target whose shares stay, such as 'uniform' or a mapping",
        )
    # Natural shares are those of the epochs' micro-batches, so that all tasks end their epochs together.
    weights = wanted.exact(lengths, names=list(tasks))
    sizes = {name: plan.groups.sample_count for name, plan in tasks.items()}
    groups = Groups.from_sizes(sizes)
    starts = groups.starts[:-1].tolist()
    if check_bool(same_dataset, "same_dataset"):
        if len(set(sizes.values())) > 1:
            raise Infeasible(
                f"the tasks' plans are of datasets of {shown(sizes)} samples, and same_dataset=True was passed",
                "pass plans over one dataset, or same_dataset=False",
            )
        groups = _joined_groups([plan.groups for plan in tasks.values()])
        starts = [0] * len(sizes)
    batches = epoch_batches(epoch, natural=sum(lengths))
    plan_of_tasks = TaskPlan(
        dict(tasks),
        weights,
        groups=groups,
        starts=starts,
        unit=unit,
        named=check_bool(named, "named"),
        epoch_batches=batches,
        target=wanted.shown,
    )
    warn(*faults_of_tasks(plan_of_tasks))
    return plan_of_tasks


def _joined_groups(parts: Sequence[Groups]) -> Groups:
    """The groups of all parts, joined by name; one group of all samples if they contradict each other."""
    first = parts[0]
    if all(part.digest == first.digest and list(part.names) == list(first.names) for part in parts):
        return first
    all_samples = Groups.from_sizes({"all": first.sample_count})
    found: dict[Hashable, np.ndarray] = {}
    for part in parts:
        if not part.starts.size:  # every sample is a group of its own
            return all_samples
        for name in part.names:
            samples = part.samples(name)
            if not np.array_equal(found.setdefault(name, samples), samples):
                return all_samples
    members = np.concatenate(list(found.values()))
    if members.size > np.unique(members).size:
        return all_samples
    return Groups.from_indices(found, sample_count=first.sample_count)
