"""Who takes the slot of a group that has run dry, what it is owed for that, and how it is paid back."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .buffer import Group

__all__ = ["Accounts"]

_LOOK = 4  # owed groups looked at for each slot that could pay one: bounds the work a slot costs, not the debt


class Accounts:
    """Balances over groups: always zero in sum, none below `-max_debt`.

    A slot goes from the group it was planned for to the one that has had least beyond its plan, in batches of its own; a
    group that has had more than its plan gives its next slots to those that are owed, as soon as these have samples.
    """

    def __init__(self, groups: list[Group], *, max_debt: int) -> None:
        self.fresh: list[Group] = []  # groups with samples that are not in the heap yet
        self.owed: deque[Group] = deque()  # in turn; may hold some that were paid back meanwhile
        self.forgiven = 0
        self._groups = groups
        self._max_debt = max_debt
        self._heap: list[tuple[float, int]] = []  # (balance in batches, number), one entry a listed group
        self._pace: Sequence[float] = []

    def new_shares(self, shares: NDArray[np.float64], batch_size: int) -> None:
        """Measure balances against these shares from now on."""
        self._pace = (1.0 / np.maximum(shares * batch_size, 1e-12)).tolist()

    def _priority(self, group: Group) -> float:
        pace = self._pace[group.number] if group.number < len(self._pace) else 0.0
        return group.balance * pace

    def stand_in(self) -> Group | None:
        """The group with samples that has had least beyond its plan; None if no group has samples."""
        heap = self._heap
        for group in self.fresh:
            heapq.heappush(heap, (self._priority(group), group.number))
        self.fresh.clear()
        while heap:
            priority, number = heap[0]
            group = self._groups[number]
            if not group.queue:
                heapq.heappop(heap)
                group.listed = False
            elif priority < self._priority(group):
                heapq.heapreplace(heap, (self._priority(group), number))
            else:
                return group
        return None

    def charge(self, short: Group, stand_in: Group) -> None:
        """A slot of `short` went to `stand_in`."""
        if short.balance <= -self._max_debt:
            self.forgiven += 1
            return
        short.balance -= 1
        stand_in.balance += 1
        if not short.in_owed:
            short.in_owed = True
            self.owed.append(short)

    def payee(self, payer: Group, batch: int) -> Group:
        """The group that has the slot planned for `payer`, who has had too many: one that is owed, or `payer` itself.

        At most as many slots as a group's plan has in a batch (one at least) are paid back to it in a batch.
        """
        owed = self.owed
        for _ in range(min(_LOOK, len(owed))):
            group = owed.popleft()
            if group.balance >= 0:  # paid back meanwhile
                group.in_owed = False
                continue
            owed.append(group)
            if not group.queue:
                continue
            paid = group.paid[1] if group.paid[0] == batch else 0
            if paid and (paid + 1) * self._pace[group.number] > 1:
                continue
            group.paid = (batch, paid + 1)
            payer.balance -= 1
            group.balance += 1
            return group
        return payer

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered beside the groups."""
        return {
            "fresh": [group.number for group in self.fresh],
            "owed": [group.number for group in self.owed],
            "forgiven": self.forgiven,
            "heap": list(self._heap),
            "pace": self._pace,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`, over groups that were restored before."""
        self.fresh[:] = [self._groups[number] for number in state["fresh"]]
        self.owed = deque(self._groups[number] for number in state["owed"])
        self.forgiven = state["forgiven"]
        self._heap = list(state["heap"])
        self._pace = state["pace"]
