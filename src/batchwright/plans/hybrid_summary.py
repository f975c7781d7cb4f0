"""The summary of a hybrid plan, measured on its first epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .printed import Printed

if TYPE_CHECKING:
    from .hybrid import HybridPlan

__all__ = ["HybridSummary", "summarise"]

_MEASURED = 1 << 18  # samples after which no further step is measured: then a summary takes seconds at most


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


def summarise(plan: HybridPlan) -> HybridSummary:
    """The summary of a hybrid plan."""
    measured = min(plan.steps, max(1, _MEASURED * plan.steps // plan.groups.sample_count))
    schedules = [plan.schedule(step) for step in range(measured)]
    most = np.array([schedule.loads.max() for schedule in schedules])
    mean = np.array([schedule.loads.mean() for schedule in schedules])
    at_least = np.array([schedule.at_least for schedule in schedules])
    samples = [schedule.samples.size for schedule in schedules]
    tokens = [int(schedule.tokens.sum()) for schedule in schedules]
    of_size = np.bincount(
        np.concatenate([schedule.sizes for schedule in schedules]),
        weights=np.concatenate([schedule.tokens for schedule in schedules]),
    )
    total = float(mean.sum())
    return HybridSummary(
        plan.ranks,
        plan.steps,
        measured,
        (min(samples), max(samples)),
        (min(tokens), max(tokens)),
        {int(size): float(of_size[size] / of_size.sum()) for size in np.flatnonzero(of_size)},
        float(most.sum()) / total if total else 1.0,
        max(schedule.waiting for schedule in schedules),
        float(at_least.sum()) / total if total else 1.0,
        plan.shortcomings,
    )


def _range(of: tuple[int, int]) -> str:
    return f"{of[0]:,}" if of[0] == of[1] else f"{of[0]:,} to {of[1]:,}"
