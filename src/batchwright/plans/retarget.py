"""Shares that are set during a run: checks them, and puts them into the order from a round on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import Infeasible, check_bool, check_number, exactly, shown, warn
from ..groups import Groups
from ..inputs.columns import as_numbers, by_label
from ..kinds import FixedKind
from ..micro_batches import AS_IT_WAS, LAST
from ..orders import Dealt, Independent, Mixed, ShareChange, SharedOrder
from ..orders.constant_shares import TICKET
from ..orders.shares import Shares, TargetShares, WeightShares
from ..targets import Target, resolve
from ..targets.capped import counting_draws
from ..targets.units import in_measure, lengths_in_units
from .poor import repeated, repeats_text

__all__ = ["share_change_after", "with_share_changes"]

_WHOLE = 1 << 40  # shares become integers that sum to this, so that a state holds them exactly, in 13 digits each
_TOLERANCE = 1e-6  # shares written with a few digits may miss 1, and a limit, by this
_MOST_DEFICIT = 64 * TICKET  # a state with more is damaged: a group can lack a tenth of this (guarantee G3)


def share_change_after(plan: FixedKind, batch: int, shares: Any, *, in_samples: bool) -> ShareChange:
    """See `FixedPlan.share_change_after`."""
    order, groups = plan.order, plan.groups
    limits = _check_settable(plan)
    assert isinstance(order, Dealt | Mixed)
    sums = None if check_bool(in_samples, "in_samples") else _sums_of_unit(order.shares)
    wanted = _one_a_group(shares, groups, sums)
    _check_shares(wanted, groups, limits, "share" if sums is None else "share of samples")
    weights = [round(share * _WHOLE) for share in wanted]
    rows = repeated(order.shares.moved(weights), groups, order.tickets, order.per_ticket)
    if rows.group.size:
        warn(repeats_text(rows, groups, order.batch_size))
    return order.dealt.share_change_after(batch, weights)


def _check_settable(plan: FixedKind) -> tuple[float, float]:
    """The limits of the shares of a plan; refuses a plan whose shares cannot be set."""
    order, limits = plan.order, plan.order.shares.limits
    if isinstance(order, Dealt | Mixed) and limits is not None:
        return limits
    why, way_out = "", "build the plan with target=targets.moving(...), which tells how far shares may go"
    if not isinstance(order, Dealt | Mixed):
        why = ": its draws are independent" if isinstance(order, Independent) else ": its groups come in turn"
        way_out = "build it with balanced(..., target=targets.moving(...), draw='exact')"
    elif isinstance(order.shares, WeightShares):
        why = ": they are weights of single samples"
        way_out = "group the samples, and build the plan with balanced(groups, ..., target=targets.moving(...))"
    raise Infeasible(f"the shares of {plan!r} cannot be set{why}", way_out)


def _sums_of_unit(shares: Shares) -> Sequence[Fraction] | None:
    """How much of its unit each group has, if the shares began in a unit such as tokens."""
    if not isinstance(shares, TargetShares):
        return None
    found = (in_measure(part) for part in shares.target.arguments if isinstance(part, Target))
    return next((sums for sums in found if sums is not None), None)


def _one_a_group(shares: Any, groups: Groups, sums: Sequence[Fraction] | None) -> list[float]:
    """Turn shares of any accepted form into one share of samples for each group.

    Args:
        shares: what was passed.
        groups: the groups.
        sums: how much each has of the unit of these shares; None for shares of samples.
    """
    names, shares = groups.names, by_label(shares)
    if isinstance(shares, (str, Target)):
        target = resolve(shares)
        if not target.stays:
            raise Infeasible(
                f"the target {target} moves", "pass shares that stay, and call retarget again when they are to change"
            )
        if lengths_in_units(target) is not None:
            sums = None  # it says itself in which unit it is
        if sums is None:
            shares = TargetShares(target, groups).of(0)
        else:
            shares = counting_draws(target).bound_to(groups).shares(sums, names=names)
    if isinstance(shares, Mapping):
        shares = _by_group(shares, names)
    wanted = np.asarray(as_numbers(shares, called="the new shares"), np.float64)
    if wanted.ndim != 1:
        raise Infeasible(
            f"the new shares are of shape {wanted.shape}", f"pass one share a group, of shape ({len(names)},)"
        )
    if wanted.shape != (len(names),) or not np.isfinite(wanted).all() or abs(float(wanted.sum()) - 1) > _TOLERANCE:
        raise Infeasible(
            f"the {wanted.size} new shares sum to {exactly(wanted.sum())}", f"give {len(names)} that sum to 1"
        )
    if sums is not None:  # a share of samples is one of the unit, divided by what a sample has of it on average
        means = np.divide(np.array(sums, float), groups.sizes, out=np.ones(wanted.size), where=groups.sizes > 0)
        in_samples = wanted / means
        wanted = in_samples / in_samples.sum()
    found: list[float] = wanted.tolist()
    return found


def _by_group(shares: Mapping[Any, Any], names: Sequence[Any]) -> list[float]:
    """Shares by name in the order of the groups."""
    groups = set(names)
    unknown, missing = [name for name in shares if name not in groups], [name for name in names if name not in shares]
    if unknown or missing:
        raise Infeasible(
            f"the new shares name {shown(unknown[0])}, which is no group"
            if unknown
            else f"the new shares have none for group {shown(missing[0])}",
            "give every group of the plan a share, and nothing else",
        )
    return [check_number(shares[name], f"the share of {name!r}") for name in names]


def _check_shares(wanted: list[float], groups: Groups, limits: tuple[float, float], called: str) -> None:
    """Refuse shares beyond the limits of the plan, and shares of empty groups."""
    for name, size, share in zip(groups.names, groups.sizes.tolist(), wanted, strict=True):
        if not limits[0] - _TOLERANCE <= share <= limits[1] + _TOLERANCE:
            raise Infeasible(
                f"group {shown(name)} is given the {called} {exactly(share)}, the plan is laid out for {exactly(limits[0])} "
                f"to {exactly(limits[1])}",
                "stay within these limits, or build the plan with others",
            )
        if share and not size:
            raise Infeasible(
                f"group {shown(name)} is given the share {exactly(share)} but it has 0 samples", "give it the share 0"
            )


def with_share_changes(plan: FixedKind, share_changes: Sequence[ShareChange]) -> SharedOrder:
    """See `FixedPlan.with_share_changes`."""
    order = plan.order
    if share_changes and (order.shares.limits is None or not isinstance(order, Dealt | Mixed)):
        raise Infeasible(f"there are shares that were set, those of {plan!r} cannot be", AS_IT_WAS)
    assert isinstance(order, Dealt | Mixed)
    for change in share_changes:
        _check_change(change, order.dealt)
    for before, after in pairwise(share_changes):
        if not (before.first < after.first and before.number + 1 == after.number):
            raise Infeasible(
                f"change {after.number} of the shares, at micro-batch {after.first}, comes after change {before.number}, "
                f"at micro-batch {before.first}",
                AS_IT_WAS,
            )
    changed: SharedOrder = order.with_share_changes(share_changes)
    return changed


def _check_change(change: ShareChange, dealt: Dealt) -> None:
    """Refuse a change that no run can have made: kernels read its numbers without a check."""
    groups = dealt.groups
    if not (len(change.weights) == len(change.drawn) == len(change.deficit) == groups.group_count):
        raise Infeasible(
            f"{len(change.weights)} shares were set, with {len(change.drawn)} draws and {len(change.deficit)} dues, of "
            f"{groups.group_count} groups",
            AS_IT_WAS,
        )
    drawn_by_then = (
        0 <= change.first <= LAST
        and change.number > 0
        and min(change.drawn) >= 0
        and sum(change.drawn) == change.first * dealt.tickets
        and sum(change.deficit) == 0
        and max(map(abs, change.deficit)) <= _MOST_DEFICIT
    )
    if not (drawn_by_then and _within(change.weights, groups, dealt.shares.limits or (0, 1))):
        raise Infeasible(
            f"the shares that were set at micro-batch {shown(change.first)} do not go with what was drawn by then",
            AS_IT_WAS,
        )


def _within(weights: Sequence[int], groups: Groups, limits: tuple[float, float]) -> bool:
    """Whether shares sum to 1, keep the limits and give nothing to empty groups."""
    low, high = (limit * _WHOLE for limit in limits)
    near = _TOLERANCE * _WHOLE
    return (
        abs(sum(weights) - _WHOLE) <= near
        and all(weight >= 0 and low - near <= weight <= high + near for weight in weights)
        and all(size or not weight for size, weight in zip(groups.sizes.tolist(), weights, strict=True))
    )
