"""Finite orders of samples: evaluation goes through one once per epoch, and `InTurn` repeats one for training."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ..kernels.array_types import Integers
from ..kernels.hashing import PURPOSE, child_key
from ..kernels.permutation import permutation

__all__ = ["Finite", "InFileOrder", "Listed", "Shuffled"]


class Finite(ABC):
    """A finite sequence of samples, any part of which can be computed directly.

    Attributes:
        count: the number of its places.
    """

    count: int

    @abstractmethod
    def at(self, places: Integers) -> Integers:
        """The samples at these places: int64, in the shape of `places`, which has integers from 0 to count - 1."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Everything that can change the sequence, as short text; fingerprints are made of it."""

    def samples(self, first: int, last: int) -> Integers:
        """The samples at places first..last-1, int64 (last - first,)."""
        return self.at(np.arange(first, last, dtype=np.int64))


@dataclass(frozen=True)
class InFileOrder(Finite):
    """The order of the file: sample i is at place i."""

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
    """Every sample once, shuffled. Nothing is stored: the sample at any place is computed directly."""

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
    """A finite order that is stored as an array.

    Attributes:
        listed: the sample at each place, int64 (places,).
    """

    listed: Integers

    @property
    def count(self) -> int:  # type: ignore[override]  # the base class has an attribute; it is only read
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
