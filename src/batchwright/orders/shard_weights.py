"""Draws in proportion to the weights of samples, from few shards at a time."""

from __future__ import annotations

import numpy as np

from ..errors import Infeasible
from ..groups import Groups
from ..kernels.deal_arguments import ROUND
from ..kernels.hashing import PURPOSE, child_key
from .dealt import Dealt
from .inclusion import GroupRates, InclusionRates, Varying
from .protocol import Undersized
from .shard_line import MASK, ShardLine, ShardPieces
from .shard_turns import ShardTurn, ShardTurns
from .shards import Shards
from .shared import AverageSharesOrder
from .shares import Shares, WeightShares

__all__ = ["ShardWeights"]


class ShardWeights(AverageSharesOrder, Varying):
    """Samples by weight, as `Dealt` draws them, of a block of shards at a time.

    A block is open for as many micro-batches as its weights ask for; so each sample is drawn as often in a pass as in an
    epoch of all samples, up to the rounding of a block to whole micro-batches.

    Args:
        shares: the weights, as edges of samples on a line.
        batch_size: samples in a micro-batch.
        seed: 0 to 2^64 - 1.
        epoch_batches: micro-batches in an epoch.
        shards: the shards.
    """

    per_ticket = 1

    shares: Shares

    def __init__(
        self, shares: WeightShares, sample_count: int, *, batch_size: int, seed: int, epoch_batches: int, shards: Shards
    ) -> None:
        self.groups = Groups.singletons(sample_count)
        self.shares = shares
        self.batch_size = self.tickets = batch_size
        self.seed = seed
        self.epoch_batches = epoch_batches
        self.shards = shards
        shards.check_samples(sample_count)
        self._edges = shares.edges(ROUND * batch_size, 0)
        line = ShardLine(shards.starts, np.diff(self._edges[shards.starts]), seed, self._cut)
        self._key = line.key
        self.turns = ShardTurns(shards, line, max(1, -(-sample_count // batch_size)), self._opened)

    @property
    def identity(self) -> dict[str, str]:
        """See `Order`."""
        return {
            "draw": "exact",
            "order": f"weighted in {self.shards.identity}",
            "target": self.shares.identity,
            "batch_size": str(self.batch_size),
            "seed": str(self.seed),
        }

    def batches_at(self, numbers: np.ndarray) -> np.ndarray:
        """See `Order`."""
        found = np.empty((numbers.size, self.batch_size), np.int64)
        for row, number in enumerate(numbers.tolist()):
            turn = self.turns.of(number)
            dealt, edges, firsts = self.turns.opened(turn)
            places = dealt.batches_at(np.array([turn.number - turn.first]))[0]
            piece = np.searchsorted(edges, places, side="right") - 1
            found[row] = firsts[piece] + places - edges[piece]
        return found

    def shares_between(self, start: int, stop: int) -> np.ndarray:
        """See `Varying`: a block is open for whole micro-batches, so its samples come a little more or less often."""
        shares = np.zeros(self.groups.sample_count)
        for turn, low, high in self.turns.between(start, stop):
            pieces = self.turns.pieces(turn)
            parts = zip(pieces.firsts.tolist(), (pieces.firsts + pieces.sizes).tolist(), strict=True)
            weights = [(first, np.diff(self._edges[first : last + 1])) for first, last in parts]
            often = (high - low) / sum(int(part.sum()) for _, part in weights)
            for first, part in weights:
                shares[first : first + part.size] += often * part
        return shares / (stop - start)

    def inclusion_rates(self, start: int, stop: int) -> InclusionRates:
        """See `Varying`."""
        return InclusionRates([GroupRates(self.groups, 0, self.shares_between(start, stop))])

    def passes_at(self, batch: int) -> np.ndarray:
        """The pass of every sample of a micro-batch, int64 (batch_size,)."""
        return np.full(self.batch_size, self.turns.of(batch).passed)

    def distinct_within(self, places: int) -> ShardWeights:
        """See `SharedOrder`; refused, since shards change between micro-batches."""
        raise Infeasible(
            f"a micro-batch takes {places} samples of a source that reads few shards at a time, weighted in micro-batches "
            f"of {self.batch_size}",
            "give that source a batch_size equal to its quota, a whole number",
        )

    def undersized(self, places: int | None = None) -> list[Undersized]:
        """See `SharedOrder`: the sample with the largest weight stands for all."""
        largest, count = int(np.diff(self._edges).argmax()), int(np.count_nonzero(self.shards.sizes))
        weight = int(self._edges[largest + 1] - self._edges[largest])
        here = int(self._edges[-1]) * min(self.shards.open, count) // count  # what open shards weigh on average
        most = -(-weight * self.tickets // here)
        return [Undersized(largest, 1, most)] if most > 1 else []

    def _cut(self, shard: int, mass: int) -> int:
        """The sample of a shard before which it has this part of its weight."""
        first = int(self.shards.starts[shard])
        return int(np.searchsorted(self._edges, int(self._edges[first]) + mass, side="left"))

    def _opened(self, pieces: ShardPieces, turn: ShardTurn) -> tuple[Dealt, np.ndarray, np.ndarray]:
        """How a block is dealt, where each piece begins among its samples, and the first sample of each piece."""
        weights = [
            np.diff(self._edges[first : first + size + 1])
            for first, size in zip(pieces.firsts.tolist(), pieces.sizes.tolist(), strict=True)
        ]
        column = np.concatenate(weights)
        key = child_key(child_key(child_key(self._key, PURPOSE.IN_SHARDS), turn.passed & MASK), turn.rank)
        dealt = Dealt(
            Groups.singletons(column.size),
            WeightShares(column, ROUND * self.batch_size, ()),
            batch_size=self.batch_size,
            seed=child_key(key, turn.block),
            epoch_batches=turn.last - turn.first,
        )
        return dealt, np.concatenate([[0], np.cumsum(pieces.sizes)]), pieces.firsts
