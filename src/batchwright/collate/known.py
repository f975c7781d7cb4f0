"""What a plan knows of samples, as functions of their ids that travel to workers with the collate function."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..correct.weights import Weights
from .identity import numbers_of
from .values import Opaque

__all__ = ["PlanKnowledge"]


@dataclass(frozen=True)
class PlanKnowledge:
    """What the plan behind `weights` knows of samples."""

    weights: Weights

    def groups(self, ids: np.ndarray) -> Tensor | Opaque:
        """The user's labels of the samples' groups: numbers if those of all groups are."""
        groups = self.weights.plan.groups
        codes = groups.group_of(ids)
        if self._numbers is None:
            return Opaque([groups.names[number] for number in codes.tolist()])
        return self._numbers[torch.from_numpy(codes.astype(np.int64))]

    @cached_property
    def _numbers(self) -> Tensor | None:
        return numbers_of(self.weights.plan.groups.names)

    def loss_weights(self, ids: np.ndarray) -> np.ndarray:
        """float32, as losses are."""
        return self.weights(ids).astype(np.float32)
