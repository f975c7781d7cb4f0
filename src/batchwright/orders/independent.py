"""Independent draws: shares hold on average only, as with `torch.utils.data.WeightedRandomSampler`."""

from __future__ import annotations

import numpy as np

from ..groups import Groups
from ..kernels import independent
from .protocol import Undersized
from .shared import AverageSharesOrder
from .shares import Shares, moves_within_epochs, stage_of

__all__ = ["Independent"]


class Independent(AverageSharesOrder):
    """Draws the group and the sample of every slot independently, with replacement; arguments as for `Dealt`."""

    def __init__(
        self,
        groups: Groups,
        shares: Shares,
        *,
        batch_size: int,
        per_ticket: int = 1,
        seed: int = 0,
        epoch_batches: int = 1,
    ) -> None:
        self.groups = groups
        self.shares = shares
        self.batch_size = batch_size
        self.per_ticket = per_ticket
        self.seed = seed
        self.epoch_batches = epoch_batches
        self.tickets = batch_size // per_ticket
        self._line: tuple[int, np.ndarray] = -1, np.empty(0, np.int64)  # of the epoch evaluated last

    @property
    def identity(self) -> dict[str, str]:
        """See `Order`."""
        any_epoch = self.shares.settles_at == 0 or moves_within_epochs(self.shares)
        return {
            "draw": "random",
            "groups": self.groups.identity,
            "target": self.shares.identity,
            "batch_size": str(self.batch_size),
            "per_class": str(self.per_ticket),
            "seed": str(self.seed),
            "epoch": "any" if any_epoch else str(self.epoch_batches),
        }

    def batches_at(self, numbers: np.ndarray) -> np.ndarray:
        """See `Order`."""
        slots = np.empty((numbers.size, self.batch_size), np.int64)
        groups = np.empty((numbers.size, self.tickets), np.int64)
        done = 0
        while done < numbers.size:
            here, epoch = numbers.size, 0
            if self.shares.settles_at != 0:
                epoch, following = stage_of(self.shares.firsts, int(numbers[done]) // self.epoch_batches)
                if following is not None:
                    here = int(np.searchsorted(numbers, following * self.epoch_batches))
            rows = slice(done, here)
            independent.pick(
                numbers[rows], self.tickets, self.per_ticket, np.uint64(self.seed), self._edges(epoch),
                self.groups.starts, slots[rows], groups[rows],
            )  # fmt: skip
            done = here
        return slots if self.groups.index is None else self.groups.index[slots].astype(np.int64)

    def with_shares(self, shares: Shares) -> Independent:
        """A copy with other shares."""
        return Independent(
            self.groups,
            shares,
            batch_size=self.batch_size,
            per_ticket=self.per_ticket,
            seed=self.seed,
            epoch_batches=self.epoch_batches,
        )

    def distinct_within(self, places: int) -> Independent:
        """See `SharedOrder`: itself, since independent draws keep no samples distinct."""
        return self

    def undersized(self, places: int | None = None) -> list[Undersized]:
        """See `SharedOrder`: the group with the largest share stands for all, since any sample may come twice in a row."""
        group = int(self.shares.of(0).argmax())
        return [Undersized(self.groups.names[group], int(self.groups.sizes[group]), places or self.batch_size)]

    def _edges(self, epoch: int) -> np.ndarray:
        kept, edges = self._line
        if kept != epoch:
            edges = self.shares.edges(independent.LINE, epoch)
            self._line = epoch, edges
        return edges
