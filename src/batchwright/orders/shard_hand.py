"""Deals given numbers of tickets over the micro-batches of a block of shards: all of them, exactly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..kernels.hashing import child_key
from ..kernels.passes import draws
from ..kernels.permutation import permutation

__all__ = ["BlockDeal", "GroupTickets"]

_GOLDEN = (5**0.5 - 1) / 2


class GroupTickets(NamedTuple):
    """The tickets of a group in a micro-batch.

    Attributes:
        group: the group.
        first: how many tickets of the group come before, counted over the places of the row and not in time.
        tickets: how many there are.
    """

    group: int
    first: int
    tickets: int


class BlockDeal:
    """Deals the tickets of a block.

    The tickets lie in a row, group by group. Micro-batch t takes every n-th of them, n being the number of micro-batches,
    from place `t * step % n` on: so it has the same number of tickets as every other, and floor or ceil of the even part of
    each group. `step` is near n times the golden ratio, which spreads the tickets of a group over the block.

    Args:
        tickets: of each group in the block, int64 (groups,).
        batches: micro-batches of the block, which divide the sum of the tickets.
        key: 0 to 2^64 - 1.
    """

    def __init__(self, tickets: np.ndarray, batches: int, key: int) -> None:
        self.tickets, self.batches, self._key = tickets, batches, key
        held = np.flatnonzero(tickets)
        self._order = held[_permuted(held.size, child_key(key, 0))]
        self._edges = np.concatenate([[0], np.cumsum(tickets[self._order])])
        self._each = int(self._edges[-1]) // batches
        self._step = _coprime(round(batches * _GOLDEN), batches)

    def runs(self, number: int) -> list[GroupTickets]:
        """The tickets of micro-batch `number` of the block, from 0, by group."""
        first = number * self._step % self.batches
        places = first + np.arange(self._each) * self.batches
        inside, counts = np.unique(np.searchsorted(self._edges, places, side="right") - 1, return_counts=True)
        before = _earlier(self._edges[inside + 1], self.batches, first) - _earlier(
            self._edges[inside], self.batches, first
        )
        return [
            GroupTickets(*row)
            for row in zip(self._order[inside].tolist(), before.tolist(), counts.tolist(), strict=True)
        ]

    def samples(self, number: int, per_ticket: int, sizes: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """The samples of a micro-batch, int64 (tickets x per_ticket,), as places among the samples of all groups.

        Args:
            number: the micro-batch of the block.
            per_ticket: samples in a ticket.
            sizes: samples of each group, int64 (groups,); above 0 where it has tickets.
            starts: where those of each group begin.
        """
        found = []
        for group, first, count in self.runs(number):
            places = np.empty(count * per_ticket, np.int64)
            most = -(-int(self.tickets[group]) // self.batches) * per_ticket
            key = np.uint64(child_key(child_key(self._key, 1), group))
            draws(places, first * per_ticket, int(sizes[group]), most - 1, key)
            found.append(starts[group] + places)
        tickets = np.concatenate(found).reshape(self._each, per_ticket)
        slots = _permuted(self._each, child_key(child_key(self._key, 2), number))
        dealt: np.ndarray = tickets[slots].reshape(-1)
        return dealt

    def drawn(self, batch: int) -> np.ndarray:
        """The tickets of each group before micro-batch `batch` of the block, int64 (groups,)."""
        firsts = np.sort(np.arange(batch) * self._step % self.batches)
        whole, part = np.divmod(self._edges, self.batches)
        before = whole * batch + np.searchsorted(firsts, part)
        found = np.zeros(self.tickets.size, np.int64)
        found[self._order] = np.diff(before)
        return found


def _earlier(places: np.ndarray, batches: int, first: int) -> np.ndarray:
    """How many places before each of these are, modulo `batches`, below `first`."""
    whole, part = np.divmod(places, batches)
    found: np.ndarray = whole * first + np.minimum(part, first)
    return found


def _permuted(count: int, key: int) -> np.ndarray:
    found = np.empty(count, np.int64)
    permutation(np.arange(count), count, np.uint64(key), found, False)
    return found


def _coprime(near: int, number: int) -> int:
    """The number nearest to `near`, above 0, that has no common divisor with `number`."""
    for away in range(number + 1):
        for found in (near - away, near + away):
            if found > 0 and np.gcd(found, number) == 1:
                return found
    return 1
