"""Parties that share evenly spaced turns, everybody within one of his due after each, any turn to be had at once.

A party of rate r keeps within one of `r * turns` after every turn exactly if its j-th turn lies in its j-th window,
`floor((j - 1) / r) + 1 .. ceil(j / r)` (Steiner and Yeomans 1993; the windows of "proportionate progress", Baruah, Cohen,
Plaxton and Varvel 1996). Serving the earliest deadline first finds a turn for every window wherever there is one (Glover
1967), but where it stands at a turn is only known by running it from the beginning.

So time is cut into blocks, none shorter than the longest distance 1 / r between two turns of a party, and at each edge a
standing is fixed that needs no past but one such distance: what the earliest deadline first comes to if it begins a
distance earlier, with those ahead who are due soonest. It can be gone on from for ever, since a rule that misses no
deadline came to it. It can be come to from the edge before, since everybody had a deadline on the way and so all is one
where that began. By Hall's theorem the two suffice: windows cut at both edges of a block can be kept, and the earliest
deadline first keeps them. A block costs a few dozen nanoseconds a turn and is made when asked for.

The slots need not be all turns. Slots of rate p are enough if any stretch of n turns has floor(p * n) of them at least,
because that is the most windows that can lie within it. Those of a Beatty sequence, floor(p * turns), are, and so are those
that it leaves: this is how parties that come very rarely are given slots of their own, in blocks of their own length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..kernels.turns import earliest_deadline

__all__ = ["Lane"]

_SHORTEST_BLOCK = 1024  # slots; a shorter one costs more to ask for than to make
_LONGEST_BLOCK = 1 << 61  # turns, so that sums of two fit 64 bits
_ENDLESS = (1 << 63) - 1


class _Block(NamedTuple):
    """A stretch of slots: who has each, how often he had one before in it, and how often everybody before it."""

    number: int
    who: np.ndarray
    before: np.ndarray
    begun: list[int]


class Lane:
    """Some parties and the slots they share.

    Args:
        weights: of the parties, whole numbers above 0.
        total: of the weights of all parties that there are, at most 2^60.
        late: slot k is turn `ceil(k / p)`, where the rate p is the share of these parties; otherwise it is
            `floor((k - 1) / p) + 1`. A late lane and an early one of the other parties have every turn once.
    """

    def __init__(self, weights: Sequence[int], total: int, *, late: bool) -> None:
        self._weights = list(weights)
        self._total, self._rate, self._late = total, sum(weights), late
        self._longest = -(-total // min(weights))  # turns between two of the rarest party
        slots = max(1, self._longest * self._rate // total)
        self._length = self._longest * max(1, min(_SHORTEST_BLOCK // slots, _LONGEST_BLOCK // self._longest))
        self._edges: dict[int, list[int]] = {}
        self._block: _Block | None = None

    def slots(self, turn: int) -> int:
        """How many of the turns before this one are slots of the lane."""
        return self._rate * turn // self._total if self._late else -(-self._rate * turn // self._total)

    def at(self, turn: int) -> tuple[int, int]:
        """Who has a turn that is a slot, and how many he had before."""
        block, place = self._found(turn)
        party = int(block.who[place])
        return party, block.begun[party] + int(block.before[place])

    def counts(self, turn: int) -> list[int]:
        """How many of the turns before this one everybody had."""
        block, place = self._found(turn)
        within = np.bincount(block.who[:place], minlength=len(self._weights)).tolist()
        return [begun + had for begun, had in zip(block.begun, within, strict=True)]

    def _found(self, turn: int) -> tuple[_Block, int]:
        number = turn // self._length
        block = self._block
        if block is None or block.number != number:
            block = self._block = self._made(number)
        return block, self.slots(turn) - self.slots(number * self._length)

    def _made(self, number: int) -> _Block:
        first, end = number * self._length, (number + 1) * self._length
        begun, ended = self._edge(number), self._edge(number + 1)
        self._edges = {number: begun, number + 1: ended}
        who, before, _ = self._served(first, end, begun, ended)
        return _Block(number, who, before, begun)

    def _edge(self, number: int) -> list[int]:
        """How many turns everybody has had at the edge before a block; see the module."""
        known = self._edges.get(number)
        if known is not None:
            return known
        end = number * self._length
        first = end - self._longest
        begun = [weight * first // self._total for weight in self._weights]
        ahead = self.slots(first) - sum(begun)
        behind = (party for party, weight in enumerate(self._weights) if weight * first % self._total)
        for party in sorted(behind, key=lambda i: -(-(begun[i] + 1) * self._total // self._weights[i]))[:ahead]:
            begun[party] += 1
        _, _, had = self._served(first, end, begun)
        return [one + more for one, more in zip(begun, had.tolist(), strict=True)]

    def _served(
        self, first: int, end: int, begun: Sequence[int], ended: Sequence[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Slots of turns first..end-1, from a standing to another if one is given: who, how often before, and in all."""
        rows = [
            self._spaced(had * self._total, first, weight) for had, weight in zip(begun, self._weights, strict=True)
        ]
        slots = self.slots(first)
        moment = (slots + 1) * self._total - 1 if self._late else slots * self._total
        spacing = np.array([*rows, self._spaced(moment, first, self._rate)], np.int64)
        left = [_ENDLESS] * len(rows) if ended is None else [b - a for a, b in zip(begun, ended, strict=True)]
        who, before = np.empty((2, self.slots(end) - slots), np.int32)
        had = np.empty(len(rows), np.int64)
        earliest_deadline(spacing, _ENDLESS if ended is None else end - first, np.array(left), who, before, had)
        return who, before, had

    def _spaced(self, moment: int, first: int, weight: int) -> tuple[int, ...]:
        """The moments (moment + k * total) / weight counted from turn `first` on, as the kernel takes them."""
        return (*divmod(moment - first * weight, weight), *divmod(self._total, weight), weight)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_edges": {}, "_block": None}
