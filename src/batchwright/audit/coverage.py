"""Measures coverage of a plan with exact shares: all samples of a group come equally often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..orders import Independent, Order, ShardDealt, ShardShuffle, ShardWeights, SharedOrder, is_shared
from .drawn import Shared
from .guarantee import Guarantee

if TYPE_CHECKING:
    from ..kinds import FixedKind

__all__ = ["Coverage"]

_EVERY = 256  # micro-batches between two checks: checking all samples takes longer than a micro-batch


class Coverage(Guarantee[Shared]):
    """G4: after k draws of a group of n samples, each has come floor or ceil of k / n times.

    For a source with its own order: its samples came in that order. If the audit begins at micro-batch 0, the groups of
    such a source, and of sources in it, are measured in the same way.
    """

    def __init__(self, plan: FixedKind, first: int) -> None:
        assert plan.order.dealt is not None
        self._order, self._first = plan.order, first
        self._before = plan.order.dealt.drawn(first)
        super().__init__("G4 coverage", int((self._before % np.maximum(plan.groups.sizes, 1)).any()))
        self._seen = np.zeros(plan.groups.sample_count, np.int64)
        self._drawn = np.zeros(plan.groups.group_count, np.int64)
        self._last = first

    def see(self, seen: Shared) -> None:
        """See `Guarantee`."""
        np.add.at(self._seen, seen.samples, 1)
        self._drawn += seen.counts
        self._last = seen.number
        if (seen.number + 1 - self._first) % _EVERY == 0:
            self._look()

    def end(self) -> None:
        """See `Guarantee`."""
        self._look()
        groups = self._order.groups
        for number, child in self._order.children.items():
            start, stop = groups.starts[number], groups.starts[number + 1]
            own = child.take(int(self._before[number]), int(self._before[number] + self._drawn[number]))
            strayed = np.abs(np.bincount(own, minlength=stop - start) - self._seen[start:stop])
            name = groups.names[number]
            self.offer(strayed.max(), f"the order of source {name!r}")
            if not self._first:  # only from the start of the plan are passes complete
                for group, outside in _nested(child, own):
                    self.offer(outside, f"source {name!r}, group {group!r}")

    def _look(self) -> None:
        group, outside = _uneven(self._order, self._seen, self._drawn)
        self.offer(outside, f"by micro-batch {self._last}, group {group!r}")


def _nested(order: Order, drawn: np.ndarray) -> Iterator[tuple[object, float]]:
    """`_uneven` for a source with its own order that drew these samples, and for the sources in it."""
    # Of a source that reads few shards at a time, samples come equally often while their shards are open.
    if not is_shared(order) or isinstance(order, Independent | ShardDealt | ShardShuffle | ShardWeights):
        return
    by_group = np.bincount(order.groups.group_of(drawn), minlength=order.groups.group_count)
    yield _uneven(order, np.bincount(drawn, minlength=order.groups.sample_count), by_group)
    for number, child in order.children.items():
        begin, end = order.groups.starts[number], order.groups.starts[number + 1]
        yield from _nested(child, drawn[(drawn >= begin) & (drawn < end)] - begin)


def _uneven(order: SharedOrder, seen: np.ndarray, drawn: np.ndarray) -> tuple[object, float]:
    """The group whose samples came least evenly, and how far the worst of them is outside floor..ceil."""
    groups = order.groups
    if not groups.starts.size:
        return 0, 0.0  # every sample is a group of its own
    by_group = seen[: groups.grouped_count] if groups.index is None else seen[groups.index]
    filled = np.setdiff1d(np.flatnonzero(groups.sizes), list(order.children))
    if not filled.size:
        return 0, 0.0
    bounds = np.stack([groups.starts[:-1][filled], groups.starts[1:][filled]], axis=1).reshape(-1)
    padded = np.append(by_group, 0)  # `reduceat` accepts no bound after the last entry
    least = np.minimum.reduceat(padded, bounds)[::2]
    most = np.maximum.reduceat(padded, bounds)[::2]
    size = groups.sizes[filled]
    outside = np.maximum(drawn[filled] // size - least, most + -drawn[filled] // size)
    worst = int(outside.argmax())
    return groups.called[int(filled[worst])], float(max(outside[worst], 0))
