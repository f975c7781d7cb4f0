"""Windows that are alike: each holds one sample of every layer of lengths.

A plain shuffle leaves to chance how long the samples of a window are, and so how many micro-batches it needs. Without
`order=`, samples are sorted by length and cut into layers of as many neighbours as there are windows, and a window takes one
sample of each layer. If the longest sample of each layer fits into n micro-batches, any one sample of each layer does too.
So each window of every epoch needs at most n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..kernels.cuts import keyed_order
from ..kernels.hashing import PURPOSE, child_key
from ..kernels.length_strata import one_of_each_stratum
from .cut import Integers, sorted_places

__all__ = ["Layers"]


@dataclass(frozen=True)
class Layers:
    """All items, longest first, and where each length begins.

    Args:
        falling: the items, longest first, those of one length in an order that depends on the seed.
        starts: where the items of each length begin in `falling`, and the end.
        seed: of everything random.
    """

    falling: Integers
    starts: Integers
    seed: int

    @classmethod
    def of(cls, items: Integers, ranks: Integers, seed: int) -> Layers:
        """The layers of `items`, rank 0 the longest."""
        mixed = items[keyed_order(items.size, np.uint64(child_key(seed, PURPOSE.LAYERS)))]
        falling = mixed[sorted_places(ranks[mixed])]
        starts = np.flatnonzero(np.diff(ranks[falling], prepend=-1, append=np.iinfo(np.int64).max))
        return cls(falling, starts, seed)

    def size(self, window: int, windows: int) -> int:
        """How many items one of `windows` windows has."""
        return (self.falling.size - window - 1) // windows + 1

    def window(self, epoch: int, window: int, windows: int) -> Integers:
        """The items of one of `windows` windows of an epoch, longest first."""
        key = child_key(child_key(self.seed, PURPOSE.LAYERS), 1 + epoch)
        return one_of_each_stratum(self.falling, self.starts, windows, window, np.uint64(key))
