"""Batches that take turns between given or random subsets of the classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, Literal, get_args

from ..calls import recorded
from ..errors import Infeasible, check_integer, one_of, seed_number, shown, warn
from ..groups import Groups
from ..kernels.hashing import child_key
from ..targets import uniform
from .balanced import balanced, epoch_batches
from .fixed import FixedPlan
from .hierarchical import hierarchical
from .plan import Plan
from .poor import faults_of_tasks
from .tasks import TaskPlan, Unit

__all__ = ["rotating"]


@recorded
def rotating(
    labels: Any,
    cohorts: int | Sequence[Sequence[Hashable]],
    *,
    per_class: int,
    unit: Unit = "batch",
    epoch: int | Literal["natural"] = "natural",
    seed: int = 0,
) -> FixedPlan | TaskPlan:
    """Batches from one cohort (subset of the classes) each, `per_class` samples of each of its classes.

    Use it if there are too many classes for one batch, and a batch should have several samples of each class in it. In a
    *cycle* every cohort has one turn.

    Args:
        labels: array-like of shape (n_samples,), a dataset that knows its labels, or `Groups`.
        cohorts: a list of lists of labels, or a number.
            Lists: the cohorts. With `unit="step"` they come in the order given; with "batch" the order is shuffled in every
            cycle, so that every rank gets every cohort. A class may be in several cohorts; each of them goes through the
            samples of the class independently.
            A number: how many random cohorts the classes are split into. Every cycle splits them again, so over time any two
            classes are in a cohort together equally often. The size of a cohort is the number of classes divided by this
            number, rounded down. After any number of batches, all classes have come equally often, up to one.
        per_class: samples of each class of the cohort in a micro-batch.
        unit: "batch" if a cohort keeps one micro-batch, "step" if it keeps a whole step (only for lists).
        epoch: "natural" (as many samples as the dataset has) or a number of micro-batches.
        seed: int from 0 to 2^64 - 1.

    Returns:
        For a number of cohorts, a plan of micro-batches of one size. For lists, a plan of tasks, in which each cohort is a
        task: `plan.task_of(t)` is the tuple of its labels.

    Raises:
        Infeasible: a label does not exist, a cohort is empty or given twice, or there are more cohorts than classes.

    Warns:
        PoorWarning: some classes are in no cohort, so they are never drawn.

    Example:
        >>> import batchwright as bw
        >>> labels = list("aabbccdd")
        >>> plan = bw.rotating(labels, [["a", "b"], ["c", "d"]], per_class=2)
        >>> sorted(sorted(labels[i] for i in plan[t]) for t in range(2))
        [['a', 'a', 'b', 'b'], ['c', 'c', 'd', 'd']]
    """
    groups = labels if isinstance(labels, Groups) else Groups.from_labels(labels)
    per_class = check_integer(per_class, "per_class", least=1)
    unit = one_of(unit, "unit", get_args(Unit))
    if isinstance(cohorts, Sequence):
        return _of_listed_cohorts(groups, cohorts, per_class, unit, epoch, seed)
    try:
        number = check_integer(cohorts, "cohorts")
    except Infeasible:
        raise Infeasible(
            f"cohorts is {shown(cohorts)}, neither a list nor a whole number",
            "pass a list of lists of labels, or a number of cohorts to draw",
        ) from None
    if not 1 <= number <= groups.group_count:
        raise Infeasible(
            f"{groups.group_count} classes cannot be split into {number} cohorts",
            f"pass cohorts from 1 to {groups.group_count}",
        )
    if unit != "batch":
        raise Infeasible(
            f"unit is {unit!r} for cohorts that are drawn", "pass lists of labels as cohorts, or unit='batch'"
        )
    # A hierarchy of one level passes through the classes in shuffled passes, some at a time: these are the cohorts.
    return hierarchical([groups], [groups.group_count // number, per_class], epoch=epoch, seed=seed)


def _of_listed_cohorts(
    groups: Groups, cohorts: Sequence[Sequence[Hashable]], per_class: int, unit: Unit, epoch: Any, seed: int
) -> TaskPlan:
    names = _checked(groups, cohorts)
    children: dict[Any, Plan] = {}
    had: set[Hashable] = set()
    for number, cohort in enumerate(names):
        # Under the same seed, a class at the same place of two cohorts would be drawn in the same order.
        own_seed = seed if had.isdisjoint(cohort) else child_key(seed_number(seed), number)
        had.update(cohort)
        own = Groups.from_indices({name: groups.samples(name) for name in cohort}, sample_count=groups.sample_count)
        children[cohort] = balanced(own, len(cohort) * per_class, per_class=per_class, seed=own_seed)
    samples = sum(map(len, names)) * per_class
    length = epoch_batches(epoch, natural=-(-groups.grouped_count * len(names) // samples))
    plan_of_tasks = TaskPlan(
        children,
        [1] * len(names),
        groups=groups,
        starts=[0] * len(names),
        unit=unit,
        named=False,
        epoch_batches=length,
        target=uniform().shown,
    )
    missing = groups.group_count - len({name for cohort in names for name in cohort})
    if missing:
        warn(f"{missing} of {groups.group_count} classes are in no cohort and never drawn")
    warn(*faults_of_tasks(plan_of_tasks))
    return plan_of_tasks


def _checked(groups: Groups, cohorts: Sequence[Sequence[Hashable]]) -> list[tuple[Hashable, ...]]:
    """The cohorts as tuples of labels. Refuses a cohort that is empty, comes twice or has a label twice."""
    for cohort in cohorts:
        if not isinstance(cohort, Sequence) or isinstance(cohort, (str, bytes)):
            raise Infeasible(f"a cohort is {shown(cohort)}", "pass lists of labels, or a number of cohorts to draw")
    names = [tuple(groups.label(name) for name in cohort) for cohort in cohorts]
    if not names or not all(names):
        raise Infeasible(f"the cohorts are {shown(names)}", "give at least one, each with at least one label")
    twice, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise Infeasible(f"cohort {shown(twice)} is given {times} times", "give each cohort once")
    for cohort in names:
        name, times = Counter(cohort).most_common(1)[0]
        if times > 1:
            raise Infeasible(f"cohort {shown(cohort)} names class {shown(name)} {times} times", "name each class once")
    return names
