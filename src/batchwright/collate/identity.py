"""Samples that know who they are: ids, groups and tasks travel beside the data, into the batch's side channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .memory import settle
from .values import Opaque, Scalars, Value

__all__ = ["Identified", "Identity", "identified"]


@dataclass(frozen=True)
class Identity:
    """A sample and the labels that travel beside it."""

    sample: Any
    labels: Mapping[str, Any]

    @staticmethod
    def separated(samples: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Value]]:
        """The samples without their labels, and the labels as columns."""
        first = samples[0]
        if not isinstance(first, Identity):
            return samples, {}
        labels = {name: _label_column([sample.labels[name] for sample in samples]) for name in first.labels}
        return [sample.sample for sample in samples], labels


def _label_column(values: list[Any]) -> Value:
    if all(type(value) is int for value in values):
        return Scalars(settle(torch.tensor(values)))
    return Opaque(values)


class Identified(Dataset[Any]):
    """See `identified`."""

    def __init__(self, dataset: Any, columns: Mapping[str, Any]) -> None:
        self._dataset = dataset
        self._columns = {
            name: column.tolist() if isinstance(column, (np.ndarray, Tensor)) else column
            for name, column in columns.items()
        }

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: Any) -> Any:
        """One sample by its index, or by a list of indices a pack of them."""
        if isinstance(index, (list, tuple)):
            return [self[each] for each in index]
        labels = {"sample_id": index} | {name: column[index] for name, column in self._columns.items()}
        return Identity(self._dataset[index], labels)


def identified(dataset: Any, **columns: Any) -> Identified:
    """The dataset with each sample's index beside it, so that batches know their `sample_ids` and errors name them.

    Args:
        dataset: any map-style dataset. Indexed with a list, as packed plans do, it returns a list of samples.
        columns: what else is to travel in the side channel, indexed as the dataset is: `group=labels, task=tasks`.

    Example:
        >>> import batchwright as bw
        >>> dataset = bw.identified([{"x": 1.0}, {"x": 2.0}], group=["cat", "dog"])
        >>> batch = bw.Collate()([dataset[1], dataset[0]])
        >>> batch["x"], batch.aside.sample_ids, batch.aside.groups
        (tensor([2., 1.], dtype=torch.float64), tensor([1, 0]), ['dog', 'cat'])
    """
    return Identified(dataset, columns)
