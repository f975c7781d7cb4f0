"""Whole micro-batches of each rank for each block of shards: the turns in which its shards are open."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from ..recent import Recent
from .shard_line import ShardLine, ShardPieces, even
from .shards import Shards

__all__ = ["Opened", "RankPass", "ShardTurn", "ShardTurns"]

Opened = TypeVar("Opened")


class ShardTurn(NamedTuple):
    """Where a micro-batch is: a block is the shards that are open together.

    Attributes:
        rank: the rank whose shards it is read from.
        number: the number of the micro-batch among those of the rank.
        passed: the pass.
        block: the block of the rank in the pass.
        first: the first of the rank's micro-batches of this block.
        last: the one behind its last.
    """

    rank: int
    number: int
    passed: int
    block: int
    first: int
    last: int


class RankPass(NamedTuple):
    """A rank's part of a pass: its pieces, the bounds of blocks among them, and the turns at which blocks begin."""

    pieces: ShardPieces
    bounds: list[int]
    turns: list[int]


class ShardTurns(Generic[Opened]):
    """Blocks of shards, each open for a whole number of micro-batches, in proportion to its mass.

    Args:
        shards: the shards.
        line: the line of a pass.
        pass_batches: micro-batches of all ranks in a pass.
        made: makes what is kept of a block while its shards are open, from its pieces and its turn.
    """

    def __init__(
        self, shards: Shards, line: ShardLine, pass_batches: int, made: Callable[[ShardPieces, ShardTurn], Opened]
    ) -> None:
        self.pass_batches = pass_batches
        self._shards, self._line, self._made = shards, line, made
        self._most = 2 * shards.ranks + 2
        self._parts: Recent[tuple[int, int], RankPass] = Recent()
        self._opened: Recent[tuple[int, int, int], Opened] = Recent()

    def of(self, batch: int) -> ShardTurn:
        """The turn of a micro-batch."""
        number, rank = divmod(batch, self._shards.ranks)
        passed = batch // self.pass_batches
        turns = self.rank_pass(passed, rank).turns
        block = bisect_right(turns, number) - 1
        return ShardTurn(rank, number, passed, block, turns[block], turns[block + 1])

    def between(self, start: int, stop: int) -> Iterator[tuple[ShardTurn, int, int]]:
        """The blocks that micro-batches start..stop-1 are of, each with the turns low..high-1 of it that are among them."""
        for passed in range(start // self.pass_batches, (stop - 1) // self.pass_batches + 1):
            for rank in range(self._shards.ranks):
                turns = self.rank_pass(passed, rank).turns
                first, last = (-(-(batch - rank) // self._shards.ranks) for batch in (start, stop))
                for block, (begin, end) in enumerate(pairwise(turns)):
                    low, high = max(begin, first), min(end, last)
                    if low < high:
                        yield ShardTurn(rank, low, passed, block, begin, end), low, high

    def pieces(self, turn: ShardTurn) -> ShardPieces:
        """The shards, or parts of them, that are open in a turn."""
        pieces, bounds, _ = self.rank_pass(turn.passed, turn.rank)
        inside = slice(bounds[turn.block], bounds[turn.block + 1])
        return ShardPieces(pieces.firsts[inside], pieces.sizes[inside], pieces.masses[inside])

    def opened(self, turn: ShardTurn) -> Opened:
        """What is kept of the block of a turn; made when it is first asked for."""
        key = turn.passed, turn.rank, turn.block
        found = self._opened.get(key)
        if found is None:
            found = self._opened.keep(key, self._made(self.pieces(turn), turn), self._most)
        return found

    def rank_pass(self, passed: int, rank: int) -> RankPass:
        """The part of a rank in a pass."""
        found = self._parts.get((passed, rank))
        if found is not None:
            return found
        ranks, mass = self._shards.ranks, self._line.mass
        pieces = self._line.pieces(passed, rank * mass // ranks, (rank + 1) * mass // ranks)
        count, bounds = pieces.sizes.size, [0]
        while bounds[-1] < count:
            bounds.append(bounds[-1] + even(count - bounds[-1], self._shards.open))
        first, last = (-(-(at * self.pass_batches - rank) // ranks) for at in (passed, passed + 1))
        before = np.concatenate([[0], np.cumsum(pieces.masses)])[bounds].tolist()
        turns = [first + at * (last - first) // before[-1] for at in before]
        return self._parts.keep((passed, rank), RankPass(pieces, bounds, turns), self._most)
