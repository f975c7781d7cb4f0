"""Guarantees of the plans for evaluation, measured on the epochs they really yield."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import Infeasible, check_integer
from ..lengths.stretches import Limited
from .guarantee import Guarantee, measured
from .report import Audit

if TYPE_CHECKING:
    from ..kinds import EvaluationKind

__all__ = ["audit_evaluation"]

_MOST_SAMPLES = 1 << 28


def audit_evaluation(plan: EvaluationKind, *, multiple: int = 1, epochs: int = 1, first: int = 0) -> Audit:
    """Measure `epochs` whole epochs of a run from epoch `first` on, from what `plan[t]` and `plan.real(t)` give.

    - G1 limit: how far a micro-batch is over `batch_size`, `max_tokens` or `capacity`; a single sample may be.
    - G4 coverage: how far from once a sample comes in an epoch, fillers not counted.
    - G4 order: samples that count and are not at their place in the plan's order, over all micro-batches in turn.
    - G8 steps: micro-batches without a sample, which would leave a rank without work, or beyond whole steps.
    - G8 even: of plans by `batch_size`, the largest difference in size between two micro-batches of a step.
    - G8 fillers: fillers beyond what the last step needs; fillers before the last step, or before a sample that counts.
    - balance: of plans by cost, what the most expensive micro-batch of a step costs above the mean of its step, as a share;
      nothing is promised.

    Args:
        plan: a plan that `evaluation` made.
        multiple: micro-batches in a step, the world size.
        epochs: how many to measure; 1 or more.
        first: the first of them.

    Example:
        >>> import batchwright as bw
        >>> bw.evaluation(21, batch_size=4).audit(multiple=4).kept
        True
    """
    epochs, first = check_integer(epochs, "epochs", least=1), check_integer(first, "first", least=0)
    count = plan.groups.sample_count
    if count > _MOST_SAMPLES:
        raise Infeasible(
            f"an audit counts every sample, and there are {count}, more than {_MOST_SAMPLES}",
            "audit the same plan of fewer samples",
        )
    stepped = plan.stepped(multiple)
    length, cost = stepped.epoch_batches, _Cost(plan)
    even = not isinstance(plan.stretches, Limited)
    guarantees = [
        Limit(cost),
        Coverage(count),
        Order(plan.sequence.samples(0, count)),
        Steps(multiple),
        *([Even(multiple)] if even else []),
        Fillers(multiple, even=even),
        *([] if even else [Balance(cost, multiple)]),
    ]
    return measured(first * length, epochs * length, guarantees, _epochs(stepped, first, epochs))


@dataclass(frozen=True)
class Epoch:
    """One epoch.

    Attributes:
        number: which.
        begin: its first micro-batch.
        yielded: what `plan[t]` is for each of its micro-batches.
        real: how many samples of each count.
    """

    number: int
    begin: int
    yielded: list[np.ndarray]
    real: list[int]

    @property
    def counted(self) -> np.ndarray:
        """The samples that count, in turn."""
        return np.concatenate([batch[:real] for batch, real in zip(self.yielded, self.real, strict=True)])

    @property
    def fillers(self) -> np.ndarray:
        """The fillers of every micro-batch."""
        return np.array([batch.size - real for batch, real in zip(self.yielded, self.real, strict=True)])


def _epochs(plan: EvaluationKind, first: int, epochs: int) -> Iterator[Epoch]:
    for number in range(first, first + epochs):
        begin = number * plan.epoch_batches
        batches = range(begin, begin + plan.epoch_batches)
        yield Epoch(number, begin, [plan[batch] for batch in batches], [plan.real(batch) for batch in batches])


class _Cost:
    """What a micro-batch costs, and the most that it may."""

    def __init__(self, plan: EvaluationKind) -> None:
        self._costs, self._padded = np.ones(plan.groups.sample_count), False
        self.limit = math.inf
        if isinstance(plan.stretches, Limited):
            self.limit, self._padded = plan.stretches.limit, plan.stretches.padded
            self._costs[plan.sequence.samples(0, self._costs.size)] = plan.stretches.costs
        else:
            self.limit = plan.stretches.batch_size

    def of(self, samples: np.ndarray) -> float:
        """What these samples cost; numbers of no sample cost nothing."""
        costs = self._costs[samples[(samples >= 0) & (samples < self._costs.size)]]
        return float(costs.max(initial=0) * costs.size if self._padded else costs.sum())


class Limit(Guarantee[Epoch]):
    """G1: no micro-batch is over the limit, but those of one sample."""

    def __init__(self, cost: _Cost) -> None:
        super().__init__("G1 limit")
        self._cost = cost

    def see(self, seen: Epoch) -> None:
        """See `Guarantee`."""
        for batch, samples in enumerate(seen.yielded, seen.begin):
            if samples.size > 1:
                self.offer(self._cost.of(samples) - self._cost.limit, f"micro-batch {batch}")


class Coverage(Guarantee[Epoch]):
    """G4: every sample counts once."""

    def __init__(self, count: int) -> None:
        super().__init__("G4 coverage")
        self._count = count

    def see(self, seen: Epoch) -> None:
        """See `Guarantee`."""
        counted = seen.counted
        known = counted[(counted >= 0) & (counted < self._count)]
        often = np.abs(np.bincount(known, minlength=self._count) - 1)
        self.offer(float(often.max()), f"epoch {seen.number}, sample {often.argmax()}")
        self.offer(counted.size - known.size, f"epoch {seen.number}, numbers of no sample")


class Order(Guarantee[Epoch]):
    """G4: the micro-batches of all ranks in turn are the order."""

    def __init__(self, samples: np.ndarray) -> None:
        super().__init__("G4 order")
        self._samples = samples

    def see(self, seen: Epoch) -> None:
        """See `Guarantee`."""
        counted = seen.counted
        shared = min(counted.size, self._samples.size)
        missing = max(counted.size, self._samples.size) - shared
        wrong = int((counted[:shared] != self._samples[:shared]).sum())
        self.offer(wrong + missing, f"epoch {seen.number}")


class Steps(Guarantee[Epoch]):
    """G8: every rank has a micro-batch in every step, and something in it."""

    def __init__(self, multiple: int) -> None:
        super().__init__("G8 steps")
        self._multiple = multiple

    def see(self, seen: Epoch) -> None:
        """See `Guarantee`."""
        self.offer(sum(not batch.size for batch in seen.yielded), f"epoch {seen.number}")
        self.offer(len(seen.yielded) % self._multiple, f"the last step of epoch {seen.number}")


class Even(Guarantee[Epoch]):
    """G8: the micro-batches of a step are as large as each other, as a gather over ranks needs it."""

    def __init__(self, multiple: int) -> None:
        super().__init__("G8 even")
        self._multiple = multiple

    def see(self, seen: Epoch) -> None:
        """See `Guarantee`."""
        for at in range(0, len(seen.yielded), self._multiple):
            sizes = [batch.size for batch in seen.yielded[at : at + self._multiple]]
            self.offer(max(sizes) - min(sizes), f"the step at micro-batch {seen.begin + at}")


class Fillers(Guarantee[Epoch]):
    """G8: as few fillers as the last step needs, at its end."""

    def __init__(self, multiple: int, *, even: bool) -> None:
        super().__init__("G8 fillers")
        self._multiple, self._even = multiple, even

    def see(self, seen: Epoch) -> None:
        """See `Guarantee`."""
        fillers, last = seen.fillers, len(seen.yielded) - self._multiple
        self.offer(fillers[: max(0, last)].sum(), f"before the last step of epoch {seen.number}")
        left = sum(seen.real[max(0, last) :])
        needed = -left % self._multiple if self._even and left else max(0, self._multiple - left)
        self.offer(fillers.sum() - needed, f"epoch {seen.number}")
        with_fillers = np.flatnonzero(fillers > 0)
        if with_fillers.size:
            behind = sum(seen.real[with_fillers[0] + 1 :])
            self.offer(behind, f"samples behind the first filler of epoch {seen.number}")


class Balance(Guarantee[Epoch]):
    """How even the work of a step is; the last step has what is left and is not measured."""

    def __init__(self, cost: _Cost, multiple: int) -> None:
        super().__init__("balance", math.inf)
        self._cost, self._multiple = cost, multiple

    def see(self, seen: Epoch) -> None:
        """See `Guarantee`."""
        for at in range(0, len(seen.yielded) - 2 * self._multiple + 1, self._multiple):
            costs = [self._cost.of(batch) for batch in seen.yielded[at : at + self._multiple]]
            if any(costs):
                self.offer(max(costs) / float(np.mean(costs)) - 1, f"the step at micro-batch {seen.begin + at}")
