"""Inclusion rates: how often each sample is drawn in a stretch of a plan, in expectation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..errors import Infeasible
from ..groups import Groups
from .protocol import Order
from .shared import SharedOrder, is_shared

__all__ = ["Strata", "Stratum", "batches_to_settle", "mean_shares", "strata_of"]


class Stratum(NamedTuple):
    """Groups in which all samples of a group have the same inclusion rate.

    Attributes:
        groups: which samples are in which group.
        start: what is added to their sample numbers.
        shares: the share of each group in all draws, float64 (groups,).
    """

    groups: Groups
    start: int
    shares: np.ndarray

    def members(self) -> tuple[np.ndarray, np.ndarray]:
        """Every sample that is in a group, and its share in all draws."""
        groups = self.groups
        if not groups.starts.size:
            return self.start + np.arange(groups.sample_count), self.shares
        numbers = np.arange(groups.grouped_count) if groups.index is None else groups.index.astype(np.int64)
        each = np.divide(self.shares, groups.sizes, out=np.zeros(groups.group_count), where=groups.sizes > 0)
        return self.start + numbers, np.repeat(each, groups.sizes)


class Strata(tuple[Stratum, ...]):
    """The strata of all draws: inclusion rates (Horvitz and Thompson 1952). Rates of a sample in several strata add."""

    def within(self, share: float, start: int) -> Iterator[Stratum]:
        """These strata as a part of a larger whole: scaled by `share`, with samples numbered from `start` on."""
        return (stratum._replace(start=stratum.start + start, shares=stratum.shares * share) for stratum in self)

    def prior(self, groups: Groups) -> np.ndarray:
        """The share of each of these groups in all draws, float64; they sum to 1 if every sample drawn is in a group."""
        found = np.zeros(groups.group_count)
        for stratum in self:
            if stratum.groups is groups and stratum.start == 0:
                found += stratum.shares
                continue
            samples, rates = stratum.members()
            codes = groups.group_of(samples)
            found += np.bincount(codes, weights=rates, minlength=groups.group_count)[: groups.group_count]
        return found

    def rates(self, samples: np.ndarray) -> np.ndarray:
        """The share of each of these samples in all draws, float64."""
        samples = np.asarray(samples)
        found = np.zeros(samples.shape)
        for groups, start, shares in self:
            here = (samples >= start) & (samples < start + groups.sample_count)
            codes = np.asarray(groups.group_of(samples[here] - start))
            grouped = codes < groups.group_count
            here[here] = grouped
            found[here] += shares[codes[grouped]] / groups.sizes[codes[grouped]]
        return found


def strata_of(order: Order, start: int, stop: int) -> Strata:
    """The inclusion rates of micro-batches start..stop-1 of an order."""
    if not is_shared(order):  # a user's own order, which knows rates of single samples
        everyone = Groups.singletons(order.groups.sample_count)
        return Strata([Stratum(everyone, 0, order.rates(np.arange(everyone.sample_count)))])
    shares = mean_shares(order, start, stop)
    own = shares.copy()
    own[list(order.children)] = 0
    found = [Stratum(order.groups, 0, own)]
    for number, child in order.children.items():
        if shares[number]:
            within = strata_of(child, *_batches_of_child(order, number, child, start, stop))
            found += within.within(float(shares[number]), int(order.groups.starts[number]))
    return Strata(found)


def mean_shares(order: SharedOrder, start: int, stop: int) -> np.ndarray:
    """The mean wanted share of every group over micro-batches start..stop-1, float64.

    Where shares were set while a run was under way and the earliest are forgotten, what was drawn by then stands for them.

    Raises:
        Infeasible: a stretch that begins or ends among those forgotten.
    """
    dealt, settled = order.dealt, order.shares.settles_at
    if dealt is not None and dealt.share_changes:
        known = dealt.share_changes[0]
        if known.number > 1 and min(start or known.first, stop) < known.first:
            raise Infeasible(
                f"which shares held before micro-batch {known.first} is forgotten, only those set last are kept",
                f"ask from 0 on or from {known.first} on, up to {known.first} or later",
            )
        expected = dealt.expected(stop) - (dealt.expected(start) if start else 0)
        mean: np.ndarray = expected / expected.sum()
        return mean
    if settled == 0:
        return order.shares.of(0)
    total = np.zeros(order.groups.group_count)
    batch = start
    while batch < stop:
        epoch = batch // order.epoch_batches
        last = settled is not None and epoch >= settled
        end = stop if last else min(stop, (epoch + 1) * order.epoch_batches)
        total += (end - batch) * order.shares.of(epoch)
        batch = end
    return total / (stop - start)


def batches_to_settle(order: Order) -> int | None:
    """The number of micro-batches after which no share changes: 0 if none ever does, None if some may always change."""
    if not is_shared(order):
        return 0
    settled = order.shares.settles_at
    if settled is None or order.shares.limits is not None:
        return None
    own = settled * order.epoch_batches
    after = own
    for number, child in order.children.items():
        batches, share = batches_to_settle(child), float(order.shares.of(settled)[number])
        if batches is None:
            return None
        if batches and share:
            after = max(after, own + int(np.ceil(batches * child.batch_size / (share * order.batch_size))))
    return after


def _batches_of_child(order: SharedOrder, number: int, child: Order, start: int, stop: int) -> tuple[int, int]:
    if batches_to_settle(child) == 0 or order.dealt is None:
        return 0, 1
    first, last = (int(order.dealt.drawn(batch)[number]) for batch in (start, stop))
    return first // child.batch_size, max(first // child.batch_size + 1, -(-last // child.batch_size))
