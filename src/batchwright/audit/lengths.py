"""Guarantees of the plans that cut by cost, measured on the epochs they really yield."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import whole
from .report import Audit, Finding

if TYPE_CHECKING:
    from ..plans.lengthwise import LengthPlan

__all__ = ["audit_lengths"]


def audit_lengths(plan: LengthPlan, *, multiple: int = 1, epochs: int = 1, first: int = 0) -> Audit:
    """Measure `epochs` whole epochs of a run from epoch `first` on, from the samples themselves.

    - G1 budget: how far a micro-batch is over its limits (see the cutter's `excess`), but for samples that are too long
      and were let through alone.
    - G4 coverage: how often too many or too few times a sample comes in an epoch, beside its stretch of the order.
    - G8 steps: how many micro-batches an epoch has beyond or short of the number that was promised for every epoch.
    - balance: what the dearest micro-batch of a step costs above the mean of its step, as a share; nothing is promised.
    - padding: the share of what is computed that is no token; nothing is promised.

    Args:
        plan: a plan that cuts by cost.
        multiple: micro-batches in a step, world size x accumulate.
        epochs: how many to measure; 1 or more.
        first: the first of them.

    Example:
        >>> import batchwright as bw
        >>> bw.budgeted([5, 3, 8, 2, 7, 1, 6, 4], max_tokens=16).audit(epochs=3).kept
        True
    """
    epochs, first = whole(epochs, "epochs", least=1), whole(first, "first", least=0)
    cutter, promised = plan.cutter, plan.epoch_length(multiple)
    excess, coverage, steps, balance = ((0.0, "nowhere above 0") for _ in range(4))
    useful = computed = 0.0
    position = plan.started(first, multiple)
    for epoch in range(first, first + epochs):
        run = plan.epoch_at(position)
        batches, stretch = list(run), run.sections[0].items
        position = plan.moved(position._replace(consumed=promised), epoch + 1)
        off = abs(len(batches) - promised) + len(batches) % multiple
        steps = max(steps, (float(off), f"epoch {epoch}"))
        items = [plan.admission.taken(batch)[0] for batch in batches]
        wanted = plan.between(stretch.begin(0), stretch.end())
        held = np.concatenate(items)
        size = int(max(held.max(initial=0), wanted.max(initial=0))) + 1
        apart = np.abs(np.bincount(held, minlength=size) - np.bincount(wanted, minlength=size))
        coverage = max(coverage, (float(apart.max()), f"epoch {epoch}, item {int(apart.argmax())}"))
        for number, batch in enumerate(items):
            if batch.size > 1 or plan.admission.too_long != "alone":
                excess = max(excess, (float(cutter.excess(batch)), f"epoch {epoch}, micro-batch {number}"))
            tokens = cutter.tokens(batch)
            useful, computed = useful + tokens[0], computed + tokens[1]
        costs = np.array([cutter.cost(batch) for batch in items])
        for begin in range(0, len(costs), multiple):
            step = costs[begin : begin + multiple]
            if step.mean() > 0:
                balance = max(
                    balance, (float(step.max() / step.mean() - 1), f"epoch {epoch}, micro-batches from {begin}")
                )
    return Audit(
        first * promised,
        epochs * promised,
        (
            Finding("G1 budget", 0, *excess),
            Finding("G4 coverage", 0, *coverage),
            Finding("G8 steps", 0, *steps),
            Finding("balance", np.inf, *balance),
            Finding("padding", np.inf, 1 - useful / computed if computed else 0.0, "all of them"),
        ),
    )
