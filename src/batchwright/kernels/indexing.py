"""Index samples by group: a counting sort in two passes over the column, a chunk at a time."""

from __future__ import annotations

from .compile import kernel

__all__ = ["place_narrow", "place_wide", "tally"]


@kernel("void(int64[::1], int64[::1])", allocates=False)
def tally(codes, counts):
    """Add one to `counts[c]` for every code c."""
    for code in codes:
        counts[code] += 1


@kernel("void(int64[::1], int64, int64[::1], uint32[::1])", allocates=False)
def place_narrow(codes, first, free, index):
    """Write sample numbers first, first + 1, ... each to the next free place of its group; `free` moves on."""
    for i in range(codes.size):
        index[free[codes[i]]] = first + i
        free[codes[i]] += 1


@kernel("void(int64[::1], int64, int64[::1], int64[::1])", allocates=False)
def place_wide(codes, first, free, index):
    """As `place_narrow`, for indices that need 64 bits."""
    for i in range(codes.size):
        index[free[codes[i]]] = first + i
        free[codes[i]] += 1
