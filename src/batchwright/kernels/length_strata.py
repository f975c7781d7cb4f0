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
    descending: NarrowIntegers,
    wide: Integers,
    starts: Integers,
    window_count: int,
    window_in_epoch: int,
    key: np.uint64,
) -> Integers:
    """The samples of a window, longest first.

    `descending` are the samples, longest first, or `wide` if there are more than 2^32; the other one is empty. Those of one
    length begin at `starts`. `key` is the hash key of the epoch. A stratum is `window_count` consecutive samples of
    `descending`; each window gets one of them, by a keyed rotation of the stratum. A rotation is a permutation that needs
    one random number, and any window is found without the others. Samples of one length are rotated among themselves
    too: so the samples that share a stratum are others in every epoch. That does not change the lengths in a stratum, so
    no window needs more micro-batches for it. If the last stratum is too short, the first windows get its samples.
    """
    count = descending.size + wide.size
    strata = (count + window_count - 1) // window_count
    chosen = np.empty(strata, np.int64)
    # Keys of two sequences of random words: for the rotations of strata, and for those of samples of one length.
    of_strata, of_lengths = child(key, np.uint64(1)), child(key, np.uint64(2))
    # Two loops, as the processor works on several strata at once where nothing depends on the stratum before.
    # Of a word, 31 bits are used: its remainder by n is biased by less than n / 2^31. More would do too, but another number
    # would change what plans yield.
    whole, per_window = count // window_count, 1.0 / window_count
    for stratum in range(whole):
        word = np.int64(stream(of_strata, stratum) >> np.uint64(33))
        # `word % window_count` without a division, which is slow. A word is below 2^31, so the rounded quotient is at most
        # 1 off, and the remainder at most one `window_count`; the next two lines correct that.
        rotated = word - np.int64(word * per_window) * window_count
        rotated += window_count if rotated < 0 else 0
        rotated -= window_count if rotated >= window_count else 0
        rotated += window_in_epoch
        chosen[stratum] = stratum * window_count + (rotated - window_count if rotated >= window_count else rotated)
    found, size = whole, count - whole * window_count  # of the last stratum, which is shorter
    if window_in_epoch < size:
        rotated = window_in_epoch + np.int64(stream(of_strata, whole) >> np.uint64(33)) % size
        chosen[whole] = whole * window_count + (rotated - size if rotated >= size else rotated)
        found += 1
    length, begin, end, rotation = -1, 0, 0, 0
    for row in range(found):
        place = chosen[row]
        if place >= end:  # samples are of another length from here on
            while length < 0 or starts[length + 1] <= place:
                length += 1
            begin, end = starts[length], starts[length + 1]
            rotation = np.int64(stream(of_lengths, length) >> np.uint64(33)) % (end - begin)
        place += rotation
        place -= end - begin if place >= end else 0
        # Unsigned, since numba looks whether signed indices are below 0, where arrays are counted from their end.
        chosen[row] = descending[np.uint64(place)] if descending.size > 0 else wide[np.uint64(place)]
    return chosen[:found]
