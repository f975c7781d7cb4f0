"""Shares that pay deficits back: what every group gets in a micro-batch after the wanted shares changed."""

from __future__ import annotations

import numpy as np

from .apportion import FRACTION_BITS
from .compile import inner, kernel
from .deal_arguments import ROUND

__all__ = ["AT_ONCE", "TICKET", "settle"]

TICKET = ROUND << FRACTION_BITS
"""One ticket in the unit of deficits, 1 / TICKET of a ticket.

A quota is a part of a round in units of 2^-32 ticket, divided by the ROUND micro-batches of the round. In this unit all
quotas and deficits are integers, so that nothing is rounded, however often shares change.
"""
# The most that is paid back in a round, a ticket a group. Any number of consecutive micro-batches may be 3 tickets from
# their quota (G6); dealing uses up to 2.04 of these (measured).
AT_ONCE = TICKET * 3 // 4
_NEAR = TICKET >> 20  # a quota this near to an integer is taken for it: shares given as floats miss it by less
_FRACTION = 20  # bits of the factor by which deficits are scaled down


@inner
def _limits(due, most):
    """The least and the most of a group: floor and ceil of what is due, and no further than `most` from it."""
    low = min(max((due + _NEAR) // TICKET * TICKET, due - most), due)
    return low, max(min(-((_NEAR - due) // TICKET) * TICKET, due + most), due)


@inner
def _scale(over, total):
    """`over / total` in fixed point, rounded down: by long division, since `over` times 2^20 may not fit 64 bits."""
    factor, left = over // total, over % total
    for _ in range(_FRACTION):
        factor, left = factor * 2, left * 2
        if left >= total:
            factor, left = factor + 1, left - total
    return factor


@kernel("void(int64[::1], int64[::1], int64, int64[::1], int64[::1])", allocates=False)
def settle(wanted, deficit, batches, slack, edges):
    """Write the edges of shares that pay the deficits back within this many micro-batches.

    Two limits: in a round, a group gets at most three quarters of a ticket more or less than its shares; and in every
    micro-batch it still gets floor or ceil of its quota (G2). So a group with an integer quota cannot be compensated.
    What is then missing or left over is taken from the other groups or given to them, in proportion to their slack.
    It is rounded down, so that all platforms agree. What rounding leaves goes to the first groups with slack.

    Args:
        wanted: the edges of the wanted shares, int64 (groups + 1,).
        deficit: what each group lacks, int64 (groups,) in 1 / TICKET.
        batches: the micro-batches that pay it back.
        slack: scratch, int64 (groups,).
        edges: the result, int64 (groups + 1,).
    """
    groups, most = deficit.size, AT_ONCE // min(batches, ROUND)
    over = -wanted[groups]
    for g in range(groups):
        due = wanted[g + 1] - wanted[g]  # what the group should get in a micro-batch
        low, high = _limits(due, most)
        edges[g + 1] = min(max(due + deficit[g] // batches, low), high)
        over += edges[g + 1]
    sign, total = (-1 if over > 0 else 1), np.int64(0)
    for g in range(groups):
        low, high = _limits(wanted[g + 1] - wanted[g], most)
        slack[g] = edges[g + 1] - low if over > 0 else high - edges[g + 1]
        total += slack[g]
    factor, left = _scale(abs(over), max(np.int64(1), total)), abs(over)
    for g in range(groups):
        part = slack[g] * factor >> _FRACTION
        edges[g + 1] += sign * part
        slack[g] -= part
        left -= part
    edges[0] = 0
    for g in range(groups):
        edges[g + 1] += edges[g] + sign * min(max(left, np.int64(0)), slack[g])
        left -= slack[g]
