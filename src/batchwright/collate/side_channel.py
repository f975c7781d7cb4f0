"""What travels with a batch and is none of the model's business."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import Infeasible
from .values import Fill

__all__ = ["SideChannel"]


@dataclass(frozen=True)
class SideChannel:
    """What is known of a batch and is none of the model's business.

    Args:
        columns: what was declared `bw.aside()`, or came from `bw.identified` or `Collate.with_plan`, one value a sample,
            by name.
        fill: real and padded positions of every field where the question arises, by name.
        loss_scale: what the loss of this batch is to be multiplied by; 1 unless `bw.correct.LossScale.over` (or
            `Batch.scaled`) set it.
        real: how many samples count, where that was told: those behind them are fillers of `bw.evaluation`. None if all do.
    """

    columns: Mapping[str, Any]
    fill: Mapping[str, Fill]
    loss_scale: float = 1.0
    real: int | None = None

    @property
    def sample_ids(self) -> Any:
        """The samples' ids in order, or None where none came with them."""
        return self.columns.get("sample_id")

    @property
    def groups(self) -> Any:
        """The samples' groups, or None."""
        return self.columns.get("group")

    @property
    def tasks(self) -> Any:
        """The samples' tasks, or None."""
        return self.columns.get("task")

    @property
    def weights(self) -> Any:
        """The samples' loss weights, float32, or None."""
        return self.columns.get("weight")

    @property
    def repeats(self) -> Tensor:
        """bool, N: True where a sample with the same id stands earlier in the batch."""
        ids = self.sample_ids
        if ids is None:
            raise Infeasible(
                "repeats are found by sample ids, and this batch has none",
                "wrap the dataset in bw.identified(dataset), or declare sample_id = bw.aside()",
            )
        seen: set[Any] = set()
        repeated = []
        for sample_id in ids.tolist() if isinstance(ids, Tensor) else ids:
            repeated.append(sample_id in seen)
            seen.add(sample_id)
        return torch.tensor(repeated, device="cpu")
