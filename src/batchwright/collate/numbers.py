"""Python's numbers in lists, as tensors.

It takes two passes, one over the types and one over the numbers, because numpy and `struct` alone would convert a bool among
integers to an integer.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from operator import countOf
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .layout import Side
from .memory import NUMPY_DTYPES
from .padding import fill_value

__all__ = ["DTYPES", "joined", "padded", "vector_of"]

DTYPES: dict[Any, torch.dtype] = {bool: torch.bool, int: torch.int64, float: torch.float64, complex: torch.complex128}
"""The dtype of each type of number: their full width, as in `default_collate`."""

_FORMATS: dict[Any, str] = {bool: "?", int: "q", float: "d"}  # of `struct`, the same widths
# Numbers that are checked and written in one call. They are then still in the cache when they are written, and so is the
# tuple that Python makes of the arguments.
_CHUNK = 4096
_MANY = 64  # numbers: with fewer, numpy is faster than `struct`, whose format is parsed first (chosen by trial)


def vector_of(values: list[Any]) -> Tensor | None:
    """Python numbers of one type as a vector; None for anything else, and for integers of more than 64 bits."""
    kind: Any = type(values[0]) if values else None
    if kind not in DTYPES:
        return None
    if len(values) >= _MANY and kind in _FORMATS:
        memory = bytearray()
        return torch.frombuffer(memory, dtype=DTYPES[kind]) if _append(values, kind, memory) else None
    if countOf(map(type, values), kind) < len(values):
        return None
    try:
        return torch.from_numpy(np.fromiter(values, NUMPY_DTYPES[DTYPES[kind]], len(values)))
    except OverflowError:
        return None


def joined(lists: list[list[Any]]) -> Tensor | None:
    """The numbers of several lists, end to end; None where `vector_of` of them all would be None."""
    kind = _kind_of(lists)
    if sum(map(len, lists)) < _MANY * len(lists) or kind not in _FORMATS:
        together: list[Any] = []
        for numbers in lists:  # three times as fast as `chain`
            together += numbers
        return vector_of(together)
    memory = bytearray()
    for numbers in lists:
        if not _append(numbers, kind, memory):
            return None
    return torch.frombuffer(memory, dtype=DTYPES[kind])


def padded(lists: list[list[Any]], length: int, value: float | complex | bool, side: Side) -> Tensor | None:
    """The numbers of each list as a row, padded to `length` with `value`; None if they are not of one type.

    Raises:
        Infeasible: their dtype does not have the value.
    """
    kind = _kind_of(lists)
    if kind not in _FORMATS:
        return None
    one = _packer(1, kind)(fill_value(value, DTYPES[kind]))
    memory, row = bytearray(), memoryview(one * length)
    for numbers in lists:
        gap = row[: len(one) * (length - len(numbers))]
        if side == "left":
            memory += gap
        if not _append(numbers, kind, memory):
            return None
        if side == "right":
            memory += gap
    return torch.frombuffer(memory, dtype=DTYPES[kind]).view(len(lists), length)


def _kind_of(lists: list[list[Any]]) -> Any:
    return next((type(numbers[0]) for numbers in lists if numbers), None)


def _append(numbers: list[Any], kind: Any, memory: bytearray) -> bool:
    """Append numbers to memory; False if one is of another type, or has more than 64 bits."""
    count = len(numbers)
    try:
        if count <= _CHUNK:
            if countOf(map(type, numbers), kind) < count:
                return False
            memory += _packer(count, kind)(*numbers)
            return True
    except (OverflowError, struct.error):
        return False
    return all(_append(numbers[start : start + _CHUNK], kind, memory) for start in range(0, count, _CHUNK))


@lru_cache(maxsize=_CHUNK)
def _packer(count: int, kind: Any) -> Callable[..., bytes]:
    """What writes so many numbers of this type; kept, since `struct` takes longer to look up a format."""
    return struct.Struct(f"{count}{_FORMATS[kind]}").pack
