"""Mixtures: several sources in one stream of batches, to any depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from .. import columns
from ..errors import Infeasible, check_mapping, shown, warn
from ..groups import Groups
from ..orders import Dealt, Mixed, Order
from ..orders.shares import TargetShares
from ..targets import natural, resolve
from ..targets.units import measured
from .balanced import check_quotas, checked, epoch_length
from .delivered import Units, reweighed
from .fixed import FixedPlan
from .plan import Plan
from .poor import faults, undersized
from .tasks import TaskPlan

__all__ = ["mixed"]


def mixed(
    sources: Mapping[Any, Any],
    batch_size: int,
    *,
    target: Any = "natural",
    per_source: int = 1,
    epoch: int | Literal["natural", "largest", "smallest"] = "natural",
    distinct: bool = False,
    seed: int = 0,
) -> FixedPlan:
    """Batches that take exactly their share from each of several sources, each of which may be balanced or mixed itself.

    Indices address the `torch.utils.data.ConcatDataset` of the sources' datasets, in the order given;
    `plan.locate(indices)` gives (source names, numbers within the source). A source is never exhausted: when all its
    samples were seen it goes on with its next pass, and `plan.summary()` says how many passes an epoch makes through each.

    Args:
        sources: by name: a number of samples, or anything that has a length (a dataset, a column of labels) or `Groups`, to
            be shuffled; or a plan of fixed-size micro-batches, or an order, that is followed as it is. Shares inside such a
            source are exact over its own micro-batches: give it its quota as batch size to have them exact in every batch.
            Where a batch takes from several of its micro-batches, its passes are joined again so that samples stay distinct.
        batch_size: samples in every micro-batch.
        target: the wanted shares of the sources, as for `balanced`: "natural" is proportional to their sizes,
            `targets.temperature(T)` flattens that, `targets.capped(passes)` bounds repetition, a mapping is explicit.
        per_source: samples of a source come in runs of this many consecutive draws.
        epoch: "natural" (as many samples as all sources have), "largest" / "smallest" (until the largest / smallest source
            has been seen once), or a number of micro-batches.
        distinct: refuse a plan in which a sample may come twice in a micro-batch: because a source is smaller than its
            quota, or a group of a source with an order of its own smaller than what a micro-batch may take of it.
        seed: 0 to 2^64 - 1; a source that is a plan keeps its own.

    Raises:
        Infeasible: no sources, a source that is nothing of the above, or a target that cannot be met.

    Warns:
        PoorWarning: a source, or a group of a source with an order of its own, is so small that samples repeat within a
            micro-batch; or samples practically never come, less than once while a hundred times as many are drawn as there
            are.

    Example:
        >>> import batchwright as bw
        >>> rare = bw.balanced(["cat"] * 90 + ["dog"] * 10, batch_size=4)
        >>> plan = bw.mixed({"web": 1000, "rare": rare}, batch_size=8, target={"web": 0.5, "rare": 0.5})
        >>> int((plan[7] >= 1000).sum()), int((plan[7] >= 1090).sum())  # rare ones, and dogs among them
        (4, 2)
    """
    batch_size, per_source, seed = checked(batch_size, per_source, seed, called="per_source")
    sizes: dict[Any, int] = {}
    children: dict[int, Order] = {}
    for number, (name, source) in enumerate(check_mapping(sources, "sources").items()):
        sizes[name], child = source_of(name, source)
        if child is not None:
            children[number] = child
    groups = Groups.from_sizes(sizes)
    wanted = resolve(target)
    shares = TargetShares(wanted, groups)
    check_quotas(groups, shares, batch_size, per_source, "exact", distinct, called="per_source")
    length = epoch_length(groups, shares, batch_size, epoch)
    dealt = Dealt(groups, shares, batch_size=batch_size, per_ticket=per_source, seed=seed, epoch_batches=length)
    order = Mixed(dealt, children) if children else dealt
    if isinstance(order, Mixed) and distinct:
        for source in order.undersized_sources():
            fact, way_out = undersized(order, source)
            raise Infeasible(f"{fact}, and distinct samples were asked for", f"{way_out}, or pass distinct=False")
    plan = FixedPlan(order, epoch_batches=length)
    lengths = measured(wanted)
    if children and lengths is not None:  # a source with shares of its own draws samples of another mean length
        plan = reweighed(plan, Units.of(lengths, lengths, np.empty(0, np.int64)))
    warn(*faults(plan.order))
    return plan


def source_of(name: Any, source: Any) -> tuple[int, Order | None]:
    """How many samples a source of a mixture has, and its order if it has one of its own."""
    if isinstance(source, FixedPlan):
        return source.groups.sample_count, source.order
    if isinstance(source, Order):
        return source.groups.sample_count, source
    if isinstance(source, Groups):
        if source.grouped_count == source.sample_count:
            return source.sample_count, None
        return source.sample_count, _grouped_only(source)
    if isinstance(source, TaskPlan):
        raise Infeasible(
            f"source {shown(name)} keeps each micro-batch to one task, which a mixture would break up",
            "mix the plans of its tasks, or pass the mixture to alternating as one of the tasks",
        )
    if isinstance(source, Plan):
        raise Infeasible(
            f"source {shown(name)} is a plan whose micro-batches differ in size, it has no endless order to draw from",
            "mix the orders, and cut the mixture: pass order=mixed(...) to the plan by lengths",
        )
    return columns.sample_count(source, called=f"source {name!r}"), None


def _grouped_only(groups: Groups) -> Order:
    """A shuffle of the samples that are in a group."""
    assert groups.index is not None  # contiguous groups hold every sample
    index = np.sort(groups.index)
    one = Groups(["grouped"], np.array([0, index.size]), index, groups.sample_count)
    return Dealt(one, TargetShares(natural(), one), batch_size=1)
