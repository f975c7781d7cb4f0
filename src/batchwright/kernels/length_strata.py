"""One window of an epoch whose every window holds a sample of every layer of lengths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .compile import kernel
from .hashing import child, stream

__all__ = ["one_of_each_stratum"]

Integers = NDArray[np.int64]


@kernel("int64[:](int64[:], int64[:], int64, int64, uint64)")
def one_of_each_stratum(falling: Integers, starts: Integers, windows: int, window: int, key: np.uint64) -> Integers:
    """The samples of a window, longest first.

    `falling` are the samples, longest first; those of one length begin at `starts`. A layer is `windows` neighbours of
    `falling`; each window gets one of them, which one a keyed turn of the layer decides. Samples of one length are turned
    too, so that layers differ from epoch to epoch. The last layer may be too short for all windows: the first ones get it.
    """
    count = falling.size
    layers = (count + windows - 1) // windows
    chosen = np.empty(layers, np.int64)
    turns = child(key, np.uint64(1))
    shifts = child(key, np.uint64(2))
    length = 0
    found = 0
    for layer in range(layers):
        first = layer * windows
        size = min(windows, count - first)
        if window >= size:
            break
        turn = np.int64((stream(turns, layer) >> np.uint64(33)) % np.uint64(size))
        place = first + (window + turn) % size
        while starts[length + 1] <= place:
            length += 1
        begin = starts[length]
        equals = starts[length + 1] - begin
        shift = np.int64((stream(shifts, length) >> np.uint64(33)) % np.uint64(equals))
        chosen[found] = falling[begin + (place - begin + shift) % equals]
        found += 1
    return chosen[:found].copy()
