"""The interface of an order in wanted shares, which plans of micro-batches of a fixed size cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeGuard, runtime_checkable

from .dealt import Dealt
from .protocol import Order, Undersized
from .shares import Shares

__all__ = ["SharedOrder", "is_shared"]


@runtime_checkable
class SharedOrder(Order, Protocol):
    """An order in which every micro-batch has its groups in wanted shares; plans of fixed size cut it.

    Attributes:
        shares: the wanted shares of `groups`.
        tickets: what a micro-batch deals out; each ticket is `per_ticket` draws from one group.
        per_ticket: batch_size / tickets.
        children: the orders of groups that have one of their own, by group number.
        dealt: where the shares are exact, the dealt order that makes them so; None where they hold on average.
    """

    shares: Shares
    tickets: int
    per_ticket: int

    @property
    def children(self) -> Mapping[int, Order]:
        """The orders of groups that have one of their own; all other groups are shuffled."""
        ...

    @property
    def dealt(self) -> Dealt | None:
        """The dealt order behind exact shares."""
        ...

    def distinct_within(self, places: int) -> SharedOrder:
        """A copy in which any `places` consecutive samples are distinct, except in groups too small for it.

        By itself an order keeps that within each micro-batch.
        """
        ...

    def undersized(self, places: int | None = None) -> list[Undersized]:
        """The groups too small for `places` consecutive samples to be distinct, or those of a micro-batch if left out.

        Where every sample is a group of its own, or draws are independent, one of them stands for all.
        """
        ...


def is_shared(order: Order) -> TypeGuard[SharedOrder]:
    """Whether an order is a `SharedOrder`; unlike `isinstance` before Python 3.12, this computes no property."""
    return hasattr(order, "shares") and hasattr(order, "distinct_within")
