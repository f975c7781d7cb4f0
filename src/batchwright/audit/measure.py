"""Guarantees G1 to G6, measured on the micro-batches of a fixed-size plan."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import Infeasible, whole
from ..orders import Hierarchical, Independent, Mixed, Order, SharedOrder, is_shared
from . import levels
from .report import Audit, Finding
from .worst import Worst

if TYPE_CHECKING:
    from ..plans import FixedPlan

__all__ = ["DRIFT_BOUND", "WINDOW_BOUND", "WINDOW_BOUND_ACROSS", "audit"]

DRIFT_BOUND = 6
DRIFT_BOUND_SWITCHED = (
    10  # measured, not proven: 8.75 in a million micro-batches, 100 groups of which two are on at a time
)
WINDOW_BOUND = 3
WINDOW_BOUND_ACROSS = 6
_CHUNK_BATCHES = 256
_MOST_SAMPLES = 1 << 28
_WHOLE = 1e-6  # shares are kept to 2^-32 of a ticket; a quota this close to a whole number is one


def audit(plan: FixedPlan, *, batches: int = 1000, first: int = 0) -> Audit:
    """Measure guarantees G1 to G6 over `batches` micro-batches from `first` on, from the samples themselves.

    - G1 size: how far a micro-batch's size is from batch_size.
    - G2 quota: how far a group's count lies outside floor..ceil of its quota, in tickets of `per_class` samples.
    - G3 drift: the largest difference between what a group was given since micro-batch 0 and the sum of its quotas, in
      tickets. The bound is 6 over the first million micro-batches and 1 more for every factor of ten beyond. It is 10
      instead of 6 where a group's share goes to 0 and back: what such a group lacks waits until it has a share again.
    - G4 coverage: how far a sample's count lies outside floor..ceil of an even share of its group's draws; for an audit
      that begins inside a pass it may be one more. Of a source with an order of its own: how far from it, and, for an audit
      that begins at micro-batch 0, the same of its groups, to any depth.
    - G4 rare: how far the tickets of a group, counted from micro-batch 0, lie outside floor..ceil of what is expected: of
      groups of equal shares that are shuffled in whole passes (see `kernels.light`), where all others take whole quotas.
    - G5 distinct: repeats within a micro-batch beyond those that a group smaller than its quota must make; a source with
      an order of its own is left out where it has groups smaller than what a micro-batch may take of them.
    - G6 window: the largest deviation from quota of any run of consecutive micro-batches within a round, and of any that
      crosses into the next.

    Independent draws (`draw="random"`) promise G1 only, and only that is measured. Hierarchical plans promise more; see
    `audit.levels`.

    Args:
        plan: a plan of fixed-size micro-batches.
        batches: how many to measure; 1 or more.
        first: the first of them.

    Example:
        >>> import batchwright as bw
        >>> bw.balanced(["cat"] * 90 + ["dog"] * 10, batch_size=8).audit(batches=200).kept
        True
    """
    if isinstance(plan.order, Hierarchical):
        return levels.audit(plan, batches=batches, first=first)
    batches, first = whole(batches, "batches", least=1), whole(first, "first", least=0)
    if plan.groups.sample_count > _MOST_SAMPLES:
        raise Infeasible(
            f"an audit counts every sample, and there are {plan.groups.sample_count}, more than {_MOST_SAMPLES}",
            "audit the same plan of fewer samples",
        )
    sizes = plan.groups.sizes
    tickets, per_ticket, names = plan.order.tickets, plan.order.per_ticket, plan.groups.names
    size, quota, drift, coverage, distinct = (Worst() for _ in range(5))
    within, across, rare = Worst(), Worst(), Worst()
    seen = np.zeros(plan.groups.sample_count, np.int64)
    windows = _Windows(within, across, names)
    dealt = plan.order.dealt
    before = np.zeros(plan.groups.group_count, np.int64) if dealt is None else dealt.drawn(first)
    drawn = np.zeros(plan.groups.group_count, np.int64)
    even = dealt.even_groups() if dealt is not None and plan.order.shares.limits is None else np.zeros(0, np.int64)
    whole_beside = _beside_whole(plan, even)
    excused = list(plan.order.undersized_sources()) if isinstance(plan.order, Mixed) else []
    set_by_span = (
        dealt if plan.order.shares.limits is not None else None
    )  # shares may differ from one change to the next
    wanted = np.zeros(plan.groups.group_count) if dealt is None else _due(plan, first)
    deviation = before / per_ticket - wanted
    switched = False
    last_round, last_epoch, per_batch = (-1, -1), -1, wanted
    for chunk in range(first, first + batches, _CHUNK_BATCHES):
        drawn_samples = plan.order.batches(chunk, 1, min(_CHUNK_BATCHES, first + batches - chunk))
        for number, samples in enumerate(drawn_samples, chunk):
            size.offer(abs(samples.size - plan.batch_size), f"micro-batch {number}")
            if dealt is None:
                continue
            epoch = number // plan.epoch_batches if plan.order.shares.settles_at != 0 else 0
            if epoch != last_epoch and not set_by_span:
                last_epoch, per_batch = epoch, plan.shares(epoch) * tickets
            here = dealt.round_of(number)
            if here[0] != last_round[0]:
                windows.restart(deviation)
                per_batch = set_by_span.quotas(number) if set_by_span else per_batch
            elif here != last_round:
                windows.turn()
            last_round = here
            counts = np.bincount(plan.groups.group_of(samples), minlength=plan.groups.group_count)
            switched = switched or bool(((wanted > 0) & (per_batch == 0)).any())
            full, part = np.divmod(counts, per_ticket)
            outside = np.maximum(np.floor(per_batch + _WHOLE) - full, full - np.ceil(per_batch - _WHOLE))
            quota.offer_groups(np.maximum(outside, 0) + part, number, names)
            drawn += counts
            wanted = wanted + per_batch
            deviation = (before + drawn) / per_ticket - wanted
            drift.offer_groups(np.abs(deviation), number, names)
            if whole_beside:
                had = ((before + drawn) / per_ticket)[even]
                due = wanted[even]
                beyond_due = np.maximum(np.floor(due + _WHOLE) - had, had - np.ceil(due - _WHOLE))
                furthest = int(beyond_due.argmax())
                rare.offer(beyond_due[furthest], f"micro-batch {number}, group {names[int(even[furthest])]!r}")
            windows.see(deviation, number)
            repeats = np.bincount(
                plan.groups.group_of(_repeated(samples)), minlength=plan.groups.group_count
            ) - np.maximum(counts - sizes, 0)
            repeats[excused] = 0
            distinct.offer_groups(np.maximum(repeats, 0), number, names)
            np.add.at(seen, samples, 1)
        if dealt is not None:
            group, excess = _uneven(plan.order, seen, drawn)
            coverage.offer(
                excess, f"by micro-batch {min(chunk + _CHUNK_BATCHES, first + batches) - 1}, group {group!r}"
            )
    for group, child in plan.order.children.items():
        start, stop = plan.groups.starts[group], plan.groups.starts[group + 1]
        own = child.take(int(before[group]), int(before[group] + drawn[group]))
        strayed = np.abs(np.bincount(own, minlength=stop - start) - seen[start:stop])
        coverage.offer(strayed.max(), f"the order of source {names[group]!r}")
        if not first:  # from the beginning passes are whole
            for name, excess in _nested(child, own):
                coverage.offer(excess, f"source {names[group]!r}, group {name!r}")
    findings = [Finding("G1 size", 0, size.value, size.where)]
    if dealt is not None:
        mid_pass = bool((before % np.maximum(sizes, 1)).any())
        beyond = max(0.0, math.log10((first + batches) / 1e6))
        findings += [
            Finding("G2 quota", 0, quota.value, quota.where),
            Finding("G3 drift", (DRIFT_BOUND_SWITCHED if switched else DRIFT_BOUND) + beyond, drift.value, drift.where),
            Finding("G4 coverage", int(mid_pass), coverage.value, coverage.where),
            *([Finding("G4 rare", 0, rare.value, rare.where)] if whole_beside else []),
            Finding("G5 distinct", 0, distinct.value, distinct.where),
            Finding("G6 window", WINDOW_BOUND, within.value, within.where),
            Finding("G6 across", WINDOW_BOUND_ACROSS, across.value, across.where),
        ]
    return Audit(first, batches, tuple(findings))


def _beside_whole(plan: FixedPlan, even: np.ndarray) -> bool:
    """Whether groups of equal shares take the same number of tickets in every micro-batch together."""
    tickets = plan.shares()[even].sum() * plan.order.tickets if even.size else 0.5
    return bool(abs(tickets - round(tickets)) < _WHOLE)


def _due(plan: FixedPlan, batch: int) -> np.ndarray:
    """The sum of every group's quotas before a micro-batch, in tickets."""
    if not batch:
        return np.zeros(plan.groups.group_count)
    if plan.order.shares.limits is not None and plan.order.dealt is not None:  # shares that were set, change by change
        return plan.order.dealt.expected(batch)
    return plan.prior_between(0, batch) * batch * plan.order.tickets


