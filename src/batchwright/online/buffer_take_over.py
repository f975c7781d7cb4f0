"""What a new reader's buffer takes over of the buffers of a run that has stopped: accounts of groups, and memories."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from ..kernels import stream_buffer
from ..kernels.array_types import Integers
from .buffer import Buffer

__all__ = ["take_over"]


def take_over(
    buffer: Buffer,
    others: Sequence[Buffer],
    numbers: Sequence[Integers],
    left: Sequence[Sequence[int]],
    index: int,
    readers: int,
    pools: list[Any],
) -> None:
    """Take part `index` of `readers` of the accounts of other buffers, whose queues will be read again.

    Args:
        buffer: a new buffer that knows all groups.
        others: the buffers of all readers of a run that has stopped.
        numbers: for each of them, the numbers that its groups have here.
        left: for each of them, the groups of samples that its queues gave for a batch that was not full, by its own numbers.
        index: which of the new readers this is.
        readers: how many there are.
        pools: all that they remember, group by group, in their order. Every new reader may repeat any of it.
    """
    seen = np.zeros(len(buffer.labels), np.int64)
    for other, found, groups in zip(others, numbers, left, strict=True):
        waiting = other.column(stream_buffer.COUNT) + np.bincount(np.array(groups, np.int64), minlength=len(found))
        seen[found] += other.column(stream_buffer.SEEN) - waiting
    # Divided, so that natural shares are known to all readers; what waited is read and seen once more.
    buffer.column(stream_buffer.SEEN)[:] = seen * (index + 1) // readers - seen * index // readers
    for other, found in list(zip(others, numbers, strict=True))[index::readers]:
        buffer.column(stream_buffer.BALANCE)[found] += other.column(stream_buffer.BALANCE)
        buffer.column(stream_buffer.HAD)[found] += other.column(stream_buffer.HAD)
        buffer.counters[stream_buffer.WRITTEN_OFF] += other.counters[stream_buffer.WRITTEN_OFF]
    in_deficit = np.flatnonzero(buffer.column(stream_buffer.BALANCE) < 0)
    buffer.column(stream_buffer.IN_DEFICIT)[in_deficit] = 1
    buffer._in_deficit[: len(in_deficit)] = in_deficit
    buffer.counters[stream_buffer.QUEUED] = len(in_deficit)
    buffer.counters[stream_buffer.DRAWN] = max(int(other.counters[stream_buffer.DRAWN]) for other in others)
    if buffer._remembers:
        _remember(buffer, others, numbers, pools)


def _remember(buffer: Buffer, others: Sequence[Buffer], numbers: Sequence[Integers], pools: list[Any]) -> None:
    items = iter(pools)
    for other, found in zip(others, numbers, strict=True):
        np.maximum.at(buffer.column(stream_buffer.LARGEST), found, other.column(stream_buffer.LARGEST))
        for number, pool in zip(found.tolist(), other.pools, strict=True):
            buffer.pools[number] += islice(items, len(pool))
    buffer.column(stream_buffer.POOL)[:] = list(map(len, buffer.pools))
    # So that room is left for what comes, as for a group that is new.
    buffer.column(stream_buffer.POOL_ROOM)[:] = buffer.column(stream_buffer.ROOM)
    buffer._fit_pools(slice(0, len(buffer.labels)))
