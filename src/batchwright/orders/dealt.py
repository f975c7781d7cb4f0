"""The dealt order: exact shares in every micro-batch, even use of every sample, any place computed directly."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import Infeasible
from ..groups import Groups
from ..kernels import apportion
from ..kernels.deal_arguments import ROUND, SIZE, WIDE, Samples, group_table_of
from ..kernels.hashing import PURPOSE, child_key, mix
from ..kernels.passes import draws
from ..micro_batches import LAST, later_epoch
from ..plain_engine import Deal
from .ascending_draws import with_ascending_draws
from .constant_shares import NONE, TICKET, ConstantShares, Dealing, after_change
from .protocol import BatchwiseOrder, Order, Undersized, undersized_groups
from .share_change import ShareChange
from .shares import Shares, group_rates, moves_within_epochs
from .walk import Walk

__all__ = ["Dealt"]

# Groups of equal shares that come once in so many micro-batches, or less often, are shuffled in complete passes.
_SELDOM = 8
_NO_INDEX = np.empty(0, np.uint32)
_RUN_BOUND = 6  # G6: consecutive micro-batches have at most this many tickets of a group more than its quotas


class Dealt(BatchwiseOrder):
    """Draws in exact shares. `kernels.deal` explains how, `docs/design.md` what is guaranteed.

    Args:
        groups: which samples are in which group.
        shares: the wanted shares.
        batch_size: samples in a micro-batch.
        per_ticket: samples of one group that come together (M of "P classes times M").
        seed: 0 to 2^64 - 1.
        epoch_batches: the number of micro-batches after which a target that moves is evaluated again.
        share_changes: changes of the shares during a run. If the first of them is not number 1, earlier ones are not
            known.
        initial: the shares before the first change; `shares` if left out.
        distinct_over: this many consecutive samples are distinct, as far as groups are large enough; those of a
            micro-batch if left out.
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
        initial: Shares | None = None,
        distinct_over: int | None = None,
    ) -> None:
        self.groups = groups
        self.shares = shares
        self.share_changes = share_changes
        self.initial = shares if initial is None else initial
        self.batch_size = batch_size
        self.per_ticket = per_ticket
        self.seed = seed
        self.epoch_batches = epoch_batches
        self.distinct_over = distinct_over
        self.tickets = batch_size // per_ticket
        self._together = 1 if distinct_over is None else self._touched(distinct_over)
        # Groups that come often are dealt: with tickets of one sample, shuffling them would take two thirds more time
        # (measured).
        self._seldom = 1 if per_ticket > 1 or not groups.starts.size else _SELDOM
        spans = self._spans = self._known_spans()
        self._walk: Walk | None = None
        if shares.settles_at != 0:
            self._walk = Walk(
                spans[0],
                self._line,
                epoch_batches=epoch_batches,
                firsts=shares.firsts,
                looks_ahead=shares.every is not None,
            )
        self._only = None if share_changes or self._walk is not None else spans[0]  # the span of all micro-batches
        self._samples = self._samples_of_groups()
        self._is_shuffle = self._only is not None and batch_size == len(self._samples[2]) == 1 and distinct_over is None

    def _known_spans(self) -> tuple[ConstantShares, ...]:
        edges = self.initial.edges(ROUND * self.tickets, 0)
        first = ConstantShares(
            0, edges, NONE, NONE, self.seed, 0, self.tickets,
            epoch=self.epoch_batches, together=self._together, seldom=self._seldom,
        )  # fmt: skip
        spans = [first]
        for change in self.share_changes:
            spans = self._spans_with(spans, change)
        # A state keeps the last changes only: what came before is not known.
        if self.share_changes and self.share_changes[0].number > 1:
            spans = [span for span in spans if span.first >= self.share_changes[0].first]
        return tuple(spans)

    def _samples_of_groups(self) -> tuple[Any, ...]:
        table = self._group_rows()
        head_size = 2 * int(table[:, WIDE].max(initial=0))
        return tuple(Samples(np.uint64(self.seed), self.per_ticket, table, head_size, *_by_width(self.groups.index)))

    def __getstate__(self) -> dict[str, Any]:
        # Made again where it is unpickled, so that an index on disk is mapped there too and not copied.
        return {name: value for name, value in vars(self).items() if name != "_samples"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._samples = self._samples_of_groups()

    @property
    def identity(self) -> dict[str, str]:
        """See `Order`."""
        return {
            "draw": "exact",
            "groups": self.groups.identity,
            "target": self.initial.identity,
            "batch_size": str(self.batch_size),
            "per_class": str(self.per_ticket),
            "seed": str(self.seed),
            "epoch": "any" if self._ignores_epoch() else str(self.epoch_batches),
            **({} if self.distinct_over is None else {"distinct, in sequence over": str(self.distinct_over)}),
        }

    def batches_at(self, numbers: np.ndarray) -> np.ndarray:
        """See `Order`."""
        if self.distinct_over is not None:
            return with_ascending_draws(self.dealing(numbers), self.per_ticket).samples
        count = numbers.size  # they ascend
        if self._is_shuffle and count and numbers[-1] - numbers[0] + 1 == count and numbers[-1] < LAST:
            return self._shuffled(int(numbers[0]), count)
        if self._only is not None:  # the loop below would take a tenth of the time of a small batch
            return self._only.deal(numbers, self._samples, draws=False).samples
        parts = [span.deal(inside, self._samples, draws=False).samples for span, inside in self._by_span(numbers)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _shuffled(self, first: int, count: int) -> np.ndarray:
        """These micro-batches of a plain shuffle, one sample each: the draws of its only group, which need no dealing."""
        table = self._samples[2]
        places = np.empty(count, np.int64)
        key = mix(np.array([child_key(self.seed, PURPOSE.PASS)], np.uint64))[0]  # that of group 0
        draws(places, first, int(table[0, SIZE]), int(table[0, WIDE]), key)
        return (places if self.groups.index is None else self.groups.index[places].astype(np.int64)).reshape(-1, 1)

    def dealing(self, numbers: np.ndarray) -> Dealing:
        """The same micro-batches as dealt, with the group of each ticket and how many tickets the group had before."""
        parts = [span.deal(inside, self._samples, draws=True) for span, inside in self._by_span(numbers)]
        return parts[0] if len(parts) == 1 else Dealing(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _by_span(self, numbers: np.ndarray) -> Iterator[tuple[ConstantShares, np.ndarray]]:
        """The spans that these micro-batches lie in, ascending, with their numbers within each; at least one span."""
        here = 0
        while True:
            span, end = self._span_at(int(numbers[here]) if numbers.size else 0)
            done, here = here, numbers.size if end is None else int(np.searchsorted(numbers, end))
            yield span, numbers[done:here] - span.first
            if here == numbers.size:
                return

    def rates(self, samples: np.ndarray, epoch: int = 0) -> np.ndarray:
        """See `Order`."""
        return group_rates(self.groups, self.shares, samples, epoch)

    @property
    def children(self) -> Mapping[int, Order]:
        """See `SharedOrder`: none, every group is shuffled."""
        return {}

    @property
    def dealt(self) -> Dealt:
        """See `SharedOrder`: this order itself."""
        return self

    @property
    def first_span(self) -> ConstantShares:
        """How micro-batches are dealt until the shares change."""
        return self._spans[0]

    def even_groups(self) -> np.ndarray:
        """The numbers of the groups that are shuffled in complete passes, ascending; none if shares change."""
        return self._spans[0].light.even_groups() if self.shares.settles_at == 0 else NONE

    @property
    def deal(self) -> Deal | None:
        """What `plain_engine` deals micro-batches of this order from; None for an order that it does not cover.

        It covers shares that never change, and light groups that come in complete passes.
        """
        span, groups = self._spans[0], self.groups
        constant = self._walk is None and len(self._spans) == 1 and self.distinct_over is None
        if not constant or not span.light.even or groups.index is None:
            return None
        wide = self._group_rows()[:, WIDE].tolist()
        return Deal(
            self.seed, self.tickets, self.per_ticket, span.edges.tolist(), groups.starts.tolist(), wide,
            span.light.heavy.tolist(), span.light.even_groups().tolist(), *span.light.passes,
        )  # fmt: skip

    def drawn(self, batch: int) -> np.ndarray:
        """How many samples of every group came before micro-batch `batch`, int64 (groups,); computed directly."""
        span, _ = self._span_at(batch)
        return span.drawn(batch - span.first) * self.per_ticket

    def share_change_after(self, batch: int, weights: Sequence[int]) -> ShareChange:
        """The change to these weights, at the first round that begins at micro-batch `batch` or later."""
        spans = [span for span in self._spans if span.first < batch] or self._spans[:1]
        span = spans[-1]
        until = -(-(batch - span.first) // ROUND) * ROUND
        drawn, deficit = span.before(until)
        return ShareChange(
            span.first + until, span.change + 1, tuple(weights), tuple(drawn.tolist()), tuple(deficit.tolist())
        )

    def with_share_changes(self, share_changes: Sequence[ShareChange]) -> Dealt:
        """A copy with these changes of the shares; its `shares` are those of the last one."""
        shares = self.initial.moved(share_changes[-1].weights) if share_changes else self.initial
        return self._again(shares, share_changes, self.distinct_over, initial=self.initial)

    def with_shares(self, shares: Shares) -> Dealt:
        """A copy with other shares from the beginning."""
        return self._again(shares, (), self.distinct_over, initial=shares)

    def check_known(self, batch: int) -> None:
        """Refuse a micro-batch whose shares are no longer known."""
        self._span_at(batch)

    def quotas(self, batch: int) -> np.ndarray:
        """The quotas of a micro-batch in tickets, float64 (groups,)."""
        span, _ = self._span_at(batch)
        return span.quotas()

    def expected(self, batch: int) -> np.ndarray:
        """The sum of every group's quotas before micro-batch `batch`, in tickets: float64 (groups,)."""
        span, _ = self._span_at(batch)
        before = span.base + span.deficit / TICKET if span.base.size else 0.0
        expected: np.ndarray = before + (batch - span.first) * span.quotas()
        return expected

    def _spans_with(self, spans: list[ConstantShares], change: ShareChange) -> list[ConstantShares]:
        """The spans before a change, and the spans after it."""
        wanted = apportion.line(change.weights, ROUND * self.tickets)
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
            stays=None,
        )
        return [*before, *after]

    def round_of(self, batch: int) -> tuple[int, int]:
        """How many times the shares had changed before a micro-batch, and the number of its round since the last change."""
        span, _ = self._span_at(batch)
        return span.change, span.rounds + (batch - span.first) // ROUND

    def _span_at(self, batch: int) -> tuple[ConstantShares, int | None]:
        """The span of a micro-batch, and the micro-batch where the span ends as far as is known; None if it never ends."""
        if self._walk is not None:
            return self._walk.at(batch)
        number = bisect_right(self._spans, batch, key=lambda span: span.first) - 1
        if number < 0:
            first, changes = self._spans[0].first, len(self.share_changes)
            raise Infeasible(
                f"micro-batch {batch} came before the shares of micro-batch {first} were set, and only the last {changes} "
                "times that shares were set are known",
                f"go on from micro-batch {first}, or ask for {later_epoch(first, self.epoch_batches)}",
            )
        return self._spans[number], self._spans[number + 1].first if number + 1 < len(self._spans) else None

    def _line(self, epoch: int) -> np.ndarray:
        """The shares of an epoch, as edges on the line of a round's tickets; see `kernels.apportion`."""
        return self.shares.edges(ROUND * self.tickets, epoch)

    def most_drawn(self, places: int | None = None) -> np.ndarray:
        """The most draws of each group in the micro-batches that `places` consecutive samples can touch, int64 (groups,).

        Draws are shuffled within a micro-batch, so the samples taken of it may be any of them. Without `places`: the
        most in one micro-batch.
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
        if moves_within_epochs(self.shares):
            return True
        return self.shares.settles_at == 0 and self.shares.limits is None and self._spans[0].light.even

    def _touched(self, places: int) -> int:
        """The most micro-batches that `places` consecutive samples can touch."""
        return (places + 2 * self.batch_size - 2) // self.batch_size

    def integer_quotas(self) -> list[bool]:
        """For each group, whether it has the same number of tickets, above 0, in every micro-batch."""
        tickets = np.diff(self._spans[0].wanted)
        steady = self.shares.settles_at == 0 and self.shares.limits is None
        return [steady and count > 0 and count % TICKET == 0 for count in tickets.tolist()]

    def distinct_within(self, places: int) -> Dealt:
        """A copy in which any `places` consecutive samples are distinct, where groups are large enough."""
        if places == self.distinct_over:
            return self
        return self._again(self.shares, self.share_changes, places, initial=self.initial)

    def undersized(self, places: int | None = None) -> list[Undersized]:
        """The groups too small to keep samples apart; see `SharedOrder`."""
        most = self.most_drawn(places)
        if not self.groups.starts.size:  # every sample is a group of its own
            often = int(most.argmax())
            return [Undersized(often, 1, int(most[often]))] if most[often] > 1 else []
        return undersized_groups(self.groups, most)

    def _again(
        self, shares: Shares, share_changes: Sequence[ShareChange], places: int | None, *, initial: Shares
    ) -> Dealt:
        return Dealt(
            self.groups,
            shares,
            batch_size=self.batch_size,
            per_ticket=self.per_ticket,
            seed=self.seed,
            epoch_batches=self.epoch_batches,
            share_changes=tuple(share_changes),
            initial=initial,
            distinct_over=places,
        )

    def _group_rows(self) -> np.ndarray:
        """What the kernel needs of each group, int64 (groups, 5); no rows if every sample is its own group."""
        groups = self.groups
        if not groups.starts.size:
            return np.empty((0, 5), np.int64)
        return group_table_of(groups.sizes, groups.starts[:-1], np.maximum(self.most_drawn(self.distinct_over) - 1, 0))

    def _largest_quotas(self) -> tuple[np.ndarray, np.ndarray]:
        """For each group, over all epochs, the most tickets in a micro-batch, int64, and the largest quota, float64."""
        count = self.groups.group_count
        if self.shares.limits is not None:
            # Rounded, since 0.1 * 30 is slightly above 3 in floats, and its ceil would be 4.
            quota = round(self.shares.limits[1] * self.tickets, 9)
            return np.full(count, math.ceil(quota), np.int64), np.full(count, quota)
        if self.shares.firsts is None:
            return np.full(count, self.tickets, np.int64), np.full(count, float(self.tickets))
        widest = np.zeros(count, np.int64)
        for epoch in self.shares.firsts:
            edges = self._spans[0].wanted if epoch == 0 else self._line(epoch)
            np.maximum(widest, np.diff(edges), out=widest)
        return -(-widest // TICKET), widest / TICKET


def _by_width(index: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """An index as two arguments of a kernel, one of each width, of which the other is empty."""
    if index is None:
        return _NO_INDEX, NONE
    return (index, NONE) if index.dtype == np.uint32 else (_NO_INDEX, index)
