"""Draws in exact shares from few shards at a time."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..errors import Infeasible
from ..groups import Groups
from ..kernels.deal_arguments import Samples, group_table_of
from ..kernels.hashing import PURPOSE, child_key
from ..recent import Recent
from .constant_shares import NONE
from .dealt import Dealt
from .inclusion import GroupRates, InclusionRates, Varying
from .protocol import Undersized
from .shard_cells import Cells
from .shard_division import divide_tickets
from .shard_hand import BlockDeal
from .shard_line import MASK, ShardLine, ShardPieces
from .shard_turns import ShardTurn, ShardTurns
from .shards import Shards
from .shared import AverageSharesOrder
from .shares import Shares

__all__ = ["ShardDealt", "Stretch"]

_NO_INDEX = np.empty(0, np.uint32)
_MOST_CELLS = 1 << 21  # blocks x groups of a stretch: the tickets of a stretch take 16 MB, and some arrays as large


class Stretch(NamedTuple):
    """Consecutive blocks of a rank, among which groups give tickets to each other.

    Attributes:
        first: its first block in the pass of the rank.
        wanted: the tickets that each group should have in each block, int64 (blocks, groups).
        tickets: those that it gets, int64 (blocks, groups).
    """

    first: int
    wanted: np.ndarray
    tickets: np.ndarray

    @property
    def largest_deficit(self) -> np.ndarray:
        """The most tickets that each group lacks at the end of a block, int64 (groups,)."""
        found: np.ndarray = np.cumsum(self.wanted - self.tickets, 0).max(0).clip(0)
        return found

    @property
    def final_deficit(self) -> np.ndarray:
        """The tickets that each group lacks at the end, since no division gives it more; below 0: has too many."""
        found: np.ndarray = (self.wanted - self.tickets).sum(0)
        return found


class _OpenSamples(NamedTuple):
    """The samples of the open shards, by group, and how they are dealt.

    Attributes:
        deal: gives the samples of a turn of the rank, as places among all samples here.
        edges: where the samples of each piece of each group begin, if all are listed by group and then by piece, int64.
        entries: for every piece of every group, its first entry in the index of groups, int64.
    """

    deal: Any
    edges: np.ndarray
    entries: np.ndarray


class ShardDealt(AverageSharesOrder, Varying):
    """Draws in exact shares, as `Dealt`; the samples of a group are those in the open shards.

    Each rank deals its own micro-batches. While a block of shards is open, the draws of a group go through its samples there
    in passes. If no sample of a group is there, other groups take its places, and give them back in other blocks of the
    *stretch*: the blocks of a rank in a pass, or some of them where there are many. So a stretch has as many draws of each
    group as without shards, if that is possible.

    Args:
        groups, shares, batch_size, per_ticket, seed, epoch_batches: as for `Dealt`; the shares never change.
        shards: the shards.
    """

    def __init__(
        self,
        groups: Groups,
        shares: Shares,
        *,
        batch_size: int,
        per_ticket: int,
        seed: int,
        epoch_batches: int,
        shards: Shards,
    ) -> None:
        self.groups = groups
        self.shares = shares
        self.batch_size = batch_size
        self.per_ticket = per_ticket
        self.tickets = batch_size // per_ticket
        self.seed = seed
        self.epoch_batches = epoch_batches
        self.shards = shards
        shards.check_samples(groups.sample_count)
        line = ShardLine(shards.starts, shards.sizes, seed)
        self._key = line.key
        self.turns = ShardTurns(shards, line, max(1, -(-groups.grouped_count // batch_size)), self._opened)
        self._dealt: dict[int, Dealt] = {}
        self._stretches: Recent[tuple[int, int, int], Stretch | None] = Recent()

    @property
    def identity(self) -> dict[str, str]:
        """See `Order`."""
        return {
            "draw": "exact",
            "order": f"dealt in {self.shards.identity}",
            "groups": self.groups.identity,
            "target": self.shares.identity,
            "batch_size": str(self.batch_size),
            "per_class": str(self.per_ticket),
            "seed": str(self.seed),
        }

    def batches_at(self, numbers: np.ndarray) -> np.ndarray:
        """See `Order`."""
        found = np.empty((numbers.size, self.batch_size), np.int64)
        for row, number in enumerate(numbers.tolist()):
            found[row] = self._batch(number)
        return found

    def passes_at(self, batch: int) -> np.ndarray:
        """The pass of every sample of a micro-batch, int64 (batch_size,)."""
        return np.full(self.batch_size, self.turns.of(batch).passed)

    def distinct_within(self, places: int) -> ShardDealt:
        """See `SharedOrder`; refused, since shards change between micro-batches."""
        raise Infeasible(
            f"a micro-batch takes {places} samples of a source that reads few shards at a time and is balanced in "
            f"micro-batches of {self.batch_size}",
            "give that source a batch_size equal to its quota, a whole number",
        )

    def undersized(self, places: int | None = None) -> list[Undersized]:
        """See `SharedOrder`: by the samples that lie in the open shards on average."""
        most = np.ceil(np.round(self.shares.of(0) * self.tickets, 9)).astype(np.int64) * self.per_ticket
        count = int(np.count_nonzero(self.shards.sizes))
        here = self.groups.sizes * min(1.0, self.shards.open / count)
        short = np.flatnonzero((most > here) & (self.groups.sizes > 0) & (most > 0)).tolist()
        return [Undersized(self.groups.names[group], int(here[group]), int(most[group])) for group in short]

    @cached_property
    def absence(self) -> np.ndarray:
        """For each group, the probability that no open shard has a sample of it, float64 (groups,)."""
        filled, holding = int(np.count_nonzero(self.shards.sizes)), self._shards_of_groups
        of_rank = -(-filled // self.shards.ranks)
        small, larger = divmod(
            of_rank, -(-of_rank // self.shards.open)
        )  # shards of a block, and how many have one more
        none, found = np.ones(holding.size), np.zeros(holding.size)
        for taken in range(small + (larger > 0)):
            none *= np.maximum(filled - holding - taken, 0) / (filled - taken)
            if taken == small - 1:
                found += none * (1 - larger * (small + 1) / of_rank)
            elif taken == small:
                found += none * larger * (small + 1) / of_rank
        found[self.groups.sizes == 0] = 0
        return found

    def _members(self) -> list[np.ndarray]:
        """The samples of each group, ascending, of groups that are not ranges."""
        starts, index = self.groups.starts.tolist(), self.groups.index
        assert index is not None
        return [index[low:high] for low, high in pairwise(starts)]

    @cached_property
    def _lacking(self) -> np.ndarray:
        """How many shards have no sample of each group, int64 (groups,)."""
        return int(np.count_nonzero(self.shards.sizes)) - self._shards_of_groups

    @cached_property
    def _shards_of_groups(self) -> np.ndarray:
        """How many shards have a sample of each group, int64 (groups,)."""
        starts = self.shards.starts
        if self.groups.index is not None:
            return np.array([_shards_of(members, starts) for members in self._members()])
        filled = np.concatenate([[0], np.cumsum(self.shards.sizes > 0)])
        low, high = self.groups.starts[:-1], self.groups.starts[1:]
        first = np.searchsorted(starts, low, side="right") - 1
        last = np.searchsorted(starts, high, side="left")
        return np.where(high > low, filled[last] - filled[np.minimum(first, last)], 0)

    def _of_rank(self, rank: int) -> Dealt:
        if rank not in self._dealt:
            self._dealt[rank] = Dealt(
                self.groups,
                self.shares,
                batch_size=self.batch_size,
                per_ticket=self.per_ticket,
                seed=child_key(self._key, rank),
                epoch_batches=max(1, self.epoch_batches // self.shards.ranks),
            )
        return self._dealt[rank]

    def stretch(self, turn: ShardTurn) -> Stretch | None:
        """The stretch of a turn; None if all of its blocks have every group."""
        part = self.turns.rank_pass(turn.passed, turn.rank)
        blocks = len(part.turns) - 1
        count = -(-blocks * self.groups.group_count // _MOST_CELLS)
        number = min(count, blocks) * turn.block // blocks
        key = turn.passed, turn.rank, number
        if key not in self._stretches:
            inside = [block for block in range(blocks) if min(count, blocks) * block // blocks == number]
            stretch = self._divided(turn, inside)
            most = 2 * self.shards.ranks + 2
            if stretch is not None:
                most = max(1, min(most, 2 * _MOST_CELLS // stretch.tickets.size))
            return self._stretches.keep(key, stretch, most)
        return self._stretches[key]

    def tickets_of(self, turn: ShardTurn, low: int, high: int) -> np.ndarray:
        """The tickets of each group in the turns low..high-1 of a rank, all of one block: int64 (groups,)."""
        stretch = self.stretch(turn)
        if stretch is None:
            return self.wanted_tickets(turn.rank, low, high)
        deal = self._block_deal(turn, stretch)
        found: np.ndarray = deal.drawn(high - turn.first) - deal.drawn(low - turn.first)
        return found

    def wanted_tickets(self, rank: int, first: int, last: int) -> np.ndarray:
        """The tickets of each group in the turns first..last-1 of a rank, if all groups were in all shards: int64."""
        span = self._of_rank(rank).first_span
        found: np.ndarray = span.drawn(last) - span.drawn(first)
        return found

    def quotas(self, turn: ShardTurn) -> np.ndarray:
        """The quota of each group in the micro-batches of a turn's block, in tickets, float64 (groups,)."""
        stretch = self.stretch(turn)
        if stretch is None:
            return np.asarray(self.shares.of(0) * self.tickets)
        found: np.ndarray = stretch.tickets[turn.block - stretch.first] / (turn.last - turn.first)
        return found

    def shares_between(self, start: int, stop: int) -> np.ndarray:
        """See `Varying`."""
        total = np.zeros(self.groups.group_count, np.int64)
        for turn, low, high in self.turns.between(start, stop):
            total += self.tickets_of(turn, low, high)
        shares: np.ndarray = total / total.sum()
        return shares

    def inclusion_rates(self, start: int, stop: int) -> InclusionRates:
        """See `Varying`: the rates of each pass, of the samples of a group in a shard."""
        found = []
        drawn = {
            (turn.passed, turn.rank, turn.block): (turn, low, high)
            for turn, low, high in self.turns.between(start, stop)
        }
        for passed in sorted({passed for passed, _, _ in drawn}):
            firsts, sizes, rates = [], [], []
            for rank in range(self.shards.ranks):
                part = self.turns.rank_pass(passed, rank)
                for block in range(len(part.turns) - 1):
                    inside = slice(part.bounds[block], part.bounds[block + 1])
                    pieces = ShardPieces(*(column[inside] for column in part.pieces))
                    counts, _ = self.counts(pieces)
                    of_block = counts.sum(1)
                    tickets = np.zeros(of_block.size)
                    if (passed, rank, block) in drawn:
                        tickets += self.tickets_of(*drawn[passed, rank, block])
                    each = np.divide(tickets, of_block, out=np.zeros(of_block.size), where=of_block > 0)
                    firsts.append(np.sort(pieces.firsts))
                    sizes.append(counts)
                    rates.append(counts * each[:, None])
            everywhere = np.concatenate(firsts)
            by_place = np.argsort(everywhere)
            cells = Cells(self.groups, everywhere[by_place], np.concatenate(sizes, axis=1)[:, by_place])
            shares = np.concatenate(rates, axis=1)[:, by_place].reshape(-1)[cells.of_cells]
            found.append(GroupRates(cells, 0, shares / ((stop - start) * self.tickets)))
        return InclusionRates(found)

    def counts(self, pieces: ShardPieces, *, by_place: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """For each group and piece, how many of its samples lie there, and the entry of the first in the index of groups.

        Both are int64 (groups, pieces), the pieces ascending by place, or as they are.
        """
        order = np.argsort(pieces.firsts) if by_place else np.arange(pieces.firsts.size)
        firsts, ends = pieces.firsts[order], (pieces.firsts + pieces.sizes)[order]
        begins = self.groups.starts[:-1]
        if self.groups.index is None:
            low = np.clip(firsts[None, :], begins[:, None], self.groups.starts[1:, None])
            high = np.clip(ends[None, :], begins[:, None], self.groups.starts[1:, None])
            return high - low, low
        bounds = np.stack([firsts, ends]).reshape(-1).astype(self.groups.index.dtype)
        found = np.array([np.searchsorted(members, bounds) for members in self._members()])
        low, high = found[:, : firsts.size], found[:, firsts.size :]
        return high - low, begins[:, None] + low

    def _divided(self, turn: ShardTurn, blocks: list[int]) -> Stretch | None:
        """The stretch of these blocks; None if they lack no group."""
        part = self.turns.rank_pass(turn.passed, turn.rank)
        first, last = part.bounds[blocks[0]], part.bounds[blocks[-1] + 1]
        bounds = np.array(part.bounds[blocks[0] : blocks[-1] + 2]) - first
        cut = [0, part.pieces.sizes.size - 1] if self.shards.ranks > 1 else []
        whole = np.diff(bounds)
        for piece in cut:
            whole -= (bounds[:-1] <= piece - first) & (piece - first < bounds[1:])
        # A group may be missing in a block only if at least as many shards lack it as the block has.
        may = np.flatnonzero((self._lacking >= whole.min()) & (self.groups.sizes > 0))
        if not may.size:
            return None
        counts, _ = self.counts(ShardPieces(*(column[first:last] for column in part.pieces)), by_place=False)
        held = np.add.reduceat(counts, bounds[:-1], axis=1).T
        edges = part.turns[blocks[0] : blocks[-1] + 2]
        wanted = np.array([self.wanted_tickets(turn.rank, low, high) for low, high in pairwise(edges)])
        if ((held > 0) | (wanted == 0)).all():
            return None
        return Stretch(blocks[0], wanted, divide_tickets(wanted, self._most(held, np.diff(edges)[:, None])))

    def _most(self, held: np.ndarray, batches: np.ndarray) -> np.ndarray:
        """The most tickets of each group in each block, int64 (blocks, groups): so many that samples stay distinct.

        Args:
            held: the samples of each group in each block.
            batches: micro-batches of each block, (blocks, 1).
        """
        quotas = np.ceil(np.round(self.shares.of(0) * self.tickets, 9)).astype(np.int64)
        whole = held // self.per_ticket if self.per_ticket == 1 else np.minimum(held // self.per_ticket, 1)
        found = np.where(held > 0, np.maximum(whole, quotas), 0)
        # A block of too few samples repeats them.
        poor = found.sum(1) < self.tickets
        found[poor] = np.where(held[poor] > 0, self.tickets, 0)
        most: np.ndarray = found * batches
        return most

    def _block_key(self, turn: ShardTurn) -> int:
        key = child_key(child_key(child_key(self._key, PURPOSE.IN_SHARDS), turn.passed & MASK), turn.rank)
        return child_key(key, turn.block)

    def _block_deal(self, turn: ShardTurn, stretch: Stretch) -> BlockDeal:
        tickets = stretch.tickets[turn.block - stretch.first]
        key = child_key(self._block_key(turn), PURPOSE.IN_THE_PLACE)
        return BlockDeal(tickets, turn.last - turn.first, key)

    def _opened(self, pieces: ShardPieces, turn: ShardTurn) -> _OpenSamples:
        """What is kept of a block while its shards are open."""
        counts, entries = self.counts(pieces)
        edges = np.concatenate([[0], np.cumsum(counts.reshape(-1))])
        starts = edges[:: counts.shape[1]]
        sizes, stretch = np.diff(starts), self.stretch(turn)
        if stretch is not None:
            block = self._block_deal(turn, stretch)
            return _OpenSamples(
                lambda number: block.samples(number - turn.first, self.per_ticket, sizes, starts),
                edges,
                entries.reshape(-1),
            )
        dealt = self._of_rank(turn.rank)
        span = dealt.first_span
        wide = np.maximum(dealt.most_drawn() - 1, 0)
        # A group without samples has no draws; its row must be valid all the same.
        table = group_table_of(np.maximum(sizes, 1), starts[:-1], wide)
        samples = Samples(
            np.uint64(self._block_key(turn)), self.per_ticket, table, 2 * int(wide.max(initial=0)), _NO_INDEX, NONE
        )
        # Its draws are counted from the first turn; given edges would make it a span that pays deficits back.
        counted = replace(span, base=-span.drawn(turn.first), edges=NONE)
        return _OpenSamples(
            lambda number: counted.deal(np.array([number]), tuple(samples), draws=False).samples[0],
            edges,
            entries.reshape(-1),
        )

    def _batch(self, batch: int) -> np.ndarray:
        turn = self.turns.of(batch)
        opened = self.turns.opened(turn)
        positions = opened.deal(turn.number)
        piece = np.searchsorted(opened.edges, positions, side="right") - 1
        entries = opened.entries[piece] + positions - opened.edges[piece]
        index = self.groups.index
        found: np.ndarray = entries if index is None else index[entries].astype(np.int64)
        return found


def _shards_of(members: np.ndarray, starts: np.ndarray) -> int:
    """How many shards have one of these samples, which are ascending."""
    if members.size < starts.size:
        return int(np.unique(np.searchsorted(starts, members, side="right")).size)
    # Of one type, as numpy would else make a copy of all samples.
    return int(np.count_nonzero(np.diff(np.searchsorted(members, starts.astype(members.dtype)))))
