"""The guarantees that plans in steps share: whole steps, equal work, and each sample as often as it should come."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .guarantee import Guarantee, Seen

__all__ = ["Balance", "ExpectedCounts", "WholeSteps", "YieldedBatches"]

Value = TypeVar("Value")


@dataclass(frozen=True)
class YieldedBatches:
    """Consecutive micro-batches.

    Attributes:
        start: the first of them.
        yielded: `plan[t]` for each of them.
    """

    start: int
    yielded: list[np.ndarray]

    def steps(self, values: list[Value], step_size: int) -> Iterator[tuple[str, list[Value]]]:
        """Where each step is, and its part of `values`, which are one for each micro-batch."""
        for at in range(0, len(values), step_size):
            yield f"micro-batches from {self.start + at}", values[at : at + step_size]


class WholeSteps(Guarantee[YieldedBatches]):
    """G8: every rank has a micro-batch in every step, and none is empty."""

    def __init__(self, step_size: int) -> None:
        super().__init__("G8 steps")
        self._step_size = step_size

    def see(self, seen: YieldedBatches) -> None:
        """See `Guarantee`."""
        for batch, yielded in enumerate(seen.yielded, seen.start):
            self.offer(not yielded.size, f"micro-batch {batch}")
        self.offer(len(seen.yielded) % self._step_size, f"micro-batches from {seen.start}, beyond whole steps")


class ExpectedCounts(Guarantee[Seen]):
    """G4: each sample comes as often as it should.

    Args:
        count: how many samples there are.
        counted: from what was seen to its name, the numbers that came, and those that should have come, in any order.
    """

    def __init__(self, count: int, counted: Callable[[Seen], tuple[str, np.ndarray, np.ndarray]]) -> None:
        super().__init__("G4 coverage")
        self._count, self._counted = count, counted

    def see(self, seen: Seen) -> None:
        """See `Guarantee`."""
        where, came, wanted = self._counted(seen)
        known = came[(came >= 0) & (came < self._count)]
        self.offer(came.size - known.size, f"{where}, numbers of no sample")
        off = np.abs(np.bincount(known, minlength=self._count) - np.bincount(wanted, minlength=self._count))
        self.offer(off.max(), f"{where}, sample {off.argmax()}")


class Balance(Guarantee[Seen]):
    """How far the most expensive micro-batch, or rank, of a step is above the mean of the step; only reported.

    Args:
        costs: from what was seen to its steps: where each is, and the costs of its micro-batches or ranks.
    """

    def __init__(self, costs: Callable[[Seen], Iterable[tuple[str, Sequence[float]]]]) -> None:
        super().__init__("balance", math.inf)
        self._costs = costs

    def see(self, seen: Seen) -> None:
        """See `Guarantee`."""
        for where, costs in self._costs(seen):
            if any(costs):
                self.offer(max(costs) / float(np.mean(costs)) - 1, where)
