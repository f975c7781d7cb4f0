"""Distributes items over parts of near-equal total cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..columns import as_numbers
from ..errors import Infeasible, check_bool, check_integer, check_number, exactly

__all__ = ["Partition", "partition"]

_EFFORT = 6_000_000  # cells that the swaps may look at: some ten milliseconds
_GOOD_ENOUGH = 1e-4  # stop this near to the mean: the time of a training step varies by more


@dataclass(frozen=True)
class Partition:
    """Items distributed over parts, and the way back to the order of the items.

    Attributes:
        parts: for each part the numbers of its items, ascending, int64.
        inverse: `results[inverse]` puts results, computed part after part, into the order of the items; int64 (items,).
        costs: the total cost of each part, float64 (parts,).
    """

    parts: tuple[NDArray[np.int64], ...]
    inverse: NDArray[np.int64]
    costs: NDArray[np.float64]

    @property
    def max_over_mean(self) -> float:
        """The cost of the most expensive part over the mean cost; 1 is perfect."""
        mean = float(self.costs.mean())
        return float(self.costs.max()) / mean if mean > 0 else 1.0

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, part: int) -> NDArray[np.int64]:
        return self.parts[part]

    def restore(self, results: Sequence[Any]) -> list[Any]:
        """Put results, computed part after part, into the order of the items."""
        return [results[place] for place in self.inverse]


def partition(costs: ArrayLike, parts: int, *, equal_size: bool = False, max_cost: float | None = None) -> Partition:
    """Distribute items over parts of near-equal total cost.

    Each item, the most expensive first, goes to the part that costs least so far (Graham 1969). Then items are swapped
    with the most expensive part until it is within 0.01 % of the mean, or no swap helps. The result depends only on the
    costs; items of equal cost keep their order.

    Args:
        costs: non-negative numbers in any unit, array-like of shape (n_items,).
        parts: the number of parts.
        equal_size: whether every part gets exactly `len(costs) / parts` items.
        max_cost: the most that a part may cost; None or infinity means no limit.

    Raises:
        Infeasible: a cost is negative or not finite, items do not divide, or a part exceeds `max_cost`.

    Example:
        >>> split = partition([7, 5, 4, 3, 2, 1], 2)
        >>> [part.tolist() for part in split.parts], split.costs.tolist()
        ([[0, 3, 5], [1, 2, 4]], [11.0, 11.0])
    """
    parts = check_integer(parts, "parts", least=1)
    max_cost = max_cost if max_cost is None else check_number(max_cost, "max_cost", or_infinite=True)
    cost = _checked(costs, parts, equal_size)
    count = cost.size
    if count == 0:
        empty = np.empty(0, np.int64)
        return Partition((empty,) * parts, empty, np.zeros(parts))
    from ..kernels.partition import longest_first, swap_down

    falling = np.argsort(-cost, kind="stable")
    part_of = longest_first(cost[falling], parts, count // parts if equal_size else count)
    held = np.bincount(part_of, minlength=parts)
    by_part = np.argsort(part_of, kind="stable")  # within a part still by falling cost
    # Without `equal_size`, an item may also move alone: that is a swap with an empty place, which costs nothing.
    width = int(held.max()) + (0 if equal_size else 1)
    place = np.arange(count) - np.repeat(np.cumsum(held) - held, held)
    cell_costs, cell_items = np.zeros((parts, width)), np.full((parts, width), -1)
    cell_costs[part_of[by_part], place] = cost[falling][by_part]
    cell_items[part_of[by_part], place] = falling[by_part]
    mean = float(cost.sum()) / parts
    good_enough = mean * (1 + _GOOD_ENOUGH)
    if max_cost is not None:
        good_enough = min(good_enough, max_cost)
    swap_down(cell_costs, cell_items, good_enough, _EFFORT)

    members = tuple(np.sort(row[row >= 0]) for row in cell_items)
    totals = np.array([float(cost[part].sum()) for part in members])
    if max_cost is not None and totals.max() > max_cost:
        raise _above_max_cost(cost, totals, max_cost)
    inverse = np.empty(count, np.int64)
    inverse[np.concatenate(members)] = np.arange(count)
    return Partition(members, inverse, totals)


def _above_max_cost(cost: NDArray[np.float64], totals: NDArray[np.float64], max_cost: float) -> Infeasible:
    """The error for a part that costs more than `max_cost`, with the simplest reason that is true."""
    most, limit, total = exactly(totals.max()), exactly(max_cost), float(cost.sum())
    item = int(cost.argmax())
    if cost[item] > max_cost:
        return Infeasible(
            f"item {item} costs {exactly(cost[item])}, max_cost is {limit}", f"pass max_cost={most} or more"
        )
    fact = f"the best partition found has a part that costs {most}, max_cost is {limit}"
    if total > totals.size * max_cost:
        held = exactly(totals.size * max_cost)
        fact = f"the costs sum to {exactly(total)}, {totals.size} parts of at most {limit} hold {held}"
    return Infeasible(
        fact,
        f"pass max_cost={most} or more, or more parts: with {cost.size}, one for every item, no part costs more than "
        "its item",
    )


def _checked(costs: ArrayLike, parts: int, equal_size: bool) -> NDArray[np.float64]:
    """Check costs: float64 (items,); what cannot be distributed is refused."""
    cost = np.asarray(as_numbers(costs, called="costs"), np.float64)
    if cost.ndim != 1:
        raise Infeasible(f"costs have {cost.ndim} dimensions, one is needed", "pass one number an item")
    bad = np.flatnonzero(~(np.isfinite(cost) & (cost >= 0)))
    if bad.size:
        raise Infeasible(f"the cost of item {bad[0]} is {exactly(cost[bad[0]])}", "pass finite costs of 0 or more")
    if check_bool(equal_size, "equal_size") and cost.size % parts:
        raise Infeasible(
            f"{cost.size} items do not divide into {parts} parts of equal size",
            f"pass a multiple of {parts} items, or equal_size=False",
        )
    with np.errstate(over="ignore"):
        total = float(cost.sum())
    if not np.isfinite(total):
        raise Infeasible(f"the costs sum to more than {exactly(np.finfo(float).max)}", "pass costs in a larger unit")
    return cost
