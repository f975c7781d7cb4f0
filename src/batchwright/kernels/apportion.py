"""How many tickets a group gets in a round, and how many it got in all the rounds before: points on a line.

The groups lie side by side on a line as long as a round has tickets; group g covers `edges[g]..edges[g + 1]` in fixed
point, 2^-32 of a ticket. Round r puts a point at every `i + u_r` with `u_r` a golden-ratio sequence, and a group gets as
many tickets as points fall on it: floor or ceil of its exact quota, and the sum is exact.

With `v = 2^32 - 1 - u` the number of points before an edge E is `(E + v) >> 32`. Over rounds 0..r-1 that is a sum of floors
of a linear function of the round, which Euclid's algorithm gives in O(log r) steps (the floor sum).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from .compile import inner

__all__ = ["FRACTION_BITS", "MOST_ROUNDS", "floor_sum", "line", "phase", "points_before", "tickets_before"]

FRACTION_BITS = 32
MOST_ROUNDS = 1 << 31  # the floor sum's products stay below 2^64

_STEP = np.uint64(2654435769)  # 2^32 / golden ratio, to the nearest odd number
_MASK = np.uint64(0xFFFFFFFF)
_UNIT = np.uint64(1 << 32)
_ZERO, _ONE = np.uint64(0), np.uint64(1)


def line(weights: Sequence[int] | np.ndarray, tickets: int) -> np.ndarray:
    """The edges of groups of these relative integer weights on a line of `tickets` tickets: int64, groups + 1.

    Exact: edge g is floor(2^32 * tickets * (w_0 + ... + w_{g-1}) / sum of w) in whole numbers, so a quota that is a whole
    number stays whole. Python integers may be of any size; an int64 array is divided in place of a loop and must sum
    to less than 2^62 / tickets.
    """
    if not isinstance(weights, np.ndarray):
        total = sum(weights)
        running = itertools.accumulate(weights, initial=0)
        return np.array([(before * tickets << FRACTION_BITS) // total for before in running], np.int64)
    edges = np.empty(weights.size + 1, np.int64)
    edges[0] = 0
    np.cumsum(weights, out=edges[1:])
    total = int(edges[-1])
    spare = 62 - total.bit_length()
    for part in np.array_split(
        edges, max(1, edges.size >> 20)
    ):  # views: long division, a digit of `spare` bits at a time
        part *= tickets
        quotient, rest = np.divmod(part, total)
        bits = FRACTION_BITS
        while bits:
            digit = min(bits, spare)
            more, rest = np.divmod(rest << digit, total)
            quotient = (quotient << digit) + more
            bits -= digit
        part[:] = quotient
    return edges


@inner
def phase(start, round_):
    """The offset v of a round, 0..2^32-1, in a deck whose sequence begins at `start`."""
    return np.int64((start + np.uint64(round_) * _STEP) & _MASK)


@inner
def points_before(edge, offset):
    """How many points of a round with this offset lie before an edge."""
    return (edge + offset) >> 32


@inner
def floor_sum(n, m, a, b):
    """The sum of floor((a * i + b) / m) over i = 0..n-1, modulo 2^64; n below 2^31, m and a up to 2^32, b below 2^34."""
    total = _ZERO
    while n > _ZERO:
        if a >= m:
            total += ((n - _ONE) * n >> _ONE) * (a // m)
            a = a % m
        if b >= m:
            total += n * (b // m)
            b = b % m
        last = a * n + b
        if last < m:
            break
        n = last // m
        b = last - n * m
        m, a = a, m
    return total


@inner
def tickets_before(low, high, rounds, start):
    """How many tickets the group between the edges low and high got in rounds 0..rounds-1."""
    n = np.uint64(rounds)
    whole = rounds * ((high >> 32) - (low >> 32))
    upper = floor_sum(n, _UNIT, _STEP, start + (np.uint64(high) & _MASK))
    lower = floor_sum(n, _UNIT, _STEP, start + (np.uint64(low) & _MASK))
    return whole + np.int64(upper - lower)
