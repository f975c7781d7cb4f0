"""How few packs there can be: bounds that hold for every solver."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["packs_at_least"]


def packs_at_least(
    lengths: NDArray[np.int64], counts: NDArray[np.int64], capacity: int, max_per_pack: int | None = None
) -> int:
    """The least number of packs that can hold `counts[kind]` samples of `lengths[kind]`, distinct and ascending.

    The best of three: all tokens over the capacity; all samples over `max_per_pack`; and the bound L2 of
    Martello and Toth (1990): a sample longer than half a pack needs its own, one longer than `capacity - k`
    shares with none of length k or more, and what has length k or more beyond the gaps of the others needs
    packs again. Of all k only the lengths themselves count: between two of them a larger k never lowers the bound.

    Example:
        >>> packs_at_least(np.array([6]), np.array([3]), 10)
        3
        >>> packs_at_least(np.array([2]), np.array([4]), 10, max_per_pack=2)
        2
    """
    tokens = lengths * counts
    capacity = min(capacity, max(int(tokens.sum()), 1))  # no pack holds more than everything
    counted, summed = np.concatenate([[0], counts.cumsum()]), np.concatenate([[0], tokens.cumsum()])
    half = capacity // 2
    short = np.searchsorted(lengths, half, side="right")
    least = np.concatenate([[0], lengths[:short]])  # k, one bound each
    within = np.searchsorted(lengths, capacity - least, side="right")
    alone = counted[-1] - counted[within]
    own = counted[within] - counted[short]
    gaps = own * capacity - (summed[within] - summed[short])
    others = summed[short] - summed[np.searchsorted(lengths, least)]
    bounds = alone + own + np.maximum(-((gaps - others) // capacity), 0)
    by_count = -(-int(counted[-1]) // max_per_pack) if max_per_pack else 0
    return max(int(bounds.max()), -(-int(summed[-1]) // capacity), by_count)
