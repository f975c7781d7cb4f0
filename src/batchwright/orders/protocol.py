"""The interface of every order: what a plan needs of it."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Any, NamedTuple, Protocol, TypeGuard, runtime_checkable

import numpy as np

from ..groups import Groups
from .shares import without_spelling

__all__ = [
    "BatchwiseOrder",
    "Order",
    "Undersized",
    "fingerprint_of",
    "is_order",
    "samples_at",
    "undersized_groups",
]


class Undersized(NamedTuple):
    """A group too small for its draws: its samples may repeat.

    Attributes:
        name: the label of the group.
        size: the number of its samples.
        most: the most draws of it that should be distinct.
    """

    name: Hashable
    size: int
    most: int


@runtime_checkable
class Order(Protocol):
    """An endless sequence of sample indices, any part of which can be computed directly.

    It is made of micro-batches of `batch_size` samples, whose composition is exact; `take` may begin and end within
    them.
    """

    groups: Groups
    batch_size: int
    epoch_batches: int  # after so many micro-batches, a target that moves is evaluated again

    @property
    def identity(self) -> dict[str, str]:
        """Every argument that can change the sequence, by name, as short text; fingerprints are made of it."""
        ...

    def batches_at(self, numbers: np.ndarray) -> np.ndarray:
        """Micro-batches of these numbers, ascending: int64 (numbers, batch_size)."""
        ...

    def take(self, start: int, stop: int) -> np.ndarray:
        """The samples at places start..stop-1 of the sequence, int64 (stop - start,)."""
        ...

    def rates(self, samples: np.ndarray, epoch: int = 0) -> np.ndarray:
        """The expected share of each of these samples in the draws of an epoch, float64, in the shape of `samples`."""
        ...


def is_order(value: Any) -> TypeGuard[Order]:
    """Whether something is an `Order`. Before Python 3.12, `isinstance` would compute all of its properties."""
    return all(hasattr(type(value), name) for name in ("batches_at", "take", "rates"))


def undersized_groups(groups: Groups, most: np.ndarray) -> list[Undersized]:
    """The groups that have fewer samples than `most`, their most draws, int64 (groups,)."""
    short = np.flatnonzero((most > groups.sizes) & (groups.sizes > 0)).tolist()
    return [Undersized(groups.names[group], int(groups.sizes[group]), int(most[group])) for group in short]


class BatchwiseOrder(ABC):
    """An order that computes complete micro-batches."""

    batch_size: int

    @abstractmethod
    def batches_at(self, numbers: np.ndarray) -> np.ndarray:
        """See `Order`."""

    def take(self, start: int, stop: int) -> np.ndarray:
        """See `Order`."""
        first, last = start // self.batch_size, -(-stop // self.batch_size)
        samples = self.batches_at(np.arange(first, max(first, last))).reshape(-1)
        return samples[start - first * self.batch_size : stop - first * self.batch_size]


def samples_at(order: Order, places: np.ndarray) -> np.ndarray:
    """The samples at any places of the sequence, in the shape of `places`; computes each micro-batch it needs once."""
    batches, within = np.divmod(places, order.batch_size)
    needed, row = np.unique(batches, return_inverse=True)
    found: np.ndarray = order.batches_at(needed)[row.reshape(within.shape), within]  # numpy 1 gives the inverse flat
    return found


def fingerprint_of(identity: dict[str, str]) -> str:
    """16 hexadecimal digits of an identity; two spellings of one target give the same."""
    text = "\n".join(f"{name}={without_spelling(value)}" for name, value in sorted(identity.items()))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
