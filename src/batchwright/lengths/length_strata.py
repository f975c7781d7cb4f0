"""Windows that are alike: each holds one sample of every stratum of lengths.

A plain shuffle leaves to chance how long the samples of a window are, and so how many micro-batches it needs. Without
`order=`, samples are sorted by length and cut into strata of as many neighbours as there are windows, and a window
takes one sample of each stratum. If the longest sample of each stratum fits into n micro-batches, any one sample of each
stratum does too. So each window of every epoch needs at most n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..kernels.array_types import Integers, blocks
from ..kernels.counting_sort import shuffled_and_sorted
from ..kernels.hashing import PURPOSE, child_key
from ..kernels.length_strata import one_of_each_stratum
from ..kernels.shuffles import keyed_shuffle
from .sort_keys import SortKeys, sorted_places

__all__ = ["LengthStrata"]

_NARROW = 1 << 32  # so many items are numbered in 4 bytes
_NO_NARROW, _NO_INTEGERS = np.empty(0, np.uint32), np.empty(0, np.int64)


@dataclass(frozen=True)
class LengthStrata:
    """All items, longest first, and where each length starts: windows take one item of every stratum.

    Args:
        descending: the items, longest first, uint32 (items,), or int64 if there are more than 2^32; those of one length in
            an order that depends on the seed.
        starts: where the items of each length start in `descending`, and the end, int64 (lengths + 1).
        seed: the seed of the plan.
    """

    descending: np.ndarray
    starts: Integers
    seed: int

    @classmethod
    def of(cls, count: int, skipped: Integers, sort_keys: SortKeys, seed: int) -> LengthStrata:
        """Sort items 0..count-1 by sort key, but not those that are skipped; 0 is the sort key of the longest."""
        # Shuffled first: otherwise items of one length would always stand in the same strata, with the same neighbours.
        key = np.uint64(child_key(seed, PURPOSE.LENGTH_STRATA))  # a hash key
        if count > _NARROW:
            kept = np.delete(np.arange(count), skipped)
            mixed = kept[keyed_shuffle(kept.size, key)]
            descending: np.ndarray = mixed[sorted_places(sort_keys[mixed])]
            changed = 1 + np.flatnonzero(np.diff(sort_keys[descending]))
            return cls(descending, np.concatenate([[0], changed, [descending.size]]), seed)
        narrow_keys = np.empty(count, np.uint32)
        for first, last in blocks(count):
            narrow_keys[first:last] = sort_keys[first:last]
        items = np.arange(count, dtype=np.uint32)
        if skipped.size:
            items = np.delete(items, skipped)
        descending, starts = shuffled_and_sorted(items, narrow_keys, int(narrow_keys.max(initial=0)) + 1, key)
        return cls(descending, np.append(starts[:-1][np.diff(starts) > 0], descending.size), seed)

    @property
    def one_of_each_length(self) -> Integers:
        """An item of every length, longest first."""
        return self.descending[self.starts[:-1]].astype(np.int64)

    def items_of_window(self, epoch: int, window_in_epoch: int, window_count: int) -> Integers:
        """The items of a window of an epoch that has `window_count` of them, longest first."""
        # The shuffle in `of`, one for all epochs, uses the parent of the epochs' keys. Epoch 0 uses child 1; no clash asks
        # for that, but another number would change what plans yield.
        key = np.uint64(child_key(child_key(self.seed, PURPOSE.LENGTH_STRATA), 1 + epoch))
        is_narrow = self.descending.dtype == np.uint32
        narrow, wide = (self.descending, _NO_INTEGERS) if is_narrow else (_NO_NARROW, self.descending)
        return one_of_each_stratum(narrow, wide, self.starts, window_count, window_in_epoch, key)
