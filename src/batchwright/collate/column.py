"""The values of one field in all samples of a batch, and the error messages about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter, countOf
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.masked import MaskedTensor

from ..errors import Infeasible, listed, said, shown, typed
from .declaration_text import declaration
from .memory import NUMPY_DTYPES
from .numbers import DTYPES, joined, vector_of

__all__ = ["FieldValues", "described", "is_plain", "is_sparse_matrix", "shared"]

_DEEPEST = 64  # as many dimensions as a tensor may have

_PLAIN = frozenset({*NUMPY_DTYPES, torch.bfloat16})
_DTYPE_OF, _SHAPE_OF = attrgetter("dtype"), attrgetter("shape")


# Not frozen: that would triple the time to make one, and each field of each batch needs one.
@dataclass(slots=True, eq=False)
class FieldValues:
    """The values of one field, one for each sample.

    Args:
        path: the names on the path to the field; its own name is the last.
        values: the value of each sample.
        called: a function from i to the name of sample i in messages.
        within: the text of the declaration around the one of these values, with `{}` in its place.
    """

    path: tuple[str, ...]
    values: list[Any]
    called: Callable[[int], str]
    within: str = "{}"

    @property
    def name(self) -> str:
        """The name of the field; for a nested field, the names of its path joined by dots."""
        return ".".join(self.path)

    def at(self, number: int) -> str:
        """The field and sample `number`, as the beginning of a message."""
        return f"field {shown(self.name)} of {self.called(number)}"

    def declared(self, field: str) -> str:
        """The text of a declaration of this field as `field`."""
        return declaration(self.path, self.within.format(field))

    def tensors(self) -> list[Tensor]:
        """The values as tensors of one dtype; numpy arrays and lists of numbers become tensors unchanged."""
        if _of_one_dtype(self.values):
            first = self.values[0]
            if first.is_nested:
                self.refuse_unlike(self.values[:1])
            if type(first) is not Tensor and isinstance(first, MaskedTensor):
                raise self._masked(0, "tensor.get_data() and tensor.get_mask()")
            return self.values
        made = [self._tensor(number, value) for number, value in enumerate(self.values)]
        dtype = next((tensor.dtype for tensor in made if tensor is not None), torch.int64)
        tensors = [
            torch.tensor(value, dtype=dtype) if tensor is None else tensor
            for value, tensor in zip(self.values, made, strict=True)
        ]
        odd = next((number for number, tensor in enumerate(tensors) if tensor.dtype is not tensors[0].dtype), None)
        if odd is not None:
            raise self.mismatch(tensors, odd, "one dtype", "convert them in the dataset: nothing is cast here")
        if tensors[0].is_quantized:
            self.refuse_unlike(tensors[:1])
        return tensors

    def sizes(self, tensors: Sequence[Tensor]) -> list[tuple[int, ...]]:
        """The sizes of the tensors along each dimension. Refuses tensors with different numbers of dimensions."""
        try:
            shapes = list(map(_SHAPE_OF, tensors))
        except RuntimeError:  # a nested tensor has none
            self.refuse_unlike(tensors)
            raise
        try:
            return list(zip(*shapes, strict=True))
        except ValueError:
            odd = next(number for number, shape in enumerate(shapes) if len(shape) != len(shapes[0]))
        raise self.mismatch(tensors, odd, "one rank", "give every sample the same number of dimensions")

    def fitting(self, tensors: Sequence[Tensor]) -> str:
        """The text of a declaration that fits these tensors: a stack, or ragged along the dimensions that differ."""
        dims = [dim for dim, lengths in enumerate(self.sizes(tensors)) if shared(lengths) is None]
        if not dims:
            return self.declared("bw.stack()")
        named = "" if dims == [0] else f"dim={dims[0]}" if len(dims) == 1 else f"dim={tuple(dims)}"
        return self.declared(f"bw.ragged({named})")

    def flat_numbers(self) -> tuple[Tensor, list[int]] | None:
        """The numbers of all lists end to end, and their lengths; None unless all are flat lists of numbers of one type."""
        if type(self.values[0]) is not list or shared(list(map(type, self.values))) is None:
            return None
        vector = joined(self.values)
        return None if vector is None else (vector, list(map(len, self.values)))

    def numbers(self) -> Tensor:
        """The values as one vector of Python's numbers: bool, int64, float64 or complex128."""
        vector = vector_of(self.values)
        if vector is not None:
            return vector
        tensors = self.tensors()
        odd = next((number for number, tensor in enumerate(tensors) if tensor.ndim), None)
        if odd is not None:
            self.refuse_unlike(tensors)
            raise Infeasible(
                f"{self.at(odd)} has shape {tuple(tensors[odd].shape)}, a scalar has ()",
                self.fitting(tensors),
            )
        return torch.stack(tensors)

    def refuse_unlike(self, tensors: Sequence[Tensor]) -> None:
        """Refuse tensors that cannot make a dense one: sparse, nested or quantized ones, or those of several devices."""
        for number, tensor in enumerate(tensors):
            if tensor.layout is not torch.strided or tensor.is_nested or tensor.is_quantized:
                way_out = "bw.block_diagonal()" if all(map(is_sparse_matrix, tensors)) else "bw.opaque()"
                raise Infeasible(
                    f"{self.at(number)} has {described(tensor)}, and a dense one is needed",
                    self.declared(way_out),
                )
            if tensor.device != tensors[0].device:
                raise self.mismatch(tensors, number, "one device", "leave samples on the CPU and call batch.to(device)")

    def refuse_subclass(self, tensors: Sequence[Tensor], error: Exception) -> None:
        """Refuse tensors of a subclass, after joining them failed with `error`."""
        for number, tensor in enumerate(tensors):
            if type(tensor) not in (Tensor, torch.nn.Parameter):
                raise Infeasible(
                    f"{self.at(number)} is {typed(tensor)}, and such tensors cannot be joined ({said(error)})",
                    self.declared("bw.opaque()"),
                ) from error

    def mismatch(self, tensors: Sequence[Tensor], odd: int, wanted: str, way_out: str) -> Infeasible:
        """The error that names sample number `odd`, and the first sample, from which it differs."""
        return Infeasible(
            f"{self.at(odd)} has {described(tensors[odd])}, "
            f"that of {self.called(0)} has {described(tensors[0])}, and it needs {wanted}",
            way_out,
        )

    def of(self, number: int, error: Infeasible) -> Infeasible:
        """An error of code that knows no fields and samples, with the field and sample `number` added."""
        return Infeasible(f"{self.at(number)}: {error.fact}", error.way_out)

    def _masked(self, number: int, fields: str) -> Infeasible:
        return Infeasible(
            f"{self.at(number)} is a {type(self.values[number]).__name__}, and a tensor has no mask",
            f"make it two fields in the dataset: {fields}",
        )

    def _tensor(self, number: int, value: Any) -> Tensor | None:
        """The value as a tensor; None for a list without numbers, which gets the dtype of the other samples."""
        if isinstance(value, Tensor):
            return value
        if isinstance(value, np.ma.MaskedArray):
            raise self._masked(number, "array.filled(0) and np.ma.getmaskarray(array)")
        try:
            if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
                return _from_numpy(np.asarray(value))
            for kind, dtype in DTYPES.items():
                if isinstance(value, kind):
                    return torch.tensor(value, dtype=dtype)
            if isinstance(value, (list, tuple)):
                return self._listed(number, value)
        except Infeasible:
            raise
        except (OverflowError, RuntimeError, TypeError, ValueError) as error:  # past 64 bits, lists of unequal lists
            raise Infeasible(
                f"{self.at(number)} is {typed(value)} and makes no tensor ({shown(str(error))[1:-1]})",
                f"make it one in the dataset, or {self.declared('bw.opaque()')}",
            ) from None
        kind = "None (no value)" if value is None else f"a {type(value).__name__}"
        raise Infeasible(
            f"{self.at(number)} is {kind}, not a tensor, an array or a list of numbers",
            self.declared("bw.media() or bw.opaque()" if value is None and self.within == "{}" else "bw.opaque()"),
        )

    def _listed(self, number: int, value: Sequence[Any]) -> Tensor | None:
        """A list of numbers, nested to any depth, as a tensor; None if it has none."""
        leaves: list[Any] = list(value)
        depth = 0
        while leaves and all(isinstance(leaf, (list, tuple)) for leaf in leaves):
            depth += 1
            if depth > _DEEPEST:
                raise ValueError(f"lists within lists, more than {_DEEPEST} deep")
            leaves = list(chain.from_iterable(leaves))
        if not leaves:
            return None
        kinds = set(map(type, leaves))
        dtype = DTYPES.get(next(iter(kinds))) if len(kinds) == 1 else None
        if dtype is None:
            names = listed(sorted(kind.__name__ for kind in kinds))
            raise Infeasible(
                f"{self.at(number)} is a list that holds {names}, not numbers of one type",
                f"make it a tensor in the dataset, or {self.declared('bw.opaque()')}",
            )
        return torch.tensor(value, dtype=dtype)


