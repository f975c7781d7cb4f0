"""The arguments of the kernels in `deal`: three tuples of arrays, and the names of their rows and columns.

Numba passes plain tuples to a kernel faster than named ones: what is named here is the order of the plain ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = [
    "ROUND", "ROUNDS", "SAMPLES", "SHARES", "SIZE", "STRIDE", "WIDE", "DealShares", "LastRound", "Samples",
    "group_table_of", "new_rounds",
]  # fmt: skip

ROUND = 89  # micro-batches in a round; a Fibonacci number
STRIDE = 55  # the Fibonacci number before it: multiples of it modulo ROUND are spread evenly (golden ratio)

# columns of `LastRound.cells`, rows of `LastRound.table`, entries of `LastRound.header`
TOTAL, LOW, HIGH, GROUP = 0, 1, 2, 3
ORDER, ROW, BEFORE = 0, 1, 2
ROUND_NUMBER, LIGHT, STEPS, PERIOD_NUMBER = 0, 1, 2, 3
BEGIN, SIZE, WIDE, LEFT, RIGHT = 0, 1, 2, 3, 4  # columns of `group_table_of`


def group_table_of(sizes: np.ndarray, starts: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """What `deal` needs to know of each group, adjacent in memory, since each draw needs all of it: int64 (groups, 5).

    Args:
        sizes, starts: the number of samples of each group, and where they begin among all, int64 (groups,).
        wide: one less than the most draws a micro-batch takes of each group, int64 (groups,); see `passes`.
    """
    # `left` x `right` is a nearly square grid with room for the group: the Feistel network permutes such a grid.
    left = np.sqrt(sizes.astype(np.float64)).astype(np.int64) + 1
    return np.stack([starts, sizes, wide, left, -(-sizes // left)], axis=1).astype(np.int64)


class DealShares(NamedTuple):
    """Constant shares, and how they are dealt.

    Attributes:
        tickets: tickets in a micro-batch.
        key: the key of their shuffles, uint64.
        start: the first round's offset, below 2^32.
        edges: from `line`, for ROUND * tickets tickets.
        base: the tickets of each group before these shares began, or empty for none.
        heavy, layout, members: from `arranged`: the heavy groups, and how the light ones are ordered.
    """

    tickets: int
    key: np.uint64
    start: int
    edges: np.ndarray
    base: np.ndarray
    heavy: np.ndarray
    layout: np.ndarray
    members: np.ndarray


class Samples(NamedTuple):
    """Which sample a draw of a group is.

    Attributes:
        root: the key of the passes, uint64.
        per_ticket: draws from one group that a ticket stands for.
        table: from `group_table_of`, or without rows if every group is one sample.
        head_size: the longest head of a pass that may have to be changed.
        narrow_index, wide_index: the samples group by group, in one of the two; both empty if sample i is entry i.
    """

    root: np.uint64
    per_ticket: int
    table: np.ndarray
    head_size: int
    narrow_index: np.ndarray
    wide_index: np.ndarray


class LastRound(NamedTuple):
    """What is remembered of the round computed last. It affects only speed.

    Attributes:
        header: the round, the light tickets before it, the steps of work so far, and the period of the round.
        table: the heavy groups in the round's order, the place of each in the row, and the tickets before each.
        cells: a row for each heavy group: its tickets before the period, its two edges there, its number.
    """

    header: np.ndarray
    table: np.ndarray
    cells: np.ndarray


SHARES = "Tuple((int64, uint64, int64, int64[::1], int64[::1], int64[::1], int64[::1], uint32[::1]))"
SAMPLES = "Tuple((uint64, int64, int64[:, ::1], int64, uint32[::1], int64[::1]))"
ROUNDS = "Tuple((int64[::1], int64[:, ::1], int64[:, ::1]))"


def new_rounds(heavy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The entries of `LastRound` before any round is computed. Calls with the same shares keep them."""
    cells = np.zeros((heavy.size, 4), np.int64)
    cells[:, GROUP] = heavy
    return np.array([-1, 0, 0, -1], np.int64), np.zeros((3, heavy.size + 1), np.int64), cells
