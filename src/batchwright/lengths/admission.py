"""Between an order and a cutter: which samples take part, and in how many pieces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from ..groups import Groups
from ..orders.inclusion import Strata, Stratum
from .cut import Integers

__all__ = ["Admission", "TooLong"]

TooLong = Literal["refuse", "alone", "truncate", "skip", "split"]


@dataclass(frozen=True)
class Admission:
    """Turns the samples of an order into the items that are cut.

    Attributes:
        skipped: sorted numbers of the samples that are left out.
        pieces: where the items of each sample begin, int64 (samples + 1); None where item i is sample i.
        bundles: (offsets, samples): order number i stands for `samples[offsets[i]:offsets[i + 1]]`; None for itself.
        too_long: the policy.
        too_long_count: samples it was applied to.
        truncate_to: the length that longer samples are cut down to when they are collated, or None.
    """

    skipped: Integers
    pieces: Integers | None = None
    bundles: tuple[Integers, Integers] | None = None
    too_long: TooLong = "refuse"
    too_long_count: int = 0
    truncate_to: int | None = None

    def items(self, samples: Integers) -> Integers:
        """The items of these samples, in their order."""
        if self.skipped.size:
            samples = samples[~np.isin(samples, self.skipped)]
        if self.pieces is None:
            return samples
        return _stretches(self.pieces, samples)

    @property
    def renumbers(self) -> bool:
        """Whether what a sampler yields are other numbers than those of the order."""
        return self.pieces is not None or self.bundles is not None

    def origins(self, sample_count: int) -> Integers:
        """The number in the order that each number a sampler may yield stands for, of an order over `sample_count`."""
        if self.bundles is not None:
            return self._bundle_of
        if self.pieces is not None:
            return np.repeat(np.arange(sample_count), np.diff(self.pieces))
        return np.arange(sample_count)

    @cached_property
    def _bundle_of(self) -> Integers:
        """The bundle of each sample, where there are any; looked up once a micro-batch by what cuts it into packs."""
        assert self.bundles is not None
        offsets, samples = self.bundles
        bundle_of = np.empty(samples.size, np.int64)
        bundle_of[samples] = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
        return bundle_of

    def groups(self, groups: Groups) -> Groups:
        """The groups of the order by the numbers that a sampler yields."""
        if not self.renumbers:
            return groups
        codes = groups.group_of(self.origins(groups.sample_count))
        index = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[index], np.arange(groups.group_count + 1))
        return Groups(groups.names, starts, index[: starts[-1]], codes.size)

    def strata(self, drawn: Strata, sample_count: int) -> Strata:
        """What a sampler yields where an order over `sample_count` samples draws `drawn`."""
        if not (self.renumbers or self.skipped.size):
            return drawn
        rates = drawn.rates(np.arange(sample_count))
        rates[self.skipped] = 0
        shares = rates[self.origins(sample_count)]
        return Strata([Stratum(Groups.singletons(shares.size), 0, shares / shares.sum())])

    def counts(self, samples: Integers) -> Integers:
        """How many items each of these samples is."""
        counts = np.ones(samples.size, np.int64) if self.pieces is None else np.diff(self.pieces)[samples]
        return np.where(np.isin(samples, self.skipped), 0, counts) if self.skipped.size else counts

    def emitted(self, items: Integers) -> Integers:
        """What a sampler yields for these items."""
        if self.bundles is None:
            return items
        offsets, samples = self.bundles
        emitted: Integers = samples[_stretches(offsets, items)]
        return emitted

    def taken(self, emitted: Integers) -> tuple[Integers, Integers]:
        """The inverse of `emitted`: the items, and where in it each begins, with the end."""
        if self.bundles is None:
            return emitted, np.arange(emitted.size + 1)
        offsets, samples = self.bundles
        bundles = self._bundle_of[emitted]
        begins = np.flatnonzero(emitted == samples[offsets[bundles]])  # one bundle may come twice in a row
        return bundles[begins], np.append(begins, emitted.size)


def _stretches(offsets: Integers, numbers: Integers) -> Integers:
    """offsets[i], offsets[i] + 1, ..., offsets[i + 1] - 1 for each of the numbers i, one after the other."""
    first, count = offsets[numbers], offsets[numbers + 1] - offsets[numbers]
    begins = np.concatenate([[0], count.cumsum()])
    places: Integers = np.arange(begins[-1]) + np.repeat(first - begins[:-1], count)
    return places
