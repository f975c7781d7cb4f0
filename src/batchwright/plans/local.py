"""Plans that read few shards at a time: what `local=` does in the builders of plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import Infeasible, check_mapping, listed, refused_of, shown, typed, warn
from ..groups import Groups
from ..kernels.hashing import PURPOSE, child_key
from ..orders import Dealt, Order, ShardDealt, Shards, ShardShuffle, ShardWeights
from ..orders.shard_shuffle import least_open
from ..orders.shares import Shares, TargetShares, WeightShares
from ..targets import natural
from .fixed import FixedPlan
from .poor import faults

__all__ = [
    "checked_local", "dealt_in_shards", "half_open", "shards_of_sources", "shuffled_in_shards", "shuffled_sources",
    "weighted_in_shards",
]  # fmt: skip


def checked_local(local: Any, draw: str, called: str = "local") -> Shards | None:
    """Check the argument `local`, or a part of it; `called` is its name in messages."""
    if local is None:
        return None
    if not isinstance(local, Shards):
        raise Infeasible(f"{called} is {typed(local)}", "pass bw.Shards(sizes), with the samples in each shard")
    if draw == "random":
        raise Infeasible("independent draws keep to no shards", "pass draw='exact', or leave local out")
    return local


def shuffled_in_shards(
    groups: Groups, shares: Shares, batch_size: int, seed: int, length: int, local: Shards
) -> FixedPlan:
    """A shuffle."""
    order = ShardShuffle(groups, shares, batch_size=batch_size, seed=seed, shards=local)
    return FixedPlan(order, epoch_batches=length)


def dealt_in_shards(
    groups: Groups,
    shares: Shares,
    batch_size: int,
    per_class: int,
    seed: int,
    length: int,
    local: Shards,
    *,
    distinct: bool,
) -> FixedPlan:
    """Groups in exact shares."""
    if shares.settles_at != 0 or shares.limits is not None:
        raise Infeasible(
            f"with local= shares are constant, and the target {shares.shown} moves",
            "pass a target that stays the same, or leave local out",
        )
    if distinct:
        raise Infeasible(
            "with local= distinct samples cannot be promised: open shards may have few samples of a group",
            "pass distinct=False, or leave local out",
        )
    order = ShardDealt(
        groups, shares, batch_size=batch_size, per_ticket=per_class, seed=seed, epoch_batches=length, shards=local
    )
    warn(*faults(order))
    return FixedPlan(order, epoch_batches=length)


def weighted_in_shards(
    shares: WeightShares, count: int, batch_size: int, seed: int, length: int, local: Shards
) -> FixedPlan:
    """Samples by weight."""
    order = ShardWeights(shares, count, batch_size=batch_size, seed=seed, epoch_batches=length, shards=local)
    warn(*faults(order))
    return FixedPlan(order, epoch_batches=length)


def shards_of_sources(local: Any, sources: Mapping[Any, Any]) -> dict[Any, Shards]:
    """Check the argument `local` of a mixture: shards by the name of a source."""
    if local is None:
        return {}
    if isinstance(local, Shards):
        raise Infeasible(
            "local is one bw.Shards, and each source lies in shards of its own",
            f"pass local={{{shown(next(iter(sources)))}: bw.Shards(sizes)}}, by the names of sources",
        )
    found: dict[Any, Shards] = {}
    for name, shards in check_mapping(local, "local").items():
        if name not in sources:
            raise Infeasible(
                f"local has {shown(name)}, which is no source", f"pass names of sources: {listed(list(sources))}"
            )
        held = checked_local(shards, "exact", f"local[{shown(name)}]")
        if held is not None:
            found[name] = held
    return found


def half_open(shards: Shards, samples: int, why: str) -> Shards:
    """The same shards with half as many open, for readers that may need those before and those after a change at once.

    Args:
        shards: the shards.
        samples: the shards of the half must always hold so many.
        why: which reader needs both, for a message.
    """
    _, least = least_open(shards, samples)
    if shards.open < 2 * least:
        raise Infeasible(
            f"open={shards.open} is too few: {why} may be read from shards that end in it and from shards that begin in it, "
            f"and {least} of each are needed",
            f"pass bw.Shards(sizes, open={2 * least})",
        )
    return Shards(shards.sizes, shards.open // 2, ranks=shards.ranks)


def shuffled_sources(dealt: Dealt, shards: Mapping[Any, Shards], seed: int) -> dict[int, Order]:
    """The orders of those sources of a mixture that are read few shards at a time, by the number of the source.

    Where a source has a whole quota, that is the batch size of its order: micro-batch t of the mixture then takes
    micro-batch t of it, so shards that are divided among ranks stay with them. Elsewhere a micro-batch may take of two
    blocks of shards, so each block has half of those that may be open.

    Args:
        dealt: deals the places of a micro-batch to the sources.
        shards: the shards of each of these sources, by its name.
        seed: that of the mixture; each source gets a seed of its own from it.
    """
    names, sizes = list(dealt.groups.names), dealt.groups.sizes
    most, whole = dealt.most_drawn(), dealt.integer_quotas()
    found: dict[int, Order] = {}
    for name, held in shards.items():
        number = names.index(name)
        groups, quota = Groups.from_sizes({"all": int(sizes[number])}), int(most[number])
        with refused_of(f"of source {shown(name)}"):
            if not whole[number]:
                held = half_open(held, 2 * quota, f"the {quota} samples of a micro-batch")
            order = ShardShuffle(
                groups,
                TargetShares(natural(), groups),
                batch_size=quota if whole[number] else 1,
                seed=child_key(child_key(seed, PURPOSE.LOCAL_SOURCE), number),
                shards=held,
            )
            found[number] = order if whole[number] else order.distinct_within(quota)
    return found
