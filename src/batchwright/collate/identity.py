"""Samples that know who they are: ids, groups, tasks and weights travel beside the data, into the batch's side channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import Infeasible
from .memory import settle
from .values import Opaque, Scalars, Value

__all__ = ["Identified", "Identity", "Known", "identified"]

Known = Callable[[np.ndarray], Any]
"""From sample ids, int64 N, to what is known of those samples: N values, an array or a list."""


@dataclass(frozen=True)
class Identity:
    """A sample and the labels that travel beside it."""

    sample: Any
    labels: Mapping[str, Any]

    @staticmethod
    def separated(samples: Sequence[Any], known: Mapping[str, Known]) -> tuple[Sequence[Any], dict[str, Value]]:
        """The samples without their labels, and as columns the labels and what is `known` of samples with these ids."""
        first = samples[0]
        if not isinstance(first, Identity):
            raise Infeasible(
                f"{', '.join(known)} of each sample is looked up by its id, and these samples have none",
                "wrap the dataset in bw.identified(dataset)",
            )
        twice = [name for name in known if name in first.labels]
        if twice:
            raise Infeasible(
                f"{twice[0]!r} comes with the dataset and is also looked up by sample id",
                f"leave {twice[0]}=... out of bw.identified",
            )
        columns: dict[str, Any] = {name: [sample.labels[name] for sample in samples] for name in first.labels}
        if known:
            ids = np.array(columns["sample_id"], dtype=np.int64)
            columns |= {name: _looked_up(name, of, ids) for name, of in known.items()}
        return [sample.sample for sample in samples], {name: _label_column(column) for name, column in columns.items()}


def _looked_up(name: str, of: Known, ids: np.ndarray) -> Any:
    values = of(ids)
    if len(values) != len(ids):
        raise Infeasible(f"{name!r} gives {len(values)} values for {len(ids)} samples", "give one value a sample")
    return values


def _label_column(values: Any) -> Value:
    if isinstance(values, np.ndarray):
        return Scalars(settle(torch.from_numpy(values)))
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
        """One sample by its index, or by a list of indices a list of them."""
        if isinstance(index, (list, tuple)):
            return [self[each] for each in index]
        labels = {"sample_id": index} | {name: column[index] for name, column in self._columns.items()}
        return Identity(self._dataset[index], labels)


def identified(dataset: Any, **columns: Any) -> Identified:
    """The dataset with each sample's index beside it, so that batches know their `sample_ids` and errors name them.

    Args:
        dataset: any map-style dataset. Indexed with a list, it returns a list of samples.
        columns: what else is to travel in the side channel, indexed as the dataset is: `group=labels, task=tasks`.

    Example:
        >>> import batchwright as bw
        >>> dataset = bw.identified([{"x": 1.0}, {"x": 2.0}], group=["cat", "dog"])
        >>> batch = bw.Collate()([dataset[1], dataset[0]])
        >>> batch["x"], batch.aside.sample_ids, batch.aside.groups
        (tensor([2., 1.], dtype=torch.float64), tensor([1, 0]), ['dog', 'cat'])
    """
    return Identified(dataset, columns)
