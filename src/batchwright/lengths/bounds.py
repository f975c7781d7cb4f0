"""How few packs there can be: bounds that hold for every solver."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["packs_at_least"]


def packs_at_least(histogram: NDArray[np.int64], capacity: int, max_per_pack: int | None = None) -> int:
    """The least number of packs that can hold `histogram[n]` samples of length n.

    The best of three: all tokens over the capacity; all samples over `max_per_pack`; and the bound L2 of
    Martello and Toth (1990): a sample longer than half a pack needs its own, one longer than `capacity - k`
    shares with none of length k or more, and what has length k or more beyond the gaps of the others needs
    packs again. In O(capacity).

    Example:
        >>> packs_at_least(np.bincount([6, 6, 6]), 10)
        3
        >>> packs_at_least(np.bincount([2, 2, 2, 2]), 10, max_per_pack=2)
        2
    """
    count = np.zeros(capacity + 1, np.int64)
    count[: histogram.size] = histogram[: capacity + 1]
    tokens = count * np.arange(capacity + 1)
    counted, summed = np.concatenate([[0], count.cumsum()]), np.concatenate([[0], tokens.cumsum()])
    half = capacity // 2
    least = np.arange(half + 1)  # k, one bound each
    alone = counted[-1] - counted[capacity - least + 1]
    own = counted[capacity - least + 1] - counted[half + 1]
    gaps = own * capacity - (summed[capacity - least + 1] - summed[half + 1])
    others = summed[half + 1] - summed[least]
    bounds = alone + own + np.maximum(-((gaps - others) // capacity), 0)
    by_count = -(-int(count.sum()) // max_per_pack) if max_per_pack else 0
    return max(int(bounds.max()), -(-int(tokens.sum()) // capacity), by_count)
