"""The types of arrays that kernels take, the blocks in which long ones are handled, and ranges of places in them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "Floats", "Integers", "blocks", "ranges"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BLOCK = 1 << 17
"""Entries of an array that are handled at once: 1 MB of 8 bytes each. So no temporary array is as large as the dataset."""


def blocks(count: int) -> Iterator[tuple[int, int]]:
    """The first entry of every block of an array of `count` entries, and the one behind its last."""
    return ((first, min(first + BLOCK, count)) for first in range(0, count, BLOCK))


def ranges(offsets: Integers, numbers: Integers) -> Integers:
    """offsets[i], offsets[i] + 1, ..., offsets[i + 1] - 1 for each of the numbers i, one after the other."""
    first, count = offsets[numbers], offsets[numbers + 1] - offsets[numbers]
    starts = np.concatenate([[0], count.cumsum()])
    places: Integers = np.arange(starts[-1]) + np.repeat(first - starts[:-1], count)
    return places
