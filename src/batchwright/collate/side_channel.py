"""The side channel of a batch: information on its samples that the model does not get."""

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
    """Information on the samples of a batch that the model does not get.

    Args:
        columns: by name, one value for each sample: fields declared `bw.aside()`, columns of `bw.identified` and
            `Collate.with_plan`, and the groups of the batches of a stream.
        fill: by name, the number of real and padded positions of every field that can have padding.
        loss_scale: the factor for the loss of this batch; 1 unless `bw.correct.LossScale.over` (or `Batch.scaled`) set
            it.
        real: the number of samples that count; those after them are fillers of `bw.evaluation`. None if all count, or if it
            was not set.
    """

    columns: Mapping[str, Any]
    fill: Mapping[str, Fill]
    loss_scale: float = 1.0
    real: int | None = None

    @property
    def sample_ids(self) -> Any:
        """The ids of the samples, or None."""
        return self.columns.get("sample_id")

    @property
    def groups(self) -> Any:
        """The groups of the samples, or None."""
        return self.columns.get("group")

    @property
    def tasks(self) -> Any:
        """The tasks of the samples, or None."""
        return self.columns.get("task")

    @property
    def weights(self) -> Any:
        """The loss weights of the samples, float32, or None."""
        return self.columns.get("weight")

    @property
    def repeats(self) -> Tensor:
        """bool, N: True if a sample with the same id is earlier in the batch."""
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
