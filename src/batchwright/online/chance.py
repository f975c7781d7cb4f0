"""Random words by address, many at once: the project's integer hash, written for whole arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..kernels.hashing import GOLDEN, mix

__all__ = ["PURPOSE", "child", "fractions", "root", "words"]

_mix = mix.py_func  # type: ignore[attr-defined]  # the same lines, run by numpy over arrays instead of compiled
_ONE = np.uint64(1)


class PURPOSE:
    """What a stream's words are for. Continues the engine's list far above it; never renumber."""

    TIES = 101
    ROW = 102
    SLOT = 103
    REPEAT = 104
    RESERVOIR = 105
    WINDOW = 106
    SHARDS = 107


def _children(key: NDArray[np.uint64], numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return _mix(_mix(key + GOLDEN) ^ (numbers * GOLDEN + _ONE))  # type: ignore[no-any-return]


def root(seed: int, *address: int) -> int:
    """The key at `address` under `seed`."""
    key = np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64)
    for number in address:
        key = _children(key, np.array([number], np.uint64))
    return int(key[0])


def child(key: int, number: int) -> int:
    """The key at `number` under `key`."""
    return root(key, number)


def words(key: int, start: int, count: int) -> NDArray[np.uint64]:
    """The words at addresses `start` to `start + count - 1` under `key`."""
    return _children(np.array([key], np.uint64), np.arange(start, start + count, dtype=np.uint64))


def fractions(key: int, start: int, count: int) -> NDArray[np.float64]:
    """The same words as numbers in [0, 1), 53 bits each."""
    return (words(key, start, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
