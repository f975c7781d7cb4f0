"""Micro-batches of one shape: all micro-batches of a step are of one bucket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..calls import recorded
from ..errors import Infeasible, check_integer, empty_dataset, exactly
from ..inputs.columns import as_numbers
from ..kernels.array_types import Integers
from ..lengths.admission import Admission
from ..lengths.bucket_cutter import BucketCutter
from ..lengths.layout import Window
from ..lengths.numbers import Numbers
from ..orders import Shards
from .batch_costs import numbers_of_batch
from .by_length import LengthPlan
from .fixed import FixedPlan
from .length_arguments import order_of

__all__ = ["BucketedPlan", "bucketed"]

_MOST_BUCKETS = 4096  # distances of all shapes to all buckets are computed
_AT_ONCE = 1 << 22  # pairs of a shape and a bucket that are compared at once


class BucketedPlan(LengthPlan):
    """A plan whose micro-batches are of one shape each; made by `bucketed`.

    Attributes:
        buckets: the shape of every bucket, float64 (buckets, sides).
    """

    buckets: np.ndarray

    def bucket(self, batch: Any) -> np.ndarray:
        """The shape to which the samples of a micro-batch are to be padded, cropped or resized, float64 (sides,)."""
        assert isinstance(self.cutter, BucketCutter)
        samples = numbers_of_batch(batch, self.groups.sample_count)
        if not samples.size:
            raise Infeasible("the micro-batch has 0 samples", "pass a micro-batch of the plan")
        shape: np.ndarray = self.buckets[self.cutter.bucket_of[samples[0]]]
        return shape


@recorded
def bucketed(
    shapes: Any,
    batch_size: int,
    *,
    buckets: int | Sequence[Any] = 8,
    order: FixedPlan | None = None,
    window: Window = "epoch",
    local: Shards | None = None,
    seed: int = 0,
) -> BucketedPlan:
    """Micro-batches of samples of similar shape; the ranks of a step have the same bucket.

    Use it for samples that are resized or cropped to the shape of their bucket, such as images: each goes to the nearest
    bucket, which may be smaller. For lengths that are padded, such as seconds of speech, use `budgeted`.

    Micro-batches have `batch_size` samples, except in the last step of a bucket, which divides the rest of its samples
    equally. If a bucket has fewer samples than a step has micro-batches, it shares a step with other buckets.

    Args:
        shapes: height and width of every sample, or any sizes above 0, array-like of shape (n_samples, n_sides).
        batch_size: samples in a micro-batch, int, 1 or more.
        buckets: the number of buckets, 4,096 at most: each then gets the same number of samples, and their median
            shape. Or the shapes of the buckets, array-like of shape (n_buckets, n_sides): each sample then goes to the
            bucket of nearest proportions, and of nearest size among those. The time grows with distinct shapes times
            buckets.
        order: the plan whose order is cut, such as `balanced(...)`; a plain shuffle if left out.
        window: micro-batches planned together, at least two steps for every bucket, or "epoch". With `order=` or `local=`
            a window has so many steps even where an epoch has fewer: the last step of each bucket is a short one, and
            with fewer steps most would be short.
        local: the shards that the samples lie in: all ranks then read from few of them at a time, at most `open` in a
            window, and each shard once a pass. A window takes the next range of a shuffle over these shards, as with
            `order=`.
        seed: of which samples come together without `order=`, of the order of steps, and of the order of the micro-batches
            within each step, so of which rank gets which; int from 0 to 2^64 - 1.

    Raises:
        Infeasible: a size is not above 0, there are no buckets, or the batch size is below 1.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.bucketed([(2, 1), (1, 2), (4, 2), (2, 4)], 2, buckets=[(2, 1), (1, 2)])
        >>> sorted(sorted(batch.tolist()) for batch in plan.epoch(0))
        [[0, 2], [1, 3]]
    """
    table = _rows(shapes, "shapes", "sample")
    if not table.size:
        raise empty_dataset("0 shapes")
    _check_sides(table, "shapes", "sample")
    batch_size = check_integer(batch_size, "batch_size", least=1)
    source, epoch_samples = order_of(order, local, len(table), seed)
    if not hasattr(buckets, "__len__") or isinstance(buckets, str):
        shapes_of, bucket_of = _of_equal_mass(table, check_integer(buckets, "buckets", least=1))
    else:
        shapes_of = _rows(buckets, "buckets", "bucket")
        if not shapes_of.size or shapes_of.ndim != 2 or shapes_of.shape[1] != table.shape[1]:
            raise Infeasible(
                f"buckets have shape {shapes_of.shape} and shapes have {table.shape[1]} sides",
                f"pass one row or more of {table.shape[1]} sizes",
            )
        _check_sides(shapes_of, "buckets", "bucket")
        # Too many buckets are refused below; distances to all of them might not fit into memory.
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
    cutter = BucketCutter(Numbers.of(bucket_of, np.int64), areas, batch_size)
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


def _rows(values: Any, called: str, each: str) -> np.ndarray:
    rows = values
    if isinstance(values, (list, tuple)) and values and _are_rows(values):
        rows = list(map(list, values))
        other = next((number for number, row in enumerate(rows) if len(row) != len(rows[0])), None)
        if other is not None:
            raise Infeasible(
                f"{each} {other} of {called} has {len(rows[other])} sizes, {each} 0 has {len(rows[0])}",
                f"pass equally many sizes for every {each}",
            )
    return np.asarray(as_numbers(rows, called=called), np.float64)


def _check_sides(rows: np.ndarray, called: str, each: str) -> None:
    """Check that these are rows of sizes."""
    if rows.ndim != 2:
        way_out = f"pass one row of sizes for every {each}"
        if rows.ndim == 1:
            way_out = (
                f"{way_out}, as np.array({called})[:, None]; for lengths, which are padded, pass them to bw.budgeted"
            )
        raise Infeasible(f"{called} have {rows.ndim} dimensions, not 2", way_out)
    bad = np.argwhere(~(np.isfinite(rows) & (rows > 0)))
    if bad.size:
        row, side = bad[0].tolist()
        raise Infeasible(
            f"side {side} of {each} {row} of {called} is {exactly(rows[row, side])}, not a finite number above 0",
            "pass finite sizes above 0",
        )


def _are_rows(values: Any) -> bool:
    """Whether these are rows of numbers; a list of tuples would be read as a column of labels."""
    return all(isinstance(row, (list, tuple)) for row in values)


def _proportions(shapes: np.ndarray) -> np.ndarray:
    """Logarithms of the sides minus their mean: equal for shapes that differ only in size."""
    logarithms = np.log(shapes)
    proportions: np.ndarray = logarithms - logarithms.mean(axis=1, keepdims=True)
    return proportions


def _nearest(table: np.ndarray, buckets: np.ndarray) -> Integers:
    """For every sample the bucket of nearest proportions, and of nearest size among equally near ones, int64."""
    # Datasets have few distinct shapes, so the distances to all buckets are computed once for each shape.
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
    """Buckets with equal numbers of samples, along the proportion of the first side to the others.

    Equal shapes stay in one bucket. Bucket shapes are medians, so that one extreme shape does not enlarge its bucket.
    """
    keys = np.log(table).sum(axis=1) if table.shape[1] == 1 else _proportions(table)[:, 0].round(9)
    _, place = np.unique(keys, return_inverse=True)
    # The middle of the samples of equal shape decides their bucket.
    middle = np.bincount(place).cumsum() - np.bincount(place) / 2
    bucket = np.minimum((middle * buckets / keys.size).astype(np.int64), buckets - 1)
    _, bucket_of = np.unique(bucket[place], return_inverse=True)
    by_bucket = table[np.argsort(bucket_of, kind="stable")]
    medians = [np.median(rows, axis=0) for rows in np.split(by_bucket, np.bincount(bucket_of).cumsum()[:-1])]
    return np.array(medians), bucket_of.astype(np.int64)
