"""Apportions tickets: how many a group gets in a round, and in all rounds before it, by points on a line.

The groups lie side by side on a line as long as a round has tickets; group g covers `edges[g]..edges[g + 1]` in fixed
point, 2^-32 ticket. Round r puts a point at every integer number of tickets minus an offset. A group gets as many
tickets as points fall on it: its exact quota rounded down or up, and the sum is exact.

The offset is `start + spread(r)` modulo 2^32. `spread` multiplies each of the four bytes of r by an odd number and
reverses their order, so that the lowest byte of r sets the offset to 1/256 ticket, the next one to 1/65536, and so on
(a radical inverse with permuted digits: van der Corput 1935, Faure 1992). Over a *period* of 256 rounds the offsets are
evenly spaced, and then the sum of floors is one floor, `sum of floor(x + k / 256) = floor(256 x)` (Hermite 1884). So
the tickets of a group in all earlier periods are the same question for a line 256 times as long, at most four times in
a row. Its tickets in the earlier rounds of this period are one entry of a table.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from .array_types import blocks
from .compile import inner

__all__ = [
    "FRACTION_BITS",
    "MOST_ROUNDS",
    "PERIOD",
    "cell",
    "cells_added",
    "in_period",
    "line",
    "phase",
    "tickets_before",
]

FRACTION_BITS = 32
PERIOD = 256
MOST_ROUNDS = 1 << 32  # `spread` takes the four lowest bytes of a round's number

_FACTOR = 157  # of the odd numbers below 256 the one whose multiples are most even, like golden-ratio steps
_MASK = (1 << FRACTION_BITS) - 1


def _wrap_counts() -> np.ndarray:
    """Table of [s, c]: how many of the steps of rounds 0..s-1 of a period lift cell c (0 to 256) to 256 or above."""
    steps = np.arange(PERIOD) * _FACTOR % PERIOD
    wraps = steps[:, None] + np.arange(PERIOD + 1)[None, :] >= PERIOD
    return np.concatenate([np.zeros((1, PERIOD + 1), int), np.cumsum(wraps, axis=0)[:-1]]).astype(np.uint8)


_WRAPS = _wrap_counts()


def line(weights: Sequence[int] | np.ndarray, tickets: int, edges: np.ndarray | None = None) -> np.ndarray:
    """The edges of groups with these relative integer weights on a line of `tickets` tickets: int64 (groups + 1).

    Edge g is floor(2^32 * tickets * (w_0 + ... + w_{g-1}) / sum of w), computed in exact integers, so an integer quota
    stays an integer. Python integers may be of any size. An int64 array is divided as a whole, without a Python loop;
    it must sum to less than 2^62 / tickets. `edges`, int64 (groups + 1), is what is written to; `weights` may be its
    entries from the second on, and is then overwritten.
    """
    if not isinstance(weights, np.ndarray):
        total = sum(weights)
        running = itertools.accumulate(weights, initial=0)
        return np.array([(before * tickets << FRACTION_BITS) // total for before in running], np.int64)
    if edges is None:
        edges = np.empty(weights.size + 1, np.int64)
    edges[0], total = 0, 0
    for first, last in blocks(weights.size):
        part = np.cumsum(weights[first:last])
        edges[first + 1 : last + 1] = total + part
        total += int(part[-1])
    spare = 62 - total.bit_length()
    # Long division, since edge * 2^32 would exceed 64 bits: a digit of `spare` bits at a time. The parts are views: `edges`
    # itself is rewritten.
    for first, last in blocks(edges.size):
        part = edges[first:last]
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
def cells_added(round_):
    """How much the offset of a round adds to the cells of its period, 0 to 255."""
    return (round_ & 255) * _FACTOR & 255


@inner
def spread(round_):
    """The offset of a round without the start, 0..2^32-1: its bytes in reverse order, each times `_FACTOR`."""
    turned = np.int64(0)
    for _ in range(4):
        turned = turned << 8 | cells_added(round_)
        round_ >>= 8
    return turned


@inner
def phase(start, round_):
    """The offset of a round, 0..2^32-1, if the offset of round 0 is `start`."""
    return (start + spread(round_)) & _MASK


@inner
def cell(edge, start, period):
    """The place of an edge in a period, in 1/256 ticket: in its round r, (cell + step_of(r)) >> 8 points lie before it.

    It is also the number of points before the edge in all rounds of the period. Both are counted from an arbitrary
    zero: only differences between edges mean anything.
    """
    edge += start
    return ((edge >> 32) << 8) + ((((edge & _MASK) << 8) + spread(period)) >> 32)


@inner
def in_period(low, high, round_in_period):
    """Tickets between two edges, given as cells, in rounds 0..round_in_period-1 of their period."""
    full = round_in_period * ((high >> 8) - (low >> 8))
    return full + np.int64(_WRAPS[round_in_period, high & 255]) - np.int64(_WRAPS[round_in_period, low & 255])


@inner
def _wraps_before(part, rounds):
    """In how many of rounds 0..rounds-1 this part of a ticket, 0..2^32-1, and the offset sum to a ticket or more."""
    total = np.int64(0)
    while rounds > 0:
        round_in_period = rounds & 255
        rounds >>= 8
        part <<= 8
        # By Hermite's identity, the full periods are the same question for a part 256 times as large; the rest is one
        # look-up.
        total += rounds * (part >> 32) + np.int64(_WRAPS[round_in_period, (part + spread(rounds)) >> 32])
        part &= _MASK
    return total


@inner
def tickets_before(low, high, rounds, start):
    """How many tickets the group between edges `low` and `high` gets in rounds 0..rounds-1."""
    low, high = low + start, high + start
    full = rounds * ((high >> 32) - (low >> 32))
    return full + _wraps_before(high & _MASK, rounds) - _wraps_before(low & _MASK, rounds)
