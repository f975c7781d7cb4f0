"""Measures the guarantees of a hierarchical plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import check_integer
from ..orders import Hierarchical
from .drawn import Drawn, Size, drawn_batches
from .guarantee import Guarantee, measured
from .report import Audit
from .shares import Distinct

if TYPE_CHECKING:
    from ..groups import Groups
    from ..kinds import FixedKind

__all__ = ["audit_levels"]


def audit_levels(plan: FixedKind, *, batches: int = 1000, first: int = 0) -> Audit:
    """Measure the guarantees of a hierarchical plan over micro-batches first..first+batches-1.

    - G1 size: how far the size of a micro-batch is from `batch_size`, or the numbers in it that are of no sample.
    - G2 levels: how wrong the number of nodes of a level in a micro-batch is, or the number of samples of a node.
    - G3 presence: how many more times one branch of a node came than another, minus 1. Outermost groups with other
      shares than "uniform" are left out. One more is allowed if the audit begins within a pass.
    - G4 coverage: the same for the samples of an innermost group.
    - G5 distinct: repeats within a micro-batch, without those of groups that are too small.
    """
    order = plan.order
    assert isinstance(order, Hierarchical)
    batches, first = check_integer(batches, "batches", least=1), check_integer(first, "first", least=0)
    guarantees = [
        Size(plan.batch_size),
        Exact(order, plan.batch_size),
        Presence(order, int(first > 0)),
        LeafCoverage(plan.groups, int(first > 0)),
        Distinct(plan.groups, []),
    ]
    return measured(first, batches, guarantees, drawn_batches(plan, first, batches))


class Exact(Guarantee[Drawn]):
    """G2: a micro-batch has as many nodes of every level as `per` says, and each has the same number of samples."""

    def __init__(self, order: Hierarchical, batch_size: int) -> None:
        super().__init__("G2 levels")
        self._levels = order.levels
        self._nodes = np.cumprod(order.per[:-1]).tolist()
        self._samples = [batch_size // nodes for nodes in self._nodes]

    def see(self, seen: Drawn) -> None:
        """See `Guarantee`."""
        for level, nodes in enumerate(self._levels.nodes_of(seen.samples)):
            present, counts = np.unique(nodes, return_counts=True)
            where = f"micro-batch {seen.number}, level {level + 1}"
            self.offer(abs(present.size - self._nodes[level]), where)
            self.offer(np.abs(counts - self._samples[level]).max(initial=0), where)


class Presence(Guarantee[Drawn]):
    """G3: the branches of a node come equally often, up to one."""

    def __init__(self, order: Hierarchical, bound: int) -> None:
        super().__init__("G3 presence", bound)
        self._levels, self._in_turn_from = order.levels, 0 if order.outermost is None else 1
        self._came = [np.zeros(len(names), np.int64) for names in order.levels.names]

    def see(self, seen: Drawn) -> None:
        """See `Guarantee`."""
        nodes = self._levels.nodes_of(seen.samples)
        for level in range(self._in_turn_from, len(nodes)):
            # Unique: a node that a micro-batch takes many samples of was visited once.
            self._came[level][np.unique(nodes[level])] += 1
            beyond = _unevenness(self._came[level], self._levels.branches(level))
            self.offer(beyond, f"by micro-batch {seen.number}, level {level + 1}")


class LeafCoverage(Guarantee[Drawn]):
    """G4: the samples of an innermost group come equally often, up to one."""

    def __init__(self, groups: Groups, bound: int) -> None:
        super().__init__("G4 coverage", bound)
        self._groups, self._last = groups, 0
        self._seen = np.zeros(groups.sample_count, np.int64)

    def see(self, seen: Drawn) -> None:
        """See `Guarantee`."""
        # Not `self._seen[samples] += 1`, which counts a sample that comes twice only once.
        np.add.at(self._seen, seen.samples, 1)
        self._last = seen.number

    def end(self) -> None:
        """See `Guarantee`."""
        by_group = self._seen if self._groups.index is None else self._seen[self._groups.index]
        self.offer(_unevenness(by_group, self._groups.sizes), f"by micro-batch {self._last}")


def _unevenness(counts: np.ndarray, branches: np.ndarray) -> float:
    """The largest difference between two branches of one node, minus 1."""
    firsts = np.cumsum(branches) - branches
    spread = np.maximum.reduceat(counts, firsts) - np.minimum.reduceat(counts, firsts)
    return float(max(0, spread.max() - 1))
