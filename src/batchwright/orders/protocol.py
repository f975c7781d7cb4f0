"""What every order offers; a plan needs nothing else of it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from ..groups import Groups

__all__ = ["Order", "take_from_batches"]


@runtime_checkable
class Order(Protocol):
    """An endless, addressable sequence of sample indices.

    It comes in batches of `window` samples, over which its composition is exact; `take` cuts it anywhere.
    """

    groups: Groups
    window: int

    @property
    def identity(self) -> dict[str, str]:
        """Every argument that decides the sequence, by name, as short text: what a fingerprint is made of."""
        ...

    def batches(self, first: int, stride: int, count: int) -> np.ndarray:
        """Windows first, first + stride, ...: int64 (count, window)."""
        ...

    def take(self, start: int, stop: int) -> np.ndarray:
        """The samples at places start..stop-1 of the sequence, int64."""
        ...


def take_from_batches(order: Order, start: int, stop: int) -> np.ndarray:
    """`take` for an order that is made window by window."""
    first, last = start // order.window, -(-stop // order.window)
    whole = order.batches(first, 1, max(0, last - first)).reshape(-1)
    return whole[start - first * order.window : stop - first * order.window]
