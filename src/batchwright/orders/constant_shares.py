"""A span of the dealt order in which the shares are constant, and what follows when they change."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..errors import Infeasible
from ..kernels import apportion
from ..kernels.deal import HANDS, Shares, deal_heavy, deal_with_light, drawn, new_rounds
from ..kernels.hashing import PURPOSE, child_key
from ..kernels.light import DRAWS, Light, arranged

__all__ = ["NONE", "TICKET", "ConstantShares", "Dealing", "after_change"]

NONE = np.empty(0, np.int64)
TICKET = HANDS << apportion.FRACTION_BITS
"""A ticket in the unit of what is deficit: so many 2^-32ths of a ticket, over HANDS micro-batches, are whole numbers."""

_NEAR = TICKET >> 20  # shares that come as floats miss whole quotas by less than this
_AT_ONCE = TICKET * 3 // 4  # made up for in a round: dealing alone strays by 2.04 in a run of it, and G6 allows 3
_FRACTION = 20


class Dealing(NamedTuple):
    """Micro-batches in full, one a row.

    Attributes:
        samples: sample numbers, int64 (batches, batch_size).
        groups: the group of each ticket, int64 (batches, tickets); no rows if not asked for.
        draws: how many tickets the ticket's group had before it, as `groups`.
    """

    samples: np.ndarray
    groups: np.ndarray
    draws: np.ndarray


@dataclass
class ConstantShares:
    """A span of the order in which the shares are constant, from micro-batch `first` on.

    Args:
        first: its first micro-batch, counted from the order's beginning.
        wanted: the groups on the line of a round's tickets.
        base: tickets each group had before it; empty for none.
        deficit: what each group lacked of its expected tickets before it, in 1 / TICKET; empty for nothing.
        seed: of the order.
        change: how many times the shares had changed by then.
        tickets: tickets in a micro-batch.
        edges: the line that is dealt; `wanted`, except in a span that makes up for a deficit.
        rounds: how many rounds the same shares had before it.
        epoch: micro-batches in an epoch; where what is owed is being made up for, those after which another span follows.
        together: in how many consecutive micro-batches no light group may come twice, as far as that is possible.
        seldom: groups of equal shares are shuffled in whole passes if they come once in so many micro-batches or less often.
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
    light: Light = field(init=False)
    _shares: tuple[Any, ...] = field(init=False)
    _scratch: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        settles = self.edges.size > 0
        self.edges = self.edges if settles else self.wanted
        key = child_key(child_key(self.seed, PURPOSE.CONSTANT_SHARES), 2 * self.change - settles)
        light_start = child_key(key, PURPOSE.LIGHT_PHASE) >> 32
        self.light = arranged(
            self.edges,
            light_start,
            self.tickets,
            batches=self.epoch,
            settling=settles,
            hands=HANDS,
            together=self.together,
            seldom=self.seldom,
        )
        start = child_key(key, PURPOSE.PHASE) >> 32
        self._shares = tuple(Shares(self.tickets, np.uint64(key), start, self.edges, self.base, *self.light))

    def deal(self, batches: np.ndarray, samples: tuple[Any, ...], *, draws: bool) -> Dealing:
        """Some of its micro-batches, counted from its own first; `samples` are the entries of `kernels.deal.Samples`."""
        count = batches.size
        found = np.empty((count, self.tickets * samples[1]), np.int64)
        groups, numbers = np.empty((2, count if draws else 0, self.tickets), np.int64)
        self._check(int(batches.max(initial=0)))
        scratch = self._borrow()
        deal = deal_with_light if self.light.layout[DRAWS] else deal_heavy
        deal(batches, self._shares, samples, scratch, found, groups, numbers)
        self._scratch.append(scratch)
        return Dealing(found, groups, numbers)

    def drawn(self, batch: int) -> np.ndarray:
        """Tickets every group had before micro-batch `batch` of this span, those before the span included."""
        totals = np.empty(self.edges.size - 1, np.int64)
        self._check(batch)
        scratch = self._borrow()
        drawn(batch, self._shares, scratch, totals)
        self._scratch.append(scratch)
        return totals + self.base if self.base.size else totals

    def quotas(self) -> np.ndarray:
        """The tickets a micro-batch should have for every group, float64."""
        found: np.ndarray = np.diff(self.wanted) / TICKET
        return found

    def deficit_at(self, batch: int) -> np.ndarray:
        """What each group lacked of its expected tickets before micro-batch `batch` of this span, int64 in 1 / TICKET.

        Expected tickets may exceed 64 bits and a deficit never does, so the arithmetic is modulo 2^64.
        """
        had = self.drawn(batch) - self.base if self.base.size else self.drawn(batch)
        lacked = np.diff(self.wanted) * np.int64(batch) - had * np.int64(TICKET)
        return lacked + self.deficit if self.deficit.size else lacked

    def _borrow(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scratch that no other thread has: it remembers the last round, which makes the next micro-batch cheap."""
        try:
            return self._scratch.pop()
        except IndexError:
            return new_rounds(self.light.heavy)

    def _check(self, last: int) -> None:
        if last // HANDS >= apportion.MOST_ROUNDS:
            last_dealt = apportion.MOST_ROUNDS * HANDS - 1
            raise Infeasible(f"micro-batch {last} is past the last, {last_dealt}", f"ask for 0 to {last_dealt}")

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
    may_change: bool,
) -> tuple[ConstantShares, ...]:
    """The spans from micro-batch `first` on, where the shares change: one that makes up for the deficit, and the rest.

    So no deficit stays, and drift does not add up however often the shares change.

    Args:
        span: one before the change; what is not named here stays as it is.
        first: as of `ConstantShares`, like `change` and `epoch`.
        wanted: the new line.
        drawn: the new span's base.
        deficit: what is to be made up for.
        change: the number of this change.
        epoch: micro-batches in an epoch.
        may_change: whether the shares may change again after an epoch.
    """
    changed = partial(replace, span, wanted=wanted, change=change)
    batches = HANDS * -(-int(np.abs(deficit).max(initial=0)) // _AT_ONCE)
    if may_change and epoch < HANDS:  # what fits into it is what there is time for
        batches = min(batches, epoch)
    edges = _settling(wanted, deficit, batches) if batches else wanted
    if np.array_equal(edges, wanted):
        return (changed(first=first, base=drawn, deficit=deficit, edges=NONE, rounds=0, epoch=epoch),)
    settling = changed(first=first, base=drawn, deficit=deficit, edges=edges, rounds=0, epoch=batches)
    drawn, deficit, rounds = settling.drawn(batches), settling.deficit_at(batches), -(-batches // HANDS)
    return settling, changed(first=first + batches, base=drawn, deficit=deficit, edges=NONE, rounds=rounds, epoch=epoch)


def _settling(wanted: np.ndarray, deficit: np.ndarray, batches: int) -> np.ndarray:
    """Edges that differ from the wanted ones by the deficit, to be dealt for this many micro-batches.

    A group gets at most three quarters of a ticket more or less than it should in a round, and in every micro-batch still
    floor or ceil of its quota (G2): one whose quota is whole cannot be made up to. Others give way, by part of the room
    they have.
    """
    due = np.diff(wanted)
    most = _AT_ONCE // min(batches, HANDS)
    low = np.minimum(np.maximum((due + _NEAR) // TICKET * TICKET, due - most), due)
    high = np.maximum(np.minimum(-((_NEAR - due) // TICKET) * TICKET, due + most), due)
    given = np.clip(due + deficit // batches, low, high)
    over = int(given.sum()) - int(wanted[-1])
    room = given - low if over > 0 else high - given
    part = room * ((abs(over) << _FRACTION) // max(1, int(room.sum()))) >> _FRACTION
    left = abs(over) - int(part.sum())
    room = room - part
    part = part + np.clip(left - (np.cumsum(room) - room), 0, room)
    given = given - part if over > 0 else given + part
    return np.concatenate([[0], np.cumsum(given)])
