"""Class priors from the group priors of a plan."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Infeasible, listed, shown, typed, warn
from ..groups import Groups
from ..readings import as_list, reading
from ..run.sampler_of import sampler_of

if TYPE_CHECKING:
    from ..base_plan import BasePlan

__all__ = ["ClassPriors", "check_plan", "class_groups", "class_priors", "is_of_a_stream", "stream_priors"]

LabelPart = Callable[[Any], Hashable]


@dataclass(frozen=True)
class ClassPriors:
    """Shares of classes, float64 of shape (C,), or (D, C) with a row for each domain that sums to 1.

    Attributes:
        classes: the class of each logit, in order.
        domains: the domain of each row, in order; None for a single row.
        trained: the shares in the sampled batches.
        natural: the shares among all samples.
        in_order: whether the order of the classes was given, or declared by the labels.
    """

    classes: list[Hashable]
    domains: list[Hashable] | None
    trained: np.ndarray
    natural: np.ndarray
    in_order: bool


def class_priors(
    plan: BasePlan,
    *,
    batches: int | Sequence[tuple[int, int]] | None = None,
    classes: Any = None,
    order: Sequence[Hashable] | None = None,
    class_of: LabelPart | None = None,
    domain_of: LabelPart | None = None,
) -> ClassPriors:
    """The class priors of a plan, sampled and natural, summed over groups.

    Args:
        plan: the plan of the training.
        batches: the micro-batches of all ranks over which the mean is taken, the first so many, or ranges of them; None:
            the epochs until shares have settled, or epoch 0 if they never change.
        classes: labels, array-like of shape (n_samples,), int or str, or `Groups`; needed if the groups of the plan are
            no classes.
        order: the class of each logit, array-like of shape (n_classes,); if left out, in the order that the labels declare
            (ordered categories), else in that of the groups: sorted.
        class_of: from the name of a group to its class; the name itself if left out.
        domain_of: from the name of a group to its domain, for one row per domain.

    Returns:
        `ClassPriors`, float64 of shape (n_classes,), or (n_domains, n_classes) with `domain_of`.

    Raises:
        Infeasible: `order` lacks a class that was sampled, a domain is never sampled, `classes` is of other samples, or
            `batches` is None and the shares of the plan may always change.

    Example:
        >>> import batchwright as bw
        >>> cells = bw.Groups.from_sizes({("day", "cat"): 1, ("night", "cat"): 1, ("night", "dog"): 2})
        >>> plan = bw.balanced(cells, batch_size=3)
        >>> priors = class_priors(plan, class_of=lambda name: name[1], domain_of=lambda name: name[0])
        >>> priors.classes, priors.domains, priors.trained.tolist()
        (['cat', 'dog'], ['day', 'night'], [[1.0, 0.0], [0.5, 0.5]])
    """
    plan = check_plan(plan, or_else="call LogitAdjustment.from_sampler({}), or ")
    groups = class_groups(classes, plan)
    if batches is None or isinstance(batches, int):
        sampled = plan.prior_between(0, plan.horizon() if batches is None else batches, groups)
    else:
        count = sum(stop - start for start, stop in batches)
        parts = [(stop - start) / count * plan.prior_between(start, stop, groups) for start, stop in batches]
        sampled = parts[0] if len(parts) == 1 else np.sum(parts, axis=0)
    _check_callable(class_of, "class_of")
    _check_callable(domain_of, "domain_of")
    names = list(groups.names)
    of_class = names if class_of is None else [class_of(name) for name in names]
    of_domain = [None] * len(names) if domain_of is None else [domain_of(name) for name in names]
    # `dict.fromkeys` and not `set`: the order of the groups is kept, and is the same in every process.
    in_order = order is not None or (groups.declared is not None and class_of is None)
    if order is not None:
        found = _in_order(order, of_class)
    elif groups.declared is not None and class_of is None:
        found = list(groups.declared)
    else:
        found = list(dict.fromkeys(of_class))
        _warn_of_numbers_as_text(found)
    rows = list(dict.fromkeys(of_domain))
    cells, domains = (_places(of_domain, rows), _places(of_class, found)), None if domain_of is None else rows
    trained, natural = (
        _summed(prior, cells, found, domains) for prior in (sampled, groups.sizes / groups.grouped_count)
    )
    return ClassPriors(found, domains, trained, natural, in_order)


def _warn_of_numbers_as_text(found: list[Any]) -> None:
    """Say that numbers written as text are sorted as text, where that is another order: "10" comes before "2"."""
    if all(isinstance(name, str) and name.isdecimal() for name in found) and found != sorted(found, key=int):
        warn(
            f"the classes are numbers written as text, so the logits are taken to be of {listed(map(shown, found))}, in "
            "this order; pass order=, the class of every logit, or make the plan from numbers."
        )


def _places(names: list[Any], axis: list[Any]) -> list[int]:
    """The index of each name on an axis."""
    numbers = {name: number for number, name in enumerate(axis)}
    return [numbers[name] for name in names]


def _summed(prior: np.ndarray, cells: tuple[list[int], ...], found: list[Any], domains: list[Any] | None) -> np.ndarray:
    """The shares of classes, with a row for each domain: sums over the groups of each cell."""
    table = np.zeros((1 if domains is None else len(domains), len(found)))
    # Several groups may be in one cell: `table[cells] += prior` would add only one of them.
    np.add.at(table, cells, prior)
    totals = table.sum(1)
    if totals.min() <= 0:
        whose = (
            "the samples in classes have" if domains is None else f"domain {shown(domains[int(totals.argmin())])} has"
        )
        raise Infeasible(
            f"{whose} share 0: nothing of it was sampled",
            "leave its samples out, or give it a share in the plan's target",
        )
    table /= totals[:, None]
    shares: np.ndarray = table[0] if domains is None else table
    return shares


def _check_callable(part: LabelPart | None, called: str) -> None:
    if part is not None and not callable(part):
        raise Infeasible(f"{called} is {shown(part)}", f"pass {called} as a function of a group's name")


def _in_order(order: Sequence[Hashable], sampled: list[Hashable]) -> list[Hashable]:
    """Check that `order` has every class once, and all classes that were sampled."""
    found = as_list(order, "order")
    with reading(order, "order", "name the class of every logit, as text, numbers or tuples of these"):
        column = {name: number for number, name in enumerate(found)}
    twice = [name for place, name in enumerate(found) if column[name] != place]
    if twice:
        raise Infeasible(f"order names class {shown(twice[0])} twice", "name each class once, the class of every logit")
    missing = [name for name in dict.fromkeys(sampled) if name not in column]
    if missing:
        raise Infeasible(
            f"order names {len(found)} classes, the plan has {len(missing)} besides ({listed(map(shown, missing))})",
            "name the class of every logit",
        )
    return found


def check_plan(plan: Any, *, or_else: str = "") -> BasePlan:
    """Check that this is a plan.

    Args:
        plan: what was passed.
        or_else: what else may be done if it is a sampler or a loader, which is named where braces stand.

    Raises:
        Infeasible: it is something else.
    """
    from ..base_plan import BasePlan

    if isinstance(plan, BasePlan):
        return plan
    way_out = "pass what balanced(...) or another of batchwright's functions made"
    if is_of_a_stream(plan):
        raise Infeasible(
            f"a plan is needed, this is {typed(plan)}, of a stream",
            "correct the logits by LogitAdjustment.from_stream(stream) once it is read; evaluate takes that as adjustment=",
        )
    sampler = sampler_of(plan)
    if sampler is not None:
        called = "sampler" if sampler is plan else "loader"
        where = called if hasattr(plan, "plan") else f"{called}.batch_sampler"
        way_out = f"{or_else.format(called)}pass {where}.plan"
    raise Infeasible(f"a plan is needed, this is {typed(plan)}", way_out)


def is_of_a_stream(value: Any) -> bool:
    """Whether this is a stream, the loader of one, or its report."""
    kind = type(value)
    return (hasattr(kind, "moved_by_loops") and hasattr(kind, "report")) or (
        hasattr(value, "had") and hasattr(value, "seen")
    )


def stream_priors(stream: Any, order: Sequence[Hashable] | None) -> ClassPriors:
    """The class priors of a stream, its loader or its report: of the slots that groups had, and of the samples read.

    Raises:
        Infeasible: it is no stream, it has delivered no sample with a group, or `order` lacks a class.
    """
    if not is_of_a_stream(stream):
        raise Infeasible(
            f"a stream is needed, this is {typed(stream)}",
            "pass a stream, its loader or its report; of a plan use from_plan",
        )
    report = stream if hasattr(stream, "seen") else stream.report()
    if not sum(report.had.values()):
        raise Infeasible(
            "the stream has delivered 0 samples that have a group",
            "read batches of online.balanced or online.mixed first",
        )
    names = list(dict.fromkeys([*report.seen, *report.had]))
    if order is None:
        with suppress(TypeError):  # names of several types stay in the order in which they came
            names.sort()
        _warn_of_numbers_as_text(names)
    found = names if order is None else _in_order(order, names)
    had, seen = (np.array([part.get(name, 0) for name in found], float) for part in (report.had, report.seen))
    return ClassPriors(found, None, had / had.sum(), seen / seen.sum(), order is not None)


def class_groups(classes: Any, plan: BasePlan) -> Groups:
    """The groups for `classes`, a column of labels or `Groups`; those of the plan for None.

    Raises:
        Infeasible: `classes` has another number of samples than the plan.
    """
    if classes is None:
        return plan.groups
    groups = classes if isinstance(classes, Groups) else Groups.from_labels(classes)
    if groups.sample_count != plan.groups.sample_count:
        raise Infeasible(
            f"classes are given for {groups.sample_count} samples, the plan draws from {plan.groups.sample_count}",
            "give one class a sample, by the numbers the plan yields",
        )
    return groups
