"""Distributes items over parts of near-equal total cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import Infeasible, check_bool, check_integer, check_mapping, check_number, exactly, shown
from ..inputs.columns import as_numbers
from ..kernels.array_types import Floats, Integers
from ..kernels.partition import longest_first, swap_down
from .bundles import Bundles
from .limited_parts import (
    Limits,
    by_part,
    fewest,
    fewest_level,
    in_order_of_items,
    level_within,
    most_expensive_at_least,
    part_of_cells,
    part_rows,
)

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
        at_least: a proven lower bound of the number of parts that break no limit; 1 without limits, 0 without items.
        max_over_mean_at_least: a proven lower bound of `max_over_mean` for this number of parts.
    """

    parts: tuple[Integers, ...]
    inverse: Integers
    costs: Floats
    at_least: int = 1
    max_over_mean_at_least: float = 1.0

    @property
    def max_over_mean(self) -> float:
        """The cost of the most expensive part over the mean cost; 1 is perfect."""
        mean = float(self.costs.mean())
        return float(self.costs.max()) / mean if mean > 0 else 1.0

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, part: int) -> Integers:
        return self.parts[part]

    def restore(self, results: Sequence[Any]) -> list[Any]:
        """Put results, computed part after part, into the order of the items."""
        return [results[place] for place in self.inverse]


def partition(
    costs: ArrayLike,
    parts: int | None = None,
    *,
    equal_size: bool = False,
    max_cost: float | None = None,
    limits: Mapping[str, tuple[ArrayLike, float]] | None = None,
    together: Any = None,
    multiple: int = 1,
    level: float | None = None,
) -> Partition:
    """Distribute items over parts of near-equal total cost, as few as limits allow.

    Use it for a batch that is already there, such as rollouts whose lengths were gathered from all ranks: the result
    depends only on the arguments, so every rank computes the same.

    Each item, the most expensive first, goes to the part that costs least so far (Graham 1969), of those where it fits.
    Then items are swapped with the most expensive part until it is within 0.01 % of the mean (0.05 % with limits), or no
    swap helps. Items of equal cost keep their order.

    Args:
        costs: non-negative numbers in any unit, array-like of shape (n_items,).
        parts: the number of parts. If left out, as few as break no limit; `at_least` of the result is a proven lower bound.
        equal_size: whether every part gets exactly `len(costs) / parts` items.
        max_cost: the most that a part may cost; None or infinity means no limit.
        limits: by name what each item takes, array-like of shape (n_items,), and the most that a part may take, such as
            `{"tokens": (lengths, 32768)}`. No part breaks a limit.
        together: keys, array-like of shape (n_items,), int or str: items with the same key come into one part.
        multiple: with `parts` left out: their number is a multiple of this one, int: the number of ranks.
        level: with `parts` left out: the most that a part may cost over the mean, 1 or more, such as 1.001. More parts than
            the fewest are taken where the fewest cannot be so level, or were not found to be. If left out, they are as
            level as can be done with the fewest.

    Raises:
        Infeasible: a number is negative or not finite, items do not divide, an item (or items that stay together) exceeds
            a limit, or no such parts, or none so level, were found.

    Example:
        >>> split = partition([7, 5, 4, 3, 2, 1], 2)
        >>> [part.tolist() for part in split.parts], split.costs.tolist()
        ([[0, 3, 5], [1, 2, 4]], [11.0, 11.0])
        >>> tokens = [700, 300, 300, 200]
        >>> split = partition([9, 4, 4, 3], limits={"tokens": (tokens, 1000)}, together=["a", "b", "b", "c"])
        >>> [part.tolist() for part in split.parts], split.at_least
        ([[0], [1, 2, 3]], 2)
    """
    multiple = check_integer(multiple, "multiple", least=1)
    max_cost = math.inf if max_cost is None else check_number(max_cost, "max_cost", or_infinite=True)
    max_cost = None if max_cost == math.inf else float(max_cost)
    cost = checked_column(costs, "costs", "cost")
    equal_size = check_bool(equal_size, "equal_size")
    bundles = None if together is None else Bundles.of(together, cost.size, "costs", "an item")
    named = {} if limits is None else _limits(limits, cost.size)
    if parts is None and not named and max_cost is None:
        raise Infeasible("neither parts nor a limit was passed", "pass parts, limits or max_cost")
    if parts is not None:
        parts = check_integer(parts, "parts", least=1)
    if equal_size:
        _check_equal_size(cost.size, parts, "limits" if named else "together" if bundles is not None else "")
    if level is not None:
        level = _checked_level(level, parts)
    whole = cost if bundles is None else bundles.summed(cost)
    if not whole.size:
        return _made(np.empty(0, np.int64), cost, parts or multiple, bundles, 0, 0.0)
    if parts is not None and not named:
        return _in_parts(cost, whole, parts, max_cost, bundles, equal_size=equal_size)
    table = _table_of_limits(named if max_cost is None else {**named, "max_cost": (cost, max_cost)}, bundles)
    parts, part_of = _within(whole, table, parts, multiple, level)
    return _made(part_of, cost, parts, bundles, table.at_least, most_expensive_at_least(whole, table, parts))


