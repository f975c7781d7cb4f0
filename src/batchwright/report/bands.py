"""Rows of a picture: one for each group, or bands of groups of about the same size where there are many."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ..errors import shortened

if TYPE_CHECKING:
    from ..groups import Groups

__all__ = ["MOST_BANDS", "Bands"]

MOST_BANDS = 40  # rows of a picture that can still be told apart


@dataclass(frozen=True)
class Bands:
    """The rows of all pictures of a report.

    Attributes:
        names: of each row, the name of its group, or which groups it has.
        group_counts: how many groups each row has, int64 (rows,).
        sample_counts: how many samples the groups of each row have, int64 (rows,).
        of_group: the row of every group, int64 (groups,); None if every sample is a group and all are in one row.
        several: whether a row may have several groups.
    """

    names: list[str]
    group_counts: np.ndarray
    sample_counts: np.ndarray
    of_group: np.ndarray | None
    several: bool

    @classmethod
    def of(cls, groups: Groups, shares: np.ndarray | None) -> Bands:
        """Rows for these groups, the largest first.

        Args:
            groups: the groups of a plan.
            shares: their wanted shares, float64 (groups,); None if every sample is a group and is not to be told apart.
        """
        if shares is None:
            name = f"all {groups.sample_count:,} samples"
            return cls([name], np.array([groups.group_count]), np.array([groups.sample_count]), None, True)
        count, single = groups.group_count, not groups.starts.size
        sizes = np.ones(count, np.int64) if single else groups.sizes
        order = np.lexsort((-shares, -sizes))
        if count <= MOST_BANDS:
            names = [shortened(groups.called[group]) for group in order.tolist()]
            edges = np.arange(count + 1)
        else:
            edges = np.linspace(0, count, MOST_BANDS + 1).round().astype(np.int64)
            what = "samples" if single else "groups"
            names = [f"{what} {first + 1:,}–{last:,}" for first, last in pairwise(edges.tolist())]
        of_group = np.empty(count, np.int64)
        of_group[order] = np.repeat(np.arange(edges.size - 1), np.diff(edges))
        return cls(names, np.diff(edges), np.add.reduceat(sizes[order], edges[:-1]), of_group, count > MOST_BANDS)

    def __len__(self) -> int:
        return len(self.names)

    def rows_of(self, groups: np.ndarray) -> np.ndarray:
        """The row of each of these groups."""
        return np.zeros(groups.size, np.int64) if self.of_group is None else self.of_group[groups]

    def summed(self, of_groups: np.ndarray) -> np.ndarray:
        """The sums of a number of each group over the groups of each row."""
        if self.of_group is None:
            return np.array([of_groups.sum()])
        found: np.ndarray = np.bincount(self.of_group, weights=of_groups, minlength=len(self))
        return found
