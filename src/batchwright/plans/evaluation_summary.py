"""What a plan for evaluation does on a number of ranks, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..lengths.spans import Limited
from .printed import Printed

if TYPE_CHECKING:
    from .evaluated import EvaluationPlan

__all__ = ["EvaluationSummary", "summarise"]


@dataclass(frozen=True)
class EvaluationSummary(Printed):
    """A plan for evaluation in numbers; `print` it.

    Attributes:
        samples: how many there are; each comes once.
        ranks: micro-batches in a step.
        steps: batches of every rank.
        fillers: samples of the last step that only keep ranks busy.
        idle: ranks that have only fillers in the last step.
        padding: the share of what is computed that is no token; 0 where nothing is padded or lengths are not known.
        step_balance: the cost of the most expensive micro-batch of a step over the step's mean, averaged over all steps but
            the last; 1 is perfect. In samples where lengths are not known.
        notes: what else to know, in words.
    """

    samples: int
    ranks: int
    steps: int
    fillers: int
    idle: int
    padding: float
    step_balance: float
    notes: list[str]

    def head(self) -> list[str]:
        """See `Printed`."""
        return [
            f"{self.samples} samples once each: {self.steps} steps of {self.ranks} micro-batches",
            f"fillers in the last step: {self.fillers} samples, {self.idle} ranks with nothing else",
            f"padding {self.padding:.2%}, the costliest micro-batch of a step costs {self.step_balance:.3f} of its mean",
        ]


def summarise(plan: EvaluationPlan, ranks: int) -> EvaluationSummary:
    """The summary of a plan on so many ranks."""
    in_steps = plan.stepped(ranks)
    batches, last = in_steps.epoch_batches, in_steps.epoch_batches - ranks
    fillers = [len(in_steps[batch]) - in_steps.real(batch) for batch in range(last, batches)]
    idle = sum(not in_steps.real(batch) for batch in range(last, batches))
    padding, balance = 0.0, 1.0
    if isinstance(plan.spans, Limited):
        offsets = plan.spans.offsets(0, ranks)
        costs = np.array([plan.spans.cost(*offsets[at : at + 2].tolist()) for at in range(batches)])
        if plan.spans.padded and costs.sum():
            padding = float(1 - plan.spans.costs.sum() / costs.sum())
        full = costs[:last].reshape(-1, ranks)
        busy = full[full.sum(axis=1) > 0]
        balance = float((busy.max(axis=1) / busy.mean(axis=1)).mean()) if busy.size else 1.0
    return EvaluationSummary(
        plan.sequence.count, ranks, batches // ranks, sum(fillers), idle, padding, balance, plan.shortcomings
    )