def _in_parts(
    cost: Floats, whole: Floats, parts: int, max_cost: float | None, bundles: Bundles | None, *, equal_size: bool
) -> Partition:
    """So many parts, without other limits than that of cost."""
    part_of = _level(whole, parts, max_cost, equal_size=equal_size)
    made = _made(part_of, cost, parts, bundles, 1, float(whole.max()))
    if max_cost is not None and made.costs.max() > max_cost:
        raise _above_max_cost(whole, made.costs, max_cost, bundled=bundles is not None)
    return made


def _table_of_limits(named: dict[str, tuple[Floats, float]], bundles: Bundles | None) -> Limits:
    """What the items take of each limit; items that exceed one are refused."""
    most = named["max_cost"][1] if "max_cost" in named else math.inf
    if most <= 0:
        raise Infeasible(f"max_cost is {exactly(most)}", "pass max_cost above 0")
    table = Limits(
        tuple(named),
        np.stack([column if bundles is None else bundles.summed(column) for column, _ in named.values()], axis=1),
        np.array([most for _, most in named.values()]),
    )
    _refuse_too_large(table, bundles)
    return table


def _check_equal_size(items: int, parts: int | None, given: str) -> None:
    """Refuse parts of equal size with other arguments, of which one is `given`, and of items that do not divide."""
    if parts is None or given:
        other = "no parts are given" if parts is None else f"{given} {'are' if given == 'limits' else 'is'} given"
        raise Infeasible(
            f"equal_size gives every part as many items, and {other}",
            "pass parts alone with equal_size, or leave it out",
        )
    if items % parts:
        raise Infeasible(
            f"{items} items do not divide into {parts} parts of equal size",
            f"pass a multiple of {parts} items, or equal_size=False",
        )


def _checked_level(level: float, parts: int | None) -> float:
    level = float(check_number(level, "level"))
    if level < 1:
        raise Infeasible(f"level is {exactly(level)}, and some part costs the mean or more", "pass 1 or more")
    if parts is not None:
        raise Infeasible("level chooses how many parts there are, and parts is given", "leave one of them out")
    return level


def _within(cost: Floats, table: Limits, parts: int | None, multiple: int, level: float | None) -> tuple[int, Integers]:
    """The number of parts, and the part of each item, so that no part breaks a limit.

    Raises:
        Infeasible: none were found, or none so level.
    """
    if level is not None:
        count, part_of, reached = fewest_level(cost, table, multiple, level)
        if reached > level:
            raise Infeasible(
                f"no parts were found that are level to {exactly(level)}; the most level ones are {count}, to "
                f"{exactly(_up(reached))}",
                f"pass level={exactly(_up(reached))} or more",
            )
        return count, part_of
    if parts is None:
        return fewest(cost, table, multiple)
    found = level_within(cost, table, parts) if parts >= table.at_least else None
    if found is None:
        raise Infeasible(
            f"no {parts} parts were found that break no limit; at least {table.at_least} are needed",
            f"pass more parts: {cost.size} are always enough; or leave parts out",
        )
    return parts, found


def _up(ratio: float) -> float:
    """A ratio, rounded up to four places."""
    return math.ceil(ratio * 1e4) / 1e4


