"""How often the samples of an order come that reads few shards at a time: those of a group in a shard equally often."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..groups import Groups
from ..inputs import columns

__all__ = ["Cells"]


class Cells(Groups):
    """The samples by group and piece of a shard, as groups: parts of the same index.

    Args:
        groups: the groups.
        firsts: where the pieces begin, ascending, int64 (pieces,).
        sizes: the samples of each group in each piece, int64 (groups, pieces).
    """

    def __init__(self, groups: Groups, firsts: np.ndarray, sizes: np.ndarray) -> None:
        filled = np.flatnonzero(sizes.reshape(-1))
        starts = np.concatenate([[0], np.cumsum(sizes.reshape(-1)[filled])])
        vars(self).update(vars(Groups._made(range(filled.size), starts, groups.index, groups.sample_count)))
        self.of_cells = filled  # by cell, its place among all groups x pieces
        self._groups, self._firsts = groups, firsts
        self._numbers = np.full(sizes.size + firsts.size, filled.size)  # behind the last group: samples in no group
        self._numbers[filled] = np.arange(filled.size)

    def group_of(self, indices: Any) -> np.ndarray:
        """See `Groups`."""
        wanted = columns.sample_numbers(indices)
        group = np.asarray(self._groups.group_of(wanted)).astype(np.int64)
        piece = np.searchsorted(self._firsts, wanted, side="right") - 1
        found: np.ndarray = self._numbers[group * self._firsts.size + piece]
        return found
