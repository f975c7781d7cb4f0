"""What every order offers; a plan needs nothing else of it."""

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
    "Scarce",
    "SharedOrder",
    "fingerprint_of",
    "is_shared",
    "samples_at",
    "scarce_groups",
    "take_from_batches",
]


class Scarce(NamedTuple):
    """A group whose samples may repeat.

    Attributes:
        name: its label.
        size: samples in it.
        most: how many draws of it there may be.
    """

    name: Hashable
    size: int
    most: int


@runtime_checkable
class Order(Protocol):
    """An endless, addressable sequence of sample indices.

    It comes in batches of `window` samples, over which its composition is exact; `take` cuts it anywhere.
    """

    groups: Groups
    window: int
    epoch_batches: int  # windows after which a target that moves is asked again

    @property
    def identity(self) -> dict[str, str]:
        """Every argument that decides the sequence, by name, as short text: what a fingerprint is made of."""
        ...

    def batches(self, first: int, stride: int, count: int) -> np.ndarray:
        """Windows first, first + stride, ...: int64 (count, window)."""
        ...

    def windows(self, numbers: np.ndarray) -> np.ndarray:
        """Windows of these numbers, ascending: int64 (numbers, window)."""
        ...

    def take(self, start: int, stop: int) -> np.ndarray:
        """The samples at places start..stop-1 of the sequence, int64."""
        ...

    def rates(self, samples: np.ndarray, epoch: int = 0) -> np.ndarray:
        """The expected share of the sequence that each of these samples is, float64."""
        ...


@runtime_checkable
class SharedOrder(Order, Protocol):
    """An order every window of which holds its groups in wanted shares: what a fixed-size plan cuts.

    Attributes:
        shares: the wanted shares of `groups`.
        tickets: what a window deals out; each ticket is `per_ticket` draws from one group.
        per_ticket: window / tickets.
        children: the orders of groups that have one of their own, by group number.
        dealt: where the shares are exact, the dealt order that makes them so; None where they hold on average.
    """

    shares: Shares
    tickets: int
    per_ticket: int

    @property
    def children(self) -> Mapping[int, Order]:
        """Orders of groups that are no plain shuffles."""
        ...

    @property
    def dealt(self) -> Dealt | None:
        """The dealt order behind exact shares."""
        ...

    def spanning(self, places: int) -> SharedOrder:
        """The same order, its passes joined so that any `places` consecutive samples are distinct, but for `scarce` ones.

        By itself an order keeps that within each window.
        """
        ...

    def scarce(self, places: int | None = None) -> list[Scarce]:
        """The groups too small to keep samples apart in any `places` consecutive ones (which it spans), or in any window.

        Where every sample is a group of its own, or draws are independent, one of them stands for all.
        """
        ...


def is_shared(order: Order) -> TypeGuard[SharedOrder]:
    """Whether an order is a `SharedOrder`, without working out its properties as `isinstance` does before Python 3.12."""
    return hasattr(order, "shares") and hasattr(order, "spanning")


def scarce_groups(groups: Groups, most: np.ndarray) -> list[Scarce]:
    """The groups smaller than the `most` draws there may be of them, int64 (groups,)."""
    short = np.flatnonzero((most > groups.sizes) & (groups.sizes > 0)).tolist()
    return [Scarce(groups.names[group], int(groups.sizes[group]), int(most[group])) for group in short]


def take_from_batches(order: Order, start: int, stop: int) -> np.ndarray:
    """`take` for an order that is made window by window."""
    first, last = start // order.window, -(-stop // order.window)
    whole = order.batches(first, 1, max(0, last - first)).reshape(-1)
    return whole[start - first * order.window : stop - first * order.window]


def samples_at(order: Order, places: np.ndarray) -> np.ndarray:
    """The samples at any places of the sequence; no window is made twice, and none that holds no place asked for."""
    windows, within = np.divmod(places, order.window)
    needed, row = np.unique(windows, return_inverse=True)
    found: np.ndarray = order.windows(needed)[row.reshape(within.shape), within]  # numpy 1 gives the inverse flat
    return found


def fingerprint_of(identity: dict[str, str]) -> str:
    """16 hexadecimal digits of an identity; how a target was written is left out."""
    text = "\n".join(f"{name}={meant(value)}" for name, value in sorted(identity.items()))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
