"""Keyed random numbers for arrays: the hash of `kernels.hashing` in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..kernels.array_types import Floats, Integers
from ..kernels.hashing import child, child_key

__all__ = ["Chances", "fractions", "orders", "root", "words"]


def root(seed: int, *address: int) -> int:
    """The key at `address` under `seed`."""
    key = seed & 0xFFFFFFFFFFFFFFFF
    for number in address:
        key = child_key(key, number)
    return key


def words(key: int, start: int, count: int) -> NDArray[np.uint64]:
    """The words at addresses `start` to `start + count - 1` under `key`."""
    found: NDArray[np.uint64] = child(np.array([key], np.uint64), np.arange(start, start + count, dtype=np.uint64))
    return found


def fractions(key: int, start: int, count: int) -> Floats:
    """The same words as numbers in [0, 1), 53 bits each."""
    return (words(key, start, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def orders(key: int, rows: int, length: int) -> Integers:
    """A random permutation of 0 .. length - 1 in each row, an array (rows, length).

    The words are sorted with their positions in the lowest bits: several times faster than `argsort` of the words.
    """
    low = np.uint64((1 << (length - 1).bit_length()) - 1)
    drawn = words(key, 0, rows * length).reshape(rows, length)
    drawn &= ~low
    drawn |= np.arange(length, dtype=np.uint64)
    drawn.sort(axis=1)
    drawn &= low
    return drawn.view(np.int64)


class Chances:
    """Random numbers one by one: the n-th depends only on the key and n."""

    _BLOCK = 1024  # numbers computed at once, so that numpy calls cost little for each

    def __init__(self, key: int) -> None:
        self._key = key
        self.drawn = 0
        self._block: list[int] = []
        self._first = 0

    def seek(self, drawn: int) -> None:
        """Continue after the first `drawn` numbers."""
        self.drawn, self._first, self._block = drawn, drawn, []

    def below(self, bound: int) -> int:
        """An integer in 0 .. bound - 1, for bounds far below 2^32."""
        offset = self.drawn - self._first
        if offset >= len(self._block):
            self._first, offset = self.drawn, 0
            self._block = (words(self._key, self._first, self._BLOCK) >> np.uint64(32)).tolist()
        self.drawn += 1
        return self._block[offset] * bound >> 32
