"""Nested groups: a number of categories in each batch, of classes in each category, of samples in each class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Sized
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from ..calls import recorded
from ..errors import Infeasible, check_bool, check_integer, exactly, shown, typed, warn
from ..groups import Groups
from ..inputs.tables import by_column
from ..orders import Dealt, Hierarchical, Levels
from ..orders.shares import TargetShares
from ..readings import as_list, reading
from ..targets import resolve
from ..targets.explicit import exact_in_order
from .balanced import MOST_TICKETS, check_batch_arguments, epoch_length
from .fixed import FixedPlan
from .poor import faults

__all__ = ["hierarchical"]


@recorded
def hierarchical(
    levels: Any,
    per: Sequence[int],
    *,
    target: Any = "uniform",
    epoch: int | Literal["natural", "largest", "smallest"] = "natural",
    distinct: bool = False,
    seed: int = 0,
) -> FixedPlan:
    """Batches of P categories, with Q classes of each and M samples of each class; any number of levels.

    Every node of the tree goes through its branches in passes, in a new order each time. So after any number of
    batches, the classes of a category have come equally often, up to one; the samples of a class too; and, if the
    target is uniform, the categories.

    The time to build the plan grows with the number of innermost classes: some seconds of processor time for a million.

    Args:
        levels: for each level, the outermost first, labels, array-like of shape (n_samples,), or `Groups`, such as
            `[category, class_]`, or a data frame of such columns. A class is identified by its labels on all levels down
            to it: the same name in two categories means two classes.
        per: the numbers that a batch takes on each level, and of samples at the end: `[P, Q, M]`, one more than there
            are levels.
        target: the shares of the outermost level. Shares other than "uniform" are exact in every batch too.
        epoch: as for `balanced`.
        distinct: whether to refuse a plan in which a class must repeat a sample within a batch.
        seed: int from 0 to 2^64 - 1.

    Raises:
        Infeasible: there are fewer categories, or fewer classes in a category, than a batch takes; or the share of a
            category needs it more than once in a batch.

    Warns:
        PoorWarning: a class has fewer samples than a batch takes, so they repeat; or samples are practically never
            drawn: less than once in a hundred times as many draws as there are samples.

    Example:
        >>> import batchwright as bw
        >>> category, class_ = list("aaaabbbbcccc"), [0, 0, 1, 1] * 3
        >>> plan = bw.hierarchical([category, class_], per=[2, 2, 1])
        >>> len(plan[7]), len({category[i] for i in plan[7]}), len({(category[i], class_[i]) for i in plan[7]})
        (4, 2, 4)
    """
    by_name = by_column(levels)
    levels = levels if by_name is levels else list(by_name.values())
    counts = _counts(levels, per)
    batch_size, _, seed = check_batch_arguments(math.prod(counts), 1, seed)
    tree = Levels.of([level if isinstance(level, Groups) else Groups.from_labels(level) for level in levels])
    _check_branches(tree, counts, check_bool(distinct, "distinct"))
    wanted = resolve(target)
    categories = Groups.from_sizes(_sizes(tree))
    outer = TargetShares(wanted, categories)
    outermost = None
    if wanted.shown != "uniform()":
        _check_outermost(outer, categories, counts[0])
        # In passes all categories come equally often, so other shares are dealt.
        outermost = Dealt(categories, outer, batch_size=counts[0], seed=seed)
    leaves = exact_in_order(_leaf_shares(tree, outer), f"hierarchical(per={counts}, {wanted})")
    shares = TargetShares(leaves, tree.groups)
    order = Hierarchical(tree, counts, shares, outermost, seed)
    warn(*faults(order))
    return FixedPlan(order, epoch_batches=epoch_length(tree.groups, shares, batch_size, epoch))


def _counts(levels: Sequence[Any], per: Sequence[int]) -> list[int]:
    """The numbers in `per` as integers, after checks."""
    if not isinstance(per, Iterable) or not isinstance(levels, Sized) or isinstance(levels, Mapping):
        raise Infeasible(
            f"levels is {typed(levels)} and per is {typed(per)}",
            "pass a list of columns, and a list of counts: [category, class_], [P, Q, M]",
        )
    counts = [check_integer(count, f"per[{place}]") for place, count in enumerate(as_list(per, "per"))]
    with reading(levels, "levels", "pass a list of columns"):
        depth = len(levels)
    if not depth or len(counts) != depth + 1:
        raise Infeasible(
            f"there are {depth} levels and {len(counts)} counts",
            "pass one count a level, and one for the samples",
        )
    if min(counts) < 1:
        raise Infeasible(f"per is {shown(counts)}", "pass counts of 1 or more")
    if math.prod(counts) > MOST_TICKETS:
        raise Infeasible(
            f"a batch would have {shown(math.prod(counts))} samples, the most is {MOST_TICKETS}",
            f"take {MOST_TICKETS} samples a batch at most",
        )
    return counts


def _check_outermost(outer: TargetShares, categories: Groups, taken: int) -> None:
    """Refuse shares of the categories that change, and shares so large that a batch needs a category more than once."""
    if not outer.target.stays:
        raise Infeasible(
            f"the target {outer.target} moves, and the shares of levels stay",
            "pass a target whose shares stay, such as 'uniform' or a mapping",
        )
    due = outer.of(0) * taken
    most = int(due.argmax())
    if due[most] > 1 + 1e-9:
        raise Infeasible(
            f"{shown(categories.names[most])} is due {exactly(due[most])} times in a batch that takes {taken}",
            f"pass a share of at most 1 / {taken}, or take fewer at once",
        )


def _sizes(tree: Levels) -> dict[Any, int]:
    """The number of samples of every outermost group."""
    sizes = dict.fromkeys((name[0] for name in tree.names[0]), 0)
    for name, size in zip(tree.names[-1], tree.groups.sizes.tolist(), strict=True):
        sizes[name[0]] += size
    return sizes


def _leaf_shares(tree: Levels, outer: TargetShares) -> list[Fraction]:
    """The shares of the innermost groups: below the first level, branches divide the share of their node equally."""
    exact = outer.exact(0)  # integers, so that the branches of a node get exactly equal shares
    total = sum(exact)
    parts = [Fraction(share, total) for share in exact]
    for level in range(1, len(tree.names)):
        branches = tree.branches(level).tolist()
        # One division for each node, whose branches share the object.
        parts = [share for part, count in zip(parts, branches, strict=True) for share in [part / count] * count]
    return parts


def _check_branches(tree: Levels, counts: Sequence[int], distinct: bool) -> None:
    """Refuse a node that has fewer branches than a batch takes; for samples only if `distinct`, or if there are none."""
    for level, count in enumerate(counts):
        branches = tree.branches(level)
        short = np.flatnonzero(branches < count)
        if not short.size:
            continue
        names = tree.names[level - 1] if level else [("the dataset",)]
        name, has = names[int(branches.argmin())], int(branches.min())
        called = " / ".join(map(str, name))
        if level < len(counts) - 1:
            raise Infeasible(
                f"{shown(called)} has {has} groups below it, a batch takes {count}",
                f"take {has} at most, or leave out the groups that have fewer",
            )
        if not has:
            raise Infeasible(
                f"{shown(called)} has 0 samples, a batch takes {count}", "leave groups without samples out"
            )
        if distinct:
            raise Infeasible(
                f"{shown(called)} has {has} samples, a batch takes {count} ({short.size} such groups), and distinct samples "
                "were asked for",
                f"take {has} at most, or pass distinct=False",
            )
