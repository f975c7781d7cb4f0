"""Whose turn it is, for shares with a short period: the chairman assignment as a table."""

from __future__ import annotations

import numpy as np

from .compile import kernel

__all__ = ["chairman"]


@kernel("void(int64[::1], int64[::1], int64[::1])")
def chairman(weights, who, before):
    """Fill one period: in turn t it is `who[t]`, who had `before[t]` turns since the period began.

    Tijdeman 1980, "The chairman assignment problem": of those who are due (a fraction 1 / (2n - 2) of a turn behind, or
    more) the one whose bound 1 - 1 / (2n - 2) is hit first. After every turn everybody is within that bound of his share.

    Args:
        weights: turns of each in a period, all above 0; their sum is the period, below 2^20.
        who, before: out; one entry a turn.
    """
    period, parts = who.size, max(1, 2 * weights.size - 2)
    had = np.zeros(weights.size, np.int64)
    for turn in range(1, period + 1):
        best, earliest = -1, np.int64(0)
        for i in range(weights.size):
            if turn * weights[i] * parts < period * (had[i] * parts + 1):
                continue
            deadline = ((had[i] + 1) * parts - 1) * period // (weights[i] * parts)
            if best < 0 or deadline < earliest:
                best, earliest = i, deadline
        who[turn - 1], before[turn - 1] = best, had[best]
        had[best] += 1
