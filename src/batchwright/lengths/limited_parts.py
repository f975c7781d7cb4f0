"""Finds the least number of parts that break no limit, and makes their costs about the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..kernels.array_types import Floats, Integers
from ..kernels.limited_parts import exact_parts, full_parts, lightest_that_fits, swap_within
from ..kernels.partition import longest_first, swap_down

__all__ = [
    "Limits", "by_part", "fewest", "fewest_level", "in_order_of_items", "level_within", "most_expensive_at_least",
    "part_of_cells", "part_rows",
]  # fmt: skip


_NEAR = 5e-4  # stop swapping this near to the mean
_SWAPS = 500_000  # cells that swaps may look at: some milliseconds
_SEARCH = 200_000  # places that the exact search tries: some milliseconds; enough for a dozen items


@dataclass(frozen=True)
class Limits:
    """What items take of several limits.

    Attributes:
        names: the name of each limit.
        sizes: what each item takes, float64 (items, limits).
        most: the most that a part may take, float64 (limits,).
    """

    names: tuple[str, ...]
    sizes: Floats
    most: Floats

    def loads(self, part_of: Integers, parts: int) -> Floats:
        """What each part has of each limit, float64 (parts, limits)."""
        columns = [np.bincount(part_of, weights=column, minlength=parts) for column in self.sizes.T]
        return np.stack(columns, axis=1) if columns else np.zeros((parts, 0))

    @cached_property
    def at_least(self) -> int:
        """A proven lower bound of the number of parts: that of each limit by itself."""
        return max((_least(column, most) for column, most in zip(self.sizes.T, self.most, strict=True)), default=1)

    def tightest_first(self) -> Integers:
        """The items, sorted by the largest fraction that they take of a limit, the largest first."""
        return np.argsort(-(self.sizes / self.most).max(axis=1), kind="stable")

    def kept(self, part_of: Integers, parts: int) -> bool:
        """Whether no part breaks a limit."""
        return bool((self.loads(part_of, parts) <= self.most).all())


def _least(sizes: Floats, most: float) -> int:
    """A lower bound of the number of parts of at most `most` (Martello and Toth 1990, L2).

    Items of more than half the limit need a part each. Those above `most - cut` leave no room for an item of `cut` or
    more, so what items from `cut` to half the limit take beyond the room beside the others needs further parts.
    """
    descending = -np.sort(-sizes)
    sums = np.append(0.0, np.cumsum(descending))
    half = int(np.searchsorted(-descending, -most / 2))  # items of more than half
    distinct = np.flatnonzero(np.diff(descending[half:], prepend=-1.0))
    cuts = np.append(descending[half:][distinct], 0.0)
    alone = np.searchsorted(-descending, -(most - cuts))
    small = np.searchsorted(-descending, -cuts, side="right")
    room = (half - alone) * most - (sums[half] - sums[np.minimum(alone, half)])
    # A sum of floats may be just above an integer: a bound must not be too high for that.
    beyond = np.ceil((sums[small] - sums[half] - room) / most * (1 - 1e-12))
    return max(1, half + max(0, int(beyond.max())))


def most_expensive_at_least(costs: Floats, limits: Limits, parts: int) -> float:
    """A proven lower bound of what the most expensive of this number of parts costs, if no limit is broken.

    Costs are split into a part that grows with the size, `rate * size`, and the rest, which is 0 or more for every item. A
    part that costs at most c, of which r is rest, has a size of at most (c - r) / rate; that is below the limit by
    (r - (c - rate * limit)) / rate, if that is above 0. Such gaps add up: items whose rest is above c - rate * limit leave
    at least the same together, however they are divided. So they fit into the room that all parts together have beyond the
    sizes of all items, or c is too small.
    """
    least = max(float(costs.sum()) / parts, float(costs.max(initial=0)))
    for sizes, most in zip(limits.sizes.T, limits.most.tolist(), strict=True):
        if not sizes.any():
            continue
        rate = float((costs[sizes > 0] / sizes[sizes > 0]).min())
        rest = costs - rate * sizes
        # Gaps add up only above a rest of 0. No other items are above c - rate * limit for a larger c.
        above = -np.sort(-rest[rest > max(0.0, least - rate * most)])
        room = rate * (parts * most - float(sizes.sum()))
        beyond = float(((above.cumsum() - room) / np.arange(1, above.size + 1)).max(initial=0))
        least = max(least, beyond + rate * most) if beyond > 0 else least
    return least * (1 - 1e-9)  # sums of floats may be slightly too high


def fewest(costs: Floats, limits: Limits, multiple: int) -> tuple[int, Integers]:
    """The least number of parts, a multiple of `multiple`, for which a way was found, and the part of each item.

    Mostly that is the lower bound. Else bisection between it and what best fit needs, which always fits.
    """
    low = _up(limits.at_least, multiple)
    found = level_within(costs, limits, low)
    if found is not None:
        return low, found
    # Best fit opens a part only for an item that fits in no other part. So any two parts exceed a limit together. Added over
    # all limits, all parts but one therefore take half of what one part may take of a limit, on average.
    enough = min(costs.size, 2 * limits.most.size * limits.at_least + 1)
    tight, placed = limits.tightest_first(), np.empty(costs.size, np.int64)
    full_parts(limits.sizes[tight], limits.most, enough, placed)
    high = _up(int(placed.max()) + 1, multiple)
    while high - low > multiple:
        middle = low + (high - low) // (2 * multiple) * multiple
        tried = level_within(costs, limits, middle)
        if tried is None:
            low = middle
        else:
            high, found = middle, tried
    if found is None:
        found = level_within(costs, limits, high)
    assert found is not None
    return high, found


def fewest_level(costs: Floats, limits: Limits, multiple: int, level: float) -> tuple[int, Integers, float]:
    """As `fewest`, with as many more parts as it takes that none costs more than `level` times the mean.

    Returns also the most expensive part over the mean. It is above `level` if no number of parts was found; then the
    parts are the most level ones that were tried.
    """
    total, largest = float(costs.sum()), float(costs.max())

    def tried(parts: int) -> tuple[int, Integers, float] | None:
        """So many parts, if they are more level than those before."""
        if most_expensive_at_least(costs, limits, parts) * parts > level * total:
            return None
        found = level_within(costs, limits, parts, min(_NEAR, level - 1))
        return None if found is None else (parts, found, _max_over_mean(costs, found, parts))

    parts, part_of = fewest(costs, limits, multiple)
    best = parts, part_of, _max_over_mean(costs, part_of, parts)
    most = int(level * total / largest) // multiple * multiple if total else parts
    low, high, step = parts, parts, multiple
    while best[2] > level and high < most:  # twice as far each time
        low, high, step = high, min(high + step, most), 2 * step
        best = min(best, tried(high) or best, key=lambda one: one[2])
    while best[0] - low > multiple and best[2] <= level:
        middle = low + (best[0] - low) // (2 * multiple) * multiple
        found = tried(middle)
        if found is None or found[2] > level:
            low = middle
        else:
            best = found
    return best


def _max_over_mean(costs: Floats, part_of: Integers, parts: int) -> float:
    total = float(costs.sum())
    return float(np.bincount(part_of, weights=costs, minlength=parts).max()) * parts / total if total else 1.0


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def level_within(costs: Floats, limits: Limits, parts: int, near: float = _NEAR) -> Integers | None:
    """The part of each item, so that no limit is broken and parts cost about the same; None if nothing was found.

    Swaps stop where no part costs more than 1 + `near` times the mean.
    """
    descending = np.argsort(-costs, kind="stable")
    part_of = _start(costs, descending, limits, parts)
    if part_of is None:
        return None
    cell_costs, cell_items = part_rows(costs, descending, part_of, parts)
    mean = float(costs.sum()) / parts
    sizes = np.vstack([limits.sizes, np.zeros((1, limits.most.size))])
    swap_within(cell_costs, cell_items, sizes, limits.most, mean * (1 + near), _SWAPS)
    level = part_of_cells(cell_items, part_of.size)
    return level if limits.kept(level, parts) else part_of


def _start(costs: Floats, descending: Integers, limits: Limits, parts: int) -> Integers | None:
    """Some way to put all items into the parts: the first that is found, the most level ones first."""
    placed = np.empty(costs.size, np.int64)
    if lightest_that_fits(costs[descending], limits.sizes[descending], limits.most, parts, placed):
        return in_order_of_items(placed, descending)
    tight = limits.tightest_first()
    if full_parts(limits.sizes[tight], limits.most, parts, placed):
        return in_order_of_items(placed, tight)
    if limits.most.size == 1:  # as level as possible in what is limited
        column = limits.sizes[:, 0]
        spread = in_order_of_items(longest_first(column[tight], parts, column.size), tight)
        cell_sizes, cell_items = part_rows(column, tight, spread, parts)
        swap_down(cell_sizes, cell_items, float(limits.most[0]), _SWAPS)
        spread = part_of_cells(cell_items, column.size)
        if limits.kept(spread, parts):
            return spread
    found = exact_parts(limits.sizes[tight], limits.most, parts, _SEARCH, placed)
    searched = in_order_of_items(placed, tight)
    return searched if found == 1 and limits.kept(searched, parts) else None


def in_order_of_items(placed: Integers, order: Integers) -> Integers:
    """The part of each item, given the parts of the items in another order: `placed[i]` is that of item `order[i]`."""
    part_of = np.empty_like(placed)
    part_of[order] = placed
    return part_of


def by_part(part_of: Integers, parts: int) -> Integers:
    """The items part by part, those of one part in the order given."""
    narrow = part_of.astype(np.uint16) if parts <= 1 << 16 else part_of  # NumPy sorts 16 bits ten times as fast
    return np.argsort(narrow, kind="stable")


def part_rows(
    costs: Floats, descending: Integers, part_of: Integers, parts: int, *, spare: int = 1
) -> tuple[Floats, Integers]:
    """The parts as rows: their costs, descending, and their items; -1 and a cost of 0 for empty places.

    `descending` are the items by descending cost.
    With a spare place in the fullest part, an item may also move alone: that is a swap with an empty place.
    """
    held = np.bincount(part_of, minlength=parts)
    order = descending[by_part(part_of[descending], parts)]
    place = np.arange(costs.size) - np.repeat(np.cumsum(held) - held, held)
    shape = parts, int(held.max(initial=0)) + spare
    cell_costs, cell_items = np.zeros(shape), np.full(shape, -1)
    cell_costs[part_of[order], place] = costs[order]
    cell_items[part_of[order], place] = order
    return cell_costs, cell_items


def part_of_cells(cell_items: Integers, count: int) -> Integers:
    """The part of each of `count` items; the inverse of `part_rows`."""
    part_of = np.empty(count, np.int64)
    held = cell_items >= 0
    part_of[cell_items[held]] = np.nonzero(held)[0]
    return part_of
