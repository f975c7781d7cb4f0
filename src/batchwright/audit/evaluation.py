"""Measures the guarantees of plans for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import check_integer
from ..lengths.spans import Limited
from .guarantee import Guarantee, check_countable, measured
from .in_steps import Balance, ExpectedCounts, WholeSteps, YieldedBatches
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
    - balance: for plans by `max_tokens` or `capacity`, how far the most expensive micro-batch of a step is above the mean of
      the step, as a fraction. Only reported.

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
    length, cost = in_steps.epoch_batches, _MicroBatchCost(plan)
    even = not isinstance(plan.spans, Limited)
    guarantees: list[Guarantee[EvaluationEpoch]] = [
        Limit(cost),
        ExpectedCounts(count, lambda seen: (f"epoch {seen.number}", seen.counted, np.arange(count))),
        InOrder(plan.sequence.samples(0, count)),
        WholeSteps(step_size),
        *([EqualSizes(step_size)] if even else []),
        Fillers(step_size, even=even),
        *([] if even else [Balance[EvaluationEpoch](lambda seen: seen.costs(cost, step_size))]),
    ]
    return measured(first * length, epochs * length, guarantees, _epochs(in_steps, first, epochs))


@dataclass(frozen=True)
class EvaluationEpoch(YieldedBatches):
    """One epoch.

    Attributes:
        number: its number.
        real: `plan.real(t)` for each of its micro-batches: how many of its samples count.
    """

    number: int
    real: list[int]

    @property
    def counted(self) -> np.ndarray:
        """The samples that count, micro-batch after micro-batch."""
        return np.concatenate([batch[:real] for batch, real in zip(self.yielded, self.real, strict=True)])

    @property
    def fillers(self) -> np.ndarray:
        """The number of fillers of each micro-batch."""
        return np.array([batch.size - real for batch, real in zip(self.yielded, self.real, strict=True)])

    def costs(self, cost: _MicroBatchCost, step_size: int) -> Iterator[tuple[str, list[float]]]:
        """Where each step is, and the costs of its micro-batches, without the last step, which has the rest."""
        return self.steps([cost.of(batch) for batch in self.yielded[:-step_size]], step_size)


def _epochs(plan: EvaluationKind, first: int, epochs: int) -> Iterator[EvaluationEpoch]:
    for number in range(first, first + epochs):
        begin = number * plan.epoch_batches
        batches = range(begin, begin + plan.epoch_batches)
        yielded, real = [plan[batch] for batch in batches], [plan.real(batch) for batch in batches]
        yield EvaluationEpoch(begin, yielded, number, real)


class _MicroBatchCost:
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


class Limit(Guarantee[EvaluationEpoch]):
    """G1: no micro-batch exceeds the limit, except micro-batches of one sample."""

    def __init__(self, cost: _MicroBatchCost) -> None:
        super().__init__("G1 limit")
        self._cost = cost

    def see(self, seen: EvaluationEpoch) -> None:
        """See `Guarantee`."""
        for batch, samples in enumerate(seen.yielded, seen.start):
            if samples.size > 1:
                self.offer(self._cost.of(samples) - self._cost.limit, f"micro-batch {batch}")


class InOrder(Guarantee[EvaluationEpoch]):
    """G4: the micro-batches of all ranks, in turn, are the order."""

    def __init__(self, samples: np.ndarray) -> None:
        super().__init__("G4 order")
        self._samples = samples

    def see(self, seen: EvaluationEpoch) -> None:
        """See `Guarantee`."""
        counted = seen.counted
        shared = min(counted.size, self._samples.size)
        missing = max(counted.size, self._samples.size) - shared
        wrong = int((counted[:shared] != self._samples[:shared]).sum())
        self.offer(wrong + missing, f"epoch {seen.number}")


class EqualSizes(Guarantee[EvaluationEpoch]):
    """G8: the micro-batches of a step have the same size, as a gather over ranks needs it."""

    def __init__(self, step_size: int) -> None:
        super().__init__("G8 even")
        self._step_size = step_size

    def see(self, seen: EvaluationEpoch) -> None:
        """See `Guarantee`."""
        for where, sizes in seen.steps([batch.size for batch in seen.yielded], self._step_size):
            self.offer(max(sizes) - min(sizes), where)


class Fillers(Guarantee[EvaluationEpoch]):
    """G8: there are only as many fillers as the last step needs, and they are at its end."""

    def __init__(self, step_size: int, *, even: bool) -> None:
        super().__init__("G8 fillers")
        self._step_size, self._even = step_size, even

    def see(self, seen: EvaluationEpoch) -> None:
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
