"""Lower bounds that hold for every way to pack: of the number of packs, and of what the slowest ranks cost."""

from __future__ import annotations

import numpy as np

from ..kernels.array_types import Floats, Integers

__all__ = ["packs_at_least", "slowest_ranks_at_least"]


def packs_at_least(lengths: Integers, counts: Integers, capacity: int, max_per_pack: int | None = None) -> int:
    """The least number of packs that can hold `counts[kind]` samples of `lengths[kind]`, distinct and ascending.

    The largest of three bounds: all tokens divided by the capacity; all samples divided by `max_per_pack`; and L2 of
    Martello and Toth (1990), for every length k up to half the capacity:

    - A sample longer than `capacity - k` cannot share a pack with one of length k or more.
    - A sample longer than half the capacity needs a pack that no other such sample is in. These packs have gaps.
    - The samples from k to half the capacity fill the gaps. What is left of them needs further packs.

    Only lengths that occur have to be tried as k: between two of them a larger k never lowers the bound.

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
    # Names of Martello and Toth: `alone` counts their set N1, `own` N2, and `others` is the length of N3.
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


def slowest_ranks_at_least(costs: Floats, lengths: Integers, capacity: int, ranks: int, packs: int = 1) -> float:
    """The least that the slowest ranks can cost together, whatever the micro-batches are.

    A *row* is `ranks` micro-batches, which all ranks run at the same time; the most expensive one is that of the
    slowest rank. Sort rows by their most expensive micro-batch, m1 >= m2 >= ... No pack has two samples longer than
    half the capacity. So the first k rows have at most k * ranks * packs of these, and m(k + 1) is at least the cost of
    the next one, in order of cost. Nor do these rows have more work than their packs can hold: a sample, and in the
    room that it leaves as much work as the densest of the samples that fit there. What is left is work of the other
    rows, of which each has at most `ranks` times its most expensive micro-batch. The largest of these bounds, for every
    k, holds.

    Example:
        >>> slowest_ranks_at_least(np.array([81.0, 49, 1, 1]), np.array([9, 7, 1, 1]), 10, 1)
        132.0
        >>> slowest_ranks_at_least(np.array([81.0, 49, 1, 1]), np.array([9, 7, 1, 1]), 10, 2)
        81.0
    """
    if not costs.size:
        return 0.0
    total, slots = float(costs.sum()), ranks * packs
    rising = np.argsort(lengths, kind="stable")
    ascending = lengths[rising]
    densest = np.concatenate([[0.0], np.maximum.accumulate(costs[rising] / np.maximum(ascending, 1))])
    long = 2 * lengths > capacity
    rest = capacity - lengths[long]
    held = costs[long] + rest * densest[np.searchsorted(ascending, rest, side="right")]
    short = capacity * float(densest[np.searchsorted(ascending, capacity // 2, side="right")])
    heads = -np.sort(-costs[long])[::slots]
    first = heads.size * slots  # packs of as many rows as there are heads
    most = np.full(first, short)
    most[: held.size] = np.maximum(-np.sort(-held), short)
    left = np.maximum(total - most.cumsum()[slots - 1 :: slots], 0)
    return float(max(total / ranks, costs.max(), (heads.cumsum() + left / ranks).max(initial=0)))
