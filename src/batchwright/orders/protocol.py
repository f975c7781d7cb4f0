"""The interface of every order: all that a plan needs of it."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeGuard, runtime_checkable

import numpy as np

from ..groups import Groups
from .shares import Shares, meant

if TYPE_CHECKING:
    from .dealt import Dealt

__all__ = [
    "Order",
    "SharedOrder",
    "Undersized",
    "fingerprint_of",
    "is_shared",
    "samples_at",
    "take_from_batches",
    "undersized_groups",
]


class Undersized(NamedTuple):
    """A group too small for its draws: its samples may repeat.

    Attributes:
        name: its label.
        size: its number of samples.
        most: the most draws of it.
    """

    name: Hashable
    size: int
    most: int


@runtime_checkable
class Order(Protocol):
    """An endless, addressable sequence of sample indices.

    It comes in batches of `batch_size` samples, over which its composition is exact; `take` cuts it anywhere.
    """

    groups: Groups
    batch_size: int
    epoch_batches: int  # micro-batches after which a target that moves is asked again

    @property
    def identity(self) -> dict[str, str]:
        """Every argument that decides the sequence, by name, as short text: what a fingerprint is made of."""
        ...

    def batches(self, first: int, stride: int, count: int) -> np.ndarray:
        """Micro-batches first, first + stride, ...: int64 (count, batch_size)."""
        ...

    def batches_at(self, numbers: np.ndarray) -> np.ndarray:
        """Micro-batches of these numbers, ascending: int64 (numbers, batch_size)."""
        ...

    def take(self, start: int, stop: int) -> np.ndarray:
        """The samples at places start..stop-1 of the sequence, int64."""
        ...

    def rates(self, samples: np.ndarray, epoch: int = 0) -> np.ndarray:
        """The expected share of the sequence that each of these samples is, float64."""
        ...


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


def undersized_groups(groups: Groups, most: np.ndarray) -> list[Undersized]:
    """The groups with fewer samples than their most draws, int64 (groups,)."""
    short = np.flatnonzero((most > groups.sizes) & (groups.sizes > 0)).tolist()
    return [Undersized(groups.names[group], int(groups.sizes[group]), int(most[group])) for group in short]


def take_from_batches(order: Order, start: int, stop: int) -> np.ndarray:
    """`take` for an order that computes whole micro-batches."""
    first, last = start // order.batch_size, -(-stop // order.batch_size)
    whole = order.batches(first, 1, max(0, last - first)).reshape(-1)
    return whole[start - first * order.batch_size : stop - first * order.batch_size]


def samples_at(order: Order, places: np.ndarray) -> np.ndarray:
    """The samples at any places of the sequence; only the micro-batches that hold them are computed, each once."""
    batches, within = np.divmod(places, order.batch_size)
    needed, row = np.unique(batches, return_inverse=True)
    found: np.ndarray = order.batches_at(needed)[row.reshape(within.shape), within]  # numpy 1 gives the inverse flat
    return found


def fingerprint_of(identity: dict[str, str]) -> str:
    """16 hexadecimal digits of an identity; how a target was written is left out."""
    text = "\n".join(f"{name}={meant(value)}" for name, value in sorted(identity.items()))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
