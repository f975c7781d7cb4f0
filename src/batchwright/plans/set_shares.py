"""Shares that are set while a plan by lengths runs over an order with a moving target.

The order has the new shares from one of its own rounds on. A window that was begun before they were set is filled from the
order as it was then, since how many samples fit into it may depend on samples that come after it. So every change has
two places: the round of the order that has the new shares, and the first window that is filled from that order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, zip_longest
from typing import Any, NamedTuple

from ..errors import Infeasible, shown
from ..kinds import LengthKind
from ..lengths.order_windows import OrderWindows, WindowStart
from ..micro_batches import AS_IT_WAS
from ..orders import ShareChange
from ..position import number_of
from .fixed import FixedPlan

__all__ = ["SetShares", "alike_until", "orders_of", "set_shares_after", "set_shares_from", "with_latest"]

_MOST_KEPT = 16  # changes that a state holds; what came before them is then no longer known
_IN_USE = 2  # so many of the last changes are never left out


class SetShares(NamedTuple):
    """Shares that were set once during a run.

    Attributes:
        since: where the first window begins that is filled from the order with these shares.
        change: the change of the order.
    """

    since: WindowStart
    change: ShareChange

    def as_list(self) -> list[Any]:
        """The same in JSON types, for a state."""
        return [*self.since, *self.change.as_list()]


def set_shares_after(plan: LengthKind, micro_batch: int, shares: Any, *, in_samples: bool) -> tuple[SetShares, int]:
    """The change to these shares, from the first window on that begins at `micro_batch` or later.

    Returns:
        The change, and the number of that window.

    Raises:
        Infeasible: the plan has no order with a moving target, or a share is outside its limits.
    """
    windows = plan.windows
    if not isinstance(windows, OrderWindows):
        raise Infeasible(
            f"the shares of {plan!r} cannot be set",
            "pass order=bw.balanced(..., target=targets.moving(...)), or bw.mixed, to the plan by lengths",
        )
    window = windows.window_and_place(windows.next_boundary(micro_batch))[0]
    since = windows.start(window)
    order = plan.order_plan
    # Of a sample whose pieces are divided between two windows, the first ones were used.
    unused = since.place + bool(since.skipped)
    return SetShares(
        since, order.share_change_after(-(-unused // order.batch_size), shares, in_samples=in_samples)
    ), window


def with_latest(changes: Sequence[SetShares], latest: SetShares) -> list[SetShares]:
    """The changes after one more: those that no window needs any longer are left out."""
    kept = [*(one for one in changes if one.since < latest.since or one.change.first < latest.change.first), latest]
    while len(kept) > _MOST_KEPT:
        # First a change that the next one replaced before its round began; if there is none, the oldest. The last changes
        # stay: the window that the run is in, and that of a look, are filled from the order that they made.
        replaced = (
            place
            for place, (one, other) in enumerate(pairwise(kept[:-_IN_USE]))
            if one.change.first >= other.change.first
        )
        del kept[next(replaced, 0)]
    return kept


def orders_of(order: FixedPlan, changes: Sequence[SetShares]) -> tuple[FixedPlan, list[tuple[WindowStart, Any]]]:
    """The order with these changes, and where windows begin that are filled from the order as it was after each of them.

    Args:
        order: the order's plan before any change.
        changes: in the order in which they were made.
    """
    known = list(order.share_changes)  # of a plan that was retargeted before it was given as an order
    plan, orders = order, []
    if not changes or changes[0].change.number <= 1 + (known[-1].number if known else 0):
        orders.append((WindowStart(0), order.order))
    else:  # earlier changes were left out, so samples that came before the first of these are not known
        first = changes[0].change.first * order.batch_size
        changes = [changes[0]._replace(since=max(changes[0].since, WindowStart(first))), *changes[1:]]
    for since, change in changes:
        known = [*(earlier for earlier in known if earlier.first < change.first), change]
        plan = order.with_share_changes(known)
        orders.append((since, plan.order))
    return plan, orders


def alike_until(before: Sequence[SetShares], after: Sequence[SetShares]) -> WindowStart:
    """The place in the order up to which windows begin in the same places with both lists of changes.

    It is where the first change begins that is in one list only. There is one exception: if `after` is what one more change
    makes of `before`, its oldest change may be left out, and windows begin in the same places up to the new change.
    """
    if after and with_latest(before, after[-1]) == list(after):
        return after[-1].since
    pairs = zip_longest(before, after)
    return min(change.since for pair in pairs if pair[0] != pair[1] for change in pair if change is not None)


def set_shares_from(order: FixedPlan, plan_state: Mapping[str, Any]) -> list[SetShares]:
    """Read changes from the state of a plan by lengths; the inverse of `SetShares.as_list`.

    Raises:
        Infeasible: no run over this order can have made them.
    """
    given = plan_state.get("set_shares", [])
    if not isinstance(given, list) or len(given) > _MOST_KEPT:
        raise Infeasible(f"the state's set_shares are {shown(given)}, at most {_MOST_KEPT}", AS_IT_WAS)
    changes: list[SetShares] = []
    for one in given:
        try:
            place, skipped, *change = one
            changes.append(
                SetShares(
                    WindowStart(number_of(place, "a place of set_shares"), number_of(skipped, "a place of set_shares")),
                    ShareChange.from_list(change),
                )
            )
        except (TypeError, ValueError):
            raise Infeasible(f"the state's set_shares are {shown(given)}", AS_IT_WAS) from None
    sinces = [change.since for change in changes]
    ascending = all(one < other for one, other in pairwise(sinces))
    if not ascending or any(
        min(since) < 0 or since.place > change.first * order.batch_size for since, change in changes
    ):
        raise Infeasible(f"the state's set_shares begin at {shown(sinces)}", AS_IT_WAS)
    orders_of(order, changes)  # which checks the changes themselves
    return changes
