"""Shares set while a run is under way: checked, made whole, and put into the order from a round on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..columns import as_numbers, by_label
from ..errors import Infeasible, real
from ..orders import Dealt, Mixed, Segment
from ..orders.shares import TargetShares
from ..targets import Target, resolve
from .fixed import FixedPlan
from .poor import repeated, repeats_text, warn

__all__ = ["segment_after", "with_segments"]

_WHOLE = 1 << 40
_TOLERANCE = 1e-6


def segment_after(plan: FixedPlan, batch: int, shares: Any) -> Segment:
    """See `FixedPlan.segment_after`."""
    limits, order = plan.order.shares.limits, plan.order
    if limits is None or not isinstance(order, Dealt | Mixed):
        raise Infeasible(
            f"the shares of {plan!r} cannot be set",
            "build the plan with target=targets.moving(...), which tells how far shares may go",
        )
    names, shares = plan.groups.names, by_label(shares)
    if isinstance(shares, (str, Target)):
        target = resolve(shares)
        if not target.stays:
            raise Infeasible(
                f"the target {target} moves", "set shares that stay, and set them again when they are to change"
            )
        shares = TargetShares(target, plan.groups).of(0)
    if isinstance(shares, Mapping):
        if set(shares) != set(names):
            odd = next(iter(set(shares) ^ set(names)))
            raise Infeasible(f"the new shares and the groups differ in {odd!r}", "give every group a share")
        shares = [real(shares[name], f"the share of {name!r}") for name in names]
    wanted = np.asarray(as_numbers(shares, called="the new shares"), np.float64)
    if wanted.shape != (len(names),) or not np.isfinite(wanted).all() or abs(float(wanted.sum()) - 1) > _TOLERANCE:
        raise Infeasible(
            f"the {wanted.size} new shares sum to {float(wanted.sum()):g}", f"give {len(names)} that sum to 1"
        )
    for name, size, share in zip(names, plan.groups.sizes.tolist(), wanted.tolist(), strict=True):
        if not limits[0] - _TOLERANCE <= share <= limits[1] + _TOLERANCE:
            raise Infeasible(
                f"group {name!r} is given the share {share:g}, the plan is laid out for {limits[0]:g} to {limits[1]:g}",
                "stay within these limits, or build the plan with others",
            )
        if share and not size:
            raise Infeasible(f"group {name!r} is given the share {share:g} but it has 0 samples", "give it none")
    weights = [round(share * _WHOLE) for share in wanted.tolist()]
    rows = repeated(order.shares.moved(weights), plan.groups, order.tickets, order.per_ticket)
    if rows.group.size:
        warn(repeats_text(rows, plan.groups, order.window))
    return order.dealt.segment_after(batch, weights)


def with_segments(plan: FixedPlan, segments: Sequence[Segment]) -> FixedPlan:
    """See `FixedPlan.with_segments`."""
    assert isinstance(plan.order, Dealt | Mixed)  # nothing else makes segments
    return FixedPlan(plan.order.with_segments(segments), epoch_batches=plan.epoch_batches)