class _Windows:
    """The worst run of consecutive micro-batches: the spread of the running deviation over its ends."""

    def __init__(self, within: Worst, across: Worst, names: Sequence[Hashable]) -> None:
        self._within, self._across, self._names = within, across, names
        self.restart(np.zeros(0))

    def restart(self, deviation: np.ndarray) -> None:
        """Forget all windows that begin before here: the shares have changed."""
        self._before: tuple[np.ndarray, np.ndarray] | None = None
        self._low = self._high = self._last = deviation

    def see(self, deviation: np.ndarray, number: int) -> None:
        self._low, self._high = np.minimum(self._low, deviation), np.maximum(self._high, deviation)
        self._within.offer_groups(self._high - self._low, number, self._names)
        if self._before is not None:
            low, high = self._before
            self._across.offer_groups(np.maximum(self._high, high) - np.minimum(self._low, low), number, self._names)
        self._last = deviation

    def turn(self) -> None:
        """A round ends; its last deviation is where the next begins."""
        self._before = self._low, self._high
        self._low = self._high = self._last


def _repeated(samples: np.ndarray) -> np.ndarray:
    """Every occurrence of a sample but its first."""
    ordered = np.sort(samples)
    again: np.ndarray = ordered[1:][ordered[1:] == ordered[:-1]]
    return again


