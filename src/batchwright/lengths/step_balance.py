"""Steps whose micro-batches were made one by one, dealt again so that they cost the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.step_balance import balance_in_all
from .cut import Cut, Integers, by_steps
from .partition import partition

__all__ = ["LEVEL", "Dealt", "dealt_anew", "level_parts", "spread_over_steps"]

Floats = NDArray[np.float64]

LEVEL = 0.9995  # of the most expensive: micro-batches this close are left as they are


class Dealt(NamedTuple):
    """The samples of a step in other micro-batches.

    Attributes:
        parts: places among the samples of the step, one array a micro-batch.
        loads: float64 (micro-batches, kinds), what is to be equal.
        costs: float64 (micro-batches,).
    """

    parts: list[Integers]
    loads: Floats
    costs: Floats


def dealt_anew(
    cut: Cut, multiple: int, loads_of: Callable[[Cut], Floats], deal: Callable[[Integers], Dealt | None]
) -> Cut:
    """Micro-batches step by step; those of uneven steps as `deal` gives them, where that makes them more even.

    Args:
        cut: the micro-batches.
        multiple: micro-batches in a step.
        loads_of: what is to be equal over the micro-batches of a step, (micro-batches, kinds).
        deal: the members of a step as `multiple` micro-batches, or None where that cannot be.
    """
    steps = by_steps(cut)
    loads = loads_of(steps)
    members, offsets, costs = steps.members.copy(), steps.offsets.copy(), steps.costs.copy()
    for first in range(0, len(steps) - multiple + 1, multiple):
        here = slice(first, first + multiple)
        uneven = _unevenness(loads[here])
        if uneven * LEVEL <= 1:
            continue
        begin, end = offsets[first], offsets[first + multiple]
        dealt = deal(members[begin:end])
        if dealt is not None and _unevenness(dealt.loads) < uneven:
            members[begin:end] = members[begin:end][np.concatenate(dealt.parts)]
            offsets[first + 1 : first + multiple + 1] = begin + np.cumsum([part.size for part in dealt.parts])
            costs[here] = dealt.costs
    return Cut(members, offsets, costs, stepped=True)


def spread_over_steps(cut: Cut, multiple: int) -> Cut:
    """Micro-batches step by step, neighbours in steps apart: every step then has long samples, and short ones to fill up."""
    numbers = np.arange(len(cut)).reshape(multiple, -1).T.reshape(-1)
    return replace(cut.chosen(numbers), stepped=True)


def level_parts(table: Floats, parts: int, most_items: int) -> list[Integers]:
    """Items in parts that are near-equal in every column of `table`, (items, kinds)."""
    if table.shape[1] == 1:
        return list(partition(table[:, 0], parts).parts)
    shares = table / np.maximum(table.sum(axis=0), np.finfo(float).tiny)
    falling = np.argsort(-shares.max(axis=1), kind="stable")
    part_of = balance_in_all(np.ascontiguousarray(table[falling], np.float64), parts, most_items)
    by_part = np.argsort(part_of, kind="stable")
    return np.split(falling[by_part], np.bincount(part_of, minlength=parts).cumsum()[:-1])


def _unevenness(loads: Floats) -> float:
    """The largest load over the mean, of the most uneven kind; 1 is level."""
    means = loads.mean(axis=0)
    some = means > 0
    return float((loads[:, some].max(axis=0) / means[some]).max(initial=1.0))
