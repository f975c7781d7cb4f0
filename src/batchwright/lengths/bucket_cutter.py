"""Cuts samples bucket by bucket, so that all micro-batches of a step are of one bucket."""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

import numpy as np

from ..kernels.array_types import Floats, Integers
from ..micro_batches import whole_steps
from .cut import Cut, by_steps
from .cutter import Cutter
from .even_cuts import even_offsets
from .numbers import Numbers

__all__ = ["BucketCutter"]


@dataclass(frozen=True)
class BucketCutter(Cutter):
    """Cuts samples bucket by bucket, so that all micro-batches of a step are of one bucket.

    Args:
        bucket_of: the bucket of every sample, read as int64 (samples,).
        areas: float64 (buckets,), what a sample of the bucket costs.
        batch_size: samples in a micro-batch.
    """

    bucket_of: Numbers
    areas: np.ndarray
    batch_size: int

    builder = "bucketed"
    count_ignores_order = True
    knows_padding = False

    @property
    def least_steps(self) -> int:
        """See `Cutter`: two for every bucket."""
        # The last step of every bucket is a short one: with two steps a bucket, on average, at most half of all steps
        # are.
        return 2 * self.areas.size

    @property
    def similarity_keys(self) -> Integers:
        """See `Cutter`: the bucket."""
        return self.bucket_of[:]

    def sizes_of(self, items: Integers) -> Floats:
        """See `Cutter`: every sample takes one place."""
        return np.ones(items.size)

    def batches_needed(self, items: Integers, step_size: int) -> int:
        """See `Cutter`; more than there are items if they cannot fill their steps."""
        pieces = self._by_bucket(self.bucket_of[items])
        large, small = _own_and_shared(pieces, self.batch_size, step_size)
        own = sum(-(-places.size // (self.batch_size * step_size)) for places in large)
        return own * step_size + whole_steps(_parts(small, self.batch_size), step_size)

    def with_equal_costs(self, items: Integers, cut: Cut, step_size: int) -> Cut:
        """See `Cutter`: a step is of one bucket already."""
        return by_steps(cut)

    def cut(self, items: Integers, batches: int | None, step_size: int) -> Cut:
        """See `Cutter`. Buckets with fewer samples than a step has micro-batches share steps."""
        buckets = self.bucket_of[items]
        pieces = self._by_bucket(buckets)
        large, small = _own_and_shared(pieces, self.batch_size, step_size)
        shared = self._shared(small, items, None, step_size) if small else None
        wanted = (batches or 0) // step_size - (len(shared) // step_size if shared else 0)
        steps = self._steps([places.size for places in large], wanted, step_size)
        if steps is None:  # too few for steps of one bucket each: all of them are shared
            return replace(self._shared(pieces, items, batches, step_size), in_steps=True)
        sizes = [
            np.diff(even_offsets(places.size, count * step_size, self.batch_size, step_size))
            for places, count in zip(large, steps, strict=True)
        ]
        if shared is not None:
            large.append(shared.places)
            sizes.append(np.diff(shared.offsets))
        joined = np.concatenate(large)
        offsets = np.concatenate([[0], np.concatenate(sizes).cumsum()])
        costs = np.add.reduceat(self.areas[buckets[joined]], offsets[:-1])
        return Cut(joined, offsets, costs, in_steps=True)

    def _by_bucket(self, buckets: Integers) -> list[Integers]:
        """The places of the items of every bucket, given the bucket of each item."""
        held = np.bincount(buckets, minlength=self.areas.size)
        return np.split(np.argsort(buckets, kind="stable"), held.cumsum()[:-1])

    def _steps(self, sizes: list[int], wanted: int, step_size: int) -> list[int] | None:
        """How many steps each bucket has, `wanted` or more in all; None if there are too few samples.

        Steps are added one by one, each to the bucket whose steps would then still have the most samples.
        """
        steps = [-(-size // (self.batch_size * step_size)) for size in sizes]
        splittable = [
            (-size / (count + 1), number)
            for number, (size, count) in enumerate(zip(sizes, steps, strict=True))
            if size >= (count + 1) * step_size
        ]
        heapify(splittable)
        for _ in range(wanted - sum(steps)):
            if not splittable:
                return None
            _, number = heappop(splittable)
            steps[number] += 1
            if sizes[number] >= (steps[number] + 1) * step_size:
                heappush(splittable, (-sizes[number] / (steps[number] + 1), number))
        return steps

    def _shared(self, small: list[Integers], items: Integers, batches: int | None, step_size: int) -> Cut:
        """Steps that several buckets share, each micro-batch of one bucket; `batches` micro-batches or more."""
        parts = [places[at : at + self.batch_size] for places in small for at in range(0, places.size, self.batch_size)]
        offsets = np.concatenate([[0], np.cumsum([part.size for part in parts])])
        costs = np.array([self.cost(items[part]) for part in parts])
        wanted = max(batches or 0, whole_steps(len(parts), step_size))
        return self.split_to(Cut(np.concatenate(parts), offsets, costs), wanted, items)

    def costs_of(self, items: Integers, offsets: Integers) -> Floats:
        """See `Cutter`: for each sample the area of its bucket."""
        return np.add.reduceat(self.areas[self.bucket_of[items]], offsets[:-1])

    def slowest_ranks_at_least(self, items: Integers, ranks: int) -> float:
        """See `Cutter`."""
        return float(self.areas[self.bucket_of[items]].max(initial=0))

    def tokens(self, items: Integers) -> tuple[float, float]:
        """See `Cutter`: all of the area; what is padding in it is not known here."""
        return self.cost(items), self.cost(items)

    def excess(self, items: Integers) -> float:
        """See `Cutter`: how many samples are too many; 1 if there is more than one bucket."""
        return max(0.0, float(items.size - self.batch_size), float(np.ptp(self.bucket_of[items]) > 0))

    def batches_at_least(self, items: Integers) -> int:
        """See `Cutter`: no micro-batch holds two buckets."""
        return int((-(-np.bincount(self.bucket_of[items]) // self.batch_size)).sum())

    def halves(self, items: Integers) -> tuple[Integers, Integers]:
        """See `Cutter`: all cost the same, so it is cut in the middle."""
        return np.arange(items.size // 2), np.arange(items.size // 2, items.size)


def _own_and_shared(pieces: list[Integers], batch_size: int, step_size: int) -> tuple[list[Integers], list[Integers]]:
    """The buckets that have steps of their own, and those smaller than a step, which share steps."""
    small = [places for places in pieces if 0 < places.size < step_size]
    large = [places for places in pieces if places.size >= step_size]
    if batch_size == 1:  # the last step of a bucket cannot have smaller micro-batches
        small += [places[whole:] for places in large if (whole := places.size // step_size * step_size) < places.size]
        large = [places[: places.size // step_size * step_size] for places in large]
    # The small ones may be too few even together. Then the largest bucket gives them some of its samples.
    while large and (short := _short(small, batch_size, step_size)) > 0:
        large.sort(key=len)
        given = large.pop()
        if given.size - short >= step_size:
            large.append(given[short:])
            given = given[:short]
        small.append(given)
    return large, small


def _short(small: list[Integers], batch_size: int, step_size: int) -> int:
    """How many samples these buckets lack to have one in every micro-batch of the steps that they share."""
    return whole_steps(_parts(small, batch_size), step_size) - sum(places.size for places in small)


def _parts(small: list[Integers], batch_size: int) -> int:
    """How many micro-batches these buckets need."""
    return sum(-(-places.size // batch_size) for places in small)
