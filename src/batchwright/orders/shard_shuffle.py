"""A shuffle that reads few shards at a time: every sample once a pass, each shard opened once a pass."""

from __future__ import annotations

import numpy as np

from ..errors import Infeasible
from ..groups import Groups
from ..kernels.hashing import PURPOSE, child_key
from ..recent import Recent
from .protocol import Undersized
from .shard_blocks import ShardBlocks, blocks_of
from .shard_line import MASK, ShardLine
from .shards import Shards
from .shared import AverageSharesOrder
from .shares import Shares

__all__ = ["LEAST_BATCHES", "ShardShuffle", "least_open"]

_KEPT = 4  # parts of passes whose blocks are kept
LEAST_BATCHES = 3  # of a rank in a pass: the first and the last must not overlap


class ShardShuffle(AverageSharesOrder):
    """Samples shuffled within blocks of shards.

    Micro-batch t is read from the shards of rank `t % ranks`. In a pass, the shards lie in a shuffled order on a line, of
    which every rank has an equal part (up to one sample). A rank divides its part into blocks of shards, and shuffles the
    samples of a block. Nothing of a sample is kept: any place is computed from the sizes of the shards.

    Args:
        groups: all samples as one group.
        shares: its share.
        batch_size: samples in a micro-batch.
        seed: 0 to 2^64 - 1.
        shards: the shards.
        apart: this many consecutive samples are distinct; those of a micro-batch if left out.
    """

    epoch_batches = 1  # its shares never change, so any number would do
    per_ticket = 1

    def __init__(
        self, groups: Groups, shares: Shares, *, batch_size: int, seed: int, shards: Shards, apart: int | None = None
    ) -> None:
        self.groups = groups
        self.shares = shares
        self.batch_size = self.tickets = batch_size
        self.seed = seed
        self.shards = shards
        self.apart = apart
        shards.check_samples(groups.sample_count)
        self._kept = max(_KEPT, 2 * shards.ranks)
        self._carried = _check(shards, batch_size, apart)
        self._line = ShardLine(shards.starts, shards.sizes, seed)
        self._blocks: Recent[tuple[int, int], ShardBlocks] = Recent()
        self._heads: Recent[tuple[int, int], np.ndarray] = Recent()

    @property
    def identity(self) -> dict[str, str]:
        """See `Order`."""
        return {
            "draw": "exact",
            "order": f"shuffled in {self.shards.identity}",
            "samples": str(self.groups.sample_count),
            "batch_size": str(self.batch_size),
            "seed": str(self.seed),
            **({} if self.apart is None else {"distinct, in sequence over": str(self.apart)}),
        }

    def batches_at(self, numbers: np.ndarray) -> np.ndarray:
        """See `Order`."""
        found = np.empty((numbers.size, self.batch_size), np.int64)
        for row, number in enumerate(numbers.tolist()):
            turn, rank = divmod(number, self.shards.ranks)
            self._write(found[row], rank, turn * self.batch_size)
        return found

    def take(self, start: int, stop: int) -> np.ndarray:
        """See `Order`."""
        if self.shards.ranks > 1:
            return super().take(start, stop)
        found = np.empty(max(0, stop - start), np.int64)
        self._write(found, 0, start)
        return found

    def distinct_within(self, places: int) -> ShardShuffle:
        """See `SharedOrder`."""
        if places == self.apart or places <= 1:
            return self
        if self.shards.ranks > 1:
            raise Infeasible(
                f"shards are divided among {self.shards.ranks} ranks, and a micro-batch of the mixture takes up to {places} "
                f"samples of several micro-batches of {self.batch_size}",
                "choose shares and a batch_size that give the source a whole quota (and a plan that is a source that "
                "batch_size), or pass Shards(..., ranks=1)",
            )
        return ShardShuffle(
            self.groups,
            self.shares,
            batch_size=self.batch_size,
            seed=self.seed,
            shards=self.shards,
            apart=places,
        )

    def undersized(self, places: int | None = None) -> list[Undersized]:
        """None: what is too small for its draws is refused."""
        return []

    def passes_at(self, batch: int) -> np.ndarray:
        """The pass of every sample of a micro-batch, int64 (batch_size,)."""
        turn, rank = divmod(batch, self.shards.ranks)
        first = turn * self.batch_size
        return np.array([self.pass_of(rank, place) for place in range(first, first + self.batch_size)])

    def pass_of(self, rank: int, place: int) -> int:
        """The pass of a place in the sequence of a rank."""
        number = place * self.shards.ranks // self.groups.sample_count
        while place < self._before(number, rank):
            number -= 1
        while place >= self._before(number + 1, rank):
            number += 1
        return number

    @property
    def blocks_are_even(self) -> bool:
        """Whether blocks have equal numbers of shards, up to one; not if a block makes room for the one before it."""
        return self.batch_size == 1 and self.shards.ranks == 1

    def most_read(self, places: int) -> int:
        """The most shards that this many consecutive samples lie in, if blocks are even."""
        sizes = np.sort(self.shards.sizes[self.shards.sizes > 0])
        blocks = -(-sizes.size // self.shards.open)
        least = int(sizes[: sizes.size // blocks].sum())  # samples of a block
        return (-(-(places - 1) // least) + 1) * self.shards.open

    def _before(self, number: int, rank: int) -> int:
        """The samples of a rank before a pass: an equal part, so that the parts of all ranks sum to all samples."""
        return (number * self.groups.sample_count + rank) // self.shards.ranks

    def _line_of(self, number: int, rank: int) -> int:
        """Where the part of a rank begins on the line of a pass."""
        ranks, samples = self.shards.ranks, self.groups.sample_count
        (low, first), (high, last) = divmod(number * samples, ranks), divmod((number + 1) * samples, ranks)
        return rank * (high - low) + max(0, rank - ranks + last) - max(0, rank - ranks + first)

    def _write(self, found: np.ndarray, rank: int, place: int) -> None:
        """Write the samples of a rank from this place of its sequence on."""
        done = 0
        while done < found.size:
            number = self.pass_of(rank, place + done)
            begin = self._before(number, rank)
            blocks = self._blocks_of(number, rank)
            at = place + done - begin
            block = blocks.of(at)
            stop = min(found.size, done + blocks.starts[block + 1] - at)
            places = np.arange(at, at + stop - done)
            head = self._head_of(number, rank) if block == 0 else None
            if head is not None and at < head.size:
                some = min(stop, done + head.size - at)
                found[done:some] = head[at : at + some - done]
                places, done = places[some - done :], some
            found[done:stop] = self._samples(number, rank, block, places)
            done = stop

    def _samples(self, number: int, rank: int, block: int, places: np.ndarray) -> np.ndarray:
        """The samples at these places of a pass, which lie in a block, as the block is shuffled."""
        blocks = self._blocks_of(number, rank)
        key = child_key(self._line.key, PURPOSE.IN_SHARDS)
        for part in (number & MASK, rank, block):
            key = child_key(key, part)
        return blocks.samples(block, places - blocks.starts[block], key)

    def _blocks_of(self, number: int, rank: int) -> ShardBlocks:
        found = self._blocks.get((number, rank))
        if found is None:
            begin, line = self._before(number, rank), self._line_of(number, rank)
            pieces = self._line.pieces(number, line, line + self._before(number + 1, rank) - begin)
            found = blocks_of(pieces, begin % self.batch_size, self.batch_size, self.shards.open, self._carried)
            self._blocks.keep((number, rank), found, self._kept)
        return found

    def _head_of(self, number: int, rank: int) -> np.ndarray | None:
        """The first samples of a pass, of which none is among the last of the pass before; None if these cannot meet."""
        begin = self._before(number, rank)
        before = begin % self.batch_size if self.apart is None else self.apart - 1
        if not number or not before:
            return None
        found = self._heads.get((number, rank))
        if found is None:
            after = self.batch_size - before if self.apart is None else before
            last = self._blocks_of(number - 1, rank)
            tail = np.concatenate(
                [
                    self._samples(number - 1, rank, block, np.arange(low, last.starts[block + 1]))
                    for block in range(len(last.tails))
                    if (low := max(last.starts[block], last.starts[-1] - before)) < last.starts[block + 1]
                ]
            )
            size = min(before + after, self._blocks_of(number, rank).starts[1])
            first = self._samples(number, rank, 0, np.arange(size))
            found = first[np.argsort(np.isin(first, tail), kind="stable")]
            self._heads.keep((number, rank), found, self._kept)
        return found


def least_open(shards: Shards, batch_size: int) -> tuple[int, int]:
    """The most pieces of shards that together do not fill a micro-batch; and how many must be open for that."""
    ascending = np.cumsum(np.sort(shards.sizes[shards.sizes > 0]))
    small = int(np.searchsorted(ascending, batch_size))
    pieces = small + 1 + (shards.ranks > 1)  # so many fill a micro-batch; a rank begins and ends with a part of a shard
    return small, small + 1 + 2 * pieces - 1


def _check(shards: Shards, batch_size: int, apart: int | None) -> int:
    """Refuse shards that are too small; returns the most that a block leaves to the micro-batch in which it ends."""
    count = int(shards.starts[-1])
    needed = LEAST_BATCHES * max(batch_size, apart or 0) * shards.ranks
    if count < needed:
        most = count // (LEAST_BATCHES * shards.ranks)
        raise Infeasible(
            f"a pass has {count} samples for {shards.ranks} ranks, fewer than {LEAST_BATCHES} micro-batches for each",
            "leave local out" + (f", or pass batch_size={most} or less" if most else ""),
        )
    # Where samples of a mixture are kept apart, a block must be large enough to have others for all of them.
    width = max(batch_size, 2 * (apart or 0))
    small, least = least_open(shards, width)
    if shards.open < least:
        why = f"the smallest {small} shards together have fewer than {width} samples, and " if small else ""
        batches = f" for micro-batches of {batch_size}" if batch_size > 1 else ""
        raise Infeasible(
            f"open={shards.open} is too few{batches}: {why}where a rank goes on to other shards it needs up to {least}",
            f"pass open={least}" + (", or larger shards" if small else ""),
        )
    return small + 1
