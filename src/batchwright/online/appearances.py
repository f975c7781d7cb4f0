"""How often the samples of each group were repeated, and how much was delivered before the first of them was read."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.array_types import Integers

__all__ = ["Appearances"]


class Appearances:
    """Counts for the groups of a stream, by their numbers; groups that are found later come behind."""

    def __init__(self) -> None:
        self.repeats: Integers = np.zeros(0, np.int64)
        self._before: Integers = np.zeros(0, np.int64)
        self._unseen: Integers = np.zeros(0, np.int64)

    @property
    def expecting(self) -> bool:
        """Whether named groups are left that have not come."""
        return len(self._unseen) > 0

    def start(self, named: int) -> None:
        """Expect the first samples of the `named` groups that have shares by name; others are found when they are read."""
        self.grow(named, 0)
        self._unseen = np.arange(named)

    def grow(self, groups: int, delivered: int) -> None:
        """Make room for new groups, which are found after so many samples were delivered."""
        new = groups - len(self.repeats)
        if new > 0:
            self.repeats = np.concatenate([self.repeats, np.zeros(new, np.int64)])
            self._before = np.concatenate([self._before, np.full(new, delivered)])

    def look(self, seen: Integers, delivered: int) -> None:
        """Note which of the named groups have come; `seen` are the samples of each group that were read."""
        came = seen[self._unseen] > 0
        self._before[self._unseen[came]] = delivered
        self._unseen = self._unseen[~came]

    def before(self, groups: int, delivered: int) -> Integers:
        """For each group, the samples that were delivered before its first was read, int64 (groups,)."""
        self.grow(groups, delivered)
        before = self._before.copy()
        before[self._unseen] = delivered
        return before

    def take_over(self, found: Integers, repeats: Integers, before: Integers) -> None:
        """Add the counts of another reader, whose group i is here group `found[i]`."""
        self.repeats[found] += repeats
        self._before[found] += before

    def state_dict(self) -> dict[str, Any]:
        """The counts, as JSON types."""
        return {
            "again": self.repeats.tolist(),
            "before": self._before.tolist(),
            "unseen": self._unseen.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.repeats, self._before, self._unseen = (
            np.array(state[name], np.int64) for name in ("again", "before", "unseen")
        )
