"""Schedules tasks so that each is within one turn of its share after every turn; any turn is found directly.

A task of rate r is within one turn of `r * turns` after every turn exactly if its j-th turn lies in its j-th interval,
turns `floor((j - 1) / r) + 1 .. ceil(j / r)` (Steiner and Yeomans 1993; "proportionate progress", Baruah, Cohen,
Plaxton and Varvel 1996). Earliest deadline first finds a turn for every interval whenever there is one (Glover 1967).
But its state at a turn is only known after running it from the beginning.

So time is cut into blocks, none shorter than the longest distance 1 / r between two turns of a task. The counts at each
edge of a block are fixed by a rule that looks back only one such distance: start one distance earlier, give the tasks
with the earliest deadlines the turns that are ahead, and run earliest deadline first up to the edge. From these counts
one can go on, because a rule that misses no deadline led to them. They can be reached from the edge before, because
every task has a deadline in between, so it no longer matters where the run began. By Hall's theorem these two facts
suffice: the intervals, cut at both edges of a block, can all be kept, and earliest deadline first keeps them. A block
costs a few dozen nanoseconds a turn and is computed when asked for.

The slots do not have to be all turns. Slots of rate p suffice if every run of n turns has at least floor(p * n) of
them, because at most so many intervals lie within it. The turns of a Beatty sequence, floor(p * turns), are such slots,
and so are the turns that it leaves. This is how tasks that come very rarely get slots of their own, in blocks of their
own length.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..kernels.task_schedule import earliest_deadline
from ..recent import Recent
from .turn_blocks import Block, TurnBlocks

__all__ = ["EarliestDeadline"]

_SHORTEST_BLOCK = 1024  # slots: for a shorter block, calling the kernel takes longer than its work
_LONGEST_BLOCK = 1 << 61  # turns, so that the sum of two fits 64 bits
_ENDLESS = (1 << 63) - 1


class EarliestDeadline(TurnBlocks):
    """The turns of some tasks, by earliest deadline first within the slots they share.

    Args:
        weights: of these tasks, integers above 0.
        total: the sum of the weights of all tasks, at most 2^60.
        late: slot k is turn `ceil(k / p)`, where the rate p is the share of these tasks together; otherwise it is
            `floor((k - 1) / p) + 1`. A late schedule and an early one of all other tasks have every turn once.
    """

    def __init__(self, weights: Sequence[int], total: int, *, late: bool) -> None:
        self._total, self._rate, self._late = total, sum(weights), late
        self._longest = -(-total // min(weights))  # turns between two turns of the rarest task
        slots = max(1, self._longest * self._rate // total)
        longest_distances = max(1, min(_SHORTEST_BLOCK // slots, _LONGEST_BLOCK // self._longest))
        super().__init__(weights, self._longest * longest_distances)
        self._edges: Recent[int, list[int]] = Recent()  # turns of each task before a block

    def slots(self, turn: int) -> int:
        """See `TurnBlocks`."""
        return self._rate * turn // self._total if self._late else -(-self._rate * turn // self._total)

    def _made(self, number: int) -> Block:
        first, end = number * self._length, (number + 1) * self._length
        counts, counts_after = self._edge(number), self._edge(number + 1)
        tasks, before, _ = self._served(first, end, counts, counts_after)
        return Block(tasks, before, counts)

    def _edge(self, number: int) -> list[int]:
        """How many turns each task has had before a block; the module's docstring says why this can be found directly."""
        kept = self._edges.get(number)
        if kept is not None:
            return kept
        end = number * self._length
        first = end - self._longest
        counts = [weight * first // self._total for weight in self._weights]
        ahead = self.slots(first) - sum(counts)
        behind = (task for task, weight in enumerate(self._weights) if weight * first % self._total)
        for task in sorted(behind, key=lambda i: -(-(counts[i] + 1) * self._total // self._weights[i]))[:ahead]:
            counts[task] += 1
        _, _, had = self._served(first, end, counts)
        found = [one + more for one, more in zip(counts, had.tolist(), strict=True)]
        return self._edges.keep(number, found, 3)

    def _served(
        self, first: int, end: int, counts: Sequence[int], counts_after: Sequence[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Run earliest deadline first over turns first..end-1, from these counts on, up to `counts_after` if given.

        Returns:
            The task of each slot, how often it came before among these slots, and how often each task came in all.
        """
        # A task that has had j turns must get its next one in the interval that begins at j / rate and ends at (j + 1)
        # / rate. The kernel gets both as quotient and remainder, since the products exceed 64 bits.
        rows = [
            self._spaced(had * self._total, first, weight) for had, weight in zip(counts, self._weights, strict=True)
        ]
        slots = self.slots(first)
        moment = (slots + 1) * self._total - 1 if self._late else slots * self._total
        spacing = np.array([*rows, self._spaced(moment, first, self._rate)], np.int64)
        left = (
            [_ENDLESS] * len(rows)
            if counts_after is None
            else [b - a for a, b in zip(counts, counts_after, strict=True)]
        )
        tasks, before = np.empty((2, self.slots(end) - slots), np.int32)
        had = np.empty(len(rows), np.int64)
        earliest_deadline(
            spacing, _ENDLESS if counts_after is None else end - first, np.array(left), tasks, before, had
        )
        return tasks, before, had

    def _spaced(self, moment: int, first: int, weight: int) -> tuple[int, ...]:
        """The sequence (moment + k * total) / weight, counted from turn `first` on, as quotients and remainders."""
        return (*divmod(moment - first * weight, weight), *divmod(self._total, weight), weight)
