"""What a plan knows of samples, as functions of their ids that travel to workers with the collate function."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from ..correct.weights import Weights

__all__ = ["PlanKnowledge"]


@dataclass(frozen=True)
class PlanKnowledge:
    """What the plan behind `weights` knows of samples."""

    weights: Weights

    def groups(self, ids: np.ndarray) -> list[Hashable]:
        """The user's labels of the samples' groups."""
        groups = self.weights.plan.groups
        return [groups.names[number] for number in groups.group_of(ids).tolist()]

    def loss_weights(self, ids: np.ndarray) -> np.ndarray:
        """float32, as losses are."""
        return self.weights(ids).astype(np.float32)
