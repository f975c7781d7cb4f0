"""One guarantee of a plan, measured as its micro-batches come; and the walk that all audits share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np

from .report import Audit, Finding

__all__ = ["Guarantee", "measured"]

Seen = TypeVar("Seen", contravariant=True)


class Guarantee(ABC, Generic[Seen]):
    """One thing that a plan promises: it sees what the plan yields, piece by piece, and keeps the worst.

    Args:
        name: of its finding, "G1 size" for instance.
        bound: the worst it may be; infinity where nothing is promised.
    """

    def __init__(self, name: str, bound: float = 0.0) -> None:
        self.name, self.bound = name, bound
        self._worst, self._where = 0.0, "nowhere above 0"

    @abstractmethod
    def see(self, seen: Seen) -> None:
        """Measure the next piece of what the plan yields."""

    def end(self) -> None:
        """Measure what can only be measured once all pieces were seen."""

    def offer(self, value: float, where: str) -> None:
        """Keep this value if it is the worst so far."""
        if value > self._worst:
            self._worst, self._where = float(value), where

    def offer_groups(self, values: np.ndarray, number: int, names: Sequence[Hashable]) -> None:
        """Keep the worst of one value for each group, of a micro-batch."""
        group = int(values.argmax())
        if values[group] > self._worst:
            self.offer(values[group], f"micro-batch {number}, group {names[group]!r}")

    def finding(self) -> Finding:
        """The worst of all that was seen."""
        return Finding(self.name, self.bound, self._worst, self._where)


def measured(first: int, batches: int, guarantees: Sequence[Guarantee[Seen]], pieces: Iterable[Seen]) -> Audit:
    """The audit of micro-batches first..first+batches-1, whose pieces every guarantee sees."""
    for piece in pieces:
        for guarantee in guarantees:
            guarantee.see(piece)
    for guarantee in guarantees:
        guarantee.end()
    return Audit(first, batches, tuple(guarantee.finding() for guarantee in guarantees))
