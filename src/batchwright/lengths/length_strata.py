"""Windows that are alike: each holds one sample of every stratum of lengths.

A plain shuffle leaves to chance how long the samples of a window are, and so how many micro-batches it needs. Without
`order=`, samples are sorted by length and cut into strata of as many neighbours as there are windows, and a window
takes one sample of each stratum. If the longest sample of each stratum fits into n micro-batches, any one sample of each
stratum does too. So each window of every epoch needs at most n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..kernels.array_types import Integers
from ..kernels.cuts import keyed_shuffle
from ..kernels.hashing import PURPOSE, child_key
from ..kernels.length_strata import one_of_each_stratum
from .sort_keys import sorted_places

__all__ = ["LengthStrata"]


@dataclass(frozen=True)
class LengthStrata:
    """All items, longest first, and where each length starts: windows take one item of every stratum.

    Args:
        falling: the items, longest first, int64 (items,); those of one length in an order that depends on the seed.
        starts: where the items of each length start in `falling`, and the end, int64 (lengths + 1).
        seed: the seed of the plan.
    """

    falling: Integers
    starts: Integers
    seed: int

    @classmethod
    def of(cls, items: Integers, keys: Integers, seed: int) -> LengthStrata:
        """Sort `items` by key; 0 is the key of the longest."""
        # Shuffled first: otherwise items of one length would always stand in the same strata, with the same neighbours.
        mixed = items[keyed_shuffle(items.size, np.uint64(child_key(seed, PURPOSE.LENGTH_STRATA)))]
        falling = mixed[sorted_places(keys[mixed])]
        del mixed  # there may be hundreds of millions
        sorted_keys = keys[falling]
        starts = 1 + np.flatnonzero(sorted_keys[1:] != sorted_keys[:-1])
        return cls(falling, np.concatenate([[0], starts, [items.size]]), seed)

    def size(self, window: int, windows: int) -> int:
        """How many items a window has, of `windows` windows."""
        return (self.falling.size - window - 1) // windows + 1

    def window(self, epoch: int, window: int, windows: int) -> Integers:
        """The items of a window of an epoch that has `windows` of them, longest first."""
        key = child_key(child_key(self.seed, PURPOSE.LENGTH_STRATA), 1 + epoch)
        return one_of_each_stratum(self.falling, self.starts, windows, window, np.uint64(key))
