"""Draws in exact shares from few shards at a time."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice, pairwise
from typing import Any, NamedTuple

import numpy as np

from ..errors import Infeasible
from ..groups import Groups
from ..kernels.deal_arguments import Samples, group_table_of
from ..kernels.hashing import PURPOSE, child_key
from .constant_shares import NONE, ConstantShares
from .dealt import Dealt
from .of_shares import OfShares
from .protocol import Undersized
from .shard_line import MASK, Pieces, ShardLine
from .shard_turns import ShardTurns, Turn
from .shards import Shards
from .shares import Shares

__all__ = ["ShardDealt"]

_NO_INDEX = np.empty(0, np.uint32)
_FINE = 1 << 40  # the weights of groups that take the places of others, as integers


class _Open(NamedTuple):
    """The samples of the open shards, by group.

    Attributes:
        span: how draws are dealt, counted from the first turn of the block.
        first: that turn.
        samples: what the kernel needs of the samples.
        present: which groups have samples here, bool (groups,).
        starts: where the samples of each group begin, if all are listed by group and then by piece, int64 (groups + 1,).
        edges: the same for every piece of every group, int64.
        entries: for every piece of every group, its first entry in the index of groups, int64.
        fill: the groups that take the places of those that are not here, and their weights summed up.
    """

    span: ConstantShares
    first: int
    samples: tuple[Any, ...]
    present: np.ndarray
    starts: np.ndarray
    edges: np.ndarray
    entries: np.ndarray
    fill: tuple[list[int], list[int]]


class ShardDealt(OfShares):
    """Draws in exact shares, as `Dealt`; the samples of a group are those in the open shards.

    Each rank deals its own micro-batches. While a block of shards is open, the draws of a group go through its samples there
    in passes. If no sample of a group is there, other groups take its places: those first that are themselves not in all
    shards. So rates are right on average over passes, if the samples of a group lie evenly in the shards.

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
        filled, holding = int(np.count_nonzero(self.shards.sizes)), self._shards_of_groups()
        found = np.ones(holding.size)
        for taken in range(min(self.shards.open, filled)):
            found *= np.maximum(filled - holding - taken, 0) / (filled - taken)
        found[self.groups.sizes == 0] = 0
        return found

    def _members(self) -> list[np.ndarray]:
        """The samples of each group, ascending, of groups that are not ranges."""
        starts, index = self.groups.starts.tolist(), self.groups.index
        assert index is not None
        return [index[low:high] for low, high in pairwise(starts)]

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

    def _opened(self, pieces: Pieces, turn: Turn) -> _Open:
        """What is kept of a block while its shards are open."""
        dealt = self._of_rank(turn.rank)
        span = dealt.first_span
        counts, entries = self._counts(pieces)
        edges = np.concatenate([[0], np.cumsum(counts.reshape(-1))])
        starts = edges[:: counts.shape[1]]
        sizes = np.diff(starts)
        key = child_key(child_key(child_key(self._key, PURPOSE.IN_SHARDS), turn.passed & MASK), turn.rank)
        wide = np.maximum(dealt.most_drawn() - 1, 0)
        # A group without samples here gets one that is none: its draws are replaced.
        table = group_table_of(np.maximum(sizes, 1), starts[:-1], wide)
        samples = np.uint64(child_key(key, turn.block)), self.per_ticket, table, 2 * int(wide.max(initial=0))
        present = sizes > 0
        return _Open(
            replace(span, base=-span.drawn(turn.first), edges=NONE),  # given edges would make it one that settles
            turn.first,
            tuple(Samples(*samples, _NO_INDEX, NONE)),
            present,
            starts,
            edges,
            entries.reshape(-1),
            self._fill(present),
        )

    def _counts(self, pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
        """For each group and piece, how many of its samples lie there, and the entry of the first in the index of groups."""
        order = np.argsort(pieces.firsts)
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

    def _fill(self, present: np.ndarray) -> tuple[list[int], list[int]]:
        """The groups here that take the places of others, and their weights, summed up."""
        shares = self.shares.of(0)
        if present[shares > 0].all():
            return [], []
        absent = np.minimum(self.absence, 0.99)
        # Those first that lack as many places in other blocks; all groups here if there are none.
        for wanted in (shares * absent / (1 - absent), shares, np.ones(shares.size)):
            weights = np.where(present, wanted, 0.0)
            if weights.max() > 0:
                break
        whole = np.rint(weights / weights.max() * _FINE).astype(np.int64)
        groups = np.flatnonzero(whole)
        return groups.tolist(), np.cumsum(whole[groups], dtype=object).tolist()

    def _batch(self, batch: int) -> np.ndarray:
        turn = self.turns.of(batch)
        opened = self.turns.opened(turn)
        dealing = opened.span.deal(np.array([turn.number]), opened.samples, draws=bool(opened.fill[0]))
        positions = dealing.samples[0]
        if opened.fill[0]:
            lacking = np.flatnonzero(~opened.present[dealing.groups[0]])
            if lacking.size:
                positions = self._filled(opened, positions.reshape(-1, self.per_ticket), lacking.tolist(), batch)
        piece = np.searchsorted(opened.edges, positions, side="right") - 1
        entries = opened.entries[piece] + positions - opened.edges[piece]
        index = self.groups.index
        found: np.ndarray = entries if index is None else index[entries].astype(np.int64)
        return found

    def _filled(self, opened: _Open, tickets: np.ndarray, lacking: list[int], batch: int) -> np.ndarray:
        """Give the tickets of groups that are not here to others: samples that the micro-batch does not have yet."""
        groups, weights = opened.fill
        kept = np.ones(len(tickets), bool)
        kept[lacking] = False
        held = set(tickets[kept].reshape(-1).tolist())
        taken = set((np.searchsorted(opened.starts, list(held), side="right") - 1).tolist())
        key = child_key(child_key(self._key, PURPOSE.IN_THE_PLACE), batch)
        for ticket in lacking:
            word = child_key(key, ticket)
            at = bisect_right(weights, word * weights[-1] >> 64)
            # Where samples of a group come together, a group that the micro-batch has not yet.
            turned = [*groups[at:], *groups[:at]]
            free = [group for group in turned if group not in taken] if self.per_ticket > 1 else []
            found: list[int] = []
            for group in [*free, *turned, *np.flatnonzero(opened.present).tolist()]:
                low, high = int(opened.starts[group]), int(opened.starts[group + 1])
                start = low + (child_key(word, 1) * (high - low) >> 64)
                around = (place for place in chain(range(start, high), range(low, start)) if place not in held)
                found = list(islice(around, self.per_ticket))
                if len(found) == self.per_ticket:
                    break
            else:  # all samples of every group here are in the micro-batch
                found = [low + place % (high - low) for place in range(self.per_ticket)]
            tickets[ticket] = found
            held.update(found)
            taken.add(group)
        return tickets.reshape(-1)


def _shards_of(members: np.ndarray, starts: np.ndarray) -> int:
    """How many shards have one of these samples, which are ascending."""
    if members.size < starts.size:
        return int(np.unique(np.searchsorted(starts, members, side="right")).size)
    # Of one type, as numpy would else make a copy of all samples.
    return int(np.count_nonzero(np.diff(np.searchsorted(members, starts.astype(members.dtype)))))
