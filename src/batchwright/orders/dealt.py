"""The dealt order: exact shares in every batch, even use of every sample, any position at once."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..groups import Groups
from ..kernels import apportion
from ..kernels.deal import HANDS, WIDE, deal, drawn, lots_of, new_board
from ..kernels.hashing import PURPOSE, child_key
from ..kernels.permute import TABLE_LIMIT
from .protocol import Order, take_from_batches
from .segment import Segment
from .shares import Shares, group_rates

__all__ = ["Dealing", "Dealt", "Deck"]

_NONE, _NARROW = np.empty(0, np.int64), np.empty(0, np.uint32)


class Dealing(NamedTuple):
    """Micro-batches in full, one a row.

    Attributes:
        samples: sample numbers, int64 (batches, window).
        groups: the group of each ticket, int64 (batches, tickets).
        draws: how many tickets the ticket's group had before it, as `groups`; no rows where nobody asked.
    """

    samples: np.ndarray
    groups: np.ndarray
    draws: np.ndarray


@dataclass
class Deck:
    """A stretch of the order over which the shares stay the same, from micro-batch `first` on.

    Args:
        first: its first micro-batch, counted from the order's beginning.
        edges: the groups on the line of a round's tickets.
        base: tickets each group had before it; empty for none.
        seed: of the order.
        number: which deck of the order it is.
        tickets: tickets in a micro-batch.
    """

    first: int
    edges: np.ndarray
    base: np.ndarray
    seed: int
    number: int
    tickets: int
    heavy: np.ndarray = field(init=False)
    root: np.uint64 = field(init=False)
    key: np.uint64 = field(init=False)
    start: int = field(init=False)
    _boards: list[tuple[np.ndarray, np.ndarray]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.heavy = np.flatnonzero(np.diff(self.edges) >= 1 << apportion.FRACTION_BITS)
        key = child_key(child_key(self.seed, PURPOSE.DECK), self.number)
        self.root, self.key = np.uint64(self.seed), np.uint64(key)
        self.start = child_key(key, PURPOSE.PHASE) >> 32

    def deal(
        self,
        batches: np.ndarray,
        per_ticket: int,
        lots: np.ndarray,
        scratch: int,
        index: np.ndarray | None,
        *,
        draws: bool,
    ) -> Dealing:
        """Some of its micro-batches, counted from its own first."""
        count = batches.size
        samples = np.empty((count, self.tickets * per_ticket), np.int64)
        groups = np.empty((count, self.tickets), np.int64)
        numbers = np.empty((count if draws else 0, self.tickets), np.int64)
        self._check(int(batches.max(initial=0)))
        header, board = self._borrow()
        deal(
            batches, self.tickets, per_ticket, self.root, self.key, self.start, self.edges,
            header, board, self.heavy, lots, scratch, *_by_width(index), self.base, samples, groups, numbers,
        )  # fmt: skip
        self._boards.append((header, board))
        return Dealing(samples, groups, numbers)

    def drawn(self, batch: int) -> np.ndarray:
        """Tickets every group had before micro-batch `batch` of this deck, those before the deck included."""
        totals = np.empty(self.edges.size - 1, np.int64)
        self._check(batch)
        header, board = self._borrow()
        drawn(batch, self.tickets, self.key, self.start, self.edges, header, board, self.heavy, totals)
        self._boards.append((header, board))
        return totals + self.base if self.base.size else totals

    def _borrow(self) -> tuple[np.ndarray, np.ndarray]:
        """A board no other thread has: it remembers the last round, which is all that makes going on cheap."""
        try:
            return self._boards.pop()
        except IndexError:
            return new_board(self.heavy.size)

    def _check(self, last: int) -> None:
        if last // HANDS >= apportion.MOST_ROUNDS:
            raise IndexError(f"micro-batch {last} is past the last, {apportion.MOST_ROUNDS * HANDS - 1}")

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_boards": []}


class Dealt:
    """Draws in exact shares: see the module `kernels.deal` for how and `docs/design.md` for what is guaranteed.

    Args:
        groups: who is in which group.
        shares: the wanted shares.
        window: samples in a micro-batch.
        per_ticket: consecutive draws from one group (M of "P classes times M").
        seed: 0 to 2^64 - 1.
        epoch_batches: after how many micro-batches a target that moves is asked again.
        segments: stretches whose shares were given later; where the first is not number 1, what came before it is forgotten.
        begun: the shares before the first segment; `shares` if left out.
    """

    def __init__(
        self,
        groups: Groups,
        shares: Shares,
        *,
        window: int,
        per_ticket: int = 1,
        seed: int = 0,
        epoch_batches: int = 1,
        segments: tuple[Segment, ...] = (),
        begun: Shares | None = None,
    ) -> None:
        self.groups = groups
        self.shares = shares
        self.segments = segments
        self.begun = shares if begun is None else begun
        self.window = window
        self.per_ticket = per_ticket
        self.seed = seed
        self.epoch_batches = epoch_batches
        self.tickets = window // per_ticket
        first = Deck(0, self.begun.edges(HANDS * self.tickets, 0), _NONE, seed, 0, self.tickets)
        decks = (first, *map(self._deck_of, segments))
        if segments and segments[0].number > 1:  # those before it are forgotten
            decks = decks[1:]
        self._known: tuple[tuple[Deck, ...], int] = (decks, 1)  # decks so far, and the epochs they cover
        self._lots = self._lot_table()
        self._scratch = max(TABLE_LIMIT, 2 * int(self._lots[:, WIDE].max(initial=0)))

    @property
    def identity(self) -> dict[str, str]:
        """What decides the sequence: see `Order`."""
        return {
            "draw": "exact",
            "groups": self.groups.digest,
            "target": self.begun.identity,
            "batch_size": str(self.window),
            "per_class": str(self.per_ticket),
            "seed": str(self.seed),
            "epoch": str(self.epoch_batches) if self.shares.settles_at != 0 else "any",
        }

    def batches(self, first: int, stride: int, count: int) -> np.ndarray:
        """Micro-batches first, first + stride, ...: sample indices, int64 (count, window)."""
        return self.dealing(first + stride * np.arange(count)).samples

    def windows(self, numbers: np.ndarray) -> np.ndarray:
        """Micro-batches of these numbers, ascending: sample indices, int64 (numbers, window)."""
        return self.dealing(numbers).samples

    def dealing(self, numbers: np.ndarray, *, draws: bool = False) -> Dealing:
        """As `windows`, and the group of each ticket; with `draws` also how often its group came before."""
        parts: list[Dealing] = []
        done = 0
        while done < numbers.size or not parts:
            deck, end = self._deck_at(int(numbers[done]) if numbers.size else 0)
            here = numbers.size if end is None else int(np.searchsorted(numbers, end))
            inside = numbers[done:here] - deck.first
            parts.append(deck.deal(inside, self.per_ticket, self._lots, self._scratch, self.groups.index, draws=draws))
            done = here
        return parts[0] if len(parts) == 1 else Dealing(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def take(self, start: int, stop: int) -> np.ndarray:
        """The samples at places start..stop-1 of the sequence."""
        return take_from_batches(self, start, stop)

    def rates(self, samples: np.ndarray, epoch: int = 0) -> np.ndarray:
        """The expected share of the sequence that each of these samples is, float64."""
        return group_rates(self.groups, self.shares, samples, epoch)

    @property
    def children(self) -> Mapping[int, Order]:
        """Every group is shuffled by itself."""
        return {}

    @property
    def dealt(self) -> Dealt:
        """Itself: its shares are exact."""
        return self

    def drawn(self, batch: int) -> np.ndarray:
        """How many samples of every group came in micro-batches 0..batch-1, int64 (groups,), without replay."""
        deck, _ = self._deck_at(batch)
        return deck.drawn(batch - deck.first) * self.per_ticket

    def segment_after(self, batch: int, weights: Sequence[int]) -> Segment:
        """The segment these weights make at the first round that begins at micro-batch `batch` or later."""
        decks = [deck for deck in self._known[0] if deck.first < batch] or list(self._known[0][:1])
        deck = decks[-1]
        first = deck.first + -(-(batch - deck.first) // HANDS) * HANDS
        drawn = deck.drawn(first - deck.first)
        return Segment(first, deck.number + 1, tuple(weights), tuple(drawn.tolist()))

    def with_segments(self, segments: Sequence[Segment]) -> Dealt:
        """The same order with these stretches of other shares; its `shares` are those of the last."""
        return Dealt(
            self.groups,
            self.begun.moved(segments[-1].weights) if segments else self.begun,
            window=self.window,
            per_ticket=self.per_ticket,
            seed=self.seed,
            epoch_batches=self.epoch_batches,
            segments=tuple(segments),
            begun=self.begun,
        )

    def quotas(self, batch: int) -> np.ndarray:
        """The tickets a micro-batch has for every group, on average over its deck."""
        deck, _ = self._deck_at(batch)
        found: np.ndarray = np.diff(deck.edges) / (HANDS << apportion.FRACTION_BITS)
        return found

    def due(self, batch: int) -> np.ndarray:
        """The tickets every group should have had in micro-batches 0..batch-1: the sum of its quotas.

        Where earlier shares are forgotten, what it had by then stands for them.
        """
        self._deck_at(batch)
        decks = [deck for deck in self._known[0] if deck.first <= batch]
        due = decks[0].base.astype(np.float64) if decks[0].base.size else np.zeros(self.groups.group_count)
        ends = [*(deck.first for deck in decks[1:]), batch]
        for deck, end in zip(decks, ends, strict=True):
            due += (end - deck.first) * (np.diff(deck.edges) / (HANDS << apportion.FRACTION_BITS))
        return due

    def _deck_of(self, segment: Segment) -> Deck:
        edges = apportion.line(segment.weights, HANDS * self.tickets)
        drawn = np.array(segment.drawn, np.int64)
        return Deck(segment.first, edges, drawn, self.seed, segment.number, self.tickets)

    def stretch_of(self, batch: int) -> int:
        """The first micro-batch of the stretch of constant shares that a micro-batch belongs to."""
        return self._deck_at(batch)[0].first

    def round_of(self, batch: int) -> tuple[int, int]:
        """The deck and the round in it that a micro-batch belongs to."""
        deck, _ = self._deck_at(batch)
        return deck.number, (batch - deck.first) // HANDS

    def _deck_at(self, batch: int) -> tuple[Deck, int | None]:
        """The deck that holds a micro-batch, and up to which micro-batch it is known to last (None: for ever)."""
        decks, asked = self._known
        settled = self.shares.settles_at
        needed = batch // self.epoch_batches + 2 if settled != 0 else 1
        if settled is not None:
            needed = min(needed, settled + 1)
        if asked < needed:
            decks, asked = self._known = self._covering(needed)
        number = bisect_right(decks, batch, key=lambda deck: deck.first) - 1
        if number < 0:
            raise IndexError(f"micro-batch {batch} came before the shares of micro-batch {decks[0].first} were set")
        if number + 1 < len(decks):
            return decks[number], decks[number + 1].first
        return decks[number], None if settled is not None and asked > settled else asked * self.epoch_batches

    def _covering(self, epochs: int) -> tuple[tuple[Deck, ...], int]:
        """The decks of that many epochs: a new one wherever the shares change. Threads that race make the same."""
        found, asked = self._known
        decks = list(found)
        for epoch in range(asked, epochs):
            edges = self.shares.edges(HANDS * self.tickets, epoch)
            if not np.array_equal(edges, decks[-1].edges):
                first = epoch * self.epoch_batches
                base = decks[-1].drawn(first - decks[-1].first)
                decks.append(Deck(first, edges, base, self.seed, len(decks), self.tickets))
        return tuple(decks), max(epochs, asked)

    def _lot_table(self) -> np.ndarray:
        """What the kernel needs of each group; no rows where every sample is its own."""
        groups = self.groups
        if not groups.starts.size:
            return np.empty((0, 5), np.int64)
        return lots_of(groups.sizes, groups.starts[:-1], self._widest())

    def _widest(self) -> np.ndarray:
        """One less than the most draws a micro-batch can take from each group, over all epochs."""
        if self.shares.limits is not None:
            most_tickets = math.ceil(round(self.shares.limits[1] * self.tickets, 9))
            return np.full(self.groups.group_count, most_tickets * self.per_ticket - 1, np.int64)
        if self.shares.settles_at is None:
            return np.full(self.groups.group_count, self.window - 1, np.int64)
        most = np.zeros(self.groups.group_count, np.int64)
        for epoch in range(self.shares.settles_at + 1):
            edges = self._known[0][0].edges if epoch == 0 else self.shares.edges(HANDS * self.tickets, epoch)
            np.maximum(most, -(-np.diff(edges) // (HANDS << apportion.FRACTION_BITS)), out=most)
        return np.maximum(most * self.per_ticket - 1, 0)


def _by_width(index: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """An index as the two arguments of a kernel that takes either width."""
    if index is None:
        return _NARROW, _NONE
    return (index, _NONE) if index.dtype == np.uint32 else (_NARROW, index)
