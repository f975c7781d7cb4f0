"""What a plan for evaluation does on a number of ranks, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from .printed import Printed

__all__ = ["EvaluationSummary"]


@dataclass(frozen=True)
class EvaluationSummary(Printed):
    """A plan for evaluation in numbers; `print` it.

    Attributes:
        samples: how many there are; each comes once.
        ranks: micro-batches in a step.
        steps: batches of every rank.
        fillers: samples of the last step that only keep ranks busy.
        idle: ranks that have only fillers in the last step.
        padding: the share of what is computed that is no token; 0 where nothing is padded, None where lengths are not known:
            with `batch_size` and another order than "length".
        step_balance: the cost of the most expensive micro-batch of a step over the step's mean, averaged over all steps but
            the last; 1 is perfect. In samples where lengths are not known.
        notes: what else to know, in words.
    """

    samples: int
    ranks: int
    steps: int
    fillers: int
    idle: int
    padding: float | None
    step_balance: float
    notes: list[str]

    def head(self) -> list[str]:
        """See `Printed`."""
        padding = "padding is not known" if self.padding is None else f"padding {self.padding:.2%}"
        return [
            f"{self.samples} samples once each: {self.steps} steps of {self.ranks} micro-batches",
            f"fillers in the last step: {self.fillers} samples, {self.idle} ranks with nothing else",
            f"{padding}, the costliest micro-batch of a step costs {self.step_balance:.3f} of its mean",
        ]
