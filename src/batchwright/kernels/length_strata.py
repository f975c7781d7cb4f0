"""The kernel of `lengths.length_strata`: the samples of one window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .array_types import Integers
from .compile import kernel
from .hashing import child, stream

__all__ = ["one_of_each_stratum"]

NarrowIntegers = NDArray[np.uint32]


@kernel("int64[:](uint32[:], int64[:], int64[:], int64, int64, uint64)")
def one_of_each_stratum(
    falling: NarrowIntegers, wide: Integers, starts: Integers, windows: int, window: int, key: np.uint64
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
