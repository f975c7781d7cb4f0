"""Which windows a plan by lengths has, in steps of some number of micro-batches."""

from __future__ import annotations

import math
from typing import cast

from ..errors import Infeasible
from ..kinds import LengthKind
from ..lengths.layout import LAYOUT_WORK, EpochLayout, layout_of_one_window, layout_of_shuffle, layout_of_strata
from ..lengths.order_windows import OrderWindows
from ..lengths.windows import ShuffleWindows, StratumWindows, Windows

__all__ = ["MOST_IN_A_STEP", "check_step_size", "windows_in_steps"]

MOST_IN_A_STEP = 1 << 17
"""The most micro-batches in a step of a plan by lengths; planning a window of so many takes about ten seconds."""

_MOST_FOR_BUCKETS = 1 << 20  # micro-batches in a window that buckets need; more take minutes and gigabytes
_MOVES_ON = 30  # epochs that are measured if shares never settle


def check_step_size(plan: LengthKind, step_size: int) -> None:
    """Refuse steps that are too large to be planned in seconds."""
    if step_size > MOST_IN_A_STEP:
        raise Infeasible(
            f"a step has {step_size} micro-batches, and a plan by lengths plans {MOST_IN_A_STEP} together at most",
            "pass a smaller world_size or accumulate",
        )
    least, most = plan.cutter.least_steps * step_size, max(_MOST_FOR_BUCKETS, plan.epoch_samples)
    if not plan.same_samples and least > most:
        raise Infeasible(
            f"a window has {plan.cutter.least_steps} steps of {step_size} micro-batches at least, two for every bucket, "
            f"and a plan by lengths plans {most} micro-batches together at most",
            "pass fewer buckets, or a smaller world_size or accumulate",
        )


def windows_in_steps(plan: LengthKind, step_size: int) -> Windows:
    """The windows of the plan in steps of `step_size` micro-batches.

    With `order=` or `local=` they are ranges of that order. Otherwise plans of budgets, packs and groups of one size have
    strata. They use the plain shuffle only where one window is a whole epoch; `layout_of_shuffle` is for buckets only.
    """
    window = plan.window if isinstance(plan.window, str) else max(plan.window, plan.least_steps * step_size)
    if not plan.same_samples:
        # The micro-batches that buckets need depend on the step size: the last step of each is a short one.
        measured = step_size > 1 and plan.cutter.least_steps == 1
        shares = plan.order_plan.order.shares
        settles_at = shares.settles_at
        if settles_at and shares.every is not None:  # counted in parts of an epoch
            settles_at = math.ceil(settles_at * shares.every / plan.order_plan.epoch_batches)
        return OrderWindows(
            plan.order_plan.order,
            plan.admission,
            plan.cutter,
            epoch_samples=plan.epoch_samples,
            window=window,
            step_size=step_size,
            moves_over=_MOVES_ON if settles_at is None else settles_at,
            in_steps_of_one=cast(OrderWindows, plan.stepped(1).windows) if measured else None,
        )
    if plan.strata is not None and not (plan.window == "epoch" and plan.cutter.count_ignores_order):
        layout = layout_of_strata(plan.strata, plan.cutter, window=window, step_size=step_size)
        # An epoch shorter than two windows is one window. If its number of micro-batches depends on the order of the
        # samples, it is made of strata too, which bound that number.
        if layout is None and plan.window != "epoch" and not plan.cutter.count_ignores_order:
            layout = layout_of_strata(plan.strata, plan.cutter, window="epoch", step_size=step_size)
        if layout is not None:
            return StratumWindows(layout, plan.epoch_samples, plan.strata, plan.cutter)
    order = plan.order_plan.order
    return ShuffleWindows(_of_shuffle(plan, step_size), plan.epoch_samples, order, plan.admission, plan.cutter)


def _of_shuffle(plan: LengthKind, step_size: int) -> EpochLayout:
    """The layout of an epoch of the plain shuffle: windows that are ranges of it, or one window."""
    items = plan.admission.item_count(plan.epoch_samples) - plan.admission.skipped.size  # in an epoch

    def batches_needed(first: int, count: int) -> int:
        some = plan.admission.items(plan.order_plan.order.take(first, first + count))
        return len(plan.cutter.for_window(LAYOUT_WORK).cut(some, None, step_size)) if some.size else 0

    found = None
    if plan.strata is None and plan.window != "epoch":
        found = layout_of_shuffle(
            batches_needed,
            items=items,
            epoch_samples=plan.epoch_samples,
            window=plan.window,
            step_size=step_size,
            least_steps=plan.cutter.least_steps,
        )
    if found is not None:
        return found
    return layout_of_one_window(
        batches_needed,
        items,
        plan.epoch_samples,
        step_size=step_size,
        count_ignores_order=plan.cutter.count_ignores_order,
    )
