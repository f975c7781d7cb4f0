"""Columns of numbers with as few bytes a sample as hold them.

Lengths are mostly small integers, and a plan may have a billion of them. So a column is kept in the type that fits, or
is left on disk; what is read of it is of one type, as if it had been widened as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.array_types import blocks

__all__ = ["NumberRows", "Numbers"]

_TABLE = 1 << 20  # integers below this are looked up in a table, which a processor's cache holds


class Numbers:
    """A column of numbers, read as float64 or int64.

    Args:
        held: the numbers as they are kept, of any type of integers or floats, shape (samples,).
        dtype: the type that is read, float64 or int64.
    """

    ndim = 1

    def __init__(self, held: np.ndarray, dtype: Any = np.float64) -> None:
        self.held, self.dtype = held, np.dtype(dtype)

    @classmethod
    def of(cls, values: np.ndarray, dtype: Any = np.float64) -> Numbers:
        """A copy in the type that fits, so that later changes of `values` change nothing; of a file on disk no copy."""
        if _is_on_disk(values):
            return cls(values, dtype)
        return cls._filled(values.size, lambda first, last: values[first:last].astype(dtype), dtype)

    @classmethod
    def _filled(cls, count: int, part: Callable[[int, int], np.ndarray], dtype: Any) -> Numbers:
        """From a function that gives numbers first..last-1 in the type that is read."""
        fits: Any = np.uint8
        for first, last in blocks(count):
            fits = _wider(fits, part(first, last))
        held = np.empty(count, fits)
        for first, last in blocks(count):
            held[first:last] = part(first, last)
        return cls(held, dtype)

    def mapped(self, function: Callable[[np.ndarray], np.ndarray]) -> Numbers:
        """The column that a function of single numbers makes of this one."""
        return self._filled(self.size, lambda first, last: function(self[first:last]), self.dtype)

    def read_as(self, dtype: Any) -> Numbers:
        """The same numbers, read as another type."""
        return Numbers(self.held, dtype)

    @property
    def size(self) -> int:
        """The number of samples."""
        return self.held.size

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return self.held.shape

    def __getitem__(self, samples: Any) -> np.ndarray:
        found: np.ndarray = self.held[samples].astype(self.dtype)
        return found

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """All of the numbers, block by block, each with the number of its first sample."""
        for first, last in blocks(self.size):
            yield first, self[first:last]

    def min(self) -> Any:
        """The smallest number."""
        return self.dtype.type(self.held.min())

    def max(self) -> Any:
        """The largest number."""
        return self.dtype.type(self.held.max())

    def argmin(self) -> int:
        """The first sample that has the smallest number."""
        return int(self.held.argmin())

    @cached_property
    def few(self) -> bool:
        """Whether these are integers of 0 or more, so small that a table of all of them is worth its memory."""
        return self.held.dtype.kind == "u" and self.size > 0 and int(self.held.max()) < _TABLE

    def distinct(self) -> np.ndarray:
        """The distinct numbers, ascending."""
        if self.few:
            seen = np.zeros(int(self.held.max()) + 1, bool)
            for first, last in blocks(self.size):
                seen[self.held[first:last]] = True
            return np.flatnonzero(seen).astype(self.dtype)
        # Runs are joined with runs of their own length, so every number is joined as often as the logarithm of the count.
        runs: list[np.ndarray] = []
        for _, part in self.blocks():
            runs.append(np.unique(part))
            while len(runs) > 1 and runs[-1].size >= runs[-2].size:
                runs[-2:] = [np.union1d(runs[-2], runs[-1])]
        return np.unique(np.concatenate(runs)) if runs else np.empty(0, self.dtype)


@dataclass(frozen=True)
class NumberRows:
    """Several columns, read as rows: `rows[samples]` is of shape (samples, columns)."""

    columns: tuple[Numbers, ...]

    ndim = 2

    @classmethod
    def of(cls, table: np.ndarray) -> NumberRows:
        """From an array of shape (samples, columns), float64 or int64."""
        return cls(tuple(Numbers.of(column, table.dtype) for column in table.T))

    @property
    def shape(self) -> tuple[int, int]:
        """As of an array."""
        return self.columns[0].size, len(self.columns)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that is read."""
        dtype: np.dtype[Any] = self.columns[0].dtype
        return dtype

    def __getitem__(self, samples: Any) -> np.ndarray:
        parts = [column[samples] for column in self.columns]
        return parts[0][..., None] if len(parts) == 1 else np.stack(parts, axis=-1)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """All rows, block by block, each with the number of its first sample."""
        for first, last in blocks(self.shape[0]):
            yield first, self[first:last]

    def any_row(self, holds: Callable[[np.ndarray], np.ndarray]) -> NDArray[np.bool_]:
        """Where `holds` is true for some column of a row, bool (samples,)."""
        found = np.empty(self.shape[0], bool)
        for first, rows in self.blocks():
            found[first : first + len(rows)] = holds(rows).any(axis=1)
        return found

    def max(self) -> np.ndarray:
        """The largest number of each column."""
        return np.array([column.max() for column in self.columns], self.dtype)


def _wider(dtype: Any, part: np.ndarray) -> Any:
    """The narrowest type that holds these numbers exactly, and those of `dtype`."""
    if not part.size or np.dtype(dtype) == part.dtype:
        return dtype
    least, most = part.min(), part.max()
    if least >= 0 and most < 1 << 32:
        whole = part.astype(np.uint32)
        # Compared as bits: -0.0 is no integer, and the identity of a plan tells it from 0.0.
        if np.array_equal(whole.astype(part.dtype).view(np.int64), part.view(np.int64)):
            return np.promote_types(dtype, np.min_scalar_type(int(most)))
    if part.dtype.kind == "f":
        with np.errstate(over="ignore"):
            if np.array_equal(part.astype(np.float32), part):
                return np.promote_types(dtype, np.float32)
    return part.dtype


def _is_on_disk(values: np.ndarray) -> bool:
    """Whether an array is a part of a file that this process does not write to."""
    base: Any = values
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return base.mode in ("r", "c")
        base = base.base
    return False
