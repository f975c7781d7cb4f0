"""Between an order and a cutter: which samples take part, and in how many pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import Infeasible
from .cut import Integers

__all__ = ["Admission", "TooLong", "check_policy"]

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
        truncate_to: the length that longer samples are cut down to by the collate layer, or None.
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
        bundle_of = np.empty(samples.size, np.int64)
        bundle_of[samples] = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
        begins = np.flatnonzero(np.diff(bundle_of[emitted], prepend=-1))
        return bundle_of[emitted[begins]], np.append(begins, emitted.size)


def _stretches(offsets: Integers, numbers: Integers) -> Integers:
    """offsets[i], offsets[i] + 1, ..., offsets[i + 1] - 1 for each of the numbers i, one after the other."""
    first, count = offsets[numbers], offsets[numbers + 1] - offsets[numbers]
    begins = np.concatenate([[0], count.cumsum()])
    places: Integers = np.arange(begins[-1]) + np.repeat(first - begins[:-1], count)
    return places


def check_policy(too_long: TooLong, *, allowed: tuple[TooLong, ...]) -> None:
    """Refuse a policy that means nothing here."""
    if too_long not in allowed:
        raise Infeasible(f"too_long is {too_long!r}", f"pass one of {', '.join(map(repr, allowed))}")
