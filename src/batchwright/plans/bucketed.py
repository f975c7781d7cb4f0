"""Micro-batches of one shape: every step in one bucket, partial buckets split over the ranks, never lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import heapify, heappop, heapreplace
from typing import Any

import numpy as np

from ..columns import as_numbers
from ..errors import Infeasible, exactly, whole
from .admission import Admission
from .cut import Cut, Integers, by_steps, split_to
from .fixed import FixedPlan
from .grouped import even_offsets
from .identity import fields_as_text
from .layout import Window
from .lengthwise import LengthPlan
from .source import source_of

__all__ = ["BucketCutter", "BucketedPlan", "bucketed"]

_MOST_BUCKETS = 4096
_AT_ONCE = 1 << 22  # pairs of a shape and a bucket that are compared at once


@dataclass(frozen=True)
class BucketCutter:
    """Cuts samples bucket by bucket, each into whole steps.

    Args:
        bucket_of: int64 (samples,).
        areas: float64 (buckets,), what a sample of the bucket costs.
        batch_size: samples in a micro-batch.
    """

    bucket_of: Integers
    areas: np.ndarray
    batch_size: int

    kind = "bucketed"
    settled = True

    @property
    def least_steps(self) -> int:
        """See `Cutter`: two for every bucket."""
        return 2 * self.areas.size

    @property
    def ranks(self) -> Integers:
        """See `Cutter`."""
        return self.bucket_of

    @property
    def alike(self) -> Integers:
        """See `Cutter`."""
        return self.bucket_of

    @cached_property
    def sizes(self) -> np.ndarray:
        """See `Cutter`: all alike."""
        return np.ones(self.bucket_of.size)

    def needed(self, samples: Integers, multiple: int) -> int:
        """See `Cutter`."""
        return len(self.cut(samples, 0, multiple))

    def for_window(self, parts: int = 1) -> BucketCutter:
        """See `Cutter`: no cut is a search."""
        return self

    def over_layers(self, falling: Integers, windows: int) -> None:
        """See `Cutter`: a layer on the border of two buckets is of neither."""
        return

    def levelled(self, samples: Integers, cut: Cut, multiple: int) -> Cut:
        """See `Cutter`: a step is of one bucket already."""
        return by_steps(cut)

    @property
    def identity(self) -> dict[str, str]:
        """See `Cutter`."""
        return fields_as_text(self)

    def cut(self, samples: Integers, batches: int, multiple: int) -> Cut:
        """See `Cutter`. A bucket with fewer samples than a step has micro-batches shares a step with other such buckets."""
        buckets = self.bucket_of[samples]
        by_bucket = np.argsort(buckets, kind="stable")
        held = np.bincount(buckets, minlength=self.areas.size)
        pieces = np.split(by_bucket, held.cumsum()[:-1])
        small = [places for places in pieces if 0 < places.size < multiple]
        large = [places for places in pieces if places.size >= multiple]
        while (
            large and (short := self._short(small, multiple)) > 0
        ):  # too few even together: the largest bucket lends some
            large.sort(key=len)
            lent = large.pop()
            if lent.size - short >= multiple:
                large.append(lent[short:])
                lent = lent[:short]
            small.append(lent)
        steps = [-(-places.size // (self.batch_size * multiple)) for places in large]
        shared = self._shared(small, samples, 0, multiple) if small else None
        missing = batches // multiple - sum(steps) - (len(shared) // multiple if shared else 0)
        room = [
            (-places.size / (count + 1), number)
            for number, (places, count) in enumerate(zip(large, steps, strict=True))
        ]
        room = [(share, number) for share, number in room if large[number].size >= (steps[number] + 1) * multiple]
        heapify(room)
        for _ in range(max(missing, 0)):
            if not room:  # too few for steps of one bucket each: all of them are shared
                return replace(self._shared(pieces, samples, batches, multiple), stepped=True)
            _, number = room[0]
            steps[number] += 1
            size, count = large[number].size, steps[number]
            if size >= (count + 1) * multiple:
                heapreplace(room, (-size / (count + 1), number))
            else:
                heappop(room)
        members, sizes = [], []
        for places, count in zip(large, steps, strict=True):
            members.append(places)
            sizes.append(np.diff(even_offsets(places.size, count * multiple, self.batch_size, multiple)))
        if shared is not None:
            members.append(shared.members)
            sizes.append(np.diff(shared.offsets))
        joined = np.concatenate(members)
        offsets = np.concatenate([[0], np.concatenate(sizes).cumsum()])
        costs = np.add.reduceat(self.areas[buckets[joined]], offsets[:-1])
        return Cut(joined, offsets, costs, stepped=True)

    def _short(self, small: list[Integers], multiple: int) -> int:
        """How many samples these buckets have too few to fill the steps that they share."""
        parts = sum(-(-places.size // self.batch_size) for places in small)
        return -(-parts // multiple) * multiple - sum(places.size for places in small)

    def _shared(self, small: list[Integers], samples: Integers, batches: int, multiple: int) -> Cut:
        """Steps of several buckets, each micro-batch of one; `batches` micro-batches or more."""
        parts = [places[at : at + self.batch_size] for places in small for at in range(0, places.size, self.batch_size)]
        offsets = np.concatenate([[0], np.cumsum([part.size for part in parts])])
        costs = np.array([self.cost(samples[part]) for part in parts])
        wanted = max(batches, -(-len(parts) // multiple) * multiple)
        return split_to(Cut(np.concatenate(parts), offsets, costs), wanted, samples, self)

    def cost(self, samples: Integers) -> float:
        """See `Cutter`: the area of its bucket, a sample."""
        return float(self.areas[self.bucket_of[samples]].sum())

    def tokens(self, samples: Integers) -> tuple[float, float]:
        """See `Cutter`: what a bucket pads or crops is not known here."""
        return self.cost(samples), self.cost(samples)

    def excess(self, samples: Integers) -> float:
        """See `Cutter`: samples too many, or buckets beside the first."""
        return max(0.0, float(samples.size - self.batch_size), float(np.ptp(self.bucket_of[samples]) > 0))

    def at_least(self, samples: Integers) -> int:
        """See `Cutter`: each bucket its own."""
        return int((-(-np.bincount(self.bucket_of[samples]) // self.batch_size)).sum())

    def part(self, samples: Integers) -> tuple[Integers, Integers]:
        """See `Cutter`: in the middle."""
        return np.arange(samples.size // 2), np.arange(samples.size // 2, samples.size)


class BucketedPlan(LengthPlan):
    """A plan whose micro-batches are of one shape each; made by `bucketed`.

    Attributes:
        buckets: the shape of every bucket, float64 (buckets, sides).
    """

    buckets: np.ndarray

    def bucket(self, batch: Any) -> np.ndarray:
        """The shape a micro-batch is to be brought to."""
        assert isinstance(self.cutter, BucketCutter)
        shape: np.ndarray = self.buckets[self.cutter.bucket_of[np.asarray(batch, np.int64)[0]]]
        return shape


def bucketed(
    shapes: Any,
    batch_size: int,
    *,
    buckets: int | Sequence[Any] = 8,
    order: FixedPlan | None = None,
    window: Window = "epoch",
    seed: int = 0,
) -> BucketedPlan:
    """Micro-batches of one bucket of shapes, all ranks of a step in the same bucket.

    Sizes are `batch_size`, but in the last step of a bucket, which shares out what is left. Buckets with fewer samples
    than a step has micro-batches share steps.

    Args:
        shapes: one row a sample, (samples, sides): height and width, or any sizes above 0.
        batch_size: samples in a micro-batch.
        buckets: how many, then each has the same number of samples and the median shape of them; or the shapes themselves,
            then each sample goes to the one of nearest proportions, of nearest size among those, which takes time by
            distinct shapes times buckets. 4,096 at most.
        order: the plan whose order is cut, such as `balanced(...)`; a plain shuffle if left out.
        window: micro-batches planned together, two steps for every bucket at least, or "epoch".
        seed: of the plain shuffle and of the order of steps.

    Raises:
        Infeasible: shapes that are not above 0, no buckets, or a batch size below 1.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.bucketed([(2, 1), (1, 2), (4, 2), (2, 4)], 2, buckets=[(2, 1), (1, 2)])
        >>> sorted(sorted(batch.tolist()) for batch in plan.epoch(0))
        [[0, 2], [1, 3]]
    """
    table = _rows(shapes, "shapes")
    if not table.size:
        raise Infeasible("the dataset is empty: 0 shapes", "pass at least one sample")
    _check_sides(table, "shapes", "sample")
    batch_size = whole(batch_size, "batch_size", least=1)
    source, epoch_samples = source_of(order, len(table), seed)
    if not hasattr(buckets, "__len__") or isinstance(buckets, str):
        shapes_of, bucket_of = _of_equal_mass(table, whole(buckets, "buckets", least=1))
    else:
        shapes_of = _rows(buckets, "buckets")
        if not shapes_of.size or shapes_of.ndim != 2 or shapes_of.shape[1] != table.shape[1]:
            raise Infeasible(
                f"buckets have shape {shapes_of.shape} and shapes have {table.shape[1]} sides",
                f"pass one row or more of {table.shape[1]} sizes",
            )
        _check_sides(shapes_of, "buckets", "bucket")
        bucket_of = _nearest(table, shapes_of[: _MOST_BUCKETS + 1])
    if len(shapes_of) > _MOST_BUCKETS:
        raise Infeasible(
            f"there are {len(shapes_of)} buckets, the most is {_MOST_BUCKETS}", f"pass {_MOST_BUCKETS} or fewer"
        )
    with np.errstate(over="ignore"):
        areas = shapes_of.prod(axis=1)
    if not np.isfinite(areas).all():
        raise Infeasible(
            "the product of the sides of a bucket is above what a float holds", "pass sides in a larger unit"
        )
    cutter = BucketCutter(bucket_of, areas, batch_size)
    plan = BucketedPlan(
        source,
        cutter,
        window=window,
        seed=seed,
        admission=Admission(np.empty(0, np.int64)),
        epoch_samples=epoch_samples,
    )
    plan.buckets = shapes_of
    return plan


def _rows(values: Any, called: str) -> np.ndarray:
    rows = list(map(list, values)) if isinstance(values, (list, tuple)) and values and _are_rows(values) else values
    return np.asarray(as_numbers(rows, called=called), np.float64)


def _check_sides(rows: np.ndarray, called: str, each: str) -> None:
    """Refuse what are no rows of sizes."""
    if rows.ndim != 2:
        raise Infeasible(f"{called} have {rows.ndim} dimensions, not 2", f"pass one row of sizes for every {each}")
    bad = np.argwhere(~(np.isfinite(rows) & (rows > 0)))
    if bad.size:
        row, side = bad[0].tolist()
        raise Infeasible(
            f"side {side} of {each} {row} of {called} is {exactly(rows[row, side])}, not a finite number above 0",
            "pass finite sizes above 0",
        )


def _are_rows(values: Any) -> bool:
    """Whether these are rows of numbers, of which tuples would be taken for labels of their own."""
    return all(isinstance(row, (list, tuple)) for row in values)


def _proportions(shapes: np.ndarray) -> np.ndarray:
    """Logarithms of the sides, less their mean: equal for shapes that differ in size alone."""
    logarithms = np.log(shapes)
    proportions: np.ndarray = logarithms - logarithms.mean(axis=1, keepdims=True)
    return proportions


def _nearest(table: np.ndarray, buckets: np.ndarray) -> Integers:
    """The bucket of nearest proportions for every sample; among equally near ones that of nearest size."""
    distinct, row_of = np.unique(table, axis=0, return_inverse=True)
    proportions, sizes = _proportions(buckets), np.log(buckets).mean(axis=1)
    nearest = []
    for rows in np.array_split(distinct, -(-distinct.shape[0] * len(buckets) // _AT_ONCE)):
        apart = np.abs(_proportions(rows)[:, None] - proportions[None]).max(axis=2).round(9)
        size_apart = np.abs(np.log(rows).mean(axis=1)[:, None] - sizes[None])
        size_apart[apart > apart.min(axis=1, keepdims=True)] = np.inf
        nearest.append(size_apart.argmin(axis=1))
    return np.concatenate(nearest)[row_of.reshape(-1)].astype(np.int64)


def _of_equal_mass(table: np.ndarray, buckets: int) -> tuple[np.ndarray, Integers]:
    """Buckets of equal mass along the proportions, first side against the others; equal shapes stay together."""
    keys = np.log(table).sum(axis=1) if table.shape[1] == 1 else _proportions(table)[:, 0].round(9)
    _, place = np.unique(keys, return_inverse=True)
    middle = np.bincount(place).cumsum() - np.bincount(place) / 2
    bucket = np.minimum((middle * buckets / keys.size).astype(np.int64), buckets - 1)
    _, bucket_of = np.unique(bucket[place], return_inverse=True)
    by_bucket = table[np.argsort(bucket_of, kind="stable")]
    medians = [np.median(rows, axis=0) for rows in np.split(by_bucket, np.bincount(bucket_of).cumsum()[:-1])]
    return np.array(medians), bucket_of.astype(np.int64)
