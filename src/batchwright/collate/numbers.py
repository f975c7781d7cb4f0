"""Python's numbers in lists, as tensors.

Numbers are of one type if all are `bool`, all `int`, all `float` or all `complex`. A subclass counts as its base (an
`IntEnum` is an `int`), but a scalar of numpy does not. `struct` and numpy convert a bool among integers, and an integer
among floats, without a word. To look at the type of each number takes twice as long as to convert it. So of many numbers
two things are looked at that are cheaper: the type of their sum, and the type of those alone that are equal to a number of
another type.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import accumulate, chain
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
_ZERO: dict[Any, Any] = {int: 0, float: 0.0}  # where a sum begins
# Numbers that are added up and written in one call. They are then still in the cache when they are written, and so is the
# tuple that Python makes of the arguments.
_CHUNK = 4096
_MANY = 64  # numbers: with fewer, numpy is faster than `struct`, whose format is parsed first (chosen by trial)
_MANY_TYPES = 512  # numbers: with fewer, their types are read sooner than found out (chosen by trial)
_LARGE = 1 << 18  # bytes: with fewer, to write padding of zeros takes less time than to leave it out (chosen by trial)
_FEW_SUSPECTS = 1 / 32  # of all numbers: with more, the type of each is read in less time (chosen by trial)


def vector_of(values: list[Any]) -> Tensor | None:
    """Python numbers of one type as a vector; None for anything else, and for integers of more than 64 bits."""
    kind = _type_of(values[0]) if values else None
    if kind not in DTYPES:
        return None
    if len(values) >= _MANY and kind in _FORMATS:
        return joined([values])
    if not _are(values, kind):
        return None
    try:
        return torch.from_numpy(np.fromiter(values, NUMPY_DTYPES[DTYPES[kind]], len(values)))
    except OverflowError:
        return None


def joined(lists: list[list[Any]]) -> Tensor | None:
    """The numbers of several lists, end to end; None where `vector_of` of them all would be None."""
    kind = _kind_of(lists)
    if sum(map(len, lists)) >= _MANY * len(lists) and kind in _FORMATS:
        pieces = _pieces(lists, kind)
        return None if pieces is None else torch.frombuffer(bytearray().join(pieces), dtype=DTYPES[kind])
    together: list[Any] = []
    for numbers in lists:  # three times as fast as `chain`
        together += numbers
    return vector_of(together)


def padded(lists: list[list[Any]], length: int, value: float | complex | bool, side: Side) -> Tensor | None:
    """The numbers of each list as a row, padded to `length` with `value`; None if they are not of one type.

    Raises:
        Infeasible: their dtype does not have the value.
    """
    kind = _kind_of(lists)
    if kind not in _FORMATS:
        return None
    filler = _packer(1, kind)(fill_value(value, DTYPES[kind]))
    pieces = _pieces(lists, kind)
    if pieces is None:
        return None
    return torch.frombuffer(_rows(pieces, filler, length, side), dtype=DTYPES[kind]).view(len(lists), length)


def _kind_of(lists: list[list[Any]]) -> Any:
    return next((_type_of(numbers[0]) for numbers in lists if numbers), None)


def _type_of(number: Any) -> Any:
    """The type that a number counts as."""
    kind = type(number)
    if kind in DTYPES or isinstance(number, np.generic):  # a float64 of numpy is a float, but of a dtype of its own
        return kind
    return next((base for base in DTYPES if isinstance(number, base)), kind)


def _are(numbers: list[Any], kind: Any) -> bool:
    """Whether all numbers are of this type: read from each."""
    return countOf(map(type, numbers), kind) == len(numbers) or all(_type_of(number) is kind for number in numbers)


def _pieces(lists: list[list[Any]], kind: Any) -> list[bytes] | None:
    """The numbers of each list by `struct`; None if one is of another type, or has more than 64 bits."""
    guess = kind is not bool and sum(map(len, lists)) >= _MANY_TYPES
    try:
        pieces = [_written(numbers, kind, guess) for numbers in lists]
    except Exception:  # of what is no number: whatever its own methods raise
        return None
    return None if guess and not _suspects_are(b"".join(pieces), lists, kind) else pieces


def _written(numbers: list[Any], kind: Any, guess: bool) -> bytes:
    if len(numbers) > _CHUNK:
        return b"".join(_written(part, kind, guess) for part in _chunks(numbers))
    if not (type(sum(numbers, _ZERO[kind])) is kind if guess else _are(numbers, kind)):
        raise TypeError("numbers of several types")
    return _packer(len(numbers), kind)(*numbers)


def _rows(pieces: list[bytes], filler: bytes, length: int, side: Side) -> bytearray:
    """The bytes of lists of numbers, each filled up with `filler` to `length` numbers."""
    size = len(filler) * length
    if any(filler) or size * len(pieces) < _LARGE:
        gap = memoryview(filler * length)
        gaps = [gap[: size - len(piece)] for piece in pieces]
        pairs = zip(gaps, pieces, strict=True) if side == "left" else zip(pieces, gaps, strict=True)
        return bytearray().join(chain.from_iterable(pairs))
    rows = bytearray(size * len(pieces))  # zeros, which come from the system without being written
    for start, piece in zip(range(0, len(rows), size), pieces, strict=True):
        at = start + size - len(piece) if side == "left" else start
        rows[at : at + len(piece)] = piece
    return rows


def _chunks(numbers: list[Any]) -> Iterator[list[Any]]:
    return (numbers[start : start + _CHUNK] for start in range(0, len(numbers), _CHUNK))


def _suspects_are(memory: bytes, lists: list[list[Any]], kind: Any) -> bool:
    """Whether the numbers are of this type that may be of another: 0 and 1 may be bools, and whole floats integers."""
    written = np.frombuffer(memory, NUMPY_DTYPES[DTYPES[kind]])
    suspects = np.flatnonzero(written.view(np.uint64) <= 1 if kind is int else written == np.rint(written))
    if suspects.size > _FEW_SUSPECTS * written.size:
        return all(_are(numbers, kind) for numbers in lists)
    ends = list(accumulate(map(len, lists)))
    for place in suspects.tolist():
        number = bisect_right(ends, place)
        if _type_of(lists[number][place - ends[number]]) is not kind:  # counted from the end of its list
            return False
    return True


@lru_cache(maxsize=_CHUNK)
def _packer(count: int, kind: Any) -> Callable[..., bytes]:
    """What writes so many numbers of this type; kept, since `struct` takes longer to look up a format."""
    return struct.Struct(f"{count}{_FORMATS[kind]}").pack