def _level(cost: Floats, parts: int, max_cost: float | None, *, equal_size: bool) -> Integers:
    """The part of each item, without limits but `max_cost`, which may be exceeded."""
    descending = np.argsort(-cost, kind="stable")
    placed = longest_first(cost[descending], parts, cost.size // parts if equal_size else cost.size)
    part_of = in_order_of_items(placed, descending)
    cell_costs, cell_items = part_rows(cost, descending, part_of, parts, spare=0 if equal_size else 1)
    good_enough = float(cost.sum()) / parts * (1 + _GOOD_ENOUGH)
    if max_cost is not None:
        good_enough = min(good_enough, max_cost)
    swap_down(cell_costs, cell_items, good_enough, _EFFORT)
    return part_of_cells(cell_items, cost.size)


def _made(
    part_of: Integers,
    cost: Floats,
    parts: int,
    bundles: Bundles | None,
    at_least: int,
    largest_at_least: float,
) -> Partition:
    """The partition of the items, given the part of each item, or of the items of each key.

    `largest_at_least` is a proven lower bound of what the most expensive part costs.
    """
    if bundles is not None:
        part_of = bundles.spread(part_of)
    order = by_part(part_of, parts)
    borders = np.cumsum(np.bincount(part_of, minlength=parts)).tolist()
    inverse = np.empty(cost.size, np.int64)
    inverse[order] = np.arange(cost.size)
    members = tuple(order[first:last] for first, last in pairwise([0, *borders]))
    totals = np.bincount(part_of, weights=cost, minlength=parts).astype(np.float64)
    mean = float(totals.mean())
    return Partition(members, inverse, totals, at_least, max(1.0, largest_at_least / mean) if mean > 0 else 1.0)


def _limits(limits: Any, count: int) -> dict[str, tuple[Floats, float]]:
    """Check limits: by name what each item takes, float64 (items,), and the most."""
    found = {}
    for name, given in check_mapping(limits, "limits").items():
        called = f"limits[{shown(name)}]"
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise Infeasible(
                f"{called} is {shown(given)}", "pass what each item takes and the most, as (lengths, 32768)"
            )
        column, most = checked_column(given[0], called, "size"), float(check_number(given[1], called))
        if column.size != count:
            raise Infeasible(f"{called} has {column.size} numbers for {count} costs", "pass one an item")
        if most <= 0:
            raise Infeasible(f"the most of {called} is {exactly(most)}", "pass a limit above 0")
        found[str(name)] = column, most
    return found


def _refuse_too_large(table: Limits, bundles: Bundles | None) -> None:
    """Refuse an item, or items that stay together, that exceed a limit by themselves."""
    over: NDArray[np.bool_] = table.sizes > table.most
    if not over.any():
        return
    item, column = (int(place) for place in np.argwhere(over)[0])
    who = f"item {item} has" if bundles is None else bundles.named(item, "items")
    name, most, size = table.names[column], table.most[column], table.sizes[:, column].max()
    fact = f"{who} {exactly(table.sizes[item, column])} of {shown(name)}, the limit is {exactly(most)}"
    others = int(over.any(axis=1).sum()) - 1
    raise Infeasible(
        fact + (f" ({others} more exceed a limit)" if others else ""),
        f"pass a limit of {exactly(size)} or more for {shown(name)}, or shorter items",
    )


def _above_max_cost(cost: Floats, totals: Floats, max_cost: float, *, bundled: bool) -> Infeasible:
    """The error for a part that costs more than `max_cost`, with the simplest reason that is true."""
    most, limit, total = exactly(totals.max()), exactly(max_cost), float(cost.sum())
    item = int(cost.argmax())
    if cost[item] > max_cost and not bundled:
        return Infeasible(
            f"item {item} costs {exactly(cost[item])}, max_cost is {limit}", f"pass max_cost={most} or more"
        )
    fact = f"the best partition found has a part that costs {most}, max_cost is {limit}"
    if total > totals.size * max_cost:
        held = exactly(totals.size * max_cost)
        fact = f"the costs sum to {exactly(total)}, {totals.size} parts of at most {limit} hold {held}"
    if bundled:
        return Infeasible(fact, f"pass max_cost={most} or more")
    return Infeasible(
        fact,
        f"pass max_cost={most} or more, or more parts: with {cost.size}, one for every item, no part costs more than "
        "its item",
    )


def checked_column(values: ArrayLike, called: str, each: str) -> Floats:
    """Check numbers of items: float64 (items,), each 0 or more; what cannot be summed is refused."""
    column = np.asarray(as_numbers(values, called=called), np.float64)
    if column.ndim != 1:
        raise Infeasible(f"{called} have {column.ndim} dimensions, one is needed", "pass one number an item")
    bad = np.flatnonzero(~(np.isfinite(column) & (column >= 0)))
    of = "" if called == "costs" else f" in {called}"
    if bad.size:
        raise Infeasible(
            f"the {each} of item {bad[0]}{of} is {exactly(column[bad[0]])}", f"pass finite {each}s of 0 or more"
        )
    with np.errstate(over="ignore"):
        total = float(column.sum())
    if not np.isfinite(total):
        most = exactly(np.finfo(float).max)
        raise Infeasible(f"the {each}s{of} sum to more than {most}", f"pass {each}s in a larger unit")
    return column
