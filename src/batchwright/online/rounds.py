"""The plan of a balanced stream: the slots of the batches to come, dealt a round at a time, and counted for each group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kernels.array_types import Integers
from .quotas import Quotas

__all__ = ["MOST_SLOTS", "TURNS", "Rounds"]

MOST_SLOTS = 4096  # dealt at once: the fixed cost of numpy calls is then small for each slot
TURNS = 4  # slots in a round for each group at least: the cost of planning grows with groups


class Rounds:
    """Gives the group of every slot, batch by batch. Groups that are found later get slots in the rounds after that.

    Attributes:
        shares: of the groups known when they were made, float64 (groups,).
    """

    def __init__(self, *, batch_size: int, key: int) -> None:
        self.shares = np.zeros(0)
        self._quotas = Quotas(batch_size=batch_size, key=key)
        self._table: Integers = np.zeros(
            (0, batch_size), np.int64
        )  # the group of every slot of the batches of the round
        self._dealt = 0  # of these batches, how many were composed
        self._planned: Integers = np.zeros(0, np.int64)  # slots of the rounds dealt so far, for each group

    @property
    def ended(self) -> bool:
        """Whether all batches of the round were composed."""
        return self._dealt == len(self._table)

    def next(self) -> Integers:
        """The group of every slot of the next batch, int64 (batch_size,)."""
        self._dealt += 1
        wanted: Integers = self._table[self._dealt - 1]
        return wanted

    def undo(self) -> None:
        """Take back the batch that `next` gave last: it was not composed."""
        self._dealt -= 1

    def planned(self, groups: int) -> Integers:
        """The slots of each group in the batches composed so far, int64 (groups,)."""
        return self._in_rounds(groups) - np.bincount(self._table[self._dealt :].ravel(), minlength=groups)

    def _in_rounds(self, groups: int) -> Integers:
        return np.concatenate([self._planned, np.zeros(groups - len(self._planned), np.int64)])

    def stop(self, groups: int) -> None:
        """End the round here: what was planned beyond is taken back."""
        if not self.ended:
            self._quotas.take_back(self._table[self._dealt :], self.shares)
            self._planned, self._table = self.planned(groups), self._table[: self._dealt]

    def begin(self, groups: int, batches: int) -> None:
        """Deal a round of so many batches by `shares`."""
        self._table, self._dealt = self._quotas.deal(self.shares, batches=batches), 0
        self._planned = self._in_rounds(groups) + np.bincount(self._table.ravel(), minlength=groups)

    def take_over(self, others: Sequence[tuple[Rounds, Integers]], groups: int) -> None:
        """Go on with the counts of other readers; group i of one is here group `found[i]`, of `groups` in all."""
        self._planned = np.zeros(groups, np.int64)
        for other, found in others:
            other.stop(len(found))
            deficit = np.zeros(groups)
            deficit[found[: len(other._quotas.deficit)]] = other._quotas.deficit
            self._planned[found] += other.planned(len(found))
            self._quotas.take_over(deficit, other._quotas.rounds)

    def state_dict(self) -> dict[str, Any]:
        """What is still to come of the round, and the counts, as JSON types."""
        return {
            "quotas": self._quotas.state_dict(),
            "table": self._table[self._dealt :].tolist(),
            "shares": self.shares.tolist(),
            "planned": self._planned.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self._quotas.load_state_dict(state["quotas"])
        self._table = np.array(state["table"], np.int64).reshape(-1, self._quotas.batch_size)
        self._dealt = 0
        self.shares = np.array(state["shares"])
        self._planned = np.array(state["planned"], np.int64)
