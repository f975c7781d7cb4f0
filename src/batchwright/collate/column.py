"""One field's values over the samples of a batch, and the words for what is wrong with them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import Infeasible

__all__ = ["Column"]

# Python's numbers are taken at their full width, as default_collate takes them.
_ARRAY_CODES = {int: "q", float: "d"}
_DTYPES = {bool: torch.bool, int: torch.int64, float: torch.float64, complex: torch.complex128}


@dataclass(frozen=True)
class Column:
    """What a field holds in each sample.

    Args:
        name: the field's name; of a nested field, the names on the way joined by dots.
        values: one a sample.
        called: how sample number i is called in a message.
    """

    name: str
    values: Sequence[Any]
    called: Callable[[int], str]

    def tensors(self) -> list[Tensor]:
        """The values as tensors of one dtype and rank; numpy arrays and lists of numbers become tensors unchanged."""
        values = self.values
        if all(isinstance(value, Tensor) for value in values):
            tensors = list(values)
        else:
            tensors = [self._tensor(number, value) for number, value in enumerate(values)]
        first = tensors[0]
        if len({tensor.dtype for tensor in tensors}) > 1 or len({tensor.ndim for tensor in tensors}) > 1:
            odd = next(
                n for n, tensor in enumerate(tensors) if (tensor.dtype, tensor.ndim) != (first.dtype, first.ndim)
            )
            raise self.mismatch(
                tensors, odd, "one rank and one dtype", "convert them in the dataset: nothing is cast here"
            )
        return tensors

    def flat_numbers(self) -> tuple[Tensor, list[int]] | None:
        """Where every value is a flat list of Python ints or floats: all of them end to end, and how many each has."""
        if not all(type(value) is list for value in self.values):
            return None
        joined = list(chain.from_iterable(self.values))
        kinds = set(map(type, joined))
        if len(kinds) != 1:
            return None
        code = _ARRAY_CODES.get(kinds.pop())
        if code is None:
            return None
        return torch.frombuffer(array(code, joined), dtype=_code_dtype(code)), [len(value) for value in self.values]

    def numbers(self) -> Tensor:
        """The values as one vector of Python's numbers: bool, int64, float64 or complex128."""
        kinds = {type(value) for value in self.values}
        dtype = _DTYPES.get(kinds.pop()) if len(kinds) == 1 else None
        if dtype is not None:
            return torch.tensor(self.values, dtype=dtype)
        tensors = self.tensors()
        if tensors[0].ndim:
            raise Infeasible(
                f"field {self.name!r} of {self.called(0)} has shape {tuple(tensors[0].shape)}, a scalar has ()",
                f"declare it: {self.name} = bw.stack() or bw.ragged()",
            )
        return torch.stack(tensors)

    def mismatch(self, tensors: Sequence[Tensor], odd: int, wanted: str, way_out: str) -> Infeasible:
        """The refusal of sample number `odd`, beside the first sample that it disagrees with."""
        return Infeasible(
            f"field {self.name!r} of {self.called(odd)} has {_described(tensors[odd])}, "
            f"that of {self.called(0)} has {_described(tensors[0])}, and it needs {wanted}",
            way_out,
        )

    def _tensor(self, number: int, value: Any) -> Tensor:
        if isinstance(value, Tensor):
            return value
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            plain = value if value.flags.writeable and min(value.strides, default=0) >= 0 else value.copy()
            return torch.from_numpy(plain)
        if isinstance(value, np.generic) and value.dtype.kind in "biufc":
            return torch.as_tensor(value)
        if type(value) in _DTYPES:
            return torch.tensor(value, dtype=_DTYPES[type(value)])
        if isinstance(value, (list, tuple)):
            return self._listed(number, value)
        raise Infeasible(
            f"field {self.name!r} of {self.called(number)} is a {type(value).__name__}, not a tensor, an array or a "
            "list of numbers",
            f"declare it: {self.name} = bw.opaque()",
        )

    def _listed(self, number: int, value: Sequence[Any]) -> Tensor:
        leaves: list[Any] = list(value)
        while leaves and isinstance(leaves[0], (list, tuple)):
            leaves = list(chain.from_iterable(leaves))
        kinds = set(map(type, leaves))
        dtype = _DTYPES.get(next(iter(kinds))) if len(kinds) == 1 else None
        if kinds and dtype is None:
            names = ", ".join(sorted(kind.__name__ for kind in kinds))
            raise Infeasible(
                f"field {self.name!r} of {self.called(number)} is a list that holds {names}, not numbers of one type",
                f"make it a tensor in the dataset, or declare it: {self.name} = bw.opaque()",
            )
        if not kinds:  # an empty list has no type of its own: it takes that of the others
            dtype = next(
                (self._listed(n, other).dtype for n, other in enumerate(self.values) if len(other)),
                torch.int64,
            )
        return torch.tensor(value, dtype=dtype)


def _code_dtype(code: str) -> torch.dtype:
    return torch.int64 if code == "q" else torch.float64


def _described(tensor: Tensor) -> str:
    return f"shape {tuple(tensor.shape)} and dtype {str(tensor.dtype).removeprefix('torch.')}"
