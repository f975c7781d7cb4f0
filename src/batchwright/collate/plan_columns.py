"""Groups and loss weights of samples from a plan, as functions of sample ids that are sent to workers."""

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
    """What this module needs of a plan; `collate` is below `plans` and must not import it."""

    groups: Any

    @property
    def rates_change(self) -> bool:
        """Whether a sample has another weight in another epoch."""

    def weights(self, indices: Any, *, epoch: int | None = None) -> np.ndarray:
        """The weight of each of these samples."""


def plan_columns(plan: PlanOfGroups, clip: float | None) -> dict[str, Known]:
    """Functions of sample ids by name: the group and the loss weight of each sample.

    Raises:
        Infeasible: the target of the plan moves, or `clip` is not above 0.
    """
    knowledge = _PlanKnowledge(Weights(cast(Any, plan), clip=clip).lasting())  # which checks that it is a plan
    return {"group": knowledge.groups, "weight": knowledge.loss_weights}


@dataclass(frozen=True)
class _PlanKnowledge:
    """The functions; a class, so that they can be pickled for workers."""

    weights: Weights

    def groups(self, ids: np.ndarray) -> Tensor | Opaque:
        """The labels of the groups of samples; as a tensor if the labels of all groups are numbers."""
        groups = self.weights.plan.groups
        codes = groups.group_of(ids)
        if isinstance(groups.names, range):  # every sample is a group of its own: a table would be as long as the data
            return torch.from_numpy(codes.astype(np.int64))
        if self._numbers is None:
            return Opaque([groups.names[number] for number in codes.tolist()])
        return self._numbers[torch.from_numpy(codes.astype(np.int64))]

    @cached_property
    def _numbers(self) -> Tensor | None:
        return numbers_of(self.weights.plan.groups.names)

    def loss_weights(self, ids: np.ndarray) -> np.ndarray:
        """The loss weights, float32, as losses are."""
        return self.weights(ids).astype(np.float32)
