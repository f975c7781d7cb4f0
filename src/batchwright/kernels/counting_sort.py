"""Sorts by small integers in linear time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .array_types import Integers
from .compile import kernel
from .shuffles import shuffle

__all__ = ["shuffled_by_key", "sorted_by_counting"]

NarrowIntegers = NDArray[np.uint32]


@kernel("Tuple((int64[:], int64[:]))(int64[:], int64)")
def sorted_by_counting(keys: Integers, largest: int) -> tuple[Integers, Integers]:
    """Places sorted by key, stable, and where each key starts, int64 (largest + 2)."""
    starts = np.zeros(largest + 2, np.int64)
    falls, latest = False, np.int64(0)
    for place in range(keys.size):
        starts[keys[place] + 1] += 1
        falls |= keys[place] < latest
        latest = keys[place]
    for key in range(largest + 1):
        starts[key + 1] += starts[key]
    if not falls:  # as the samples of strata are
        return np.arange(keys.size), starts
    free = starts.copy()
    places = np.empty(keys.size, np.int64)
    for place in range(keys.size):
        key = keys[place]
        places[free[key]] = place
        free[key] += 1
    return places, starts


@kernel("Tuple((uint32[:], int64[:]))(uint32[:], uint32[:], int64, uint64)")
def shuffled_by_key(
    items: NarrowIntegers, keys: NarrowIntegers, kinds: int, key: np.uint64
) -> tuple[NarrowIntegers, Integers]:
    """The items sorted by `keys[item]`, from 0 to `kinds` - 1, and where each key starts, int64 (kinds + 1).

    Items of one key are in the order of a shuffle by `key`. A counting sort: beside `items`, which is shuffled in
    place, 4 bytes an item. There are at most 2^32 of them.
    """
    starts = np.zeros(kinds + 1, np.int64)
    for place in range(items.size):  # before they are shuffled: neighbours in memory are read one after the other
        starts[keys[items[place]] + 1] += 1
    for kind in range(kinds):
        starts[kind + 1] += starts[kind]
    shuffle(items, key)
    free = starts.copy()
    falling = np.empty(items.size, np.uint32)
    for place in range(items.size):
        item = items[place]
        kind = keys[item]
        falling[free[kind]] = item
        free[kind] += 1
    return falling, starts
