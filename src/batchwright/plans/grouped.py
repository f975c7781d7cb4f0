"""Micro-batches of one size, with samples of similar length together."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..calls import recorded
from ..errors import check_bool, check_integer
from ..inputs import columns
from ..lengths.admission import Admission
from ..lengths.layout import Window
from ..lengths.numbers import Numbers
from ..lengths.same_size_cutter import GroupCutter
from ..orders import Shards
from .by_length import LengthPlan
from .fixed import FixedPlan
from .length_arguments import order_of

__all__ = ["grouped"]


@recorded
def grouped(
    lengths: Any,
    batch_size: int,
    *,
    order: FixedPlan | None = None,
    window: Window = 64,
    level: bool = False,
    local: Shards | None = None,
    seed: int = 0,
) -> LengthPlan:
    """Micro-batches of one size, with samples of similar length together in a micro-batch and in a step.

    Only the last step of a window may have smaller micro-batches, if the samples cannot be divided evenly.

    Args:
        lengths: array-like of shape (n_samples,), int or float, 0 or more.
        batch_size: samples in a micro-batch, int, 1 or more.
        order: the plan whose order is cut, such as `balanced(...)`. If left out, every epoch has each sample once.
        window: micro-batches planned together, or "epoch". A larger one pads less and mixes less.
        level: whether micro-batches of a step differ in size, so that they cost the same when padded; their mean size
            is still `batch_size`.
        local: the shards that the samples lie in: all ranks then read from few of them at a time, at most `open` in a
            window, and each shard once a pass. A window takes the next range of a shuffle over these shards, as with
            `order=`.
        seed: of which samples come together without `order=`, of the order of steps, and of the order of the micro-batches
            within each step, so of which rank gets which; int from 0 to 2^64 - 1.

    Raises:
        Infeasible: a batch size below 1, a length below 0, no samples, or an order over other samples.

    Example:
        >>> import batchwright as bw
        >>> sorted(sorted(batch.tolist()) for batch in bw.grouped([9, 1, 8, 2, 7, 3], 2).epoch(0))
        [[0, 2], [1, 3], [4, 5]]
    """
    column = Numbers.of(columns.lengths_of(lengths))
    batch_size = check_integer(batch_size, "batch_size", least=1)
    source, epoch_samples = order_of(order, local, column.size, seed)
    return LengthPlan(
        source,
        GroupCutter(column, batch_size, check_bool(level, "level")),
        window=window,
        seed=seed,
        admission=Admission(np.empty(0, np.int64)),
        epoch_samples=epoch_samples,
    )
