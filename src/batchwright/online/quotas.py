"""Decides the group of each slot: apportions the slots of a round of batches, deals them, and carries deficits over.

The dealing is that of plans (`kernels.deal`, and "The engine" in docs/design.md): the slots of a round form a row, group by
group, which is dealt like cards at a Fibonacci stride. What differs is how many slots a group gets in a round: plans know
their shares and apportion exactly, by the number of the round alone; a stream estimates shares while it is read, so it
carries over what each group lacks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.array_types import Floats, Integers
from ..kernels.hashing import PURPOSE, child_key
from .keyed_random import fractions, orders

__all__ = ["Quotas", "round_length"]

# Rounds have a Fibonacci number of batches, and the number before it is the stride, like ROUND and STRIDE of plans.
_FIBONACCI = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181, 6765, 10946]
_WHOLE = 1e-9  # a quota this near to an integer is that integer: 64 * (1/3 of 3/64) must stay 1
_SPREAD = 0.5  # slots: the random part in the order of deficits; without it, groups with equal shares would stay tied


def round_length(slots: int, batch_size: int) -> int:
    """The smallest Fibonacci number of batches with at least `slots` slots, at most 10,946."""
    return next((n for n in _FIBONACCI if n * batch_size >= slots), _FIBONACCI[-1])


class Quotas:
    """Deals rounds of batches in which group g fills floor or ceil of `batch_size * share_g` slots of every batch.

    In a round, a group gets its share of the slots plus its deficit from earlier rounds, rounded to an integer, and
    within the limits that floor or ceil of its quota set for every batch. So its total stays near its share, however
    the shares change between rounds, and wherever a round is stopped early. The slots of a round form a row, group by
    group, in an order of groups that is new in every round. Batch k takes every `batches`-th slot from its start on, so
    consecutive slots of a group come into different batches.
    """

    def __init__(self, *, batch_size: int, key: int) -> None:
        self.batch_size = batch_size
        self.deficit = np.zeros(0)
        self.rounds = 0
        self._key = key

    def deal(self, shares: Floats, *, batches: int) -> Integers:
        """The group of every slot of the next `batches` batches, an array (batches, batch_size).

        `shares` sum to 1; `batches` is one of the lengths that `round_length` gives.
        """
        counts = self._apportion(shares, batches)
        order = orders(self._own(PURPOSE.ROW), 1, len(counts))[0]
        row = np.repeat(order, counts[order])
        position = _FIBONACCI.index(batches)
        stride = _FIBONACCI[position - 1] if position else 1
        # Batch k takes every `batches`-th place of the row, from its start on, in an order of its own.
        places = orders(self._own(PURPOSE.SLOT), batches, self.batch_size) * batches
        places += (np.arange(batches) * stride % batches)[:, None]
        self.rounds += 1
        return row.take(places)

    def take_back(self, table: Integers, shares: Floats) -> None:
        """Take back batches of the last round, dealt at `shares`, that were not used."""
        used = np.bincount(table.ravel(), minlength=len(shares))
        self.deficit += used - shares * table.size

    def _own(self, purpose: int) -> int:
        return child_key(child_key(self._key, purpose), self.rounds)

    def _apportion(self, shares: Floats, batches: int) -> Integers:
        if len(shares) > len(self.deficit):
            self.deficit = np.concatenate([self.deficit, np.zeros(len(shares) - len(self.deficit))])
        quotas = shares * self.batch_size
        nearest = np.rint(quotas)
        quotas = np.where(np.abs(quotas - nearest) <= _WHOLE * np.maximum(1.0, nearest), nearest, quotas)
        least = batches * np.floor(quotas).astype(np.int64)
        most = batches * np.ceil(quotas).astype(np.int64)
        expected = batches * quotas + self.deficit
        counts = np.minimum(np.maximum(np.floor(expected + _WHOLE).astype(np.int64), least), most)
        # Equal remainders are decided by chance, again in every round: else the same groups would always be first.
        chance = _SPREAD * fractions(self._own(PURPOSE.TIES), 0, len(counts))
        # The method of largest remainders, within the limits: each time, at most one slot of a group moves.
        while left := batches * self.batch_size - int(counts.sum()):
            step = 1 if left > 0 else -1
            movable = counts < most if left > 0 else counts > least
            urgency = np.where(movable, step * (expected - counts + chance), -np.inf)
            counts[np.argsort(-urgency, kind="stable")[: min(abs(left), int(movable.sum()))]] += step
        self.deficit = expected - counts
        return counts

    def take_over(self, deficit: Floats, rounds: int) -> None:
        """Owe these deficits too, and go on after that many rounds."""
        longest = max(len(deficit), len(self.deficit))
        self.deficit, more = (
            np.concatenate([known, np.zeros(longest - len(known))]) for known in (self.deficit, deficit)
        )
        self.deficit += more
        self.rounds = max(self.rounds, rounds)

    def state_dict(self) -> dict[str, Any]:
        """The deficits, and the number of rounds dealt."""
        return {"deficit": self.deficit.tolist(), "rounds": self.rounds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.deficit = np.array(state["deficit"], dtype=np.float64)
        self.rounds = state["rounds"]
