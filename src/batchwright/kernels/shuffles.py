"""Shuffles of whole arrays, by a key.

`permutation.fill_table` is a shuffle of Fisher and Yates too. It takes word i of the key for the exchange of item i, and
the one here takes the words in order. So they give other results, and both are results of plans, which never change.
"""

from __future__ import annotations

import numpy as np

from .array_types import Integers
from .compile import allocating, inner, kernel
from .hashing import GOLDEN, mix

__all__ = ["keyed_shuffle", "rows_shuffled", "shuffle"]


@kernel("int64[:](int64, uint64)")
def keyed_shuffle(count: int, key: np.uint64) -> Integers:
    """The numbers 0..count-1 shuffled by `key` (Fisher and Yates, random bits of splitmix64)."""
    return _shuffled(count, key)


@kernel("int64[:, :](int64, int64, uint64)")
def rows_shuffled(rows: int, count: int, key: np.uint64) -> Integers:
    """The numbers 0..count-1 in each row, shuffled by a key of its own: `key` + 1 for the first row.

    `key` itself is left to the caller, who may shuffle the rows by it. Keys that differ by a small number are safe here,
    and cheaper than a `child` for each row: `shuffle` adds multiples of GOLDEN to its key and mixes the sums. GOLDEN is 2^64
    over the golden ratio, so the first 2^30 multiples of it are more than 2^30 away from 0 and from each other, around the
    circle of 64-bit words. So two of at most 2^30 rows of at most 2^30 numbers never mix the same sum.
    """
    shuffled = np.empty((rows, count), np.int64)
    for row in range(rows):
        shuffled[row] = _shuffled(count, key + np.uint64(1 + row))
    return shuffled


@allocating
def _shuffled(count: int, key: np.uint64) -> Integers:
    order = np.arange(count)
    shuffle(order, key)
    return order


@inner
def shuffle(items, key):
    """Shuffle an array in place, as `keyed_shuffle` does."""
    word = key
    for last in range(items.size - 1, 0, -1):
        word += GOLDEN
        bits = mix(word)
        pick = np.int64(((bits >> np.uint64(32)) * np.uint64(last + 1)) >> np.uint64(32))
        items[last], items[pick] = items[pick], items[last]
