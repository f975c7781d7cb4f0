"""The micro-batches of a plan with a fixed batch size, with the quotas that they should have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import shown
from .guarantee import Guarantee

if TYPE_CHECKING:
    from ..groups import Groups
    from ..inputs.label_sets import LabelRates
    from ..kinds import FixedKind
    from ..orders import InTurn

__all__ = ["Drawn", "LabelRateDeviation", "Sequence", "Shared", "Size", "drawn_batches", "shared_batches"]


@dataclass(frozen=True)
class Drawn:
    """One micro-batch.

    Attributes:
        number: its number.
        yielded: `plan[number]`.
        samples: those of its numbers that are samples of the plan's groups, int64.
    """

    number: int
    yielded: np.ndarray
    samples: np.ndarray


@dataclass(frozen=True)
class Shared(Drawn):
    """One micro-batch of a plan with exact shares; arrays have one entry for each group.

    Attributes:
        counts: samples of the group in it.
        quota: the quota of the group, in tickets.
        had: tickets of the group since micro-batch 0, this one included.
        expected: the sum of the quotas of the group since micro-batch 0, this one included.
        before: `had - expected` before this micro-batch.
        round: how many times the shares had changed before, and the number of its round since the last change.
    """

    counts: np.ndarray
    quota: np.ndarray
    had: np.ndarray
    expected: np.ndarray
    before: np.ndarray
    round: tuple[int, int]

    @property
    def deviation(self) -> np.ndarray:
        """How many more tickets every group has had than its quotas, float64 (groups,)."""
        found: np.ndarray = self.had - self.expected
        return found


def drawn_batches(plan: FixedKind, first: int, batches: int) -> Iterator[Drawn]:
    """Micro-batches first..first+batches-1."""
    for number in range(first, first + batches):
        yielded = plan[number]
        yield Drawn(number, yielded, samples_in(plan.groups, yielded))


def samples_in(groups: Groups, numbers: np.ndarray) -> np.ndarray:
    """Those of the numbers that are samples of the groups, int64."""
    samples = numbers[(numbers >= 0) & (numbers < groups.sample_count)]
    found: np.ndarray = samples[np.asarray(groups.group_of(samples)) < groups.group_count]
    return found


def shared_batches(plan: FixedKind, first: int, batches: int) -> Iterator[Shared]:
    """Micro-batches first..first+batches-1 of a plan with exact shares."""
    dealt, tickets, per_ticket = plan.order.dealt, plan.order.tickets, plan.order.per_ticket
    assert dealt is not None
    count = plan.groups.group_count
    # From the first micro-batch of the run on: drift is limited over the run, and not over the audited part.
    expected = plan.prior_between(0, first) * first * tickets if first else np.zeros(count)
    had = dealt.drawn(first) / per_ticket
    of, quota = -1, expected  # -1: no span yet; to compute the shares once a span keeps the audit fast
    for seen in drawn_batches(plan, first, batches):
        span = _span(plan, seen.number)
        if span != of:
            of, quota = span, _shares(plan, span) * tickets
        # From the samples that were yielded, and not from the plan's own account of its draws: this is what is to be tested.
        counts = np.bincount(plan.groups.group_of(seen.samples), minlength=count)
        before = had - expected
        had, expected = had + counts / per_ticket, expected + quota
        round_of = dealt.round_of(seen.number)
        yield Shared(seen.number, seen.yielded, seen.samples, counts, quota, had, expected, before, round_of)


def _span(plan: FixedKind, number: int) -> int:
    """The number of the span of constant shares that a micro-batch is in: times that shares were set, or the epoch."""
    if plan.order.shares.limits is not None:
        return sum(change.first <= number for change in plan.share_changes)
    return number // plan.order.epoch_batches if plan.order.shares.settles_at != 0 else 0


def _shares(plan: FixedKind, span: int) -> np.ndarray:
    """The wanted shares in a span of constant shares, from the plan's arguments and the run's changes."""
    if plan.order.shares.limits is None:
        return plan.order.shares.of(span)
    if span:
        weights = plan.share_changes[span - 1].weights
        return np.array([weight / sum(weights) for weight in weights])
    assert plan.order.dealt is not None
    return plan.order.dealt.initial.of(0)


class Size(Guarantee[Drawn]):
    """G1: every micro-batch has `batch_size` samples of the plan's groups, and nothing else."""

    def __init__(self, batch_size: int) -> None:
        super().__init__("G1 size")
        self._batch_size = batch_size

    def see(self, seen: Drawn) -> None:
        """See `Guarantee`."""
        others = seen.yielded.size - seen.samples.size
        self.offer(max(abs(seen.yielded.size - self._batch_size), others), f"micro-batch {seen.number}")


class LabelRateDeviation(Guarantee[Drawn]):
    """How far the rate of a label is from the one that the plan is to reach, over all micro-batches; reported only."""

    def __init__(self, rates: LabelRates) -> None:
        super().__init__("label rate", math.inf)
        self._rates, self._counts, self._samples = rates, np.zeros(len(rates.names), np.int64), 0

    def see(self, seen: Drawn) -> None:
        """See `Guarantee`."""
        self._counts += self._rates.counts(seen.samples[None])[0]
        self._samples += seen.samples.size

    def end(self) -> None:
        """See `Guarantee`."""
        found = self._counts / max(1, self._samples)
        off = np.abs(found - self._rates.reached)
        label = int(off.argmax())
        self.offer(
            off[label],
            f"label {shown(self._rates.names[label])}: {found[label]:.4g} of what was drawn, "
            f"{self._rates.reached[label]:.4g} expected",
        )


class Sequence(Guarantee[Drawn]):
    """G4: a micro-batch has the samples of its places, in order."""

    def __init__(self, order: InTurn) -> None:
        super().__init__("G4 order")
        self._places, self._batch_size = order.places, order.batch_size

    def see(self, seen: Drawn) -> None:
        """See `Guarantee`."""
        first = seen.number * self._batch_size % self._places.count
        wanted = self._places.at((first + np.arange(self._batch_size)) % self._places.count)
        shared = min(wanted.size, seen.yielded.size)
        wrong = int((wanted[:shared] != seen.yielded[:shared]).sum())
        self.offer(wrong + max(wanted.size, seen.yielded.size) - shared, f"micro-batch {seen.number}")
