"""The summary of a hybrid plan, measured on its first epoch."""

from __future__ import annotations

from dataclasses import dataclass

from .printed import Printed

__all__ = ["HybridSummary"]


@dataclass(frozen=True)
class HybridSummary(Printed):
    """A hybrid plan in numbers; those after `measured` are from so many steps of epoch 0. `print` it.

    Attributes:
        ranks: how many ranks share a step.
        steps: steps in an epoch.
        measured: steps that were measured.
        samples: the fewest and the most samples of a step.
        tokens: the fewest and the most tokens of a step.
        by_size: for each size of a group the share of all tokens that such groups have.
        waiting: the work of the rank that has most over the mean of all ranks, over all steps; 1 is perfect.
        worst_step: the same in the worst step.
        waiting_at_least: a proven lower bound of `waiting`: no sample may be divided further.
        notes: what else to know, in words.
    """

    ranks: int
    steps: int
    measured: int
    samples: tuple[int, int]
    tokens: tuple[int, int]
    by_size: dict[int, float]
    waiting: float
    worst_step: float
    waiting_at_least: float
    notes: list[str]

    def head(self) -> list[str]:
        """See `Printed`."""
        sizes = ", ".join(f"{size}: {share:.1%}" for size, share in self.by_size.items())
        return [
            f"{self.steps} steps an epoch on {self.ranks} ranks, {self.measured} measured",
            f"{_range(self.samples)} samples and {_range(self.tokens)} tokens a step",
            f"tokens by the ranks that share them: {sizes}",
            f"the rank with most work has {self.waiting:.3f} of the mean, {self.worst_step:.3f} in the worst step, "
            f"{self.waiting_at_least:.3f} at least",
        ]


def _range(of: tuple[int, int]) -> str:
    return f"{of[0]:,}" if of[0] == of[1] else f"{of[0]:,} to {of[1]:,}"
