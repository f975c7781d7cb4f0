"""Windows of an epoch in which every window has one sample of every length stratum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .array_types import Integers
from .compile import kernel
from .cuts import shuffle
from .hashing import child, stream

__all__ = ["one_of_each_stratum", "shuffled_by_key"]

Words = NDArray[np.uint32]


@kernel("Tuple((uint32[:], int64[:]))(uint32[:], uint32[:], int64, uint64)")
def shuffled_by_key(items: Words, keys: Words, kinds: int, key: np.uint64) -> tuple[Words, Integers]:
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


@kernel("int64[:](uint32[:], int64[:], int64[:], int64, int64, uint64)")
def one_of_each_stratum(
    falling: Words, wide: Integers, starts: Integers, windows: int, window: int, key: np.uint64
) -> Integers:
    """The samples of a window, longest first.

    `falling` are the samples, longest first, or `wide` if there are more than 2^32; the other one is empty. Those of one
    length begin at `starts`. A stratum is `windows` consecutive
    samples of `falling`; each window gets one of them, by a keyed rotation of the stratum. A rotation is a permutation
    that needs one random number, and any window is found without the others. Samples of equal length are rotated too,
    so that strata differ from epoch to epoch; as these cost the same, the bound of a window stays. If the last stratum
    is too short, the first windows get its samples.
    """
    count = falling.size + wide.size
    strata = (count + windows - 1) // windows
    chosen = np.empty(strata, np.int64)
    turns = child(key, np.uint64(1))  # two streams of their own: rotations of strata, and of samples of one length
    shifts = child(key, np.uint64(2))
    length = 0
    found = 0
    for stratum in range(strata):
        first = stratum * windows
        size = min(windows, count - first)
        if window >= size:
            break
        turn = np.int64((stream(turns, stratum) >> np.uint64(33)) % np.uint64(size))
        place = first + (window + turn) % size
        while starts[length + 1] <= place:
            length += 1
        begin = starts[length]
        equals = starts[length + 1] - begin
        shift = np.int64((stream(shifts, length) >> np.uint64(33)) % np.uint64(equals))
        taken = begin + (place - begin + shift) % equals
        chosen[found] = falling[taken] if falling.size > 0 else wide[taken]
        found += 1
    return chosen[:found].copy()
