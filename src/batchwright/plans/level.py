"""Steps whose micro-batches were made one by one, dealt anew so that they cost the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .cut import Cut, Integers, by_steps

__all__ = ["LEVEL", "dealt_anew"]

LEVEL = 0.9995  # of the dearest: micro-batches this close are left as they are


def dealt_anew(
    cut: Cut, multiple: int, deal: Callable[[Integers], tuple[list[Integers], NDArray[np.float64]] | None]
) -> Cut:
    """Micro-batches step by step; those of uneven steps as `deal` gives them, where that makes the dearest cheaper.

    Args:
        cut: the micro-batches.
        multiple: micro-batches in a step.
        deal: the members of a step as `multiple` micro-batches and what they cost, or None where that cannot be.
    """
    steps = by_steps(cut)
    members, offsets, costs = steps.members.copy(), steps.offsets.copy(), steps.costs.copy()
    for first in range(0, len(steps) - multiple + 1, multiple):
        here = slice(first, first + multiple)
        if costs[here].min() >= LEVEL * costs[here].max():
            continue
        begin, end = offsets[first], offsets[first + multiple]
        dealt = deal(members[begin:end])
        if dealt is not None and dealt[1].max() < costs[here].max():
            members[begin:end] = np.concatenate(dealt[0])
            offsets[first + 1 : first + multiple + 1] = begin + np.cumsum([part.size for part in dealt[0]])
            costs[here] = dealt[1]
    return Cut(members, offsets, costs, stepped=True)
