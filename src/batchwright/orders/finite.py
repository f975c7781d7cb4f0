"""Finite orders, which have a first place and a last: what evaluation goes through, and what is repeated for training."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels.hashing import PURPOSE, child_key
from ..kernels.permutation import permutation

__all__ = ["Finite", "InFileOrder", "Listed", "Shuffled"]

Integers = NDArray[np.int64]


class Finite(ABC):
    """A sequence of samples.

    Attributes:
        count: how many places it has.
    """

    count: int

    @abstractmethod
    def at(self, places: Integers) -> Integers:
        """The samples at these places, 0 to count - 1."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """What decides the sequence, as short text."""

    def samples(self, first: int, last: int) -> Integers:
        """The samples at places first..last-1."""
        return self.at(np.arange(first, last, dtype=np.int64))


@dataclass(frozen=True)
class InFileOrder(Finite):
    """Sample i has place i."""

    count: int

    def at(self, places: Integers) -> Integers:
        """See `Finite`."""
        return places

    @property
    def identity(self) -> str:
        """See `Finite`."""
        return f"file, {self.count} samples"


@dataclass(frozen=True)
class Shuffled(Finite):
    """Every sample once, in a shuffle of which nothing is stored: any place is computed by itself."""

    count: int
    seed: int

    def at(self, places: Integers) -> Integers:
        """See `Finite`."""
        found = np.empty(places.size, np.int64)
        key = np.uint64(child_key(self.seed, PURPOSE.ONCE))
        permutation(np.ascontiguousarray(places), self.count, key, found, False)
        return found

    @property
    def identity(self) -> str:
        """See `Finite`."""
        return f"shuffled, {self.count} samples, seed {self.seed}"


@dataclass(frozen=True)
class Listed(Finite):
    """A sequence that is stored.

    Attributes:
        listed: the sample at every place, int64 (places,).
    """

    listed: Integers

    @property
    def count(self) -> int:  # type: ignore[override]  # of the array
        """See `Finite`."""
        return self.listed.size

    def at(self, places: Integers) -> Integers:
        """See `Finite`."""
        return self.listed[places]

    @property
    def identity(self) -> str:
        """See `Finite`."""
        digest = hashlib.blake2b(np.ascontiguousarray(self.listed).data, digest_size=8).hexdigest()
        return f"listed, {self.count} places, {digest}"
