"""Declarations of fields: frozen values that validate themselves and collate a column."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from ..errors import Infeasible, listed, shown
from . import memory
from .column import FieldValues, is_plain
from .indices import ADDED
from .layout import Layout
from .memory import settle
from .numbers import vector_of
from .values import Opaque, Scalars, Stacked, Value

__all__ = ["Aside", "Context", "Field", "OpaqueField", "ScalarField", "StackField"]
__all__ += ["aside", "opaque", "scalar", "stack"]


class Context:
    """Shared by the fields of one batch: the layouts so far, and the collated fields by full name."""

    layouts: dict[tuple[int, ...], Layout]
    done: dict[str, Value]

    def layout(self, counts: tuple[int, ...]) -> Layout:
        """The layout of these sizes; the same object for equal ones, as torch combines jagged tensors only then."""
        layout = self.layouts.get(counts)
        if layout is None:
            layout = self.layouts[counts] = Layout._of(counts)
        return layout

    def beside(self, name: str, target: str) -> Value:
        """The field `target` in the same container as `name`, or the one with that full name."""
        parent, _, _ = name.rpartition(".")
        for full in (f"{parent}.{target}" if parent else target, target):
            if full in self.done:
                return self.done[full]
        raise Infeasible(
            f"field {shown(name)} is shifted by {shown(target)}, and the batch has only {listed(sorted(self.done))}",
            "name a field that every sample has",
        )


class Field(ABC):
    """The declaration of one field: how N values are joined."""

    also: tuple[tuple[str, str], ...] = ()
    """Further keys of the batch, with the description of this field that each shows."""

    @property
    def offers(self) -> tuple[str, ...]:
        """The descriptions that `also` may name."""
        return ()

    @property
    def after(self) -> tuple[str, ...]:
        """The fields that must be collated before this one."""
        return ()

    def at_once(self, values: list[Any], context: Context) -> Value | None:
        """Collate plain values in few steps; None leaves all others to `gather`, which says what is odd."""
        return None

    @abstractmethod
    def gather(self, column: FieldValues, context: Context) -> Value:
        """Collate one column."""


@dataclass(frozen=True)
class StackField(Field):
    """See `stack`."""

    @override
    def at_once(self, values: list[Any], context: Context) -> Stacked | None:
        try:
            return Stacked(memory.stack(values)) if is_plain(values) else None
        except (RuntimeError, TypeError):  # of several shapes or devices, nested, or of a subclass
            return None

    @override
    def gather(self, column: FieldValues, context: Context) -> Stacked:
        tensors = column.tensors()
        if tensors[0].layout is not torch.strided:
            column.refuse_unlike(tensors)
        try:
            return Stacked(memory.stack(tensors))
        except (RuntimeError, TypeError) as error:
            column.refuse_unlike(tensors)
            _refuse_unequal(column, tensors)
            column.refuse_subclass(tensors, error)
            raise


_INDICES = ("index", "indices", "face", "edge")
"""Words in the names of fields that usually hold indices."""


def _refuse_unequal(column: FieldValues, tensors: Sequence[Tensor]) -> None:
    """Refuse tensors of several shapes."""
    way_out = column.fitting(tensors)
    for number, tensor in enumerate(tensors):
        if tensor.shape != tensors[0].shape:
            wanted = "equal shapes unless it is declared ragged"
            if tensor.dtype in ADDED and any(word in column.path[-1] for word in _INDICES):
                wanted += " (with shift_by='x' too, if it holds indices into a field x)"
            raise column.mismatch(tensors, number, wanted, way_out)


@dataclass(frozen=True)
class ScalarField(Field):
    """See `scalar`."""

    @override
    def at_once(self, values: list[Any], context: Context) -> Scalars | None:
        vector = vector_of(values)
        return None if vector is None else Scalars(settle(vector))

    @override
    def gather(self, column: FieldValues, context: Context) -> Value:
        numbers = settle(column.numbers())
        return Scalars(numbers) if isinstance(column.values[0], (bool, int, float, complex)) else Stacked(numbers)


_SCALAR = ScalarField()


@dataclass(frozen=True)
class OpaqueField(Field):
    """See `opaque`."""

    @override
    def gather(self, column: FieldValues, context: Context) -> Opaque:
        return Opaque(list(column.values))


@dataclass(frozen=True)
class Aside(Field):
    """See `aside`."""

    @override
    def gather(self, column: FieldValues, context: Context) -> Value:
        if all(isinstance(value, (bool, int, float, np.number)) or _is_number(value) for value in column.values):
            return _SCALAR.gather(column, context)
        return Opaque(list(column.values))


def _is_number(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray)) and not value.ndim


def stack() -> StackField:
    """Declare a field of tensors of equal shape and dtype: they are stacked along a new first dimension.

    Example:
        >>> import torch, batchwright as bw
        >>> bw.Collate(image=bw.stack())([{"image": torch.zeros(3, 2, 2)}, {"image": torch.ones(3, 2, 2)}])["image"].shape
        torch.Size([2, 3, 2, 2])
    """
    return StackField()


def scalar() -> ScalarField:
    """Declare a field of numbers, one for each sample: they become a vector.

    Python numbers become bool, int64, float64 or complex128; other numbers keep their dtype.

    Example:
        >>> import batchwright as bw
        >>> bw.Collate(label=bw.scalar())([{"label": 3}, {"label": 4}])["label"]
        tensor([3, 4])
    """
    return ScalarField()


def opaque() -> OpaqueField:
    """Declare a field of any objects, one for each sample: they become a list.

    Example:
        >>> import batchwright as bw
        >>> bw.Collate(path=bw.opaque())([{"path": "a.png"}, {"path": "b.png"}])["path"]
        ['a.png', 'b.png']
    """
    return OpaqueField()


def aside() -> Aside:
    """Declare a field for the side channel: it is in `batch.aside` and in `batch.data`, but not among the keys of the batch.

    Example:
        >>> import batchwright as bw
        >>> batch = bw.Collate(sample_id=bw.aside(), label=bw.scalar())([{"sample_id": 17, "label": 3}])
        >>> list(batch), batch.aside.sample_ids
        (['label'], tensor([17]))
    """
    return Aside()
