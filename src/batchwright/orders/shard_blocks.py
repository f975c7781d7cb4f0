"""The blocks of a rank in a pass of a shuffle: shards that are read together, and what of them comes last.

A block ends inside a micro-batch. What is left of it for that micro-batch is taken from as few shards as possible, so that
the micro-batch, which also begins the next block, reads few shards.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

import numpy as np

from ..kernels.hashing import child_key
from ..kernels.permutation import permutation
from .shard_line import ShardPieces, even

__all__ = ["ShardBlocks", "blocks_of"]


class ShardBlocks(NamedTuple):
    """The blocks of a rank in a pass.

    Attributes:
        starts: the place in the pass at which each block begins, and the end of the pass: a list of Python integers.
        bounds: the first piece of each block in `firsts`, and the number of pieces, a list.
        firsts: the first sample of each piece, int64, ascending in size within a block.
        edges: where each piece begins among all samples of the pass in this order, int64 (pieces + 1,).
        tails: for each block, how many of its samples come in the micro-batch in which it ends, if another follows there.
        pools: for each block, how many samples are in the pieces that these are taken from; they are its last pieces.
    """

    starts: list[int]
    bounds: list[int]
    firsts: np.ndarray
    edges: np.ndarray
    tails: list[int]
    pools: list[int]

    def of(self, place: int) -> int:
        """The block of a place of the pass."""
        return bisect_right(self.starts, place) - 1

    def samples(self, block: int, places: np.ndarray, key: int) -> np.ndarray:
        """The samples at these places of a block, counted from its first: int64."""
        size = self.starts[block + 1] - self.starts[block]
        tail, pool = self.tails[block], self.pools[block]
        head, others = size - tail, size - pool
        number = np.empty(places.size, np.int64)
        early = places < head
        number[early] = _permuted(places[early], head, child_key(key, 0))
        number[~early] = places[~early]
        if tail:  # the last `tail` of the shuffled pool are kept for the end, the others are among the head
            pooled = number >= others
            number[pooled] = others + _permuted(number[pooled] - others, pool, child_key(key, 1))
        number += self.starts[block]
        piece = np.searchsorted(self.edges, number, side="right") - 1
        found: np.ndarray = self.firsts[piece] + number - self.edges[piece]
        return found


def _permuted(places: np.ndarray, count: int, key: int) -> np.ndarray:
    found = np.empty(places.size, np.int64)
    permutation(np.ascontiguousarray(places), count, np.uint64(key), found, False)
    return found


def blocks_of(pieces: ShardPieces, offset: int, batch_size: int, most: int, carried: int) -> ShardBlocks:
    """Divide the pieces of a rank in a pass into blocks, so that no micro-batch and no block reads more than `most`.

    Args:
        pieces: the pieces, in the order in which they are read.
        offset: the place in a micro-batch at which the pass begins.
        batch_size: samples in a micro-batch.
        most: the most shards that are read at the same time.
        carried: the most shards that the micro-batch in which the pass begins has of the pass before.
    """
    sizes, count = pieces.sizes.tolist(), pieces.sizes.size
    starts, bounds, tails, pools, order = [0], [0], [], [], []
    carried = carried if offset else 0
    while bounds[-1] < count:
        first = bounds[-1]
        taken = even(count - first, max(1, most - carried))
        block = sorted(range(first, first + taken), key=sizes.__getitem__)
        size = sum(sizes[piece] for piece in block)
        end = starts[-1] + size
        left = (offset + end) % batch_size
        tail = min(left, size)
        pool = pooled = 0
        while pool < tail:
            pooled += 1
            pool += sizes[block[-pooled]]
        # Where a whole block lies within a micro-batch, the shards of those before it count there too.
        carried = carried + pooled if size < left else pooled
        order += block
        starts.append(end)
        bounds.append(first + taken)
        tails.append(tail)
        pools.append(pool)
    arranged = np.array(order, np.int64)
    edges = np.concatenate([[0], np.cumsum(pieces.sizes[arranged])])
    return ShardBlocks(starts, bounds, pieces.firsts[arranged], edges, tails, pools)
