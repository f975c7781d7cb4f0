"""Sort keys of samples: by length, or so that neighbours are alike in several measures."""

from __future__ import annotations

import numpy as np

from ..kernels.array_types import Integers
from ..kernels.counting_sort import sorted_by_counting
from ..kernels.shuffles import keyed_shuffle
from .numbers import Keys, NumberRows, SortKeys

__all__ = ["mixed_places", "most_expensive_of_strata", "similarity_keys_of", "sorted_places"]


def most_expensive_of_strata(table: NumberRows, falling: Integers, windows: int) -> NumberRows:
    """The largest value of every `windows` neighbours of `falling`, column by column: float64 (strata, columns)."""
    if table.shape[1] == 1:
        return NumberRows.of(
            table[falling[::windows]]
        )  # sorted by this column: the first of each stratum is the largest
    return NumberRows.of(np.maximum.reduceat(table[falling], np.arange(0, falling.size, windows), axis=0))


def similarity_keys_of(table: NumberRows) -> SortKeys:
    """Sort keys of the rows of `table` (samples, measures): sorted by them, neighbours are alike in all measures.

    NumberRows are grouped into strata by the first measure, within these by the next, and so on, and sorted by the last:
    falling in one stratum, rising in the next (as a snake), so that neighbours are alike across the border of two
    strata too. Equal rows share a key.
    """
    count, measures = table.shape
    if measures == 1:
        return Keys(table.columns[0])
    # Were the last measure divided into as many strata, each cell would have about 16 rows. The 16 was chosen by trial;
    # only how full micro-batches are depends on it.
    strata = max(1, round((count / 16) ** (1 / measures)))
    cells = []
    for column in table.columns[:-1]:
        keys = Keys(column)[:]
        cells.append((np.bincount(keys).cumsum()[keys] - 1) * strata // count)
    rows = table[:]
    rising = sum(cells) % 2 == 1
    last = np.where(rising, rows[:, -1], -rows[:, -1])
    order = np.lexsort((*rows.T, last, *reversed(cells)))
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
    largest = int(keys.max(initial=0))
    return sorted_by_counting(keys, largest)[0] if largest < keys.size else np.argsort(keys, kind="stable")
