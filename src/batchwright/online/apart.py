"""Keeps samples that lie in a shard of another group until a slot of their own is due, and those that make no batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.array_types import Integers
from .rules import Rules

__all__ = ["Apart", "Waiting"]


class Waiting(NamedTuple):
    """A sample that waits.

    Attributes:
        sample: the sample.
        group: the number of its group.
        shard_group: the number of the group whose shards it was in.
    """

    sample: Any
    group: int
    shard_group: int


class Apart:
    """Samples that wait: at most `buffer`, and at most `buffer_bytes`; then the oldest of the group with most is dropped.

    Attributes:
        dropped: how many were.
        into: for each group, the samples of it that were in shards of others, without those that wait or are left.
        out: for each group, the samples of others that were in its shards, likewise.
        left: the samples of the last batch, which was not full. Nothing is read after them, so they count in no limit.
    """

    def __init__(self, rules: Rules, groups: int) -> None:
        self.dropped = 0
        self.into: Integers = np.zeros(groups, np.int64)
        self.out: Integers = np.zeros(groups, np.int64)
        self.left: list[Waiting] = []
        self._rules = rules
        self._waiting: list[deque[Waiting]] = [deque() for _ in range(groups)]
        self._counts: Integers = np.zeros(groups, np.int64)  # of those that wait, for each group
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.left) + int(self._counts.sum())

    def held_groups(self) -> NDArray[np.bool_]:
        """Which groups have samples that wait."""
        return self._counts > 0

    def by_shard_group(self) -> list[list[Waiting]]:
        """For each group, the samples from its shards that wait, then those in `left`."""
        found: list[list[Waiting]] = [[] for _ in self._waiting]
        for kept in chain(*self._waiting, self.left):
            found[kept.shard_group].append(kept)
        return found

    def leave(self, kept: Waiting) -> None:
        """Keep a sample of a batch that was not full."""
        if kept.group != kept.shard_group:
            self.into[kept.group] -= 1
            self.out[kept.shard_group] -= 1
        self.left.append(kept)

    def seen(self, read: Sequence[int]) -> Integers:
        """The samples of each group that were read, of the numbers read from the shards of each."""
        found = np.array(read) + self.into - self.out
        for kept in chain(self.left, *self._waiting):
            found[kept.group] += 1
            found[kept.shard_group] -= 1
        return found

    def put(self, kept: Waiting) -> str | None:
        """Keep a sample.

        Returns:
            Why it cannot be kept; None if it is.
        """
        weigher = self._rules.weigher
        if weigher is not None:
            if (why := weigher.refusal(kept.sample)) is not None:
                return why
            self._bytes += weigher.size(kept.sample)
        self._waiting[kept.group].append(kept)
        self._counts[kept.group] += 1
        while len(self) > self._rules.buffer or (weigher is not None and self._bytes > weigher.limit):
            self.take(int(self._counts.argmax()))
            self.dropped += 1
        return None

    def take(self, group: int) -> Waiting | None:
        """The oldest sample of a group; None if none waits."""
        if not self._waiting[group]:
            return None
        kept = self._waiting[group].popleft()
        self._counts[group] -= 1
        self._bytes -= 0 if self._rules.weigher is None else self._rules.weigher.size(kept.sample)
        self.pass_over(kept)
        return kept

    def pass_over(self, kept: Waiting) -> None:
        """Count a sample that does not wait."""
        self.into[kept.group] += 1
        self.out[kept.shard_group] += 1
