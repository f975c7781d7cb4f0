"""Equal work: items with costs into parts of near-equal total cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..columns import as_numbers
from ..errors import Infeasible, check_bool, check_integer, check_number, exactly

__all__ = ["Partition", "partition"]

_EFFORT = 6_000_000  # cells the swaps may look at: some ten milliseconds
_GOOD_ENOUGH = 1e-4  # above the mean; finer than any clock sees


@dataclass(frozen=True)
class Partition:
    """Items dealt to parts, and the way back.

    `parts[k]` holds the indices of part k, ascending; `costs[k]` their total. Results that stand in the order
    of the concatenated parts return to the order of the items by `results[inverse]`.
    """

    parts: tuple[NDArray[np.int64], ...]
    inverse: NDArray[np.int64]
    costs: NDArray[np.float64]

    @property
    def max_over_mean(self) -> float:
        """The heaviest part over the mean: 1 is perfect, and what all the other parts wait for."""
        mean = float(self.costs.mean())
        return float(self.costs.max()) / mean if mean > 0 else 1.0

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, part: int) -> NDArray[np.int64]:
        return self.parts[part]

    def restore(self, results: Sequence[Any]) -> list[Any]:
        """Results in the order of the concatenated parts, back in the order of the items."""
        return [results[place] for place in self.inverse]


def partition(costs: ArrayLike, parts: int, *, equal_size: bool = False, max_cost: float | None = None) -> Partition:
    """Deal items to `parts` parts of near-equal total cost.

    Longest first into the lightest part (Graham 1969), then swaps with the heaviest part until it is within
    0.01 % of the mean or no swap helps. Deterministic; equal costs keep the order of the items.

    Args:
        costs: one non-negative cost an item, in any unit.
        parts: how many parts.
        equal_size: every part gets exactly `len(costs) / parts` items.
        max_cost: no part may cost more than this; None or infinity limits nothing.

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
    # A free partition may also move one item: a swap with a place that holds nothing and costs nothing.
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
        raise _too_dear(cost, totals, max_cost)
    inverse = np.empty(count, np.int64)
    inverse[np.concatenate(members)] = np.arange(count)
    return Partition(members, inverse, totals)


def _too_dear(cost: NDArray[np.float64], totals: NDArray[np.float64], max_cost: float) -> Infeasible:
    """The refusal of a limit that the most expensive part is over, with the simplest reason that is true."""
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
    """The costs as an array, or the refusal of what no partition can deliver."""
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
