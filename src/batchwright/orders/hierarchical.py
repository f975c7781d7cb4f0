"""Nested groups: every batch takes a fixed number of branches on each level, and all branches come in turn."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from ..groups import Groups
from ..kernels.hierarchy import descend
from .dealt import Dealt
from .protocol import Undersized, fingerprint_of, undersized_groups
from .shared import AverageSharesOrder
from .shares import Shares, group_rates

__all__ = ["Hierarchical", "Levels"]

Path = tuple[Hashable, ...]  # the labels on the way to a node, from the outside in


@dataclass(frozen=True)
class Levels:
    """A tree of groups: the branches of level 0, the root, are the outermost groups; those of the last level are samples.

    Attributes:
        groups: the innermost groups, named by the tuple of labels on the path to them.
        names: the names of the nodes of each level, from level 1 on.
        firsts: for each level, the number of the first branch of each node, and after them the number of branches; int64.
        offsets: where each level begins in `firsts`, int64 (levels,).
    """

    groups: Groups
    names: tuple[list[Path], ...]
    firsts: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[Groups]) -> Levels:
        """The tree of several groupings of one dataset; the outermost comes first."""
        groups = Groups.combine(*parts) if len(parts) > 1 else parts[0]
        below = [cast(Path, name) if len(parts) > 1 else (name,) for name in groups.names]
        by_level, names = [groups.starts], [below]
        for depth in range(len(parts) - 1, -1, -1):
            counts: dict[Path, int] = {}
            # `combine` sorts the groups by the first label, then the second, and so on: branches of a node are adjacent.
            for name in below:
                counts[name[:depth]] = counts.get(name[:depth], 0) + 1
            by_level.append(np.cumsum([0, *counts.values()]))
            below = list(counts)
            names.append(below)
        firsts = by_level[::-1]
        offsets = np.cumsum([0, *(level.size for level in firsts[:-1])])
        return cls(groups, tuple(names[-2::-1]), np.concatenate(firsts).astype(np.int64), offsets.astype(np.int64))

    def branches(self, level: int) -> np.ndarray:
        """The number of branches of each node of a level, int64 (nodes,)."""
        end = self.firsts.size if level + 1 == self.offsets.size else self.offsets[level + 1]
        counts: np.ndarray = np.diff(self.firsts[self.offsets[level] : end])
        return counts

    def nodes_of(self, samples: np.ndarray) -> list[np.ndarray]:
        """For each level from 1 on, the number of the node that each of these samples is under."""
        nodes = [np.asarray(self.groups.group_of(samples))]
        for level in range(len(self.names) - 1, 0, -1):
            upper = np.repeat(np.arange(self.branches(level).size), self.branches(level))
            nodes.append(upper[nodes[-1]])
        return nodes[::-1]


class Hierarchical(AverageSharesOrder):
    """An order whose batches take `per[0]` outermost groups, `per[1]` groups of each, and so on down to `per[-1]` samples.

    Every node goes through its branches in passes: after any number of visits, its branches have come equally often, up to
    one.

    Args:
        levels: the tree.
        per: how many branches a batch takes of a node, for each level.
        shares: the shares of the innermost groups that follow from the tree and `outermost`.
        outermost: the order that deals the outermost groups by their shares; None if the shares are equal.
        seed: int from 0 to 2^64 - 1.
        distinct_over: how many consecutive samples are distinct, if groups are large enough; default: the samples of a
            micro-batch.
    """

    epoch_batches = 1  # its shares never change, so any number would do

    def __init__(
        self,
        levels: Levels,
        per: Sequence[int],
        shares: Shares,
        outermost: Dealt | None,
        seed: int,
        *,
        distinct_over: int | None = None,
    ) -> None:
        self.levels = levels
        self.per = tuple(per)
        self.shares = shares
        self.outermost = outermost
        self.seed = seed
        self.distinct_over = distinct_over
        self.groups = levels.groups
        self.batch_size = math.prod(per)
        self.per_ticket = self.per[-1]
        self.tickets = self.batch_size // self.per_ticket
        self._apart = self.per_ticket if distinct_over is None else int(self._most_drawn(distinct_over).max())

    @property
    def identity(self) -> dict[str, str]:
        """See `Order`."""
        outermost = "even" if self.outermost is None else fingerprint_of(self.outermost.identity)
        return {
            "draw": "exact", "order": "hierarchical", "groups": self.groups.identity, "per": str(self.per),
            "levels": fingerprint_of({"firsts": str(self.levels.firsts.tolist())}),
            "outermost": outermost, "seed": str(self.seed),
            **({} if self.distinct_over is None else {"distinct over": str(self.distinct_over)}),
        }  # fmt: skip

    def batches_at(self, numbers: np.ndarray) -> np.ndarray:
        """See `Order`."""
        # A pass visits each branch once, so the number of a visit says how often the branch came before: no state is needed.
        if self.outermost is None:
            nodes, visits, level = np.zeros((numbers.size, 1), np.int64), np.ascontiguousarray(numbers[:, None]), 0
        else:
            dealing = self.outermost.dealing(numbers)
            nodes, visits, level = dealing.groups, dealing.draws, 1
        slots = np.empty((numbers.size, self.batch_size), np.int64)
        descend(
            nodes,
            visits,
            level,
            np.array(self.per),
            self.levels.firsts,
            self.levels.offsets,
            np.uint64(self.seed),
            self._apart,
            slots,
        )
        return slots if self.groups.index is None else self.groups.index[slots].astype(np.int64)

    def rates(self, samples: np.ndarray, epoch: int = 0) -> np.ndarray:
        """See `Order`."""
        return group_rates(self.groups, self.shares, samples, epoch)

    def distinct_within(self, places: int) -> Hierarchical:
        """A copy in which any `places` consecutive samples are distinct, where groups are large enough."""
        return Hierarchical(self.levels, self.per, self.shares, self.outermost, self.seed, distinct_over=places)

    def undersized(self, places: int | None = None) -> list[Undersized]:
        """The groups too small to keep samples apart; see `SharedOrder`."""
        return undersized_groups(self.groups, self._most_drawn(places))

    def _most_drawn(self, places: int | None) -> np.ndarray:
        """The most draws of each innermost group in the micro-batches that `places` consecutive samples touch, or in one."""
        touched = 1 if places is None else (places + 2 * self.batch_size - 2) // self.batch_size
        visits = np.array([touched])
        for level, taken in enumerate(self.per[:-1]):
            branches = self.levels.branches(level)
            often = -(-visits * taken // branches) + 1  # its even share rounded up, and one more: a pass may end within
            if level == 0 and self.outermost is not None:
                often = visits
            visits = np.repeat(np.minimum(often, touched), branches)  # a batch has a group at most once
        most: np.ndarray = visits * self.per_ticket
        return most
