"""The interface of an order whose micro-batches have groups in wanted shares, and a base of those with shares on average."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeGuard

import numpy as np

from ..groups import Groups
from .dealt import Dealt
from .protocol import BatchwiseOrder, Order, Undersized
from .shares import Shares, group_rates

__all__ = ["AverageSharesOrder", "SharedOrder", "is_shared"]


class SharedOrder(Order, Protocol):
    """An order whose micro-batches have groups in wanted shares; plans of a fixed batch size are made of it.

    Attributes:
        shares: the wanted shares of `groups`.
        tickets: tickets in a micro-batch; each is `per_ticket` samples of one group.
        per_ticket: samples in a ticket, batch_size / tickets.
        children: by group number, the orders of groups that have one of their own.
        dealt: the dealt order that makes the shares exact; None if they hold on average only.
    """

    shares: Shares
    tickets: int
    per_ticket: int

    @property
    def children(self) -> Mapping[int, Order]:
        """By group number, the orders of groups that have one of their own; all other groups are shuffled."""
        ...

    @property
    def dealt(self) -> Dealt | None:
        """The dealt order that makes the shares exact; None if they hold on average only."""
        ...

    def distinct_within(self, places: int) -> SharedOrder:
        """A copy in which any `places` consecutive samples are distinct, except in groups too small for it.

        Without this call, only the samples of each micro-batch are distinct.
        """
        ...

    def undersized(self, places: int | None = None) -> list[Undersized]:
        """The groups too small for `places` consecutive samples (if left out, a micro-batch) to be distinct.

        If every sample is a group of its own, or draws are independent, the list has one group, which stands for all.
        """
        ...


def is_shared(order: Order) -> TypeGuard[SharedOrder]:
    """Whether an order is a `SharedOrder`.

    Not by `isinstance`, which before Python 3.12 computes all of its properties, among them a digest of its groups.
    """
    return hasattr(order, "shares") and hasattr(order, "distinct_within")


class AverageSharesOrder(BatchwiseOrder):
    """A shared order whose shares hold on average, and whose groups have no order of their own.

    The samples of a group come equally often.
    """

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
