"""Plans of a fixed batch size that read few shards at a time: what `local=` does in their builders."""

from __future__ import annotations

from typing import Any

from ..errors import Infeasible, typed, warn
from ..groups import Groups
from ..orders import ShardDealt, Shards, ShardShuffle, ShardWeights
from ..orders.shares import Shares, WeightShares
from .fixed import FixedPlan
from .poor import faults

__all__ = ["checked_local", "dealt_in_shards", "shuffled_in_shards", "weighted_in_shards"]


def checked_local(local: Any, draw: str) -> Shards | None:
    """Check the argument `local`."""
    if local is None:
        return None
    if not isinstance(local, Shards):
        raise Infeasible(f"local is {typed(local)}", "pass bw.Shards(sizes), with the samples in each shard")
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
