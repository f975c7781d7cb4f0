"""The dealt order: exact shares in every batch, even use of every sample, any position at once."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np

from ..groups import Groups
from ..kernels import apportion
from ..kernels.deal import HANDS, WIDE, lots_of
from ..kernels.permute import TABLE_LIMIT
from .deck import NONE, TICKET, Dealing, Deck, changed
from .protocol import Order, Scarce, scarce_groups, take_from_batches
from .segment import Segment
from .sequence import in_sequence
from .shares import Shares, group_rates
from .walk import Walk

__all__ = ["Dealt"]

_SELDOM = 8  # micro-batches from one draw of a group to the next
_RUN_BOUND = 6  # a run of micro-batches has so many tickets of a group above its quotas at most (G6)


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
        distinct_over: how many consecutive samples are distinct, as far as groups are large enough; those of a micro-batch
            if left out.
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
        distinct_over: int | None = None,
    ) -> None:
        self.groups = groups
        self.shares = shares
        self.segments = segments
        self.begun = shares if begun is None else begun
        self.window = window
        self.per_ticket = per_ticket
        self.seed = seed
        self.epoch_batches = epoch_batches
        self.distinct_over = distinct_over
        self.tickets = window // per_ticket
        self._together = 1 if distinct_over is None else self._touched(distinct_over)
        # where groups come often and take one sample at a time, to shuffle them costs two thirds more than to deal them
        self._seldom = 1 if per_ticket > 1 or not groups.starts.size else _SELDOM
        edges = self.begun.edges(HANDS * self.tickets, 0)
        decks = [
            Deck(
                0,
                edges,
                NONE,
                NONE,
                seed,
                0,
                self.tickets,
                epoch=epoch_batches,
                together=self._together,
                seldom=self._seldom,
            )
        ]
        for segment in segments:
            decks = self._with(decks, segment)
        if segments and segments[0].number > 1:  # what came before it is forgotten
            decks = [deck for deck in decks if deck.first >= segments[0].first]
        self._decks = tuple(decks)
        self._walk: Walk | None = None
        if shares.settles_at != 0:
            self._walk = Walk(decks[0], self._line, epoch_batches=epoch_batches, settles_at=shares.settles_at)
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
            "epoch": "any" if self._ignores_epoch() else str(self.epoch_batches),
            **({} if self.distinct_over is None else {"distinct, in sequence over": str(self.distinct_over)}),
        }

    def batches(self, first: int, stride: int, count: int) -> np.ndarray:
        """Micro-batches first, first + stride, ...: sample indices, int64 (count, window)."""
        return self.windows(first + stride * np.arange(count))

    def windows(self, numbers: np.ndarray) -> np.ndarray:
        """Micro-batches of these numbers, ascending: sample indices, int64 (numbers, window)."""
        if self.distinct_over is None:
            return self.dealing(numbers).samples
        return in_sequence(self.dealing(numbers, draws=True), self.per_ticket).samples

    def dealing(self, numbers: np.ndarray, *, draws: bool = False) -> Dealing:
        """As `windows`; with `draws` also the group of each ticket and how often its group came before."""
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

    def even_groups(self) -> np.ndarray:
        """The groups that come in whole passes over all of them, for as long as shares stay: their numbers, ascending."""
        return self._decks[0].light.even_groups() if self.shares.settles_at == 0 else NONE

    def drawn(self, batch: int) -> np.ndarray:
        """How many samples of every group came in micro-batches 0..batch-1, int64 (groups,), without replay."""
        deck, _ = self._deck_at(batch)
        return deck.drawn(batch - deck.first) * self.per_ticket

    def segment_after(self, batch: int, weights: Sequence[int]) -> Segment:
        """The segment these weights make at the first round that begins at micro-batch `batch` or later."""
        decks = [deck for deck in self._decks if deck.first < batch] or self._decks[:1]
        deck = decks[-1]
        until = -(-(batch - deck.first) // HANDS) * HANDS
        drawn, owed = deck.drawn(until), deck.owed_at(until)
        return Segment(deck.first + until, deck.change + 1, tuple(weights), tuple(drawn.tolist()), tuple(owed.tolist()))

    def with_segments(self, segments: Sequence[Segment]) -> Dealt:
        """The same order with these stretches of other shares; its `shares` are those of the last."""
        shares = self.begun.moved(segments[-1].weights) if segments else self.begun
        return self._again(shares, segments, self.distinct_over, begun=self.begun)

    def with_shares(self, shares: Shares) -> Dealt:
        """The same order of groups in other shares, from the beginning."""
        return self._again(shares, (), self.distinct_over, begun=shares)

    def quotas(self, batch: int) -> np.ndarray:
        """The tickets a micro-batch should have for every group, float64."""
        deck, _ = self._deck_at(batch)
        return deck.quotas()

    def due(self, batch: int) -> np.ndarray:
        """The tickets every group should have had in micro-batches 0..batch-1, the sum of its quotas: float64."""
        deck, _ = self._deck_at(batch)
        before = deck.base + deck.owed / TICKET if deck.base.size else 0.0
        due: np.ndarray = before + (batch - deck.first) * deck.quotas()
        return due

    def _with(self, decks: list[Deck], segment: Segment) -> list[Deck]:
        """These decks as far as the segment, and its own."""
        wanted = apportion.line(segment.weights, HANDS * self.tickets)
        drawn, owed = np.array(segment.drawn, np.int64), np.array(segment.owed, np.int64)
        before = [deck for deck in decks if deck.first < segment.first]
        return [
            *before,
            *changed(
                segment.first,
                wanted,
                drawn,
                owed,
                self.seed,
                segment.number,
                self.tickets,
                epoch=self.epoch_batches,
                may_change=False,
                together=self._together,
                seldom=self._seldom,
            ),
        ]

    def round_of(self, batch: int) -> tuple[int, int]:
        """How often the shares had changed when a micro-batch was dealt, and which round since it belongs to."""
        deck, _ = self._deck_at(batch)
        return deck.change, deck.rounds + (batch - deck.first) // HANDS

    def _deck_at(self, batch: int) -> tuple[Deck, int | None]:
        """The deck that holds a micro-batch, and up to which micro-batch it is known to last (None: for ever)."""
        if self._walk is not None:
            return self._walk.at(batch)
        number = bisect_right(self._decks, batch, key=lambda deck: deck.first) - 1
        if number < 0:
            raise IndexError(f"micro-batch {batch} came before the shares of {self._decks[0].first} were set")
        return self._decks[number], self._decks[number + 1].first if number + 1 < len(self._decks) else None

    def _line(self, epoch: int) -> np.ndarray:
        """The groups on the line of a round's tickets, in an epoch."""
        return self.shares.edges(HANDS * self.tickets, epoch)

    def most_drawn(self, places: int | None = None) -> np.ndarray:
        """The most draws of each group in the windows that `places` consecutive samples can touch: int64 (groups,).

        Within a window draws are shuffled, so that those few samples may hold any of them. One window if left out.
        """
        most, quotas = self._largest_quotas()
        if places is None:
            return most * self.per_ticket
        touched = self._touched(places)
        tickets = touched * most
        if self.shares.settles_at == 0:
            np.minimum(tickets, np.ceil(touched * quotas).astype(np.int64) + _RUN_BOUND, out=tickets)
        return tickets * self.per_ticket

    def _ignores_epoch(self) -> bool:
        """Whether the sequence is the same whatever an epoch is."""
        return self.shares.settles_at == 0 and self.shares.limits is None and self._decks[0].light.even

    def _touched(self, places: int) -> int:
        """How many windows so many consecutive samples can touch."""
        return (places + 2 * self.window - 2) // self.window

    def whole_quotas(self) -> list[bool]:
        """Which groups have exactly the same number of tickets, above 0, in every micro-batch for ever."""
        tickets = np.diff(self._decks[0].wanted)
        steady = self.shares.settles_at == 0 and self.shares.limits is None
        return [steady and count > 0 and count % TICKET == 0 for count in tickets.tolist()]

    def spanning(self, places: int) -> Dealt:
        """The same order, any `places` consecutive samples distinct as far as groups are large enough."""
        if places == self.distinct_over:
            return self
        return self._again(self.shares, self.segments, places, begun=self.begun)

    def scarce(self, places: int | None = None) -> list[Scarce]:
        """The groups too small to keep samples apart; see `SharedOrder`."""
        most = self.most_drawn(places)
        if not self.groups.starts.size:  # every sample a group of its own
            often = int(most.argmax())
            return [Scarce(often, 1, int(most[often]))] if most[often] > 1 else []
        return scarce_groups(self.groups, most)

    def _again(self, shares: Shares, segments: Sequence[Segment], places: int | None, *, begun: Shares) -> Dealt:
        return Dealt(
            self.groups,
            shares,
            window=self.window,
            per_ticket=self.per_ticket,
            seed=self.seed,
            epoch_batches=self.epoch_batches,
            segments=tuple(segments),
            begun=begun,
            distinct_over=places,
        )

    def _lot_table(self) -> np.ndarray:
        """What the kernel needs of each group; no rows where every sample is its own."""
        groups = self.groups
        if not groups.starts.size:
            return np.empty((0, 5), np.int64)
        return lots_of(groups.sizes, groups.starts[:-1], np.maximum(self.most_drawn(self.distinct_over) - 1, 0))

    def _largest_quotas(self) -> tuple[np.ndarray, np.ndarray]:
        """The most tickets a micro-batch can have of each group over all epochs, int64, and on average, float64."""
        count = self.groups.group_count
        if self.shares.limits is not None:
            quota = round(self.shares.limits[1] * self.tickets, 9)
            return np.full(count, math.ceil(quota), np.int64), np.full(count, quota)
        if self.shares.settles_at is None:
            return np.full(count, self.tickets, np.int64), np.full(count, float(self.tickets))
        widest = np.zeros(count, np.int64)
        for epoch in range(self.shares.settles_at + 1):
            edges = self._decks[0].wanted if epoch == 0 else self._line(epoch)
            np.maximum(widest, np.diff(edges), out=widest)
        return -(-widest // TICKET), widest / TICKET
