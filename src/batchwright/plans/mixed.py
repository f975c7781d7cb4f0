"""Mixtures of several sources; a source may be a mixture itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ..calls import recorded
from ..errors import Infeasible, check_mapping, shown, warn
from ..groups import Groups
from ..inputs import columns
from ..lengths.numbers import Numbers
from ..orders import Dealt, Mixed, Order, Shards, is_order
from ..orders.shares import TargetShares
from ..targets import natural, resolve
from ..targets.units import lengths_in_units
from .balanced import check_batch_arguments, check_quotas, epoch_length
from .delivered import Units, reweighed
from .fixed import FixedPlan
from .local import shards_of_sources, shuffled_sources
from .plan import Plan
from .poor import faults, undersized
from .tasks import TaskPlan

__all__ = ["mixed"]


@recorded
def mixed(
    sources: Mapping[Any, Any],
    batch_size: int,
    *,
    target: Any = "natural",
    per_source: int = 1,
    epoch: int | Literal["natural", "largest", "smallest"] = "natural",
    distinct: bool = False,
    local: Mapping[Any, Shards] | None = None,
    seed: int = 0,
) -> FixedPlan:
    """Batches with exact shares of several sources; a source may itself be balanced or mixed.

    Indices are those of the `torch.utils.data.ConcatDataset` of the sources' datasets, in the order given;
    `plan.locate(indices)` returns the sources and the indices within them. A source never ends: when all its samples
    have come, its next pass begins. `plan.summary()` says how many passes of each source an epoch has.

    Args:
        sources: for each source, by name, one of these: a number of samples, an object with a length (a dataset, a
            column of labels) or `Groups`, to be shuffled; a plan of a fixed batch size, or an order, whose order is
            kept. Shares within such a source are exact over its own micro-batches: for exact shares in every batch of
            the mixture, give it its quota as batch size. If a batch takes from several micro-batches of it, its samples
            are distinct too.
        batch_size: samples in every micro-batch, int, 1 or more.
        target: the wanted shares of the sources, as for `balanced`: "natural" is proportional to their sizes,
            `targets.temperature(T)` makes these more equal, `targets.capped(passes)` limits repetition, a mapping is
            explicit.
        per_source: samples of a source that come together.
        epoch: "natural" (as many samples as all sources have), "largest" / "smallest" (until each sample of the largest
            / smallest source has come once), or a number of micro-batches.
        distinct: whether to refuse a plan in which a sample can come twice in a micro-batch: a source is smaller than
            its quota, or a group of a source with its own order is smaller than what a micro-batch can take of it.
        local: `{name: bw.Shards(sizes)}`, the shards that the samples of a source lie in: of that source, each rank then
            reads from few of them at a time. Sources that are not named are shuffled as a whole; a plan as a source has
            a `local` of its own.
        seed: int from 0 to 2^64 - 1; a source that is a plan keeps its own seed.

    Raises:
        Infeasible: there are no sources, a source is none of the above, or the target cannot be met.

    Warns:
        PoorWarning: a source, or a group of a source with its own order, is so small that samples repeat within a
            micro-batch; or samples are practically never drawn: less than once in a hundred times as many draws as
            there are samples; or a source is empty, and the target does not name it.

    Example:
        >>> import batchwright as bw
        >>> rare = bw.balanced(["cat"] * 90 + ["dog"] * 10, batch_size=4)
        >>> plan = bw.mixed({"web": 1000, "rare": rare}, batch_size=8, target={"web": 0.5, "rare": 0.5})
        >>> int((plan[7] >= 1000).sum()), int((plan[7] >= 1090).sum())  # rare ones, and dogs among them
        (4, 2)
    """
    batch_size, per_source, seed = check_batch_arguments(batch_size, per_source, seed, called="per_source")
    sizes: dict[Any, int] = {}
    children: dict[int, Order] = {}
    shards = shards_of_sources(local, check_mapping(sources, "sources"))
    for number, (name, source) in enumerate(sources.items()):
        sizes[name], child = size_and_order(name, source)
        if child is not None:
            children[number] = child
            if name in shards:
                raise Infeasible(
                    f"local has shards for source {shown(name)}, which has an order of its own",
                    "pass local where that plan is built, or the number of samples as the source",
                )
    groups = Groups.from_sizes(sizes)
    wanted = resolve(target)
    shares = TargetShares(wanted, groups)
    empty = [] if isinstance(target, Mapping) else [name for name, size in sizes.items() if not size]
    if empty:
        warn(
            f"source {shown(empty[0])} has 0 samples and is never drawn; see whether its path, filter or split is right, or "
            "leave it out"
        )
    check_quotas(groups, shares, batch_size, per_source, "exact", distinct, called="per_source")
    length = epoch_length(groups, shares, batch_size, epoch)
    dealt = Dealt(
        groups,
        shares,
        batch_size=batch_size,
        per_ticket=per_source,
        seed=seed,
        epoch_batches=shares.every or length,
    )
    children |= shuffled_sources(dealt, shards, seed)
    order = Mixed(dealt, children) if children else dealt
    if isinstance(order, Mixed) and distinct:
        for source in order.undersized_sources():
            fact, way_out = undersized(order, source)
            raise Infeasible(f"{fact}, and distinct samples were asked for", f"{way_out}, or pass distinct=False")
    plan = FixedPlan(order, epoch_batches=length)
    lengths = lengths_in_units(wanted)
    if children and lengths is not None:  # a source with its own shares may draw samples of another mean length
        column = Numbers(lengths)
        plan = reweighed(plan, Units.of(column, column, np.empty(0, np.int64)))
    warn(*faults(plan.order))
    return plan


def size_and_order(name: Any, source: Any) -> tuple[int, Order | None]:
    """The number of samples of a source, and its order if it has its own."""
    if isinstance(source, FixedPlan):
        return source.groups.sample_count, source.order
    if is_order(source):
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
    """A shuffle of those samples that are in a group."""
    assert groups.index is not None  # contiguous groups hold every sample
    index = np.sort(groups.index)
    one = Groups(["grouped"], np.array([0, index.size]), index, groups.sample_count)
    return Dealt(one, TargetShares(natural(), one), batch_size=1)
