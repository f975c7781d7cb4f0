"""Samples with ids: ids, groups, tasks and weights come with each sample and go into the side channel of the batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.data._utils.collate import default_collate_fn_map

from ..errors import Infeasible, check_integer, listed, noted, shown, typed
from ..readings import reading
from .memory import settle
from .values import Opaque, Scalars, Value

__all__ = ["Identified", "Identity", "Known", "identified", "label_column", "numbers_of"]

_PLAIN = {bool, int, float}

Known = Callable[[np.ndarray], Any]
"""A function from sample ids, int64 of shape (N,), to N values: an array, a tensor or a list."""


@dataclass(slots=True)
class Identity:
    """A sample with its labels for the side channel."""

    sample: Any
    labels: Mapping[str, Any]
    lists: frozenset[str] = frozenset()
    """The labels that are lists in every batch, since not all samples of the dataset have numbers."""

    @staticmethod
    def separated(samples: Sequence[Any], known: Mapping[str, Known]) -> tuple[Sequence[Any], dict[str, Value]]:
        """The samples without labels; and columns of the labels, and of the values of the functions in `known`."""
        first = samples[0]
        if not isinstance(first, Identity):
            raise Infeasible(
                f"{listed(known)} of each sample is looked up by its id, and these samples have none",
                "wrap the dataset in bw.identified(dataset)",
            )
        twice = [name for name in known if name in first.labels]
        if twice:
            raise Infeasible(
                f"{shown(twice[0])} comes with the dataset and is also looked up by sample id",
                "leave that one out of bw.identified",
            )
        try:
            beside = [sample.labels for sample in samples]
            columns: dict[str, Any] = {name: [labels[name] for labels in beside] for name in first.labels}
            # Every sample has these labels, or there was a KeyError; if the total is right, none has others.
            alike = sum(map(len, beside)) == len(beside) * len(first.labels) and {*map(type, samples)} == {Identity}
        except (AttributeError, IndexError, KeyError, TypeError):
            alike = False
        if not alike:
            Identity.refuse_mixed(samples)
        if known:
            ids = np.array(
                [check_integer(sample_id, "a sample's id") for sample_id in columns["sample_id"]], dtype=np.int64
            )
            columns |= {name: _looked_up(name, of, ids) for name, of in known.items()}
        labels: dict[str, Value] = {
            name: Opaque(column) if name in first.lists else label_column(name, column)
            for name, column in columns.items()
        }
        return [sample.sample for sample in samples], labels

    @staticmethod
    def refuse_mixed(samples: Sequence[Any]) -> None:
        """Refuse samples with other labels than the first one, or some with labels and some without."""
        names = _names(samples[0])
        for number, sample in enumerate(samples):
            if _names(sample) != names:
                raise Infeasible(
                    f"sample {number} of the batch comes with {listed(_names(sample)) if _names(sample) else 'no id'}, "
                    f"sample 0 with {listed(names) if names else 'no id'}",
                    "wrap the whole dataset, not its parts: bw.identified(ConcatDataset([...]))",
                )


def _names(sample: Any) -> Collection[str]:
    return sample.labels.keys() if isinstance(sample, Identity) else ()


def _refuse_default_collate(batch: Any, *, collate_fn_map: Any = None) -> Any:
    raise Infeasible(
        "samples of bw.identified were given to torch's default_collate, which knows no sample ids",
        "pass DataLoader(..., collate_fn=bw.Collate())",
    )


default_collate_fn_map[Identity] = _refuse_default_collate


def _looked_up(name: str, of: Known, ids: np.ndarray) -> Any:
    with noted(f"{shown(name)} was looked up for samples {listed(ids.tolist())}"):
        values = of(ids)
    way_out = "return one value for each sample, in a list or an array"
    scalar = isinstance(values, (np.ndarray, Tensor)) and not values.ndim
    if scalar or not hasattr(values, "__len__") or isinstance(values, (Mapping, Set)):
        raise Infeasible(f"what {shown(name)} gives for {len(ids)} samples is {typed(values)}", way_out)
    if len(values) != len(ids):
        raise Infeasible(f"{shown(name)} gives {len(values)} values for {len(ids)} samples", way_out)
    return values


def label_column(name: str, values: Any) -> Value:
    """A column of labels: numbers as a tensor, weights as float32, others as a list."""
    if isinstance(values, Opaque):
        return values
    if not isinstance(values, Tensor) and hasattr(values, "__array__"):
        values = np.asarray(values)
        exact = values.dtype.kind in "biufc" and values.dtype.itemsize <= 16 and values.dtype != np.longdouble
        values = torch.from_numpy(values.astype(values.dtype.newbyteorder("="), "C")) if exact else values.tolist()
    column = values if isinstance(values, Tensor) else numbers_of(values)
    if column is None:
        return Opaque(list(values))
    return Scalars(settle(column.to(torch.float32) if name == "weight" else column))


def numbers_of(values: Sequence[Any]) -> Tensor | None:
    """Numbers as int64, as float64 if one of them is a float, or as bool if all are; None if one is no number."""
    kinds = set(map(type, values))
    if not kinds <= _PLAIN:
        if not all(issubclass(kind, (*_PLAIN, np.number, np.bool_, Tensor)) for kind in kinds):
            return None
        values = [
            value.item() if isinstance(value, (np.generic, Tensor)) and not value.ndim else value for value in values
        ]
        kinds = set(map(type, values))
        if not kinds <= _PLAIN:
            return None
    dtype = torch.float64 if float in kinds else torch.int64 if int in kinds else torch.bool
    try:
        return torch.tensor(values, dtype=dtype, device="cpu")
    except (OverflowError, RuntimeError, ValueError):  # an integer does not fit 64 bits
        return None


class Identified(Dataset[Any]):
    """See `identified`."""

    def __init__(self, dataset: Any, columns: Mapping[str, Any]) -> None:
        if not hasattr(dataset, "__len__"):
            raise Infeasible(
                f"the dataset is {typed(dataset)}, which has no length",
                "pass a map-style dataset, which has __len__ and __getitem__",
            )
        for name, column in columns.items():
            if not hasattr(column, "__len__"):
                raise Infeasible(f"{shown(name)} is {typed(column)}, which has no length", "pass a list or an array")
            if isinstance(column, (str, bytes)) or not hasattr(column, "__getitem__"):
                raise Infeasible(
                    f"{shown(name)} is {typed(column)}, which has no value for each sample", "pass a list or an array"
                )
            with reading(column, shown(name), "pass a list or an array"):
                count = len(column)
            if count != len(dataset):
                raise Infeasible(
                    f"{shown(name)} has {count} values, the dataset has {len(dataset)} samples",
                    "give one value for each sample",
                )
        self._dataset = dataset
        self._columns: dict[str, Any] = {}
        lists = set()
        for name, column in columns.items():
            plain = column.tolist() if hasattr(column, "tolist") else column
            if isinstance(plain, (list, tuple, range)):
                numbers = numbers_of(plain)
                if numbers is None:
                    lists.add(name)
                elif set(map(type, plain)) not in ({bool}, {int}, {float}):
                    plain = numbers.tolist()
            self._columns[name] = plain
        self._lists = frozenset(lists)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: Any) -> Any:
        """One sample by its index, where -1 is the last; or a list of samples by a list of indices."""
        place = self._place(index)
        if isinstance(place, (list, tuple)):
            return self.__getitems__(place)
        with noted(f"sample {shown(place)} of {type(self._dataset).__name__} was read"):
            sample = self._dataset[place]
        return self._identity(place, sample)

    def __getitems__(self, indices: Sequence[Any]) -> list[Any]:
        """The samples of a batch, read in one call if the dataset can do that; a DataLoader calls this."""
        places = [self._place(index) for index in indices]
        together = getattr(self._dataset, "__getitems__", None)
        if not callable(together) or any(isinstance(place, (list, tuple)) for place in places):
            return [self[place] for place in places]
        with noted(f"samples {listed(places)} of {type(self._dataset).__name__} were read together"):
            samples = together(places)
        if not hasattr(samples, "__len__") or len(samples) != len(places):
            given = f"{len(samples)} samples" if hasattr(samples, "__len__") else f"a value {typed(samples)}"
            raise Infeasible(
                f"{type(self._dataset).__name__}.__getitems__ gives {given} for {len(places)} indices",
                "let it return a list with one sample for each index",
            )
        return list(map(self._identity, places, samples))

    def _place(self, index: Any) -> Any:
        """An index as the dataset takes it, not negative; a list is returned as it is."""
        if isinstance(index, (Tensor, np.ndarray, np.generic)):
            index = index.tolist()
        if isinstance(index, slice):
            raise Infeasible(f"{index} is no sample's index", "index with a list: dataset[list(range(start, stop))]")
        return index + len(self) if isinstance(index, int) and -len(self) <= index < 0 else index

    def _identity(self, place: Any, sample: Any) -> Identity:
        if isinstance(sample, Identity):
            raise Infeasible(
                f"sample {shown(place)} of {type(self._dataset).__name__} is one of bw.identified already",
                "call bw.identified once, on the outermost dataset, with all columns",
            )
        labels = {"sample_id": place}
        for name, column in self._columns.items():
            with noted(f"{shown(name)} of sample {shown(place)} was read"):
                labels[name] = column[place]
        return Identity(sample, labels, self._lists)


def identified(dataset: Any, **columns: Any) -> Identified:
    """Wrap a dataset so that each sample comes with its index: batches then have `sample_ids`, and errors name them.

    Args:
        dataset: any map-style dataset. Indexed with a list, it returns a list of samples.
        columns: further columns for the side channel, with one value for each sample: `group=labels, task=tasks`. In
            `batch.aside`, numbers become tensors (weights float32), others lists. A column has the same type in all
            batches: one with numbers and other values is always a list.

    Raises:
        Infeasible: a column is not as long as the dataset, or has no length or no order; or, when a sample is read, it
            has an id already.

    Example:
        >>> import batchwright as bw
        >>> dataset = bw.identified([{"x": 1.0}, {"x": 2.0}], group=["cat", "dog"])
        >>> batch = bw.Collate()([dataset[1], dataset[0]])
        >>> batch["x"], batch.aside.sample_ids, batch.aside.groups
        (tensor([2., 1.], dtype=torch.float64), tensor([1, 0]), ['dog', 'cat'])
    """
    return Identified(dataset, columns)
