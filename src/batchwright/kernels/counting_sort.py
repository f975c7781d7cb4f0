"""Sorts by small integers in linear time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .array_types import Integers
from .compile import kernel
from .shuffles import shuffle

__all__ = ["shuffled_and_sorted", "sorted_by_counting"]

NarrowIntegers = NDArray[np.uint32]


@kernel("Tuple((int64[:], int64[:]))(int64[:], int64)")
def sorted_by_counting(sort_keys: Integers, largest: int) -> tuple[Integers, Integers]:
    """Places sorted by sort key, stable, and where each sort key starts, int64 (largest + 2)."""
    starts = np.zeros(largest + 2, np.int64)
    falls, latest = False, np.int64(0)
    for place in range(sort_keys.size):
        starts[sort_keys[place] + 1] += 1
        falls |= sort_keys[place] < latest
        latest = sort_keys[place]
    for sort_key in range(largest + 1):
        starts[sort_key + 1] += starts[sort_key]
    if not falls:  # they are sorted already, as the samples of strata are
        return np.arange(sort_keys.size), starts
    free = starts.copy()
    places = np.empty(sort_keys.size, np.int64)
    for place in range(sort_keys.size):
        sort_key = sort_keys[place]
        places[free[sort_key]] = place
        free[sort_key] += 1
    return places, starts


@kernel("Tuple((uint32[:], int64[:]))(uint32[:], uint32[:], int64, uint64)")
def shuffled_and_sorted(
    items: NarrowIntegers, sort_keys: NarrowIntegers, key_count: int, key: np.uint64
) -> tuple[NarrowIntegers, Integers]:
    """The items sorted by `sort_keys[item]`, and where each sort key starts, int64 (key_count + 1).

    Sort keys are 0 to `key_count` - 1. Items of one sort key are in the order of a shuffle by the hash key `key`. A
    counting sort: beside `items`, which is shuffled in place, 4 bytes an item. There are at most 2^32 of them.
    """
    starts = np.zeros(key_count + 1, np.int64)
    for place in range(items.size):  # before they are shuffled: neighbours in memory are read one after the other
        starts[sort_keys[items[place]] + 1] += 1
    for sort_key in range(key_count):
        starts[sort_key + 1] += starts[sort_key]
    shuffle(items, key)
    free = starts.copy()
    descending = np.empty(items.size, np.uint32)
    for place in range(items.size):
        item = items[place]
        sort_key = sort_keys[item]
        descending[free[sort_key]] = item
        free[sort_key] += 1
    return descending, starts
