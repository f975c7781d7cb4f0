"""The bounded buffer: a queue per group that forgets its oldest, and what to repeat from when a group runs dry."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Infeasible
from .chance import Chances

__all__ = ["Buffer", "Group"]

_ROOM = 1.25  # places are kept for a quarter more groups than are known, so that most new ones move no other


class Group:
    """The samples of one group that wait for their turn, and the group's accounts."""

    __slots__ = (
        "balance",
        "bytes",
        "in_owed",
        "label",
        "largest",
        "listed",
        "missing_since",
        "number",
        "paid",
        "pool",
        "pool_size",
        "queue",
        "seen",
    )

    def __init__(self, number: int, label: Hashable) -> None:
        self.number = number
        self.label = label
        self.queue: deque[Any] = deque(maxlen=0)
        self.seen = 0
        self.balance = 0  # slots had beyond its plan; below zero: slots it is owed
        self.bytes = 0  # in the queue, where bytes are limited
        self.largest = 0  # bytes of the largest sample seen, where bytes are limited
        self.paid = (0, 0)  # (batch number, slots paid back in that batch)
        self.in_owed = False  # is it among those that wait for slots they are owed
        self.listed = False  # is it among those that can stand in for another
        self.missing_since = -1  # what `seen` was when waiting for it was given up
        self.pool: list[Any] = []  # uniform over all samples seen
        self.pool_size = 0

    def resize(self, places: int) -> None:
        """Give the queue another number of places; the oldest samples go first."""
        if self.queue.maxlen != places:
            self.queue = deque(self.queue, places)

    def remember(self, item: Any, chances: Chances) -> None:
        """Keep a uniform sample of all that was seen (algorithm R; Vitter 1985). Call after counting `item` as seen."""
        if len(self.pool) < self.pool_size:
            self.pool.append(item)
            return
        place = chances.below(self.seen)
        if place < self.pool_size:
            self.pool[place] = item

    def shrink_pool(self, size: int, chances: Chances) -> None:
        """Forget all but `size` remembered samples, uniformly; a pool never grows again, or it would not be uniform."""
        self.pool_size = size
        while len(self.pool) > size:
            place = chances.below(len(self.pool))
            self.pool[place] = self.pool[-1]
            self.pool.pop()


class Buffer:
    """At most `places` samples in all, divided among the groups by their shares; every group that has a share has a place.

    With `remembers` half of the places hold what can be repeated, in `pool_bytes` at most where that is given.
    """

    def __init__(self, *, places: int, remembers: bool, pool_bytes: int | None, chances: Chances) -> None:
        self.places = places
        self.pool_bytes = pool_bytes
        self.groups: list[Group] = []
        self.table: dict[Hashable, Group] = {}
        self.remembers = remembers
        self._chances = chances
        self._divided_for = 0
        self._shares = np.zeros(0)

    def admit(self, label: Hashable) -> Group:
        """A place for a new group."""
        group = self.table[label] = Group(len(self.groups), label)
        self.groups.append(group)
        if len(self.groups) > self._divided_for:
            self.divide(None)
        else:
            self._give(group, 1 + (self.for_queues - self._divided_for) // self._divided_for)
        return group

    @property
    def for_queues(self) -> int:
        """How many of the places are for samples not given yet."""
        return self.places // 2 if self.remembers else self.places

    def divide(self, shares: NDArray[np.float64] | None) -> None:
        """Divide the places anew: one for each group with a share, the others in proportion.

        None means the shares of last time, and an even part for each group that has come since.

        Raises:
            Infeasible: there are more groups than places.
        """
        count = len(self.groups)
        self._divided_for = int(count * _ROOM) + 1
        spare = self.for_queues - self._divided_for
        if spare < 0:
            raise Infeasible(
                f"{count:,} groups were seen and a buffer of {self.places:,} samples has room for "
                f"{int((self.for_queues - 1) / _ROOM):,}",
                f"pass buffer={8 * count} or more, or a key with fewer values",
            )
        if shares is None:
            known = len(self._shares)
            shares = np.concatenate([self._shares * (known / count), np.full(count - known, 1.0 / count)])
        else:
            self._shares = shares
        places = np.where(shares > 0, 1 + np.floor(spare * shares * (count / self._divided_for)), 0)
        for group, own in zip(self.groups, places.astype(np.int64).tolist(), strict=True):
            self._give(group, own)

    def _give(self, group: Group, places: int) -> None:
        group.resize(places)
        if self.remembers:
            first = group.seen == 0
            group.shrink_pool(self._fitting(group, places if first else min(places, group.pool_size)), self._chances)

    def _fitting(self, group: Group, remembered: int) -> int:
        """As many of so many remembered samples as the group's part of `pool_bytes` holds, were all as large as its largest.

        How many then depends on what was seen, not on what is kept, or small samples would be favoured.
        """
        if self.pool_bytes is None or group.largest == 0:
            return remembered
        part = self.pool_bytes * (group.queue.maxlen or 0) // self.for_queues
        return min(remembered, part // group.largest)

    def weigh(self, group: Group, size: int) -> None:
        """A sample of so many bytes came; fewer can be remembered if none was as large."""
        if size > group.largest:
            group.largest = size
            group.shrink_pool(self._fitting(group, group.pool_size), self._chances)

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered beside the groups."""
        return {"divided_for": self._divided_for, "shares": self._shares.tolist(), "drawn": self._chances.drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`, over groups that were restored before."""
        self.table = {group.label: group for group in self.groups}
        self._divided_for = state["divided_for"]
        self._shares = np.array(state["shares"])
        self._chances.seek(state["drawn"])
