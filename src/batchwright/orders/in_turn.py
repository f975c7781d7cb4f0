"""A finite order, repeated: the order of the file, or one that the user gives."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..groups import Groups
from .finite import Finite
from .protocol import OfBatches, Order, Undersized
from .shares import Shares, group_rates

__all__ = ["InTurn"]


class InTurn(OfBatches):
    """The places of a finite order in turn; behind the last comes the first.

    Args:
        places: the finite order.
        groups: who is in which group.
        shares: the share of every group among the places.
        batch_size: samples in a micro-batch.
    """

    epoch_batches = 1  # its shares never move
    per_ticket = 1

    def __init__(self, places: Finite, groups: Groups, shares: Shares, batch_size: int) -> None:
        self.places = places
        self.groups = groups
        self.shares = shares
        self.batch_size = self.tickets = batch_size

    @property
    def identity(self) -> dict[str, str]:
        """What decides the sequence: see `Order`."""
        return {
            "draw": "exact",
            "order": f"in turn, {self.places.identity}",
            "samples": str(self.groups.sample_count),
            "batch_size": str(self.batch_size),
        }

    def batches_at(self, numbers: np.ndarray) -> np.ndarray:
        """Micro-batches of these numbers, ascending: sample indices, int64 (numbers, batch_size)."""
        starts = [int(number) * self.batch_size % self.places.count for number in numbers]  # exact beyond 64 bits
        found = np.array(starts, np.int64)[:, None] + np.arange(self.batch_size)
        return self.places.at(found.reshape(-1) % self.places.count).reshape(found.shape)

    def rates(self, samples: np.ndarray, epoch: int = 0) -> np.ndarray:
        """The share of the sequence that each of these samples is, float64."""
        return group_rates(self.groups, self.shares, samples, epoch)

    @property
    def children(self) -> Mapping[int, Order]:
        """None: the order holds for all samples together."""
        return {}

    @property
    def dealt(self) -> None:
        """None: nothing is dealt by shares."""
        return None

    def distinct_within(self, places: int) -> InTurn:
        """Itself: the order is as it was given."""
        return self

    def undersized(self, places: int | None = None) -> list[Undersized]:
        """One group, if so many consecutive places are more than the order has; repeats that were given do not count."""
        most = self.batch_size if places is None else places
        return [Undersized("the order", self.places.count, most)] if most > self.places.count else []
