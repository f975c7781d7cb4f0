"""Measures the guarantees of plans for evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import check_integer
from ..lengths.spans import Limited
from .guarantee import Guarantee, check_countable, measured
from .report import Audit

if TYPE_CHECKING:
    from ..kinds import EvaluationKind

__all__ = ["audit_evaluation"]


def audit_evaluation(plan: EvaluationKind, *, step_size: int = 1, epochs: int = 1, first: int = 0) -> Audit:
    """Measure complete epochs of a plan for evaluation, from what `plan[t]` and `plan.real(t)` return.

    - G1 limit: how far a micro-batch exceeds `batch_size`, `max_tokens` or `capacity`, except micro-batches of one sample.
    - G4 coverage: how much the number of times that a sample comes in an epoch differs from 1, without fillers.
    - G4 order: how many samples are not at their place in the plan's order, over all micro-batches in turn, without fillers.
    - G8 steps: micro-batches without a sample, which would leave a rank without work, and micro-batches beyond complete
      steps.
    - G8 even: for plans by `batch_size`, the largest difference in size between two micro-batches of a step.
    - G8 fillers: fillers beyond those that the last step needs, or before the last step; samples that count and come after a
      filler.
    - balance: for plans by cost, how far the most expensive micro-batch of a step is above the mean of the step, as a
      fraction. Only reported.

    Args:
        plan: a plan that `evaluation` made.
        step_size: micro-batches in a step: the world size.
        epochs: the number of epochs, 1 or more.
        first: the first epoch.

    Example:
        >>> import batchwright as bw
        >>> bw.evaluation(21, batch_size=4).audit(step_size=4).kept
        True
    """
    epochs, first = check_integer(epochs, "epochs", least=1), check_integer(first, "first", least=0)
    count = plan.groups.sample_count
    check_countable(count)
    in_steps = plan.stepped(step_size)
    length, cost = in_steps.epoch_batches, _Cost(plan)
    even = not isinstance(plan.spans, Limited)
    guarantees = [
        Limit(cost),
        Coverage(count),
        InOrder(plan.sequence.samples(0, count)),
        Steps(step_size),
        *([Even(step_size)] if even else []),
        Fillers(step_size, even=even),
        *([] if even else [Balance(cost, step_size)]),
    ]
    return measured(first * length, epochs * length, guarantees, _epochs(in_steps, first, epochs))


@dataclass(frozen=True)
class Epoch:
    """One epoch.

    Attributes:
        number: its number.
        begin: its first micro-batch.
        yielded: `plan[t]` for each of its micro-batches.
        real: `plan.real(t)` for each of its micro-batches: how many of its samples count.
    """

    number: int
    begin: int
    yielded: list[np.ndarray]
    real: list[int]

    @property
    def counted(self) -> np.ndarray:
        """The samples that count, micro-batch after micro-batch."""
        return np.concatenate([batch[:real] for batch, real in zip(self.yielded, self.real, strict=True)])

    @property
    def fillers(self) -> np.ndarray:
        """The number of fillers of each micro-batch."""
        return np.array([batch.size - real for batch, real in zip(self.yielded, self.real, strict=True)])


def _epochs(plan: EvaluationKind, first: int, epochs: int) -> Iterator[Epoch]:
    for number in range(first, first + epochs):
        begin = number * plan.epoch_batches
        batches = range(begin, begin + plan.epoch_batches)
        yield Epoch(number, begin, [plan[batch] for batch in batches], [plan.real(batch) for batch in batches])


class _Cost:
    """The cost of a micro-batch, and the limit on it."""

    def __init__(self, plan: EvaluationKind) -> None:
        self._costs, self._padded = np.ones(plan.groups.sample_count), False
        if isinstance(plan.spans, Limited):
            self.limit, self._padded = plan.spans.limit, plan.spans.padded
            self._costs[plan.sequence.samples(0, self._costs.size)] = plan.spans.costs
        else:
            self.limit = plan.spans.batch_size

    def of(self, samples: np.ndarray) -> float:
        """The cost of a micro-batch of these samples; numbers that are of no sample cost nothing."""
        costs = self._costs[samples[(samples >= 0) & (samples < self._costs.size)]]
        return float(costs.max(initial=0) * costs.size if self._padded else costs.sum())


class Limit(Guarantee[Epoch]):
    """G1: no micro-batch exceeds the limit, except micro-batches of one sample."""

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


class InOrder(Guarantee[Epoch]):
    """G4: the micro-batches of all ranks, in turn, are the order."""

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
    """G8: every rank has a micro-batch in every step, and none is empty."""

    def __init__(self, step_size: int) -> None:
        super().__init__("G8 steps")
        self._step_size = step_size

    def see(self, seen: Epoch) -> None:
        """See `Guarantee`."""
        self.offer(sum(not batch.size for batch in seen.yielded), f"epoch {seen.number}")
        self.offer(len(seen.yielded) % self._step_size, f"the last step of epoch {seen.number}")


class Even(Guarantee[Epoch]):
    """G8: the micro-batches of a step have the same size, as a gather over ranks needs it."""

    def __init__(self, step_size: int) -> None:
        super().__init__("G8 even")
        self._step_size = step_size

    def see(self, seen: Epoch) -> None:
        """See `Guarantee`."""
        for at in range(0, len(seen.yielded), self._step_size):
            sizes = [batch.size for batch in seen.yielded[at : at + self._step_size]]
            self.offer(max(sizes) - min(sizes), f"the step at micro-batch {seen.begin + at}")


class Fillers(Guarantee[Epoch]):
    """G8: there are only as many fillers as the last step needs, and they are at its end."""

    def __init__(self, step_size: int, *, even: bool) -> None:
        super().__init__("G8 fillers")
        self._step_size, self._even = step_size, even

    def see(self, seen: Epoch) -> None:
        """See `Guarantee`."""
        fillers, last = seen.fillers, len(seen.yielded) - self._step_size
        self.offer(fillers[: max(0, last)].sum(), f"before the last step of epoch {seen.number}")
        left = sum(seen.real[max(0, last) :])
        # By number, all micro-batches of the last step get the same size: the samples are filled up to a multiple of it. By
        # cost, a rank needs a filler only if it would have no sample.
        needed = -left % self._step_size if self._even and left else max(0, self._step_size - left)
        self.offer(fillers.sum() - needed, f"epoch {seen.number}")
        with_fillers = np.flatnonzero(fillers > 0)
        if with_fillers.size:
            behind = sum(seen.real[with_fillers[0] + 1 :])
            self.offer(behind, f"samples behind the first filler of epoch {seen.number}")


class Balance(Guarantee[Epoch]):
    """How far the most expensive micro-batch is above the mean of its step; the last step, with the rest, is left out."""

    def __init__(self, cost: _Cost, step_size: int) -> None:
        super().__init__("balance", math.inf)
        self._cost, self._step_size = cost, step_size

    def see(self, seen: Epoch) -> None:
        """See `Guarantee`."""
        for at in range(0, len(seen.yielded) - 2 * self._step_size + 1, self._step_size):
            costs = [self._cost.of(batch) for batch in seen.yielded[at : at + self._step_size]]
            if any(costs):
                self.offer(max(costs) / float(np.mean(costs)) - 1, f"the step at micro-batch {seen.begin + at}")
