"""The interface of every order: all that a plan needs of it."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from ..groups import Groups
from .shares import meant

__all__ = [
    "OfBatches",
    "Order",
    "Undersized",
    "fingerprint_of",
    "samples_at",
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


def undersized_groups(groups: Groups, most: np.ndarray) -> list[Undersized]:
    """The groups with fewer samples than their most draws, int64 (groups,)."""
    short = np.flatnonzero((most > groups.sizes) & (groups.sizes > 0)).tolist()
    return [Undersized(groups.names[group], int(groups.sizes[group]), int(most[group])) for group in short]


class OfBatches(ABC):
    """An order that computes whole micro-batches."""

    batch_size: int

    @abstractmethod
    def batches_at(self, numbers: np.ndarray) -> np.ndarray:
        """See `Order`."""

    def batches(self, first: int, stride: int, count: int) -> np.ndarray:
        """See `Order`."""
        return self.batches_at(first + stride * np.arange(count))

    def take(self, start: int, stop: int) -> np.ndarray:
        """See `Order`."""
        first, last = start // self.batch_size, -(-stop // self.batch_size)
        whole = self.batches(first, 1, max(0, last - first)).reshape(-1)
        return whole[start - first * self.batch_size : stop - first * self.batch_size]


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
