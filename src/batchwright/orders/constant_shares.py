"""Spans of the dealt order in which the shares are constant, and how one follows another when shares change.

When shares change, every group has had a little more or less than its shares so far: its deficit. A first span of the
new shares pays the deficits back, in a few rounds; a second one continues with the new shares alone. So deficits never
add up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..errors import Infeasible
from ..kernels.deal import deal_heavy, deal_with_light, drawn
from ..kernels.deal_arguments import ROUND, DealShares, new_rounds
from ..kernels.hashing import PURPOSE, child_key
from ..kernels.light import DRAWS, Light, arranged
from ..kernels.settling import AT_ONCE, TICKET, settle
from ..micro_batches import LAST

__all__ = ["NONE", "TICKET", "ConstantShares", "Dealing", "after_change", "after_settling"]

NONE = np.empty(0, np.int64)
_NOT_ASKED = np.empty((0, 0), np.int64)


class Dealing(NamedTuple):
    """Micro-batches, one a row.

    Attributes:
        samples: sample numbers, int64 (batches, batch_size).
        groups: the group of each ticket, int64 (batches, tickets); no rows if not needed.
        draws: how many tickets the group of each ticket had before it, int64 (batches, tickets); no rows if not needed.
    """

    samples: np.ndarray
    groups: np.ndarray
    draws: np.ndarray


@dataclass
class ConstantShares:
    """A span of the order, from micro-batch `first` on, in which the shares are constant.

    Args:
        first: number of its first micro-batch in the order.
        wanted: the wanted shares, as edges of the groups on the line of a round's tickets; see `kernels.apportion`.
        base: tickets that each group had before it, int64 (groups,); empty if none had any.
        deficit: what each group lacked of its expected tickets before it, int64 (groups,) in 1 / TICKET; empty for
            nothing.
        seed: the seed of the order.
        change: how many times the shares had changed when it began.
        tickets: tickets in a micro-batch.
        edges: the line that is dealt; `wanted`, except in a span that pays deficits back.
        rounds: how many rounds the spans of the same shares before it had.
        epoch: micro-batches in an epoch; in a span that pays deficits back, its own number of micro-batches.
        together: number of consecutive micro-batches in which no light group comes twice, as far as that is possible.
        seldom: groups of equal shares are shuffled in complete passes if they come once in this many micro-batches, or
            less.
    """

    first: int
    wanted: np.ndarray
    base: np.ndarray
    deficit: np.ndarray
    seed: int
    change: int
    tickets: int
    edges: np.ndarray = field(default_factory=lambda: NONE)
    rounds: int = 0
    epoch: int = 1
    together: int = 1
    seldom: int = 1
    settles: bool = field(init=False)  # whether it pays deficits back
    light: Light = field(init=False)
    _shares: tuple[Any, ...] = field(init=False)
    _scratch: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.settles = settles = self.edges.size > 0
        self.edges = self.edges if settles else self.wanted
        # Two spans of one change must not share random numbers, so each number of a change has two keys.
        key = child_key(child_key(self.seed, PURPOSE.CONSTANT_SHARES), 2 * self.change - settles)
        light_start = child_key(key, PURPOSE.LIGHT_PHASE) >> 32
        self.light = arranged(
            self.edges,
            light_start,
            self.tickets,
            batches=self.epoch,
            settling=settles,
            round_batches=ROUND,
            together=self.together,
            seldom=self.seldom,
        )
        start = child_key(key, PURPOSE.PHASE) >> 32
        self._shares = tuple(DealShares(self.tickets, np.uint64(key), start, self.edges, self.base, *self.light))

    def deal(self, batches: np.ndarray, samples: tuple[Any, ...], *, draws: bool) -> Dealing:
        """Deal some of its micro-batches, in ascending order and counted from its first; `samples`: see `kernels.deal`."""
        count = batches.size
        found = np.empty((count, self.tickets * samples[1]), np.int64)
        groups, numbers = np.empty((2, count, self.tickets), np.int64) if draws else (_NOT_ASKED, _NOT_ASKED)
        self._check(int(batches[-1]) if count else 0)
        scratch = self._borrow()
        deal = deal_with_light if self.light.layout[DRAWS] else deal_heavy
        deal(batches, self._shares, samples, scratch, found, groups, numbers)
        self._scratch.append(scratch)
        return Dealing(found, groups, numbers)

    def drawn(self, batch: int) -> np.ndarray:
        """Tickets that every group had before micro-batch `batch` of this span and in earlier spans, int64 (groups,)."""
        totals = np.empty(self.edges.size - 1, np.int64)
        self._check(batch)
        scratch = self._borrow()
        drawn(batch, self._shares, scratch, totals)
        self._scratch.append(scratch)
        return totals + self.base if self.base.size else totals

    def quotas(self) -> np.ndarray:
        """The quota of every group in tickets, float64 (groups,)."""
        found: np.ndarray = np.diff(self.wanted) / TICKET
        return found

    def before(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """What every group had before micro-batch `batch` of this span, see `drawn`; and its deficit, in 1 / TICKET.

        Expected tickets may exceed 64 bits and a deficit never does, so the arithmetic is modulo 2^64.
        """
        drawn = self.drawn(batch)
        had = drawn - self.base if self.base.size else drawn
        lacked = np.diff(self.wanted) * np.int64(batch) - had * np.int64(TICKET)
        return drawn, lacked + self.deficit if self.deficit.size else lacked

    def _borrow(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scratch memory that no other thread uses; it holds the last round, which makes its next micro-batch cheap.

        `list.pop` and `list.append` are atomic, so no lock is needed.
        """
        try:
            return self._scratch.pop()
        except IndexError:
            return new_rounds(self.light.heavy)

    def _check(self, last: int) -> None:
        if last > LAST:
            raise Infeasible(f"micro-batch {last} is past the last, {LAST}", f"ask for 0 to {LAST}")

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_scratch": []}


