"""Places samples on groups of ranks: the widest groups first, each sample on the group with the least work so far."""

from __future__ import annotations

import numpy as np

from .array_types import Floats, Integers
from .compile import kernel
from .partition import sift

__all__ = ["place_on_groups"]


@kernel("float64(int64[:], float64[:], int64[:], float64[:])")
def place_on_groups(sizes: Integers, shares: Floats, firsts: Integers, loads: Floats) -> float:
    """Choose the group of every sample. Returns the work of the rank that has most.

    A group of `size` ranks is the ranks k * size to (k + 1) * size - 1. `sizes` fall, and each divides those before it, so
    all ranks of a group have the same work when it gets a sample. `firsts` gets the first rank of each sample's group,
    `loads` the work of every rank. `shares` is what a sample costs each rank of its group. Ties go to the group with fewer
    samples, then to the lower ranks.
    """
    ranks = loads.size
    loads[:] = 0.0
    held = np.zeros(ranks, np.int64)
    at = 0
    while at < sizes.size:
        size = sizes[at]
        load = loads[::size].copy()
        filled = held[::size].copy()
        groups = load.size
        heap = np.arange(groups)
        for place in range(groups // 2 - 1, -1, -1):
            sift(heap, place, groups, load, filled)
        while at < sizes.size and sizes[at] == size:
            group = heap[0]
            firsts[at] = group * size
            load[group] += shares[at]
            filled[group] += 1
            sift(heap, 0, groups, load, filled)
            at += 1
        for group in range(groups):
            loads[group * size : (group + 1) * size] = load[group]
            held[group * size : (group + 1) * size] = filled[group]
    return float(loads.max())
