"""The base of plans for evaluation and of hybrid plans, whose epochs have each sample exactly once."""

from __future__ import annotations

import numpy as np

from ..orders.inclusion import GroupRates, InclusionRates
from .plan import Plan

__all__ = ["EachOnce"]


class EachOnce(Plan):
    """A plan of one group, in which every epoch has each sample exactly once and ends where an epoch of a run ends."""

    whole_epochs = same_samples = True

    def draw_number(self, batch: int) -> int:
        """The epoch: a sample comes once in it, and ranks that share a sample seed it alike; see `MicroBatches`."""
        return batch // self.epoch_batches

    @property
    def shortcomings(self) -> list[str]:
        """None: every sample comes, and none repeats. See `Plan`."""
        return []

    @property
    def settles_after(self) -> float:
        """0, because no share ever changes."""
        return 0

    @property
    def mean_batch_size(self) -> float:
        """The samples of an epoch over its micro-batches: a sample counts once, and a filler does not count."""
        return self.groups.sample_count / self.epoch_batches

    def inclusion_rates(self, start: float, stop: float) -> InclusionRates:
        """One rate, because every sample comes equally often. See `Plan`."""
        return InclusionRates([GroupRates(self.groups, 0, np.ones(1))])

    def shares(self, epoch: int = 0) -> np.ndarray:
        """The share of the only group: 1, float64 of shape (1,)."""
        return np.ones(1)
