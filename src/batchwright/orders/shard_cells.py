"""How often the samples of an order come that reads few shards at a time: those of a group in a shard equally often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import columns
from ..groups import Groups
from .inclusion import InclusionRates, Stratum
from .shard_line import Pieces

if TYPE_CHECKING:
    from .shard_dealt import ShardDealt

__all__ = ["Cells", "strata_of"]


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


def strata_of(order: ShardDealt, start: int, stop: int) -> InclusionRates:
    """The inclusion rates over micro-batches start..stop-1: a stratum for each pass, exact by block and group."""
    found = []
    drawn = {
        (turn.passed, turn.rank, turn.block): (turn, low, high) for turn, low, high in order.turns.between(start, stop)
    }
    for passed in sorted({passed for passed, _, _ in drawn}):
        firsts, sizes, rates = [], [], []
        for rank in range(order.shards.ranks):
            part = order.turns.part(passed, rank)
            for block in range(len(part.turns) - 1):
                inside = slice(part.bounds[block], part.bounds[block + 1])
                pieces = Pieces(*(column[inside] for column in part.pieces))
                counts, _ = order.counts(pieces)
                of_block = counts.sum(1)
                tickets = np.zeros(of_block.size)
                if (passed, rank, block) in drawn:
                    tickets += order.tickets_of(*drawn[passed, rank, block])
                each = np.divide(tickets, of_block, out=np.zeros(of_block.size), where=of_block > 0)
                firsts.append(np.sort(pieces.firsts))
                sizes.append(counts)
                rates.append(counts * each[:, None])
        everywhere = np.concatenate(firsts)
        by_place = np.argsort(everywhere)
        cells = Cells(order.groups, everywhere[by_place], np.concatenate(sizes, axis=1)[:, by_place])
        shares = np.concatenate(rates, axis=1)[:, by_place].reshape(-1)[cells.of_cells]
        found.append(Stratum(cells, 0, shares / ((stop - start) * order.tickets)))
    return InclusionRates(found)
