"""Inclusion rates: the expected share of each sample in the draws of a part of a plan (Horvitz and Thompson 1952)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..errors import Infeasible
from ..groups import Groups
from ..micro_batches import later_epoch
from .protocol import Order
from .shared import SharedOrder, is_shared
from .shares import stage_of

__all__ = [
    "GroupRates",
    "InclusionRates",
    "Unshuffled",
    "Varying",
    "batches_to_settle",
    "drawn_rates_of",
    "inclusion_rates_of",
    "mean_shares",
    "shards_change_rates",
]


class GroupRates(NamedTuple):
    """Groups in which all samples of a group have the same inclusion rate.

    Attributes:
        groups: which samples are in which group.
        start: added to the sample numbers of `groups`: a source of a mixture has its numbers after those of earlier
            sources.
        shares: the share of each group in all draws, float64 (groups,).
    """

    groups: Groups
    start: int
    shares: np.ndarray

    def members(self) -> tuple[np.ndarray, np.ndarray]:
        """Every sample that is in a group, int64, and its share of all draws, float64."""
        groups = self.groups
        if not groups.starts.size:
            return self.start + np.arange(groups.sample_count), self.shares
        numbers = np.arange(groups.grouped_count) if groups.index is None else groups.index.astype(np.int64)
        each = np.divide(self.shares, groups.sizes, out=np.zeros(groups.group_count), where=groups.sizes > 0)
        return self.start + numbers, np.repeat(each, groups.sizes)


class InclusionRates(tuple[GroupRates, ...]):
    """The inclusion rates of all samples, by groups with equal rates; the rates of a sample that is in several add up."""

    def within(self, share: float, start: int) -> Iterator[GroupRates]:
        """The same groups as a part of a larger plan: shares times `share`, samples numbered from `start` on."""
        return (part._replace(start=part.start + start, shares=part.shares * share) for part in self)

    def prior(self, groups: Groups) -> np.ndarray:
        """The share of each group in all draws, float64 (groups,); they sum to 1 if every drawn sample is in a group."""
        found = np.zeros(groups.group_count)
        for part in self:
            if part.groups is groups and part.start == 0:  # the usual case needs no pass over the samples
                found += part.shares
                continue
            samples, rates = part.members()
            codes = groups.group_of(samples)
            found += np.bincount(codes, weights=rates, minlength=groups.group_count)[: groups.group_count]
        return found

    def rates(self, samples: np.ndarray) -> np.ndarray:
        """The share of each of these samples in all draws, float64, in the shape of `samples`."""
        shape, samples = np.shape(samples), np.ravel(samples)
        found = np.zeros(samples.size)
        for groups, start, shares in self:
            here = (samples >= start) & (samples < start + groups.sample_count)
            codes = np.asarray(groups.group_of(samples[here] - start))
            grouped = codes < groups.group_count
            here[here] = grouped
            found[here] += shares[codes[grouped]] / groups.sizes[codes[grouped]]
        return found.reshape(shape)


class Varying(ABC):
    """An order in which samples do not come equally often in every epoch, though its shares never change."""

    @abstractmethod
    def inclusion_rates(self, start: int, stop: int) -> InclusionRates:
        """The inclusion rates over micro-batches start..stop-1."""

    @abstractmethod
    def shares_between(self, start: int, stop: int) -> np.ndarray:
        """The share of each group in the draws of micro-batches start..stop-1, float64 (groups,)."""


class Unshuffled(ABC):
    """An order that is no random one: a part of a pass may hold samples of one class only, though no share changes."""

    @abstractmethod
    def drawn(self, first: int, last: int) -> InclusionRates:
        """The share of each sample in places first..last-1, counted."""


def counts_draws(order: Order) -> bool:
    """Whether an order, or one of its sources, is no random one."""
    return isinstance(order, Unshuffled) or (is_shared(order) and any(map(counts_draws, order.children.values())))


def drawn_rates_of(order: Order, start: int, stop: int) -> InclusionRates:
    """Like `inclusion_rates_of`, but what comes of orders that are no random ones is counted."""
    return _counted(order, start * order.batch_size, stop * order.batch_size)


def _counted(order: Order, first: int, last: int) -> InclusionRates:
    """The rates of places first..last-1 of an order; of one that is not counted, of the micro-batches that they lie in."""
    if isinstance(order, Unshuffled):
        return order.drawn(first, last)
    start, stop = first // order.batch_size, max(first // order.batch_size + 1, -(-last // order.batch_size))
    if not (counts_draws(order) and is_shared(order) and order.dealt is not None):
        return inclusion_rates_of(order, start, stop)
    shares, children = mean_shares(order, start, stop), order.children
    own = shares.copy()
    own[list(children)] = 0
    found = [GroupRates(order.groups, 0, own)]
    before, after = order.dealt.drawn(start), order.dealt.drawn(stop)
    for number, child in children.items():
        if after[number] > before[number]:
            within = _counted(child, int(before[number]), int(after[number]))
            found += within.within(float(shares[number]), int(order.groups.starts[number]))
    return InclusionRates(found)


def shards_change_rates(order: Order) -> bool:
    """Whether samples of an order, or of one of its sources, come more or less often from epoch to epoch."""
    return isinstance(order, Varying) or (is_shared(order) and any(map(shards_change_rates, order.children.values())))


def inclusion_rates_of(order: Order, start: int, stop: int) -> InclusionRates:
    """The inclusion rates of an order over micro-batches start..stop-1."""
    if isinstance(order, Varying):
        return order.inclusion_rates(start, stop)
    if not is_shared(order):  # a user's own order gives rates of single samples only
        everyone = Groups.singletons(order.groups.sample_count)
        return InclusionRates([GroupRates(everyone, 0, order.rates(np.arange(everyone.sample_count)))])
    shares = mean_shares(order, start, stop)
    own = shares.copy()
    own[list(order.children)] = 0
    found = [GroupRates(order.groups, 0, own)]
    for number, child in order.children.items():
        if shares[number]:
            within = inclusion_rates_of(child, *_batches_of_child(order, number, child, start, stop))
            found += within.within(float(shares[number]), int(order.groups.starts[number]))
    return InclusionRates(found)


def mean_shares(order: SharedOrder, start: int, stop: int) -> np.ndarray:
    """The mean wanted share of every group over micro-batches start..stop-1, float64 (groups,).

    If shares were set during a run, and its state no longer holds the earliest ones, the draws counted until then are
    used in place of them.

    Raises:
        Infeasible: the range begins or ends where the shares are no longer known.
    """
    if isinstance(order, Varying):
        return order.shares_between(start, stop)
    dealt = order.dealt
    if dealt is not None and dealt.share_changes:
        earliest = dealt.share_changes[0]
        if earliest.number > 1 and min(start or earliest.first, stop) < earliest.first:
            raise Infeasible(
                f"the shares before micro-batch {earliest.first} are not known any more, only those set last are kept",
                f"ask from 0 or from {earliest.first} on, up to {earliest.first} or later, or for "
                f"{later_epoch(earliest.first, dealt.epoch_batches)}",
            )
        expected = dealt.expected(stop) - (dealt.expected(start) if start else 0)
        mean: np.ndarray = expected / expected.sum()
        return mean
    if order.shares.settles_at == 0:
        return order.shares.of(0)
    total = np.zeros(order.groups.group_count)
    batch = start
    while batch < stop:
        epoch, following = stage_of(order.shares.firsts, batch // order.epoch_batches)
        end = stop if following is None else min(stop, following * order.epoch_batches)
        total += (end - batch) * order.shares.of(epoch)
        batch = end
    return total / (stop - start)


def batches_to_settle(order: Order) -> int | None:
    """The micro-batch from which on no share changes: 0 if none ever does, None if some may always change."""
    if not is_shared(order):
        return 0
    settled = order.shares.settles_at
    if settled is None or order.shares.limits is not None:
        return None
    own = settled * order.epoch_batches
    settled_by = own
    for number, child in order.children.items():
        batches, share = batches_to_settle(child), float(order.shares.of(settled)[number])
        if batches is None:
            return None
        if batches and share:
            settled_by = max(settled_by, own + int(np.ceil(batches * child.batch_size / (share * order.batch_size))))
    return settled_by


# A source's own shares may change along its order, and the mixture takes only a part of that in the same time.
def _batches_of_child(order: SharedOrder, number: int, child: Order, start: int, stop: int) -> tuple[int, int]:
    if (batches_to_settle(child) == 0 and not shards_change_rates(child)) or order.dealt is None:
        return 0, 1
    first, last = (int(order.dealt.drawn(batch)[number]) for batch in (start, stop))
    return first // child.batch_size, max(first // child.batch_size + 1, -(-last // child.batch_size))
