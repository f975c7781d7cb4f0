"""What orders have in common whose groups have shares on average, and no orders of their own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..groups import Groups
from .protocol import OfBatches, Order
from .shares import Shares, group_rates

__all__ = ["OfShares"]


class OfShares(OfBatches):
    """An order of complete micro-batches, whose samples of a group come equally often."""

    groups: Groups
    shares: Shares

    def rates(self, samples: np.ndarray, epoch: int = 0) -> np.ndarray:
        """See `Order`."""
        return group_rates(self.groups, self.shares, samples, epoch)

    @property
    def children(self) -> Mapping[int, Order]:
        """Empty: no group has an order of its own."""
        return {}

    @property
    def dealt(self) -> None:
        """None: no one deal makes the shares of all micro-batches exact."""
        return None
