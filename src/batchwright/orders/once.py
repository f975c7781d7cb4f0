"""Finite orders: every sample has one place. Evaluation goes through such an order from its first place to its last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..kernels.hashing import PURPOSE, child_key
from ..kernels.permutation import permutation

__all__ = ["InFileOrder", "Listed", "Once", "Shuffled"]


class Once(Protocol):
    """A sequence in which every sample 0..sample_count-1 comes once."""

    @property
    def sample_count(self) -> int:
        """How many samples there are."""
        ...

    def samples(self, first: int, last: int) -> NDArray[np.int64]:
        """The samples at places first..last-1."""
        ...


@dataclass(frozen=True)
class InFileOrder:
    """Sample i has place i."""

    sample_count: int

    def samples(self, first: int, last: int) -> NDArray[np.int64]:
        """See `Once`."""
        return np.arange(first, last, dtype=np.int64)


@dataclass(frozen=True)
class Shuffled:
    """A shuffle of which nothing is stored: any place is computed by itself."""

    sample_count: int
    seed: int

    def samples(self, first: int, last: int) -> NDArray[np.int64]:
        """See `Once`."""
        places, found = np.arange(first, last, dtype=np.int64), np.empty(last - first, np.int64)
        permutation(places, self.sample_count, np.uint64(child_key(self.seed, PURPOSE.ONCE)), found, False)
        return found


@dataclass(frozen=True)
class Listed:
    """An order that is stored.

    Attributes:
        listed: the sample at every place, int64 (samples,).
    """

    listed: NDArray[np.int64]

    @property
    def sample_count(self) -> int:
        """How many samples there are."""
        return self.listed.size

    def samples(self, first: int, last: int) -> NDArray[np.int64]:
        """See `Once`."""
        return self.listed[first:last]
