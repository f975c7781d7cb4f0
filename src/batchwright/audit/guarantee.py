"""The base of all guarantees that audits measure, and the loop that all audits share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np

from ..errors import Infeasible
from ..notebook import watched
from .report import Audit, Finding

__all__ = ["Guarantee", "check_countable", "measured"]

_MOST_SAMPLES = 1 << 28  # an audit keeps a few arrays of 8 bytes a sample: 2 GB each

Seen = TypeVar("Seen", contravariant=True)


def check_countable(samples: int) -> None:
    """Refuse more samples than can be counted one by one.

    Raises:
        Infeasible: there are too many.
    """
    if samples > _MOST_SAMPLES:
        raise Infeasible(
            f"an audit counts every sample, and there are {samples}, more than {_MOST_SAMPLES}",
            "audit the same plan of fewer samples",
        )


class Guarantee(ABC, Generic[Seen]):
    """One guarantee of a plan: gets what the plan yields, piece by piece, and keeps the worst value.

    Args:
        name: the name of its finding, such as "G1 size".
        bound: the worst value that is allowed; infinity if nothing is guaranteed.
    """

    def __init__(self, name: str, bound: float = 0.0) -> None:
        self.name, self.bound = name, bound
        self._worst, self._where = 0.0, "nowhere above 0"

    @abstractmethod
    def see(self, seen: Seen) -> None:
        """Measure the next piece of what the plan yields."""

    def end(self) -> None:
        """Measure what can only be measured after the last piece."""

    def offer(self, value: float, where: str) -> None:
        """Keep this value if it is the worst so far."""
        if value > self._worst:
            self._worst, self._where = float(value), where

    def offer_groups(self, values: np.ndarray, number: int, names: Sequence[Hashable]) -> None:
        """Keep the worst of the values of all groups in a micro-batch."""
        group = int(values.argmax())
        if values[group] > self._worst:
            self.offer(values[group], f"micro-batch {number}, group {names[group]!r}")

    def finding(self) -> Finding:
        """The worst value so far."""
        return Finding(self.name, self.bound, self._worst, self._where)


def measured(first: int, batches: int, guarantees: Sequence[Guarantee[Seen]], pieces: Iterable[Seen]) -> Audit:
    """Audit micro-batches first..first+batches-1: every guarantee gets all pieces of them."""
    for piece in watched(pieces, "measuring the guarantees"):
        for guarantee in guarantees:
            guarantee.see(piece)
    for guarantee in guarantees:
        guarantee.end()
    return Audit(first, batches, tuple(guarantee.finding() for guarantee in guarantees))
