"""The dealt order: exact shares in every batch, even use of every sample, any position at once."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np

from ..groups import Groups
from ..kernels import apportion
from ..kernels.deal import HANDS, WIDE, Samples, group_table_of
from .constant_shares import NONE, TICKET, ConstantShares, Dealing, after_change
from .protocol import OfBatches, Order, Undersized, undersized_groups
from .sequence import in_sequence
from .share_change import ShareChange
from .shares import Shares, group_rates
from .walk import Walk

__all__ = ["Dealt"]

_SELDOM = 8  # micro-batches from one draw of a group to the next
_NO_INDEX = np.empty(0, np.uint32)
_RUN_BOUND = 6  # a run of micro-batches has so many tickets of a group above its quotas at most (G6)


class Dealt(OfBatches):
    """Draws in exact shares. The module `kernels.deal` says how; `docs/design.md` says what is guaranteed.

    Args:
        groups: which samples are in which group.
        shares: the wanted shares.
        batch_size: samples in a micro-batch.
        per_ticket: consecutive draws from one group (M of "P classes times M").
        seed: 0 to 2^64 - 1.
        epoch_batches: after how many micro-batches a target that moves is asked again.
        share_changes: shares that were set later. If the first is not change number 1, what came before it is not known.
        begun: the shares before the first change; `shares` if left out.
        distinct_over: how many consecutive samples are distinct, as far as groups are large enough; those of a micro-batch
            if left out.
    """

    def __init__(
        self,
        groups: Groups,
        shares: Shares,
        *,
        batch_size: int,
        per_ticket: int = 1,
        seed: int = 0,
        epoch_batches: int = 1,
        share_changes: tuple[ShareChange, ...] = (),
        begun: Shares | None = None,
        distinct_over: int | None = None,
    ) -> None:
        self.groups = groups
        self.shares = shares
        self.share_changes = share_changes
        self.begun = shares if begun is None else begun
        self.batch_size = batch_size
        self.per_ticket = per_ticket
        self.seed = seed
        self.epoch_batches = epoch_batches
        self.distinct_over = distinct_over
        self.tickets = batch_size // per_ticket
        self._together = 1 if distinct_over is None else self._touched(distinct_over)
        # where groups come often and take one sample at a time, to shuffle them costs two thirds more than to deal them
        self._seldom = 1 if per_ticket > 1 or not groups.starts.size else _SELDOM
        edges = self.begun.edges(HANDS * self.tickets, 0)
        spans = [
            ConstantShares(
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
        for change in share_changes:
            spans = self._with(spans, change)
        if share_changes and share_changes[0].number > 1:  # what came before it is forgotten
            spans = [span for span in spans if span.first >= share_changes[0].first]
        self._spans = tuple(spans)
        self._walk: Walk | None = None
        if shares.settles_at != 0:
            self._walk = Walk(spans[0], self._line, epoch_batches=epoch_batches, settles_at=shares.settles_at)
        table = self._group_rows()
        head_size = 2 * int(table[:, WIDE].max(initial=0))
        self._samples = tuple(Samples(np.uint64(seed), per_ticket, table, head_size, *_by_width(groups.index)))

    @property
    def identity(self) -> dict[str, str]:
        """What decides the sequence: see `Order`."""
        return {
            "draw": "exact",
            "groups": self.groups.digest,
            "target": self.begun.identity,
            "batch_size": str(self.batch_size),
            "per_class": str(self.per_ticket),
            "seed": str(self.seed),
            "epoch": "any" if self._ignores_epoch() else str(self.epoch_batches),
            **({} if self.distinct_over is None else {"distinct, in sequence over": str(self.distinct_over)}),
        }

    def batches_at(self, numbers: np.ndarray) -> np.ndarray:
        """Micro-batches of these numbers, ascending: sample indices, int64 (numbers, batch_size)."""
        if self.distinct_over is None:
            return self.dealing(numbers).samples
        return in_sequence(self.dealing(numbers, draws=True), self.per_ticket).samples

    def dealing(self, numbers: np.ndarray, *, draws: bool = False) -> Dealing:
        """As `batches_at`; with `draws` also the group of each ticket, and how many tickets the group had before."""
        parts: list[Dealing] = []
        done = 0
        while done < numbers.size or not parts:
            span, end = self._span_at(int(numbers[done]) if numbers.size else 0)
            here = numbers.size if end is None else int(np.searchsorted(numbers, end))
            inside = numbers[done:here] - span.first
            parts.append(span.deal(inside, self._samples, draws=draws))
            done = here
        return parts[0] if len(parts) == 1 else Dealing(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def rates(self, samples: np.ndarray, epoch: int = 0) -> np.ndarray:
        """The expected share of the sequence that each of these samples is, float64."""
        return group_rates(self.groups, self.shares, samples, epoch)

    @property
    def children(self) -> Mapping[int, Order]:
        """None: every group is shuffled."""
        return {}

    @property
    def dealt(self) -> Dealt:
        """This order: its shares are exact."""
        return self

    def even_groups(self) -> np.ndarray:
        """The numbers of the groups that come in complete passes over all of them, ascending; none if shares change."""
        return self._spans[0].light.even_groups() if self.shares.settles_at == 0 else NONE

    def drawn(self, batch: int) -> np.ndarray:
        """How many samples of every group came in micro-batches 0..batch-1, int64 (groups,), without replay."""
        span, _ = self._span_at(batch)
        return span.drawn(batch - span.first) * self.per_ticket

    def share_change_after(self, batch: int, weights: Sequence[int]) -> ShareChange:
        """The change these weights make at the first round that begins at micro-batch `batch` or later."""
        spans = [span for span in self._spans if span.first < batch] or self._spans[:1]
        span = spans[-1]
        until = -(-(batch - span.first) // HANDS) * HANDS
        drawn, deficit = span.drawn(until), span.deficit_at(until)
        return ShareChange(
            span.first + until, span.change + 1, tuple(weights), tuple(drawn.tolist()), tuple(deficit.tolist())
        )

    def with_share_changes(self, share_changes: Sequence[ShareChange]) -> Dealt:
        """The same order with these stretches of other shares; its `shares` are those of the last."""
        shares = self.begun.moved(share_changes[-1].weights) if share_changes else self.begun
        return self._again(shares, share_changes, self.distinct_over, begun=self.begun)

    def with_shares(self, shares: Shares) -> Dealt:
        """The same order of groups in other shares, from the beginning."""
        return self._again(shares, (), self.distinct_over, begun=shares)

    def quotas(self, batch: int) -> np.ndarray:
        """The tickets a micro-batch should have for every group, float64."""
        span, _ = self._span_at(batch)
        return span.quotas()

    def expected(self, batch: int) -> np.ndarray:
        """The tickets every group should have had in micro-batches 0..batch-1, the sum of its quotas: float64."""
        span, _ = self._span_at(batch)
        before = span.base + span.deficit / TICKET if span.base.size else 0.0
        expected: np.ndarray = before + (batch - span.first) * span.quotas()
        return expected

    def _with(self, spans: list[ConstantShares], change: ShareChange) -> list[ConstantShares]:
        """The spans before a change, and the spans after it."""
        wanted = apportion.line(change.weights, HANDS * self.tickets)
        drawn, deficit = np.array(change.drawn, np.int64), np.array(change.deficit, np.int64)
        before = [span for span in spans if span.first < change.first]
        after = after_change(
            spans[0],
            change.first,
            wanted,
            drawn,
            deficit,
            change=change.number,
            epoch=self.epoch_batches,
            may_change=False,
        )
        return [*before, *after]

    def round_of(self, batch: int) -> tuple[int, int]:
        """How often the shares had changed when a micro-batch was dealt, and which round since it belongs to."""
        span, _ = self._span_at(batch)
        return span.change, span.rounds + (batch - span.first) // HANDS

    def _span_at(self, batch: int) -> tuple[ConstantShares, int | None]:
        """The span that holds a micro-batch, and the micro-batch up to which it is known to last; None if it has no end."""
        if self._walk is not None:
            return self._walk.at(batch)
        number = bisect_right(self._spans, batch, key=lambda span: span.first) - 1
        if number < 0:
            raise IndexError(f"micro-batch {batch} came before the shares of {self._spans[0].first} were set")
        return self._spans[number], self._spans[number + 1].first if number + 1 < len(self._spans) else None

    def _line(self, epoch: int) -> np.ndarray:
        """The groups on the line of a round's tickets, in an epoch."""
        return self.shares.edges(HANDS * self.tickets, epoch)

    def most_drawn(self, places: int | None = None) -> np.ndarray:
        """The most draws of each group in the micro-batches that `places` consecutive samples can touch, int64 (groups,).

        Within a micro-batch draws are shuffled, so that those few samples may hold any of them. One micro-batch if left out.
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
        """Whether the sequence does not depend on the length of an epoch."""
        return self.shares.settles_at == 0 and self.shares.limits is None and self._spans[0].light.even

    def _touched(self, places: int) -> int:
        """How many micro-batches so many consecutive samples can touch."""
        return (places + 2 * self.batch_size - 2) // self.batch_size

    def whole_quotas(self) -> list[bool]:
        """Which groups have the same number of tickets, above 0, in every micro-batch."""
        tickets = np.diff(self._spans[0].wanted)
        steady = self.shares.settles_at == 0 and self.shares.limits is None
        return [steady and count > 0 and count % TICKET == 0 for count in tickets.tolist()]

    def distinct_within(self, places: int) -> Dealt:
        """A copy in which any `places` consecutive samples are distinct, where groups are large enough."""
        if places == self.distinct_over:
            return self
        return self._again(self.shares, self.share_changes, places, begun=self.begun)

    def undersized(self, places: int | None = None) -> list[Undersized]:
        """The groups too small to keep samples apart; see `SharedOrder`."""
        most = self.most_drawn(places)
        if not self.groups.starts.size:  # every sample a group of its own
            often = int(most.argmax())
            return [Undersized(often, 1, int(most[often]))] if most[often] > 1 else []
        return undersized_groups(self.groups, most)

    def _again(
        self, shares: Shares, share_changes: Sequence[ShareChange], places: int | None, *, begun: Shares
    ) -> Dealt:
        return Dealt(
            self.groups,
            shares,
            batch_size=self.batch_size,
            per_ticket=self.per_ticket,
            seed=self.seed,
            epoch_batches=self.epoch_batches,
            share_changes=tuple(share_changes),
            begun=begun,
            distinct_over=places,
        )

    def _group_rows(self) -> np.ndarray:
        """What the kernel needs of each group; no rows if every sample is its own group."""
        groups = self.groups
        if not groups.starts.size:
            return np.empty((0, 5), np.int64)
        return group_table_of(groups.sizes, groups.starts[:-1], np.maximum(self.most_drawn(self.distinct_over) - 1, 0))

    def _largest_quotas(self) -> tuple[np.ndarray, np.ndarray]:
        """The most tickets of each group in a micro-batch over all epochs, int64, and the largest quota, float64."""
        count = self.groups.group_count
        if self.shares.limits is not None:
            quota = round(self.shares.limits[1] * self.tickets, 9)
            return np.full(count, math.ceil(quota), np.int64), np.full(count, quota)
        if self.shares.settles_at is None:
            return np.full(count, self.tickets, np.int64), np.full(count, float(self.tickets))
        widest = np.zeros(count, np.int64)
        for epoch in range(self.shares.settles_at + 1):
            edges = self._spans[0].wanted if epoch == 0 else self._line(epoch)
            np.maximum(widest, np.diff(edges), out=widest)
        return -(-widest // TICKET), widest / TICKET


def _by_width(index: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """An index as two arguments of a kernel, one of each width, of which the other is empty."""
    if index is None:
        return _NO_INDEX, NONE
    return (index, NONE) if index.dtype == np.uint32 else (_NO_INDEX, index)
