"""Guarantees G1 to G6, measured on the micro-batches of a fixed-size plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import Infeasible, check_integer
from ..orders import Hierarchical, InTurn, Mixed
from . import levels
from .coverage import Coverage
from .drawn import Sequence, Shared, Size, drawn, shared
from .guarantee import Guarantee, measured
from .report import Audit
from .shares import WHOLE, WINDOW_BOUND, WINDOW_BOUND_ACROSS, Distinct, Drift, Quota, Rare, Runs

if TYPE_CHECKING:
    from ..kinds import FixedKind

__all__ = ["audit"]

_MOST_SAMPLES = 1 << 28


def audit(plan: FixedKind, *, batches: int = 1000, first: int = 0) -> Audit:
    """Measure guarantees G1 to G6 over `batches` micro-batches from `first` on, from what `plan[t]` yields.

    - G1 size: how far a micro-batch's size is from batch_size, or the numbers in it that are samples of no group.
    - G2 quota: how far a group's count lies outside floor..ceil of its quota, in tickets of `per_class` samples.
    - G3 drift: the largest difference between what a group was given since micro-batch 0 and the sum of its quotas, in
      tickets. The bound is 6 over the first million micro-batches and 1 more for every factor of ten beyond. It is 10
      instead of 6 where a group's share goes to 0 and back: what such a group lacks waits until it has a share again.
    - G4 coverage: how far a sample's count lies outside floor..ceil of an even share of its group's draws; for an audit
      that begins inside a pass it may be one more. Of a source with an order of its own: how far from it, and, for an audit
      that begins at micro-batch 0, the same of its groups, to any depth.
    - G4 rare: how far the tickets of a group, counted from micro-batch 0, lie outside floor..ceil of what is expected: of
      groups of equal shares that are shuffled in whole passes (see `kernels.light`), where all others take whole quotas.
    - G5 distinct: repeats within a micro-batch beyond those that a group smaller than its quota must make; a source with
      an order of its own is left out where it has groups smaller than what a micro-batch may take of them.
    - G6 window: the largest deviation from quota of any run of consecutive micro-batches within a round, and of any that
      crosses into the next.

    Of an order that is gone through as it is (`sequential`, `ordered`): G1 size, and as G4 order how many samples of a
    micro-batch are not those of its places. Independent draws (`draw="random"`) promise G1 only, and only that is measured.
    Hierarchical plans promise more; see `audit.levels`.

    Args:
        plan: a plan of fixed-size micro-batches.
        batches: how many to measure; 1 or more.
        first: the first of them.

    Example:
        >>> import batchwright as bw
        >>> bw.balanced(["cat"] * 90 + ["dog"] * 10, batch_size=8).audit(batches=200).kept
        True
    """
    if isinstance(plan.order, Hierarchical):
        return levels.audit(plan, batches=batches, first=first)
    batches, first = check_integer(batches, "batches", least=1), check_integer(first, "first", least=0)
    if plan.groups.sample_count > _MOST_SAMPLES:
        raise Infeasible(
            f"an audit counts every sample, and there are {plan.groups.sample_count}, more than {_MOST_SAMPLES}",
            "audit the same plan of fewer samples",
        )
    if isinstance(plan.order, InTurn):
        guarantees_in_turn = [Size(plan.batch_size), Sequence(plan.order)]
        return measured(first, batches, guarantees_in_turn, drawn(plan, first, batches))
    if plan.order.dealt is None:
        return measured(first, batches, [Size(plan.batch_size)], drawn(plan, first, batches))
    names, rare = plan.groups.names, _rare(plan)
    excused = list(plan.order.undersized_sources()) if isinstance(plan.order, Mixed) else []
    guarantees: list[Guarantee[Shared]] = [
        Size(plan.batch_size),
        Quota(names, plan.order.per_ticket),
        Drift(names, first + batches),
        Coverage(plan, first),
        *([Rare(names, rare)] if rare.size else []),
        Distinct(plan.groups, excused),
        Runs("G6 window", WINDOW_BOUND, names, rounds=1),
        Runs("G6 across", WINDOW_BOUND_ACROSS, names, rounds=2),
    ]
    return measured(first, batches, guarantees, shared(plan, first, batches))


def _rare(plan: FixedKind) -> np.ndarray:
    """The groups that come in whole passes over all of them, if all together take whole tickets of every micro-batch."""
    dealt = plan.order.dealt
    assert dealt is not None
    even = dealt.even_groups() if plan.order.shares.limits is None else np.empty(0, np.int64)
    tickets = plan.shares()[even].sum() * plan.order.tickets
    return even if abs(tickets - round(tickets)) < WHOLE else even[:0]
