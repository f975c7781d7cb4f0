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
    # Two loops, as the processor works on several strata at once where nothing depends on the stratum before.
    whole, per_window = count // windows, 1.0 / windows
    for stratum in range(whole):
        word = np.int64(stream(turns, stratum) >> np.uint64(33))
        turn = word - np.int64(word * per_window) * windows  # its remainder, or one `windows` off: words are below 2^31
        turn += windows if turn < 0 else 0
        turn -= windows if turn >= windows else 0
        turn += window
        chosen[stratum] = stratum * windows + (turn - windows if turn >= windows else turn)
    found, size = whole, count - whole * windows  # of the last stratum, which is shorter
    if window < size:
        turn = window + np.int64(stream(turns, whole) >> np.uint64(33)) % size
        chosen[whole] = whole * windows + (turn - size if turn >= size else turn)
        found += 1
    length, begin, end, shift = -1, 0, 0, 0
    for row in range(found):
        place = chosen[row]
        if place >= end:  # samples are of another length from here on
            while length < 0 or starts[length + 1] <= place:
                length += 1
            begin, end = starts[length], starts[length + 1]
            shift = np.int64(stream(shifts, length) >> np.uint64(33)) % (end - begin)
        place += shift
        place -= end - begin if place >= end else 0
        chosen[row] = falling[np.uint64(place)] if falling.size > 0 else wide[np.uint64(place)]
    return chosen[:found]
