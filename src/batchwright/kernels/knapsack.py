"""The pricing step of column generation: the pack of highest value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .compile import kernel

__all__ = ["most_valuable_pack"]


@kernel("Tuple((float64, int64[:]))(int64[:], float64[:], int64[:], int64, int64)")
def most_valuable_pack(
    lengths: NDArray[np.int64],
    values: NDArray[np.float64],
    at_most: NDArray[np.int64],
    capacity: int,
    max_per_pack: int,
) -> tuple[float, NDArray[np.int64]]:
    """The highest total value of one pack and how many samples of each length it takes.

    A bounded knapsack by dynamic programming over (samples used, capacity used); at most `at_most[i]`
    samples of `lengths[i]`, at most `max_per_pack` samples in all (0: any number, and then no such
    dimension).
    """
    layers = max_per_pack + 1 if max_per_pack > 0 else 1
    step = 1 if max_per_pack > 0 else 0
    kinds = lengths.size
    best = np.zeros((layers, capacity + 1))
    taken = np.zeros((kinds, layers, capacity + 1), np.int16)
    for kind in range(kinds):
        length = lengths[kind]
        value = values[kind]
        if value <= 0.0:
            continue
        for layer in range(layers - 1, -1, -1):
            for room in range(capacity, length - 1, -1):
                most = min(at_most[kind], room // length)
                if step == 1:
                    most = min(most, layer)
                champion = best[layer, room]
                for copies in range(1, most + 1):
                    candidate = best[layer - step * copies, room - copies * length] + copies * value
                    if candidate > champion + 1e-12:
                        champion = candidate
                        taken[kind, layer, room] = copies
                best[layer, room] = champion
    pack = np.zeros(kinds, np.int64)
    layer = layers - 1
    room = capacity
    for kind in range(kinds - 1, -1, -1):
        copies = taken[kind, layer, room]
        pack[kind] = copies
        layer -= step * copies
        room -= copies * lengths[kind]
    return best[layers - 1, capacity], pack
