"""Measures the guarantees of plans with exact shares: quotas, drift, rare groups, distinct samples, consecutive batches."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Sequence

import numpy as np

from ..groups import Groups
from .drawn import Drawn, Shared
from .guarantee import Guarantee

__all__ = [
    "DRIFT_BOUND",
    "DRIFT_BOUND_SWITCHED",
    "WINDOW_BOUND",
    "WINDOW_BOUND_ACROSS",
    "Consecutive",
    "Distinct",
    "Drift",
    "Quota",
    "Rare",
]

# The bounds of `docs/design.md`, in tickets. The second one was measured, not proven: 8.75 in a million micro-batches
# of 100 groups, of which two had a share at a time.
DRIFT_BOUND = 6
DRIFT_BOUND_SWITCHED = 10
WINDOW_BOUND = 3
WINDOW_BOUND_ACROSS = 6
WHOLE = 1e-6  # shares are kept to 2^-32 of a ticket; a quota this near to an integer counts as one

Names = Sequence[Hashable]


def outside(wanted: np.ndarray, had: np.ndarray) -> np.ndarray:
    """How far `had` is outside floor..ceil of `wanted`; negative if it is within."""
    found: np.ndarray = np.maximum(np.floor(wanted + WHOLE) - had, had - np.ceil(wanted - WHOLE))
    return found


class Quota(Guarantee[Shared]):
    """G2: a micro-batch has floor or ceil of every group's quota, in complete tickets."""

    def __init__(self, names: Names, per_ticket: int) -> None:
        super().__init__("G2 quota")
        self._names, self._per_ticket = names, per_ticket

    def see(self, seen: Shared) -> None:
        """See `Guarantee`."""
        tickets, part = np.divmod(seen.counts, self._per_ticket)
        self.offer_groups(np.maximum(outside(seen.quota, tickets), 0) + part, seen.number, self._names)


class Drift(Guarantee[Shared]):
    """G3: the tickets of a group since micro-batch 0 are near the sum of its quotas.

    The bound is 10 instead of 6 if a share becomes 0: the deficit is paid back only when the group has a share again.
    """

    def __init__(self, names: Names, last: int) -> None:
        self._names, self._beyond = names, max(0.0, math.log10(last / 1e6))
        super().__init__("G3 drift", DRIFT_BOUND + self._beyond)

    def see(self, seen: Shared) -> None:
        """See `Guarantee`."""
        if ((seen.expected > 0) & (seen.quota == 0)).any():
            self.bound = DRIFT_BOUND_SWITCHED + self._beyond
        self.offer_groups(np.abs(seen.deviation), seen.number, self._names)


class Rare(Guarantee[Shared]):
    """G4 rare: groups that are shuffled in complete passes have floor or ceil of the sum of their quotas.

    Args:
        names: the labels of all groups.
        even: the numbers of the groups that are shuffled in complete passes.
    """

    def __init__(self, names: Names, even: np.ndarray) -> None:
        super().__init__("G4 rare")
        self._names, self._even = [names[group] for group in even.tolist()], even

    def see(self, seen: Shared) -> None:
        """See `Guarantee`."""
        self.offer_groups(outside(seen.expected[self._even], seen.had[self._even]), seen.number, self._names)


class Distinct(Guarantee[Drawn]):
    """G5: no sample comes twice in a micro-batch, except samples of groups that are too small.

    Args:
        groups: the groups of the plan.
        excused: the numbers of sources that have their own order, with groups that are too small.
    """

    def __init__(self, groups: Groups, excused: Sequence[int]) -> None:
        super().__init__("G5 distinct")
        self._groups, self._excused = groups, list(excused)

    def see(self, seen: Drawn) -> None:
        """See `Guarantee`."""
        ordered = np.sort(seen.samples)
        again = self._groups.group_of(ordered[1:][ordered[1:] == ordered[:-1]])
        counts = np.bincount(self._groups.group_of(ordered), minlength=self._groups.group_count)
        repeats = np.bincount(again, minlength=counts.size) - np.maximum(counts - self._groups.sizes, 0)
        repeats[self._excused] = 0
        self.offer_groups(repeats, seen.number, self._groups.names)


class Consecutive(Guarantee[Shared]):
    """G6: any number of consecutive micro-batches is near its quotas, within a round or across two.

    The deviation over consecutive micro-batches is the difference of two deviations since micro-batch 0. So the worst
    of a group is its largest deviation minus its smallest, and all ranges need not be tried.

    Args:
        name: the name of the finding.
        bound: see `Guarantee`.
        names: the labels of all groups.
        rounds: 1 for micro-batches within a round, 2 if they may begin in the round before.
    """

    def __init__(self, name: str, bound: float, names: Names, *, rounds: int) -> None:
        super().__init__(name, bound)
        self._names = names
        # For each round, the smallest and the largest deviation.
        self._ranges: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=rounds)
        self._round = -1, -1

    def see(self, seen: Shared) -> None:
        """See `Guarantee`."""
        if seen.round[0] != self._round[0]:  # the shares have changed: G6 does not hold across that
            self._ranges.clear()
        if seen.round != self._round:
            self._ranges.append((seen.before, seen.before))
        self._round = seen.round
        least, most = self._ranges[-1]
        self._ranges[-1] = np.minimum(least, seen.deviation), np.maximum(most, seen.deviation)
        if len(self._ranges) == self._ranges.maxlen:
            most = np.max([most for _, most in self._ranges], axis=0)
            least = np.min([least for least, _ in self._ranges], axis=0)
            self.offer_groups(most - least, seen.number, self._names)
