"""A finite order, repeated without end: the order of the file, or an order that the user gives."""

from __future__ import annotations

import numpy as np

from ..groups import Groups
from .finite import Finite, InFileOrder
from .inclusion import GroupRates, InclusionRates, Unshuffled
from .protocol import Undersized
from .shared import AverageSharesOrder
from .shares import Shares

__all__ = ["InTurn"]


class InTurn(AverageSharesOrder, Unshuffled):
    """A finite order, repeated: after its last place comes its first.

    Args:
        places: the finite order.
        groups: which samples are in which group.
        shares: the share of each group in the places.
        batch_size: samples in a micro-batch.
    """

    epoch_batches = 1  # its shares never change, so any number would do
    per_ticket = 1

    def __init__(self, places: Finite, groups: Groups, shares: Shares, batch_size: int) -> None:
        self.places = places
        self.groups = groups
        self.shares = shares
        self.batch_size = self.tickets = batch_size

    @property
    def identity(self) -> dict[str, str]:
        """See `Order`."""
        return {
            "draw": "exact",
            "order": f"in turn, {self.places.identity}",
            "samples": str(self.groups.sample_count),
            "batch_size": str(self.batch_size),
        }

    def batches_at(self, numbers: np.ndarray) -> np.ndarray:
        """See `Order`."""
        # In Python's integers, which do not overflow.
        starts = [int(number) * self.batch_size % self.places.count for number in numbers]
        found = np.array(starts, np.int64)[:, None] + np.arange(self.batch_size)
        return self.places.at(found.reshape(-1) % self.places.count).reshape(found.shape)

    def drawn(self, first: int, last: int) -> InclusionRates:
        """See `Unshuffled`."""
        passes, rest = divmod(last - first, self.places.count)
        found = [GroupRates(self.groups, 0, self.shares.of(0) * (passes * self.places.count / (last - first)))]
        begin = first % self.places.count
        end = min(begin + rest, self.places.count)
        for part in ((begin, end), (0, begin + rest - end)):
            if part[1] > part[0]:
                found.append(self._part(*part, last - first))
        return InclusionRates(found[0 if passes else 1 :])

    def _part(self, begin: int, end: int, drawn: int) -> GroupRates:
        """The share of each sample in so many draws, of those at places begin..end-1 of one pass."""
        if isinstance(self.places, InFileOrder):
            return GroupRates(Groups.from_sizes({"part": end - begin}), begin, np.array([(end - begin) / drawn]))
        count = self.groups.sample_count
        counts = np.bincount(self.places.samples(begin, end), minlength=count)
        return GroupRates(Groups.singletons(count), 0, counts / drawn)

    def distinct_within(self, places: int) -> InTurn:
        """The order itself: its user decides which samples come next to each other."""
        return self

    def undersized(self, places: int | None = None) -> list[Undersized]:
        """The whole order as one group, if it has fewer than `places` places; repeats within it are the user's own."""
        most = self.batch_size if places is None else places
        return [Undersized("the order", self.places.count, most)] if most > self.places.count else []