def _from_numpy(array: np.ndarray) -> Tensor:
    """A tensor of the array: over the same memory if torch can use it, otherwise a copy."""
    if array.flags.writeable and min(array.strides, default=0) >= 0:
        try:
            return torch.from_numpy(array)
        except ValueError:  # another byte order, or strides that are no multiples of the size of an element
            pass
    return torch.from_numpy(np.array(array, array.dtype.newbyteorder("="), order="C"))


def shared(traits: Sequence[Any]) -> Any:
    """The value that all of them have, or None if they differ. `count` is the fastest way to compare all entries."""
    return traits[0] if traits.count(traits[0]) == len(traits) else None


def is_plain(values: Sequence[Any]) -> bool:
    """Whether all values are tensors of one dtype of numbers, and the first one is a dense tensor of no subclass."""
    first = values[0]
    return type(first) is Tensor and first.layout is torch.strided and _of_one_dtype(values)


def _of_one_dtype(values: Sequence[Any]) -> bool:
    """Whether all values are tensors of one dtype of numbers, among which are no quantized ones."""
    try:
        first = _DTYPE_OF(values[0])
        # `countOf` makes no list: a sixth less, and this is a fifth of the time of a batch of many small tensors.
        return first in _PLAIN and countOf(map(_DTYPE_OF, values), first) == len(values)
    except AttributeError:  # not all of them are tensors or arrays
        return False


def is_sparse_matrix(tensor: Tensor) -> bool:
    """Whether the tensor is a sparse COO matrix of numbers, which `block_diagonal` accepts."""
    return tensor.layout is torch.sparse_coo and tensor.sparse_dim() == tensor.ndim == 2


def described(tensor: Tensor) -> str:
    """The shape and dtype of the tensor, and anything unusual about it, for a message."""
    shape = f"{tensor.size(0)} pieces" if tensor.is_nested else f"shape {shown(tuple(tensor.shape))}"
    words = f"{shape} and dtype {str(tensor.dtype).removeprefix('torch.')}"
    if tensor.is_nested:
        words += " (a nested tensor)"
    elif tensor.is_quantized:
        words += " (quantized)"
    elif tensor.layout is not torch.strided:
        words += f" and layout {str(tensor.layout).removeprefix('torch.')}"
    return words if tensor.is_cpu else f"{words} on {tensor.device}"
