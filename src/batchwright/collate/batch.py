"""The collated batch: a mapping for the model, every representation for you, and a side channel for neither."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from ..errors import Infeasible, listed, shown, typed, whole
from .ragged_value import Ragged
from .structure import Structure, Tree
from .values import Common, Extension, Fill, Stacked, Transfer, Value

__all__ = ["Batch", "SideChannel"]


@dataclass(frozen=True)
class SideChannel:
    """What is known of a batch and is none of the model's business.

    Args:
        columns: what was declared `bw.aside()`, or came from `bw.identified` or `Collate.with_plan`, one value a sample,
            by name.
        fill: real and padded positions of every field where the question arises, by name.
        loss_scale: what the loss of this batch is to be multiplied by; 1 unless `bw.correct.LossScale.over` (or
            `Batch.scaled`) set it.
    """

    columns: Mapping[str, Any]
    fill: Mapping[str, Fill]
    loss_scale: float = 1.0

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


class Batch(Mapping[str, Any]):
    """N collated samples.

    As a mapping it shows each field in the form declared for the model, so `model(**batch)` works.
    `batch[3]` is sample 3 and `batch.unbatch()` all of them, of the type they had; `batch.fields[name]` holds every
    representation of a field; `batch.data` is the whole in the container type of a sample (`x, y = batch.data`);
    `batch.aside` is the side channel.

    A plain mapping makes a Batch too, which is how trainers rebuild one: it has as many samples as its first tensor or list
    is long, and single numbers are every sample's.
    """

    def __init__(
        self,
        root: Tree | Mapping[str, Any],
        *,
        also: Mapping[str, tuple[str, str]] | None = None,
        asides: frozenset[str] = frozenset(),
        labels: Mapping[str, Value] | None = None,
        order: tuple[int, ...] | None = None,
        loss_scale: float = 1.0,
    ) -> None:
        self._root = root if isinstance(root, Tree) else _plain(root)
        self._also = also or {}
        self._asides = asides
        self._labels = labels or {}
        self._order = order
        self._loss_scale = loss_scale
        self._keys: dict[str, Value | tuple[str, str]] = {**self._root.shown, **self._also}
        for name in asides:
            self._keys.pop(name, None)
        self._fields: dict[str, Value] | None = None
        self._shown: dict[str, Any] = {}

    # ------------------------------------------------------------------ the mapping

    def __getitem__(self, key: str | int | tuple[str, ...]) -> Any:
        """A field as the model sees it, by name; or a sample, by number."""
        if isinstance(key, tuple):  # the type of a graph's edges
            key = str(key)
        if not isinstance(key, str):
            return self._root.sample(self._places([key])[0])
        if key in self._shown:
            return self._shown[key]
        found = self._keys.get(key)
        if found is None:
            raise KeyError(f"{shown(key)} is none of the batch's keys {listed(self._keys)}")
        if isinstance(found, Value):
            seen, lasts = found.model, torch.is_grad_enabled()  # else it may have been made without its graph
        else:
            field, what = found
            children = self._root.children
            seen = (children[field] if field in children else self.fields[field]).also(what)
            lasts = torch.is_grad_enabled() or not (torch.compiler.is_compiling() or torch.is_inference_mode_enabled())
        if lasts:
            self._shown[key] = seen
        return seen

    @override
    def keys(self) -> KeysView[str]:
        """The names of what the model sees, of a dict: `model(**batch)` asks for them in every step."""
        return self._keys.keys()

    def __contains__(self, key: object) -> bool:
        return (str(key) if isinstance(key, tuple) else key) in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    __eq__ = object.__eq__  # comparing tensors gives no truth value
    __hash__ = object.__hash__

    # ------------------------------------------------------------------ fields and samples

    @property
    def fields(self) -> Mapping[str, Value]:
        """Every field with all its representations, nested ones by their names joined by dots."""
        if self._fields is None:
            self._fields = self._root.leaves()
        return self._fields

    @property
    def data(self) -> Any:
        """The batch in the container type of a sample."""
        return self._root.model

    @property
    def sample_count(self) -> int:
        """N."""
        return len(self._root)

    @property
    def aside(self) -> SideChannel:
        """Sample ids, groups, tasks, repeats, real and padded positions, loss scale: what never reaches the model."""
        columns = {name: label.model for name, label in self._labels.items()}
        columns |= {name: self._root.children[name].model for name in sorted(self._asides)}
        fills = {name: value.fill for name, value in self.fields.items()}
        return SideChannel(columns, {name: fill for name, fill in fills.items() if fill}, self._loss_scale)

    def scaled(self, loss_scale: float) -> Batch:
        """The same batch with another loss scale in its side channel."""
        return self._with(self._root, loss_scale=loss_scale)

    def _places(self, numbers: Iterable[Any]) -> list[int]:
        """Samples' numbers counted from the front; IndexError if there is no such sample."""
        count, places = self.sample_count, []
        try:
            numbers = list(numbers)
        except TypeError:
            raise Infeasible(
                f"{shown(numbers)} is no list of samples' numbers", "pass a list of them: batch.select([0])"
            ) from None
        for given in numbers:
            if isinstance(given, slice):
                raise Infeasible(
                    f"{given} is no sample's number", f"batch.select(range({count})[start:stop]) gives a batch of some"
                )
            if isinstance(given, (bool, np.bool_)) or (isinstance(given, Tensor) and given.dtype is torch.bool):
                raise Infeasible(
                    f"{shown(given)} is no sample's number",
                    "of a mask, batch.select([n for n, chosen in enumerate(mask) if chosen]) gives the batch",
                )
            number = whole(given, "a sample's number")
            if not -count <= number < count:
                raise IndexError(f"sample {number} of a batch of {count}")
            places.append(number % count)
        return places

    def unbatch(self) -> list[Any]:
        """The samples, in the order of the batch, of the type that they had, index fields counted from 0 again."""
        return [self._root.sample(number) for number in range(self.sample_count)]

    # ------------------------------------------------------------------ order

    def sorted_by(self, name: str, *, descending: bool = True) -> Batch:
        """The samples by their length in the ragged field `name` (equal lengths keep their order); see `restore`."""
        value = self.fields.get(name)
        if not isinstance(value, Ragged):
            kind = "no field of this batch" if value is None else f"{type(value).__name__}, which has no lengths"
            ragged = [other for other, field in self.fields.items() if isinstance(field, Ragged)]
            raise Infeasible(
                f"field {shown(name)} is {kind}",
                f"sort by one of the ragged fields: {listed(ragged)}" if ragged else "declare a field as bw.ragged()",
            )
        counts = value.layout.counts
        return self.select(sorted(range(len(counts)), key=lambda n: -counts[n] if descending else counts[n]))

    def select(self, numbers: Iterable[int]) -> Batch:
        """The samples `numbers`, at least one, in that order; some may be left out or repeated."""
        numbers = self._places(numbers)
        if not numbers:
            raise Infeasible("0 samples are selected", "select one or more")
        before = self._order or tuple(range(self.sample_count))
        labels = {name: label.select(numbers) for name, label in self._labels.items()}
        return self._with(self._root.select(numbers), labels=labels, order=tuple(before[n] for n in numbers))

    @property
    def order(self) -> Tensor:
        """int64, N: the place that each sample had when it was collated."""
        return torch.tensor(self._order if self._order is not None else range(self.sample_count), device="cpu")

    def restore(self, outputs: Tensor | None = None) -> Any:
        """The batch in the order it was collated in; or `outputs`, whose dimension 0 is this batch's samples, in it."""
        if sorted(self.order.tolist()) != list(range(self.sample_count)):
            raise Infeasible(
                f"samples were left out or repeated: the order is {shown(self.order.tolist())}",
                "restore the batch first and select then: batch.restore().select(numbers)",
            )
        if outputs is not None and (not isinstance(outputs, Tensor) or outputs.shape[:1] != (self.sample_count,)):
            found = f"have shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else f"are {typed(outputs)}"
            raise Infeasible(
                f"outputs {found}, and the batch has {self.sample_count} samples",
                "pass a tensor whose dimension 0 is this batch's samples",
            )
        back = torch.argsort(self.order)
        return self.select(back.tolist()) if outputs is None else outputs[back.to(outputs.device)]

    # ------------------------------------------------------------------ travel

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> Batch:
        """The batch on `device`; index tensors are made there, the side channel stays where it is."""
        return self._transferred(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; `DataLoader(pin_memory=True)` calls this."""
        return self._transferred(lambda tensor: tensor.pin_memory())  # derived types have their own

    def share_memory_(self) -> Batch:
        """The batch in memory that other processes can read; what already is, is not copied."""
        return self._transferred(lambda tensor: tensor.share_memory_())

    def _transferred(self, transfer: Transfer) -> Batch:
        children = {
            name: child if name in self._asides else child.transferred(transfer)
            for name, child in self._root.children.items()
        }
        derived = {name: value.transferred(transfer) for name, value in self._root.derived.items()}
        return self._with(replace(self._root, children=children, derived=derived))

    def _with(self, root: Tree, **changed: Any) -> Batch:
        kept = {
            "also": self._also,
            "asides": self._asides,
            "labels": self._labels,
            "order": self._order,
            "loss_scale": self._loss_scale,
        }
        return type(self)(root, **(kept | changed))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_fields": None, "_shown": {}}

    def __repr__(self) -> str:
        described = ", ".join(f"{name}: {_described(self[name])}" for name in self)
        return f"Batch({self.sample_count} samples; {described})"


def _plain(mapping: Mapping[str, Any]) -> Tree:
    lengths = (len(value) for value in mapping.values() if _has_length(value))
    count = next(lengths, 0)
    return Tree(Structure(dict, tuple(mapping)), {name: _plain_value(mapping[name], count) for name in mapping}, count)


def _has_length(value: Any) -> bool:
    return bool(value.ndim) if isinstance(value, Tensor) else isinstance(value, (list, tuple))


def _plain_value(value: Any, count: int) -> Value:
    if isinstance(value, Tensor) and value.shape[:1] == (count,):
        return Stacked(value)
    if isinstance(value, (str, bytes, bool, int, float, complex, type(None))) or (
        isinstance(value, Tensor) and not value.ndim
    ):
        return Common(value, count)
    return Extension(value, count, "take samples of the batch that bw.Collate made, not of one made of a mapping")


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        shape = "x".join(map(str, value.shape)) or "scalar"
        return f"{shape} {str(value.dtype).removeprefix('torch.')}"
    return type(value).__name__
