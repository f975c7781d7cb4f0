"""Sort keys of samples: by length, or so that neighbours are alike in several measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.array_types import Integers
from ..kernels.counting_sort import sorted_by_counting
from ..kernels.shuffles import keyed_shuffle
from .numbers import NumberRows, Numbers

__all__ = [
    "Keys",
    "SortKeys",
    "mixed_places",
    "most_expensive_of_strata",
    "similarity_keys_of",
    "sorted_and_counted",
    "sorted_places",
]


class Keys:
    """Sort keys of samples by descending size: 0 for the largest; equal sizes share one.

    A key is looked up by the number of the sample in a column, so keys take no memory of their own.

    Args:
        column: a number for each sample.
        size_of: from numbers to sizes; the numbers themselves if left out.

    Attributes:
        values: the distinct numbers, ascending.
        of_value: the key of each, int64.
    """

    ndim = 1

    def __init__(self, column: Numbers, size_of: Callable[[np.ndarray], np.ndarray] | None = None) -> None:
        self._column, self.values = column, column.distinct()
        sizes = self.values if size_of is None else size_of(self.values)
        distinct = np.unique(sizes)
        self.of_value = distinct.size - 1 - np.searchsorted(distinct, sizes)
        self._table: np.ndarray | None = None
        if column.few:
            self._table = np.zeros(int(self.values[-1]) + 1, np.int64)
            self._table[self.values.astype(np.int64)] = self.of_value

    @classmethod
    def of(cls, values: np.ndarray) -> Keys:
        """The keys of an array of sizes."""
        return cls(Numbers.of(values, values.dtype))

    @property
    def size(self) -> int:
        """The number of samples."""
        return self._column.size

    def __getitem__(self, samples: Any) -> np.ndarray:
        if self._table is not None:
            found: np.ndarray = self._table[self._column.held[samples]]
        else:
            found = self.of_value[np.searchsorted(self.values, self._column[samples])]
        return found


SortKeys = Keys | NDArray[np.int64]
"""Sort keys of all samples, looked up or kept."""


def most_expensive_of_strata(table: NumberRows, descending: Integers, window_count: int) -> NumberRows:
    """The largest value of every `window_count` neighbours of `descending`, column by column: float64 (strata, columns)."""
    if table.shape[1] == 1:
        # `descending` is sorted by this column: the first of each stratum is the largest.
        return NumberRows.of(table[descending[::window_count]])
    return NumberRows.of(np.maximum.reduceat(table[descending], np.arange(0, descending.size, window_count), axis=0))


def similarity_keys_of(table: NumberRows) -> SortKeys:
    """Sort keys of the rows of `table` (samples, measures): sorted by them, neighbours are alike in all measures.

    The rows are divided into parts of equal size by the first measure, each of these by the next, and so on. Within a part
    they are sorted by the last measure: descending in one part, ascending in the next (as a snake), so that neighbours are
    alike across the border of two parts too. Equal rows share a key.
    """
    count, measures = table.shape
    if measures == 1:
        return Keys(table.columns[0])
    # Were the last measure divided into as many parts, each would have about 16 rows. The 16 was chosen by trial; only how
    # full micro-batches are depends on it.
    parts = max(1, round((count / 16) ** (1 / measures)))
    part_of = []  # for each measure but the last, the part that each row is in
    for column in table.columns[:-1]:
        keys = Keys(column)[:]
        part_of.append((np.bincount(keys).cumsum()[keys] - 1) * parts // count)
    rows = table[:]
    ascending = sum(part_of) % 2 == 1
    last = np.where(ascending, rows[:, -1], -rows[:, -1])
    order = np.lexsort((*rows.T, last, *reversed(part_of)))
    changed = np.any(np.diff(rows[order], axis=0, prepend=rows[order[:1]]) != 0, axis=1)
    places = np.empty(count, np.int64)
    places[order] = changed.cumsum()
    return places


def mixed_places(keys: Integers) -> Integers:
    """Places sorted by key, those of equal keys shuffled; the shuffle depends only on how many there are.

    With costs in several measures, samples that are expensive in one are then mixed with samples that are expensive in
    another, and together they fill all limits. A stable sort could put all that are expensive in one first.
    """
    mixed = keyed_shuffle(keys.size, np.uint64(keys.size))
    return mixed[sorted_places(keys[mixed])]


def sorted_places(keys: Integers) -> Integers:
    """Places sorted by key, stable; by counting, which takes linear time, if there are fewer keys than places."""
    return sorted_and_counted(keys)[0]


def sorted_and_counted(keys: Integers) -> tuple[Integers, Integers | None]:
    """Places sorted by key, stable; and how many have each key from 0 on, int64, None if they were not counted."""
    largest = int(keys.max(initial=0))
    if largest >= keys.size:
        return np.argsort(keys, kind="stable"), None
    places, starts = sorted_by_counting(keys, largest)
    return places, np.diff(starts)
