"""Measures plans that read few shards at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .drawn import Drawn
from .guarantee import Guarantee

if TYPE_CHECKING:
    from ..orders import ShardShuffle

__all__ = ["Once", "Open", "Repeats"]


class Open(Guarantee[Drawn]):
    """G8: how many more shards than `open` a rank reads at a time.

    A shard counts from the first of its samples in a pass to the last.
    """

    def __init__(self, order: ShardShuffle) -> None:
        super().__init__("G8 open")
        self._order = order
        self._opened: dict[tuple[int, int, int], list[int]] = {}  # rank, pass, shard: the first and the last turn

    def see(self, seen: Drawn) -> None:
        """See `Guarantee`."""
        turn, rank = divmod(seen.number, self._order.shards.ranks)
        shards = self._order.shards.of(seen.samples)
        for passed, some in _by_pass(self._order, seen, shards):
            for shard in np.unique(some).tolist():
                self._opened.setdefault((rank, passed, shard), [turn, turn])[1] = turn

    def end(self) -> None:
        """See `Guarantee`."""
        changes: dict[tuple[int, int], int] = {}
        for (rank, _, _), (first, last) in self._opened.items():
            changes[rank, first] = changes.get((rank, first), 0) + 1
            changes[rank, last + 1] = changes.get((rank, last + 1), 0) - 1
        count, of = 0, -1
        for (rank, turn), change in sorted(changes.items()):
            count = change if rank != of else count + change
            of = rank
            self.offer(count - self._order.shards.open, f"micro-batch {turn * self._order.shards.ranks + rank}")


class Once(Guarantee[Drawn]):
    """G4: how many samples of a pass came twice in it, or, where the audit saw all of it, not at all."""

    def __init__(self, order: ShardShuffle) -> None:
        super().__init__("G4 coverage")
        self._order = order
        self._counts: dict[int, np.ndarray] = {}  # by pass, how often each sample came

    def see(self, seen: Drawn) -> None:
        """See `Guarantee`."""
        for passed, samples in _by_pass(self._order, seen, seen.samples):
            if passed not in self._counts:
                self._counts[passed] = np.zeros(self._order.groups.sample_count, np.uint8)
                for finished in [number for number in self._counts if number < passed - 1]:
                    self._look(finished)
            np.add.at(self._counts[passed], samples, 1)

    def end(self) -> None:
        """See `Guarantee`."""
        for passed in list(self._counts):
            self._look(passed)

    def _look(self, passed: int) -> None:
        counts = self._counts.pop(passed)
        repeated, missing = int((counts > 1).sum()), int((counts == 0).sum())
        whole = int(counts.sum()) == counts.size
        self.offer(repeated + missing if whole else repeated, f"pass {passed}")


class Repeats(Guarantee[Drawn]):
    """G5: repeats within a micro-batch."""

    def __init__(self) -> None:
        super().__init__("G5 distinct")

    def see(self, seen: Drawn) -> None:
        """See `Guarantee`."""
        self.offer(seen.samples.size - np.unique(seen.samples).size, f"micro-batch {seen.number}")


def _by_pass(order: ShardShuffle, seen: Drawn, values: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """The values of the samples of a micro-batch, by the pass that the samples are of."""
    turn, rank = divmod(seen.number, order.shards.ranks)
    first = turn * order.batch_size
    passed = np.array([order.pass_of(rank, first + place) for place in range(values.size)])
    return [(number, values[passed == number]) for number in np.unique(passed).tolist()]
