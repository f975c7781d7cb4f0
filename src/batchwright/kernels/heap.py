"""A heap of groups in two arrays, for a stream's buffer: the group that is furthest behind stands at its root."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .array_types import Floats
from .compile import inner

__all__ = ["raise_up", "sink"]

Short = NDArray[np.int32]


@inner
def _before(priority: float, group: int, other_priority: float, other: int) -> bool:
    """The order of the heap: by priority; if equal by group, so that the result does not depend on the heap's history."""
    if priority != other_priority:
        return priority < other_priority
    return group < other


@inner
def raise_up(heap: Short, priorities: Floats, at: int) -> None:
    """Move the group at position `at` of the heap up to where it belongs."""
    group, priority = heap[at], priorities[at]
    while at > 0:
        above = (at - 1) // 2
        if not _before(priority, group, priorities[above], heap[above]):
            break
        heap[at], priorities[at] = heap[above], priorities[above]
        at = above
    heap[at], priorities[at] = group, priority


@inner
def sink(heap: Short, priorities: Floats, size: int) -> None:
    """Move the group at the root of the heap down to where it belongs."""
    at = 0
    group, priority = heap[0], priorities[0]
    while True:
        under = 2 * at + 1
        if under >= size:
            break
        if under + 1 < size and _before(priorities[under + 1], heap[under + 1], priorities[under], heap[under]):
            under += 1
        if not _before(priorities[under], heap[under], priority, group):
            break
        heap[at], priorities[at] = heap[under], priorities[under]
        at = under
    heap[at], priorities[at] = group, priority
