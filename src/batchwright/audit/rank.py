"""Measures the batches of one rank, without communication."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base_plan import BasePlan
from ..errors import check_integer
from .guarantee import Guarantee, measured
from .report import Audit

if TYPE_CHECKING:
    from ..kinds import SamplerKind

__all__ = ["audit_rank"]


def audit_rank(sampler: SamplerKind, *, epochs: int = 1, first: int = 0) -> Audit:
    """Measure the batches of this rank in complete epochs; nothing is communicated.

    - G8 share: batches that are not the rank's own: batch k of an epoch that begins with micro-batch e must be
      `plan[e + rank + k * world_size]`. If this holds, all that `plan.audit` says of the plan's micro-batches holds for
      those of the rank.
    - G8 steps: how many batches too many or too few an epoch has; all ranks must have the same number.
    - composition: the largest difference between the share of a group in the batches of the rank and in the plan. Only
      reported, since a rank gets only every world_size-th micro-batch.

    Args:
        sampler: the sampler of any plan; its position does not matter and does not change.
        epochs: the number of epochs, 1 or more.
        first: the first epoch.

    Example:
        >>> import batchwright as bw
        >>> bw.balanced(["cat"] * 90 + ["dog"] * 10, batch_size=8).sampler(rank=1, world_size=4).audit(epochs=3).kept
        True
    """
    epochs, first = check_integer(epochs, "epochs", least=1), check_integer(first, "first", least=0)
    plan = sampler.plan
    # An epoch has whole steps and whole batches, and one may be longer than the other: hence the least common multiple.
    step_size = sampler.world_size * math.lcm(sampler.accumulate, sampler.fetch)
    length = plan.epoch_length(step_size)
    plan.stepped(step_size).check_batch(first * length)
    steps = length // (sampler.world_size * sampler.fetch)
    guarantees = [OwnBatches(), BatchCount(steps), RankComposition(plan, first, epochs)]
    return measured(first * length, epochs * length, guarantees, _epochs(sampler, first, epochs, step_size))


@dataclass(frozen=True)
class RankEpoch:
    """One epoch of a rank.

    Attributes:
        number: its number.
        length: the number of batches according to `len(sampler)`.
        handed: the batches that the sampler yields.
        own: the batches that it should yield, from the plan.
    """

    number: int
    length: int
    handed: list[list[Any]]
    own: list[list[Any]]


def _epochs(sampler: SamplerKind, first: int, epochs: int, step_size: int) -> Iterator[RankEpoch]:
    plan, rank, world_size, fetch = sampler.plan, sampler.rank, sampler.world_size, sampler.fetch
    fresh = plan.sampler(rank=rank, world_size=world_size, accumulate=sampler.accumulate, fetch=fetch)
    # A copy, so that the position of the sampler stays where it is.
    walked, in_steps, length = copy.copy(sampler), plan.stepped(step_size), plan.epoch_length(step_size)
    for number in range(first, first + epochs):
        walked.load_state_dict(fresh.state_at(0, epoch=number))  # a run that always had this world size
        alone = [_alone(in_steps, number * length + own) for own in range(rank, length, world_size)]
        own = [[*chain.from_iterable(alone[at : at + fetch])] for at in range(0, len(alone), fetch)]
        yield RankEpoch(number, len(walked), list(walked), own)


def _alone(plan: Any, number: int) -> list[Any]:
    """A micro-batch of the plan in the form in which a sampler yields it."""
    samples = plan[number]
    if plan.named:
        name = plan.task_of(number)
        return [(name, sample) for sample in (samples - plan.starts[plan.names.index(name)]).tolist()]
    return [*samples.tolist()]


class OwnBatches(Guarantee[RankEpoch]):
    """G8: a rank gets its own micro-batches."""

    def __init__(self) -> None:
        super().__init__("G8 share")

    def see(self, seen: RankEpoch) -> None:
        """See `Guarantee`."""
        for step, (handed, own) in enumerate(zip(seen.handed, seen.own, strict=False)):
            self.offer(float(handed != own), f"epoch {seen.number}, step {step}")


class BatchCount(Guarantee[RankEpoch]):
    """G8: all ranks have the same number of batches, and `len(sampler)` says it."""

    def __init__(self, steps: int) -> None:
        super().__init__("G8 steps")
        self._steps = steps

    def see(self, seen: RankEpoch) -> None:
        """See `Guarantee`."""
        self.offer(abs(len(seen.handed) - self._steps), f"epoch {seen.number}")
        self.offer(abs(seen.length - self._steps), f"epoch {seen.number}, as len(sampler) says")


class RankComposition(Guarantee[RankEpoch]):
    """How near the shares in the batches of a rank are to those of the plan; only reported."""

    def __init__(self, plan: BasePlan, first: int, epochs: int) -> None:
        super().__init__("composition", math.inf)
        self._plan, length = plan, plan.epoch_length()
        self._planned = plan.prior_between(first * length, (first + epochs) * length)
        self._handed = np.zeros(plan.groups.group_count, np.int64)

    def see(self, seen: RankEpoch) -> None:
        """See `Guarantee`."""
        plan: Any = self._plan
        handed = [*chain.from_iterable(seen.handed)]
        if plan.named:
            handed = [plan.starts[plan.names.index(name)] + number for name, number in handed]
        self._handed += np.bincount(plan.groups.group_of(handed), minlength=self._handed.size)

    def end(self) -> None:
        """See `Guarantee`."""
        apart = np.abs(self._handed / max(1, self._handed.sum()) - self._planned)
        group = int(apart.argmax())
        self.offer(apart[group], f"group {self._plan.groups.names[group]!r}")
