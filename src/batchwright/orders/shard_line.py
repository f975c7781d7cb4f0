"""Shards side by side on a line, in a new order in every pass, of which each rank gets a part."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..kernels.hashing import PURPOSE, child_key
from ..kernels.permutation import permutation
from ..recent import Recent

__all__ = ["MASK", "ShardLine", "ShardPieces", "even"]

MASK = (1 << 64) - 1  # seeds have 64 bits
_KEPT = 3  # passes whose order of shards is kept: two meet, and a third may be looked at


class ShardPieces(NamedTuple):
    """Shards, or parts of them, one entry each.

    Attributes:
        firsts: the number of the first sample of each, int64.
        sizes: the samples in each, int64.
        masses: what each takes of the line, int64.
    """

    firsts: np.ndarray
    sizes: np.ndarray
    masses: np.ndarray


class ShardLine:
    """The line of a pass: the shards in a shuffled order, each as long as its mass.

    Args:
        starts: where the samples of each shard begin, and where those of the last end, int64 (shards + 1,).
        masses: how long each shard is on the line, int64 (shards,).
        seed: 0 to 2^64 - 1.
        cut: from a shard and a part of its mass to the number of the sample where this part ends; left out, every sample
            has a mass of 1.
    """

    def __init__(
        self, starts: np.ndarray, masses: np.ndarray, seed: int, cut: Callable[[int, int], int] | None = None
    ) -> None:
        self.starts, self._masses, self._cut = starts, masses, cut
        self.key = child_key(seed, PURPOSE.SHARDS)
        self.mass = int(masses.sum())
        self._passes: Recent[int, tuple[np.ndarray, np.ndarray]] = Recent()

    def of_pass(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The shards in the order of a pass, int64; and where each begins on the line, int64 (shards + 1,)."""
        found = self._passes.get(number)
        if found is None:
            order = np.empty(self._masses.size, np.int64)
            key = np.uint64(child_key(self.key, number & MASK))
            permutation(np.arange(self._masses.size), self._masses.size, key, order, False)
            edges = np.concatenate([[0], np.cumsum(self._masses[order])])
            found = self._passes.keep(number, (order, edges), _KEPT)
        return found

    def pieces(self, number: int, low: int, high: int) -> ShardPieces:
        """What lies from `low` to `high` on the line of a pass; at both ends a shard may be cut."""
        order, edges = self.of_pass(number)
        first = int(np.searchsorted(edges, low, side="right")) - 1
        last = int(np.searchsorted(edges, high, side="left"))
        shards = order[first:last]
        begins, ends = self.starts[shards], self.starts[shards + 1]
        if shards.size and edges[first] < low:
            begins[0] = self._cut_at(int(shards[0]), low - int(edges[first]))
        if shards.size and edges[last] > high:
            ends[-1] = self._cut_at(int(shards[-1]), high - int(edges[last - 1]))
        masses = np.diff(np.clip(edges[first : last + 1], low, high))
        kept = ends > begins
        return ShardPieces(begins[kept], (ends - begins)[kept], masses[kept])

    def _cut_at(self, shard: int, mass: int) -> int:
        return int(self.starts[shard]) + mass if self._cut is None else self._cut(shard, mass)


def even(count: int, most: int) -> int:
    """How many of `count` pieces a block takes, at most `most`, so that all blocks have about as many."""
    return -(-count // -(-count // most))
