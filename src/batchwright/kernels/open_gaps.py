"""Two sets of open gaps, for packing: each finds the smallest gap that a sample fits into.

A bitmap has one bit for each possible gap, so its memory grows with the capacity. A skip list has one row for each open
gap, so it takes any capacity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .array_types import Integers
from .compile import allocating, inner

__all__ = [
    "LEVELS",
    "MOST_BITS",
    "bitmap",
    "clear_bit",
    "close_gap",
    "least_bit",
    "least_gap",
    "open_gap",
    "set_bit",
]

Links = NDArray[np.int32]
Words = NDArray[np.uint64]

# Larger capacities take the skip list: the stacks of a bitmap's gaps are so far apart in memory by then that looking
# them up takes longer.
MOST_BITS = 1 << 22

LEVELS = 9  # of the skip list: one gap in four of a level is in the next too, enough for 4^9 gaps

_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)  # shifted by 0 to 63 places, it begins with 64 different runs of six bits
_PLACE_OF_BIT = np.empty(64, np.int64)
_PLACE_OF_BIT[[(int(_DE_BRUIJN) << place & (1 << 64) - 1) >> 58 for place in range(64)]] = np.arange(64)


@inner
def _lowest_bit(word: np.uint64) -> int:
    """The place of the lowest bit that is set (Leiserson, Prokop and Randall 1998)."""
    lowest = word & (~word + np.uint64(1))
    return int(_PLACE_OF_BIT[(lowest * _DE_BRUIJN) >> np.uint64(58)])


@allocating
def bitmap(bits: int) -> tuple[Words, Integers]:
    """An empty bitmap, and where its levels start: a bit of a level says whether a word of the level below has any.

    The last level is one word.
    """
    starts = np.zeros(12, np.int64)  # 64^11 is more than any number of bits
    words = bits
    level = 0
    while level == 0 or words > 1:
        words = (words + 63) >> 6
        level += 1
        starts[level] = starts[level - 1] + words
    return np.zeros(starts[level], np.uint64), starts[: level + 1]


@inner
def set_bit(bit: int, words: Words, starts: Integers) -> bool:
    """Set a bit; whether it was set before."""
    for level in range(starts.size - 1):
        at = starts[level] + (bit >> 6)
        own = np.uint64(1) << np.uint64(bit & 63)
        before = words[at]
        words[at] = before | own
        if before:
            return level == 0 and bool(before & own)
        bit >>= 6
    return False


@inner
def clear_bit(bit: int, words: Words, starts: Integers) -> None:
    """Clear a bit."""
    for level in range(starts.size - 1):
        at = starts[level] + (bit >> 6)
        words[at] &= ~(np.uint64(1) << np.uint64(bit & 63))
        if words[at]:
            break
        bit >>= 6


@inner
def least_bit(least: int, words: Words, starts: Integers) -> tuple[int, int]:
    """The lowest bit from `least` on that is set, or -1; and how many words were looked at: at most two a level."""
    looked_at = 0
    for level in range(starts.size - 1):
        at = starts[level] + (least >> 6)
        if at == starts[level + 1]:
            break
        looked_at += 1
        here = words[at] >> np.uint64(least & 63)
        if here:
            found = least + _lowest_bit(here)
            for below in range(level - 1, -1, -1):
                found = (found << 6) + _lowest_bit(words[starts[below] + found])
                looked_at += 1
            return found, looked_at
        least = (least >> 6) + 1
    return -1, looked_at


@inner
def least_gap(gap: int, gaps: Integers, links: Links, head: Links, before: Links) -> int:
    """The row with the smallest open gap of at least `gap`, or -1; writes the rows before it, by level, into `before`.

    The skip list (Pugh 1990): each open gap is in the list of level 0, and in some of the levels above. `gaps` are those
    of all rows. A sorted array would take time to insert.
    """
    row = -1
    following = -1
    for level in range(LEVELS - 1, -1, -1):
        following = head[level] if row < 0 else links[row, level]
        while following >= 0 and gaps[following] < gap:
            row = following
            following = links[row, level]
        before[level] = row
    return following


@inner
def open_gap(row: int, links: Links, head: Links, before: Links) -> None:
    """Put a gap into the skip list, after those of `before`."""
    word = np.uint64(row) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(
        32
    )  # a hash of the row decides its levels: deterministic, and as good as random
    for level in range(LEVELS):
        if before[level] < 0:
            links[row, level] = head[level]
            head[level] = row
        else:
            links[row, level] = links[before[level], level]
            links[before[level], level] = row
        if word & np.uint64(3):
            break
        word >>= np.uint64(2)


@inner
def close_gap(row: int, links: Links, head: Links, before: Links) -> None:
    """Take a gap out of the skip list."""
    for level in range(LEVELS):
        if before[level] < 0:
            if head[level] != row:
                break
            head[level] = links[row, level]
        else:
            if links[before[level], level] != row:
                break
            links[before[level], level] = links[row, level]