def after_change(
    span: ConstantShares,
    first: int,
    wanted: np.ndarray,
    drawn: np.ndarray,
    deficit: np.ndarray,
    *,
    change: int,
    epoch: int,
    stays: int | None,
) -> tuple[ConstantShares, ...]:
    """The spans after a change of the shares: one that pays deficits back, if there are any, and the rest, if there is one.

    Args:
        span: the one before the change; what is not named here stays as it is.
        first: the first micro-batch that has the new shares.
        wanted: the edges of the new shares.
        drawn: tickets that each group has had so far.
        deficit: what each group lacks of its expected tickets so far.
        change: how many times the shares have changed, this time included.
        epoch: micro-batches in an epoch.
        stays: the micro-batches after which the shares may change again; None if they will not.
    """
    changed = partial(
        ConstantShares, first, wanted, drawn, deficit, span.seed, change, span.tickets,
        together=span.together, seldom=span.seldom,
    )  # fmt: skip
    batches = ROUND * -(-int(np.abs(deficit).max(initial=0)) // AT_ONCE)
    # If the shares change again before a round is over, pay back only what that leaves time for.
    if stays is not None and stays < ROUND:
        batches = min(batches, stays)
    edges = _settling(wanted, deficit, batches) if batches else wanted
    if np.array_equal(edges, wanted):
        return (changed(epoch=epoch),)
    settling = changed(edges=edges, epoch=batches)
    return (settling,) if batches == stays else (settling, after_settling(settling, epoch))


def after_settling(settling: ConstantShares, epoch: int) -> ConstantShares:
    """The span of the same shares that follows a span that pays deficits back; `epoch`: micro-batches in an epoch."""
    batches = settling.epoch
    return ConstantShares(
        settling.first + batches,
        settling.wanted,
        *settling.before(batches),
        seed=settling.seed,
        change=settling.change,
        tickets=settling.tickets,
        rounds=-(-batches // ROUND),
        epoch=epoch,
        together=settling.together,
        seldom=settling.seldom,
    )


def _settling(wanted: np.ndarray, deficit: np.ndarray, batches: int) -> np.ndarray:
    """Edges of shares that pay the deficits back within this many micro-batches."""
    edges = np.empty_like(wanted)
    settle(wanted, deficit, batches, np.empty_like(deficit), edges)
    return edges
