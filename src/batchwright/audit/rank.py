"""What one rank can say of its own lists without asking the others."""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from ..errors import whole
from .report import Audit, Finding
from .worst import Worst

if TYPE_CHECKING:
    from ..sampler import BatchSampler

__all__ = ["audit_rank"]


def audit_rank(sampler: BatchSampler, *, epochs: int = 1, first: int = 0) -> Audit:
    """Measure what this rank is handed in `epochs` whole epochs from epoch `first` on; nothing is communicated.

    - G8 share: lists that are not the rank's own micro-batches of the plan, every world_size-th of them in order. Where this
      is kept, what `plan.audit` says of the plan's micro-batches holds for the rank's.
    - G8 steps: how many lists an epoch has beyond or short of `len(sampler)`, which is the same on all ranks.
    - composition: the largest difference between a group's share of all that the rank is handed and its share in the plan;
      nothing is promised, since a rank sees only every world_size-th micro-batch.

    Args:
        sampler: of any plan; where it stands does not matter and does not change.
        epochs: how many to measure; 1 or more.
        first: the first of them.

    Example:
        >>> import batchwright as bw
        >>> bw.balanced(["cat"] * 90 + ["dog"] * 10, batch_size=8).sampler(rank=1, world_size=4).audit(epochs=3).kept
        True
    """
    epochs, first = whole(epochs, "epochs", least=1), whole(first, "first", least=0)
    plan, rank, world_size = sampler.plan, sampler.rank, sampler.world_size
    walked = type(sampler)(plan, rank=rank, world_size=world_size, accumulate=sampler.accumulate, fetch=sampler.fetch)
    multiple = world_size * math.lcm(walked.accumulate, walked.fetch)
    length = plan.epoch_length(multiple)
    share, steps = Worst(), Worst()
    handed = np.zeros(plan.groups.group_count, np.int64)
    for epoch in range(first, first + epochs):
        walked.seek(0, epoch=epoch)
        lists = list(walked)
        steps.offer(abs(len(lists) - len(walked)), f"epoch {epoch}")
        entire, own = plan.epoch(epoch, multiple), range(rank, length, world_size)
        for step, samples in enumerate(lists[: len(walked)]):
            asked_alone = [next(entire.lists(number, length)) for number in own[step * walked.fetch :][: walked.fetch]]
            share.offer(float(samples != [*chain.from_iterable(asked_alone)]), f"epoch {epoch}, step {step}")
        handed += np.bincount(plan.groups.group_of(np.concatenate([entire[n] for n in own])), minlength=handed.size)
    planned = plan.prior_between(first * plan.epoch_length(), (first + epochs) * plan.epoch_length())
    apart = np.abs(handed / handed.sum() - planned)
    worst = int(apart.argmax())
    return Audit(
        first * length,
        epochs * length,
        (
            Finding("G8 share", 0, share.value, share.where),
            Finding("G8 steps", 0, steps.value, steps.where),
            Finding("composition", math.inf, float(apart[worst]), f"group {plan.groups.names[worst]!r}"),
        ),
    )
