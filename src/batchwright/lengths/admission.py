"""Between an order and a cutter: which samples take part, and as which items."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from ..groups import Groups
from ..kernels.array_types import Integers, blocks, ranges
from ..kernels.cuts import joined_ranges
from ..orders.inclusion import GroupRates, InclusionRates
from .bundles import Bundles

__all__ = ["Admission", "TooLong", "TooLongForBudget", "TooLongForPack"]

TooLongForBudget = Literal["refuse", "alone", "truncate", "skip"]
TooLongForPack = Literal["refuse", "truncate", "skip", "split"]
TooLong = Literal[TooLongForBudget, TooLongForPack]


@dataclass(frozen=True)
class Admission:
    """Turns the samples of an order into items: leaves some out, splits some, keeps some together.

    Attributes:
        skipped: sorted numbers of the samples that are left out.
        pieces: where the items of each sample begin, int64 (samples + 1); None where item i is sample i.
        bundles: the samples that stay together; number i of the order stands for bundle i. None where number i is
            sample i.
        too_long: what is done with samples that are longer than the limit.
        too_long_count: how many samples are longer than the limit.
        truncate_to: the length that longer samples are truncated to when they are collated, or None.
    """

    skipped: Integers
    pieces: Integers | None = None
    bundles: Bundles | None = None
    too_long: TooLong = "refuse"
    too_long_count: int = 0
    truncate_to: int | None = None

    def items(self, samples: Integers) -> Integers:
        """The items of these samples, in their order."""
        if self.skipped.size:
            samples = samples[~np.isin(samples, self.skipped)]
        if self.pieces is None:
            return samples
        return ranges(self.pieces, samples)

    def item_count(self, sample_count: int) -> int:
        """The number of items of samples 0..sample_count-1, with those of `skipped`; they are numbered in this order."""
        return sample_count if self.pieces is None else int(self.pieces[sample_count])

    @property
    def renumbers(self) -> bool:
        """Whether a sampler yields numbers that are not those of the order."""
        return self.pieces is not None or self.bundles is not None

    def numbers_in_order(self, sample_count: int) -> Integers:
        """For each number that a sampler can yield, the number in the order it comes from, int64."""
        if self.bundles is not None:
            return self._bundle_of
        if self.pieces is not None:
            return np.repeat(np.arange(sample_count), np.diff(self.pieces))
        return np.arange(sample_count)

    def samples_of(self, items: Integers) -> Integers:
        """The sample that each of these items is of, or is a piece of; without bundles."""
        return items if self.pieces is None else np.searchsorted(self.pieces, items, side="right") - 1

    @cached_property
    def _bundle_of(self) -> Integers:
        """The bundle of each sample, int64 (samples,)."""
        # Kept, because every micro-batch is cut into packs again after it was yielded, and each cut needs it.
        assert self.bundles is not None
        return self.bundles.spread(np.arange(self.bundles.offsets.size - 1))

    def groups(self, groups: Groups) -> Groups:
        """The groups of the order, over the numbers that a sampler yields."""
        if not self.renumbers:
            return groups
        codes = groups.group_of(self.numbers_in_order(groups.sample_count))
        # Stable, since an index of groups needs the samples of each group in ascending order.
        index = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[index], np.arange(groups.group_count + 1))
        found = Groups(groups.names, starts, index[: starts[-1]], codes.size)
        found.aliases, found.declared = groups.aliases, groups.declared
        return found

    def items_in_a_place(self, drawn: InclusionRates, groups: Groups) -> float:
        """How many items a place of an order becomes on average, by the rates of its samples and their groups."""
        count = groups.sample_count
        if self.renumbers:
            rates = drawn.rates(np.arange(count))
            rates[self.skipped] = 0
            return float(rates[self.numbers_in_order(count)].sum())
        items = sum(float(drawn.rates(np.arange(*block)).sum()) for block in blocks(count))
        return items - float(drawn.rates(self.skipped).sum())

    def inclusion_rates(self, drawn: InclusionRates, sample_count: int) -> InclusionRates:
        """What a sampler yields where an order over `sample_count` samples draws `drawn`."""
        if not (self.renumbers or self.skipped.size):
            return drawn
        rates = drawn.rates(np.arange(sample_count))
        rates[self.skipped] = 0
        # Every piece comes as often as its sample does; so the shares must be scaled to sum to 1 again.
        shares = rates[self.numbers_in_order(sample_count)]
        return InclusionRates([GroupRates(Groups.singletons(shares.size), 0, shares / shares.sum())])

    def counts(self, samples: Integers) -> Integers:
        """The number of items of each of these samples, int64; 0 for one that is left out."""
        counts = np.ones(samples.size, np.int64) if self.pieces is None else np.diff(self.pieces)[samples]
        return np.where(np.isin(samples, self.skipped), 0, counts) if self.skipped.size else counts

    def emitted(self, items: Integers) -> Integers:
        """The numbers that a sampler yields for these items."""
        if self.bundles is None:
            return items
        return joined_ranges(self.bundles.members, self.bundles.offsets, items)

    def items_in(self, emitted: Integers) -> tuple[Integers, Integers]:
        """The inverse of `emitted`: the items; and where each starts in `emitted`, with the end added."""
        if self.bundles is None:
            return emitted, np.arange(emitted.size + 1)
        offsets, samples = self.bundles
        bundles = self._bundle_of[emitted]
        # An item starts where the first sample of a bundle stands. A change of bundle would not do: one may come twice
        # in a row.
        starts = np.flatnonzero(emitted == samples[offsets[bundles]])
        return bundles[starts], np.append(starts, emitted.size)