def _nested(order: Order, drawn: np.ndarray) -> Iterator[tuple[object, float]]:
    """The same as `_uneven` of a source with an order of its own, and of those in it, that drew these samples."""
    if not is_shared(order) or isinstance(order, Independent):
        return
    by_group = np.bincount(order.groups.group_of(drawn), minlength=order.groups.group_count)
    yield _uneven(order, np.bincount(drawn, minlength=order.groups.sample_count), by_group)
    for number, child in order.children.items():
        begin, end = order.groups.starts[number], order.groups.starts[number + 1]
        yield from _nested(child, drawn[(drawn >= begin) & (drawn < end)] - begin)


def _uneven(order: SharedOrder, seen: np.ndarray, drawn: np.ndarray) -> tuple[object, float]:
    """The group whose samples came least evenly, and how far outside floor..ceil the worst of them is."""
    groups = order.groups
    if not groups.starts.size:
        return 0, 0.0  # every sample its own group: its count is its group's
    by_group = seen[: groups.grouped_count] if groups.index is None else seen[groups.index]
    filled = np.setdiff1d(np.flatnonzero(groups.sizes), list(order.children))
    if not filled.size:
        return 0, 0.0
    bounds = np.stack([groups.starts[:-1][filled], groups.starts[1:][filled]], axis=1).reshape(-1)
    padded = np.append(by_group, 0)  # `reduceat` takes no bound behind the last entry
    least = np.minimum.reduceat(padded, bounds)[::2]
    most = np.maximum.reduceat(padded, bounds)[::2]
    size = groups.sizes[filled]
    outside = np.maximum(drawn[filled] // size - least, most + -drawn[filled] // size)
    worst = int(outside.argmax())
    return groups.names[int(filled[worst])], float(max(outside[worst], 0))
