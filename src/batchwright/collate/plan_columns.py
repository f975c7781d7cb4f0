"""What a plan knows of samples, as functions of their ids that travel to workers with the collate function."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from ..correct.weights import Weights
from .identity import Known, numbers_of
from .values import Opaque

__all__ = ["PlanOfGroups", "plan_columns"]


class PlanOfGroups(Protocol):
    """What is asked of a plan here; every plan of batchwright answers it."""

    groups: Any

    @property
    def moves(self) -> bool:
        """Whether a sample has another weight in another epoch."""

    def weights(self, indices: Any, *, epoch: int | None = None) -> np.ndarray:
        """The weight of each of these samples."""


def plan_columns(plan: PlanOfGroups, clip: float | None) -> dict[str, Known]:
    """From names to functions of sample ids: the group and the loss weight that the plan gives each sample.

    Raises:
        Infeasible: the plan's target moves, or `clip` is no weight.
    """
    knowledge = _PlanKnowledge(Weights(cast(Any, plan), clip=clip).lasting())  # which checks that it is a plan
    return {"group": knowledge.groups, "weight": knowledge.loss_weights}


@dataclass(frozen=True)
class _PlanKnowledge:
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
