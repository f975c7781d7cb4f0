"""Measures guarantees G1 to G6 of plans with a fixed batch size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import check_integer
from ..orders import Hierarchical, InTurn, Mixed, ShardDealt, ShardShuffle, ShardWeights, SharedOrder
from .coverage import Coverage
from .drawn import Drawn, LabelRateDeviation, Sequence, Shared, Size, drawn_batches, shared_batches
from .guarantee import Guarantee, check_countable, measured
from .levels import audit_levels
from .report import Audit
from .shards import SourceShards, shard_guarantees
from .shares import WHOLE, WINDOW_BOUND, WINDOW_BOUND_ACROSS, Consecutive, Distinct, Drift, Quota, Rare

if TYPE_CHECKING:
    from ..kinds import FixedKind

__all__ = ["audit"]


def audit(plan: FixedKind, *, batches: int = 1000, first: int = 0) -> Audit:
    """Measure guarantees G1 to G6 over `batches` micro-batches from `first` on, from what `plan[t]` yields.

    - G1 size: how far the size of a micro-batch is from `batch_size`, or the numbers in it that are of no sample.
    - G2 quota: how far the count of a group is outside floor..ceil of its quota, in tickets of `per_class` samples.
    - G3 drift: the largest difference between the tickets of a group since micro-batch 0 and the sum of its quotas. The
      bound is 6 over the first million micro-batches and 1 more for every factor of ten beyond. It is 10 instead of 6
      if a share becomes 0 and returns: the deficit of such a group is paid back only when it has a share again.
    - G4 coverage: how far the count of a sample is outside floor..ceil of an equal part of its group's draws. One more
      is allowed if the audit begins within a pass. For a source with its own order: how far it is from that order, and,
      if the audit begins at micro-batch 0, the same for its groups and for the sources in it.
    - G4 rare: how far the tickets of a group since micro-batch 0 are outside floor..ceil of the sum of its quotas. Only
      for groups of equal shares that are shuffled in complete passes (see `kernels.light`), if all others have integer
      quotas.
    - G5 distinct: repeats within a micro-batch, without those of groups that are smaller than their quota. A source
      with its own order is left out if it has groups smaller than what a micro-batch may take of them.
    - G6 window: the largest deviation from the quotas over consecutive micro-batches within a round.
    - G6 across: the same for micro-batches of two consecutive rounds.

    Plans of `multilabel` have a line "label rate" too, which is measured and not promised: how far the rate of a label is
    from the expected one over these micro-batches.

    Plans that go through their order as it is (`sequential`, `ordered`) have G1 size, and as G4 order the number of samples
    of a micro-batch that are not those of its places. Plans with `local=` have G1, and as G8 open the shards
    above `open` that a rank reads at a time. A shuffle of shards has G5 too, and as G4 coverage the samples of a pass that
    come twice or not at all. Groups in shards have G2, G4 and G5 as measured with the samples in the open shards, and G2
    owed, what a group lacks at a time because the open shards did not have it; see `audit.shards`. A mixture with such
    sources has G8 open too: how many more shards of a source a micro-batch reads than may be open. Independent draws
    (`draw="random"`) have only G1. Hierarchical plans have other guarantees; see `audit.levels`.

    Args:
        plan: a plan with a fixed batch size.
        batches: the number of micro-batches, 1 or more.
        first: the first micro-batch.

    Example:
        >>> import batchwright as bw
        >>> bw.balanced(["cat"] * 90 + ["dog"] * 10, batch_size=8).audit(batches=200).kept
        True
    """
    if isinstance(plan.order, Hierarchical):
        return audit_levels(plan, batches=batches, first=first)
    batches, first = check_integer(batches, "batches", least=1), check_integer(first, "first", least=0)
    check_countable(plan.groups.sample_count)
    if isinstance(plan.order, InTurn):
        guarantees_in_turn = [Size(plan.batch_size), Sequence(plan.order)]
        return measured(first, batches, guarantees_in_turn, drawn_batches(plan, first, batches))
    if isinstance(plan.order, ShardShuffle | ShardDealt | ShardWeights):
        local = [Size(plan.batch_size), *shard_guarantees(plan.order)]
        return measured(first, batches, local, drawn_batches(plan, first, batches))
    if plan.order.dealt is None:
        return measured(first, batches, [Size(plan.batch_size)], drawn_batches(plan, first, batches))
    names, rare = plan.groups.called, _rare(plan)
    excused = list(plan.order.undersized_sources()) if isinstance(plan.order, Mixed) else []
    guarantees: list[Guarantee[Shared]] = [
        Size(plan.batch_size),
        Quota(names, plan.order.per_ticket),
        Drift(names, first + batches),
        Coverage(plan, first),
        *([Rare(names, rare)] if rare.size else []),
        *([] if plan.label_rates is None else [LabelRateDeviation(plan.label_rates)]),
        Distinct(plan.groups, excused),
        Consecutive("G6 window", WINDOW_BOUND, names, rounds=1),
        Consecutive("G6 across", WINDOW_BOUND_ACROSS, names, rounds=2),
        *_shards_of_sources(plan.order),
    ]
    return measured(first, batches, guarantees, shared_batches(plan, first, batches))


def _shards_of_sources(order: SharedOrder) -> list[Guarantee[Drawn]]:
    """What is measured of sources that are read few shards at a time; nothing if there are none."""
    found = SourceShards(order) if isinstance(order, Mixed) else None
    return [found] if found is not None and found.sources else []


def _rare(plan: FixedKind) -> np.ndarray:
    """The groups that are shuffled in complete passes, if all of them together have an integer quota."""
    dealt = plan.order.dealt
    assert dealt is not None
    even = dealt.even_groups() if plan.order.shares.limits is None else np.empty(0, np.int64)
    tickets = plan.shares()[even].sum() * plan.order.tickets
    return even if abs(tickets - round(tickets)) < WHOLE else even[:0]
