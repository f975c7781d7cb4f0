"""The guarantees of a hierarchical plan, measured on its micro-batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import whole
from ..orders import Hierarchical
from .report import Audit, Finding
from .worst import Worst

if TYPE_CHECKING:
    from ..plans import FixedPlan

__all__ = ["audit"]


def audit(plan: FixedPlan, *, batches: int = 1000, first: int = 0) -> Audit:
    """Measure what a hierarchical plan promises over micro-batches first..first+batches-1.

    - G1 size: how far a micro-batch's size is from batch_size.
    - G2 levels: how far from right the number of nodes of any level in a micro-batch, or of samples under any of them, is.
    - G3 presence: how much oftener one branch of a node came than another, beyond once (outermost groups that are dealt by
      shares are left out); for an audit that begins inside a pass it may be one more.
    - G4 coverage: as G3, for the samples of an innermost group.
    - G5 distinct: repeats within a micro-batch beyond those that a group smaller than its part of it must make.
    """
    order = plan.order
    assert isinstance(order, Hierarchical)
    batches, first = whole(batches, "batches", least=1), whole(first, "first", least=0)
    levels, per = order.levels, order.per
    size, exact, presence, coverage, distinct = (Worst() for _ in range(5))
    came = [np.zeros(len(names), np.int64) for names in levels.names]
    seen = np.zeros(plan.groups.sample_count, np.int64)
    for number in range(first, first + batches):
        samples = plan[number]
        where = f"micro-batch {number}"
        size.offer(abs(samples.size - plan.batch_size), where)
        for level, nodes in enumerate(levels.nodes_of(samples)):
            present, counts = np.unique(nodes, return_counts=True)
            wanted = int(np.prod(per[: level + 1]))
            exact.offer(abs(present.size - wanted), f"{where}, level {level + 1}")
            exact.offer(float(np.abs(counts - plan.batch_size // wanted).max()), f"{where}, level {level + 1}")
            came[level][present] += 1
            if level or order.outermost is None:
                presence.offer(_unevenness(came[level], levels.branches(level)), f"by {where}, level {level + 1}")
        drawn, counts = np.unique(samples, return_counts=True)
        smaller = plan.groups.sizes[plan.groups.group_of(drawn)] < order.per_ticket
        distinct.offer(float((counts[~smaller] - 1).max(initial=0)), where)
        np.add.at(seen, samples, 1)
    by_group = seen if plan.groups.index is None else seen[plan.groups.index]
    coverage.offer(_unevenness(by_group, plan.groups.sizes), f"by micro-batch {first + batches - 1}")
    mid_pass = int(first > 0)
    return Audit(
        first,
        batches,
        (
            Finding("G1 size", 0, size.value, size.where),
            Finding("G2 levels", 0, exact.value, exact.where),
            Finding("G3 presence", mid_pass, presence.value, presence.where),
            Finding("G4 coverage", mid_pass, coverage.value, coverage.where),
            Finding("G5 distinct", 0, distinct.value, distinct.where),
        ),
    )


def _unevenness(counts: np.ndarray, branches: np.ndarray) -> float:
    """The largest difference between two branches of one node, beyond 1."""
    firsts = np.cumsum(branches) - branches
    spread = np.maximum.reduceat(counts, firsts) - np.minimum.reduceat(counts, firsts)
    return float(max(0, spread.max() - 1))
