"""Guarantees of the plans that cut by cost, measured on the epochs they really yield."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import whole
from .report import Audit, Finding
from .worst import Worst

if TYPE_CHECKING:
    from ..plans.by_length import LengthPlan

__all__ = ["audit_lengths"]


def audit_lengths(plan: LengthPlan, *, multiple: int = 1, epochs: int = 1, first: int = 0) -> Audit:
    """Measure `epochs` whole epochs of a run from epoch `first` on, from the samples themselves.

    - G1 budget: how far a micro-batch is over its limits (see the cutter's `excess`), but for samples that are too long
      and were let through alone.
    - G4 coverage: how often too many or too few times a sample comes. Where nobody asked for another order, an epoch holds
      every sample once; over an order, windows hold what the order has from where the first of them begins to where the
      last of them ends. The windows are measured whole.
    - G8 steps: micro-batches without a sample, which would leave a rank without work.
    - balance: what the most expensive micro-batch of a step costs above the mean of its step, as a share; nothing is
      promised.
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
    stepped, cutter, admission = plan.stepped(multiple), plan.cutter, plan.admission
    length = stepped.epoch_batches
    budget, coverage, empty, balance = (Worst() for _ in range(4))
    useful = computed = 0.0
    for begin, end, wanted in stepped.windows.whole(first * length, (first + epochs) * length, admission.items):
        items = [admission.taken(stepped[batch])[0] for batch in range(begin, end)]
        held = np.concatenate(items)
        size = int(max(held.max(initial=0), wanted.max(initial=0))) + 1
        apart = np.abs(np.bincount(held, minlength=size) - np.bincount(wanted, minlength=size))
        coverage.offer(float(apart.max()), f"micro-batches {begin} to {end - 1}, item {int(apart.argmax())}")
        for batch, own in enumerate(items, begin):
            empty.offer(float(own.size == 0), f"micro-batch {batch}")
            if own.size > 1 or admission.too_long != "alone":
                budget.offer(float(cutter.excess(own)), f"micro-batch {batch}")
            tokens = cutter.tokens(own)
            useful, computed = useful + tokens[0], computed + tokens[1]
        costs = np.array([cutter.cost(own) for own in items])
        for at in range(0, len(costs), multiple):
            step = costs[at : at + multiple]
            if step.mean() > 0:
                balance.offer(float(step.max() / step.mean() - 1), f"micro-batches from {begin + at}")
    return Audit(
        first * length,
        epochs * length,
        (
            Finding("G1 budget", 0, budget.value, budget.where),
            Finding("G4 coverage", 0, coverage.value, coverage.where),
            Finding("G8 steps", 0, empty.value, empty.where),
            Finding("balance", np.inf, balance.value, balance.where),
            Finding("padding", np.inf, 1 - useful / computed if computed else 0.0, "all of them"),
        ),
    )
