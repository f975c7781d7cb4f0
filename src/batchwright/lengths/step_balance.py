"""Distributes the samples of a step again, so that its micro-batches cost the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..kernels.array_types import Floats, Integers
from ..kernels.level_work import level_work
from ..kernels.step_balance import balance_in_all, split_pairs_again
from .cut import Cut, by_steps
from .partition import partition

__all__ = [
    "EQUAL_ENOUGH", "NewStep", "equal_parts", "level_over_steps", "redistributed", "sorted_in_steps", "split_again",
    "step_costs", "waiting",
]  # fmt: skip


EQUAL_ENOUGH = (
    0.9995  # of the most expensive: a micro-batch this close is left as it is; the time of a step varies by more
)
_EFFORT = 1_000_000  # items that are looked at to make one step level: some milliseconds
_FULL = 0.01  # how far below the mean the size of a step may fall; or as far as a step of full parts is above it
_EFFORT_PER_ITEM = 200  # the same for a whole window, which mostly needs 20 for each of its items


class NewStep(NamedTuple):
    """The samples of a step, distributed again.

    Attributes:
        parts: places among the samples of the step, one array a micro-batch.
        loads: float64 (micro-batches, measures), what is to be equal.
        costs: float64 (micro-batches,).
    """

    parts: list[Integers]
    loads: Floats
    costs: Floats


def redistributed(
    cut: Cut,
    step_size: int,
    loads_of: Callable[[Cut], Floats],
    redistribute: Callable[[Integers, Integers], NewStep | None],
    enough: float = EQUAL_ENOUGH,
) -> Cut:
    """Sort micro-batches into steps, and distribute the samples of uneven steps again if that makes them more even.

    Args:
        cut: the micro-batches.
        step_size: micro-batches in a step.
        loads_of: what is to be equal over the micro-batches of a step, float64 (micro-batches, measures).
        redistribute: from the places of a step, and where its micro-batches start in them, to `step_size`
            micro-batches; None if that is not possible.
        enough: a step whose mean is this fraction of its most expensive micro-batch is left as it is.
    """
    steps = by_steps(cut)
    loads = loads_of(steps)
    places, offsets, costs = steps.places.copy(), steps.offsets.copy(), steps.costs.copy()
    for first in range(0, len(steps) - step_size + 1, step_size):
        here = slice(first, first + step_size)
        uneven = _unevenness(loads[here])
        if uneven * enough <= 1:
            continue
        start, end = offsets[first], offsets[first + step_size]
        found = redistribute(places[start:end], offsets[first : first + step_size + 1] - start)
        if found is not None and _unevenness(found.loads) < uneven:
            places[start:end] = places[start:end][np.concatenate(found.parts)]
            offsets[first + 1 : first + step_size + 1] = start + np.cumsum([part.size for part in found.parts])
            costs[here] = found.costs
    return Cut(places, offsets, costs, in_steps=True)


def distributed_over_steps(cut: Cut, step_size: int) -> Cut:
    """Sort micro-batches into steps so that neighbours come into different steps.

    Every step then has long samples, and short ones to fill up with: with costs in several measures, steps of like
    micro-batches could not be made equal.
    """
    numbers = np.arange(len(cut)).reshape(step_size, -1).T.reshape(-1)
    return replace(cut.chosen(numbers), in_steps=True)


def step_costs(steps: Cut, step_size: int) -> float:
    """What the most expensive micro-batches of all steps cost together."""
    return float(steps.costs.reshape(-1, step_size).max(axis=1).sum())


def waiting(steps: Cut, step_size: int) -> float:
    """How long ranks wait, over the work: the mean over all ways to divide steps between ranks and accumulation."""
    ways = [ranks for ranks in range(2, step_size + 1) if step_size % ranks == 0]
    total = max(float(steps.costs.sum()), np.finfo(float).tiny)
    return sum(ranks * step_costs(steps, ranks) for ranks in ways) / len(ways) / total - 1


def sorted_in_steps(steps: Cut, step_size: int) -> Cut:
    """The same steps, their micro-batches sorted by descending cost."""
    step_of = np.repeat(np.arange(len(steps) // step_size), step_size)
    return replace(steps.chosen(np.lexsort((-steps.costs, step_of))), in_steps=True, sorted_in_steps=True)


def level_over_steps(cut: Cut, costs: Floats, sizes: Floats, limits: Floats, most_items: int, step_size: int) -> Cut:
    """Sort micro-batches into steps, and let them exchange items so that the steps cost less together; see `level_work`.

    The sizes of steps, of the first limit, stay about equal.

    Args:
        cut: the micro-batches.
        costs: what each item of the window costs, float64 (items,).
        sizes: what an item takes of each limit, float64 (items, measures).
        limits: of a micro-batch, float64 (measures,).
        most_items: the most items in a micro-batch.
        step_size: micro-batches in a step.
    """
    steps = by_steps(cut)
    if most_items < costs.size:
        sizes, limits = np.column_stack([sizes, np.ones(costs.size)]), np.append(limits, float(most_items))
    descending = cut.places[np.argsort(-costs[cut.places], kind="stable")]
    part_of = np.empty(costs.size, np.int64)
    part_of[cut.places] = np.repeat(np.arange(len(cut)), np.diff(cut.offsets))
    mean, effort = float(sizes[:, 0].sum()) / len(cut), _EFFORT_PER_ITEM * costs.size
    least = step_size * (mean - max(_FULL * mean, limits[0] - mean))
    found = level_work(
        costs[descending],
        sizes[descending],
        part_of[descending],
        len(cut),
        step_size,
        limits,
        least,
        EQUAL_ENOUGH,
        effort,
    )
    offsets = np.concatenate([[0], np.bincount(found, minlength=len(cut)).cumsum()])
    places = descending[np.argsort(found, kind="stable")]
    new = by_steps(Cut(places, offsets, np.add.reduceat(costs[places], offsets[:-1])))
    return new if step_costs(new, step_size) < step_costs(steps, step_size) else steps


def split_again(costs: Floats, sizes: Floats, part_of: Integers, limits: Floats, most_items: int) -> list[Integers]:
    """Make parts cost more alike within limits: items by part, the most expensive first; see `split_pairs_again`."""
    descending = np.argsort(-costs, kind="stable")
    parts = int(part_of.max()) + 1
    found = split_pairs_again(
        costs[descending], sizes[descending], part_of[descending], parts, limits, most_items, EQUAL_ENOUGH, _EFFORT
    )
    by_part = np.argsort(found, kind="stable")
    return np.split(descending[by_part], np.bincount(found, minlength=parts).cumsum()[:-1])


def equal_parts(table: Floats, parts: int, most_items: int) -> list[Integers]:
    """Distribute items over parts that are near-equal in every column of `table`, float64 (items, measures)."""
    if table.shape[1] == 1:
        return list(partition(table[:, 0], parts).parts)
    shares = table / np.maximum(table.sum(axis=0), np.finfo(float).tiny)
    descending = np.argsort(-shares.max(axis=1), kind="stable")
    part_of = balance_in_all(np.ascontiguousarray(table[descending], np.float64), parts, most_items)
    by_part = np.argsort(part_of, kind="stable")
    return np.split(descending[by_part], np.bincount(part_of, minlength=parts).cumsum()[:-1])


def _unevenness(loads: Floats) -> float:
    """The largest load over the mean load, of the most uneven measure; 1 is perfect."""
    means = loads.mean(axis=0)
    some = means > 0
    return float((loads[:, some].max(axis=0) / means[some]).max(initial=1.0))
