"""Distributes items over parts that may not exceed limits, so that the parts cost about the same."""

from __future__ import annotations

import numpy as np

from .array_types import Floats, Integers
from .compile import allocating, inner, kernel
from .partition import LEFT_OF_EXCESS, exchange, lighter, sift

__all__ = ["exact_parts", "full_parts", "lightest_that_fits", "swap_within"]


_BLOCK = 16  # parts that are summarised together; about the square root of some hundred parts


@inner
def _fits(load: Floats, size: Floats, limits: Floats) -> bool:
    """Whether a part of this load has room for an item."""
    fits = True
    for column in range(limits.size):
        fits = fits and load[column] + size[column] <= limits[column]
    return fits


@kernel("boolean(float64[:], float64[:, :], float64[:], int64, int64[:])")
def lightest_that_fits(costs: Floats, sizes: Floats, limits: Floats, parts: int, part_of: Integers) -> bool:
    """Give each item to the part that costs least of those where it fits. Returns whether all fit.

    `costs` fall. As long as every item fits into the part that costs least, a heap finds it; from there on parts are
    looked at in blocks, and a block is left out if none of its parts is cheap enough, or none has room. Ties go to the part
    with fewer items, then to the lower number, as in `longest_first`.
    """
    cost = np.zeros(parts)
    filled = np.zeros(parts, np.int64)
    loads = np.zeros((parts, limits.size))
    heap = np.arange(parts)
    blocks = -(-parts // _BLOCK)
    least_cost = np.zeros(blocks)  # of the parts of a block
    least_load = np.zeros((blocks, limits.size))
    roomy = True
    for item in range(costs.size):
        part = heap[0]
        if roomy and not _fits(loads[part], sizes[item], limits):
            roomy = False
            for block in range(blocks):
                _summarise(block, cost, loads, least_cost, least_load)
        if not roomy:
            part = -1
            for block in range(blocks):
                if (part >= 0 and least_cost[block] > cost[part]) or not _fits(least_load[block], sizes[item], limits):
                    continue
                for other in range(block * _BLOCK, min(parts, (block + 1) * _BLOCK)):
                    if part >= 0 and not lighter(other, part, cost, filled):
                        continue
                    if _fits(loads[other], sizes[item], limits):
                        part = other
            if part < 0:
                return False
        part_of[item] = part
        cost[part] += costs[item]
        filled[part] += 1
        loads[part] += sizes[item]
        if roomy:
            sift(heap, 0, parts, cost, filled)
        else:
            _summarise(part // _BLOCK, cost, loads, least_cost, least_load)
    return True


@allocating
def _summarise(block: int, cost: Floats, loads: Floats, least_cost: Floats, least_load: Floats) -> None:
    """The least cost, and for each limit the least load, of the parts of a block."""
    first, last = block * _BLOCK, min(cost.size, (block + 1) * _BLOCK)
    least_cost[block] = cost[first:last].min()
    for column in range(loads.shape[1]):
        least = loads[first, column]
        for part in range(first + 1, last):
            least = min(least, loads[part, column])
        least_load[block, column] = least


@kernel("boolean(float64[:, :], float64[:], int64, int64[:])")
def full_parts(sizes: Floats, limits: Floats, parts: int, part_of: Integers) -> bool:
    """Give each item to the fullest part where it fits (best fit). Returns whether all fit.

    How full a part is: its load over the limit, of the limit where that is largest.
    """
    fullness = np.zeros(parts)
    loads = np.zeros((parts, limits.size))
    for item in range(sizes.shape[0]):
        part = -1
        for other in range(parts):
            if (part < 0 or fullness[other] > fullness[part]) and _fits(loads[other], sizes[item], limits):
                part = other
        if part < 0:
            return False
        part_of[item] = part
        loads[part] += sizes[item]
        for column in range(limits.size):
            fullness[part] = max(fullness[part], loads[part, column] / limits[column])
    return True


@kernel("int64(float64[:, :], float64[:], int64, int64, int64[:])")
def exact_parts(sizes: Floats, limits: Floats, parts: int, effort: int, part_of: Integers) -> int:
    """Search all ways to put the items into so many parts: 1 if one was found, 0 if there is none, -1 if it gave up.

    Items are tried in order, each in the parts that are used and in one empty part: the others are the same. `effort`
    bounds how many places are tried.
    """
    count = sizes.shape[0]
    loads = np.zeros((parts, limits.size))
    used = np.zeros(count + 1, np.int64)  # parts that have an item, before each item is placed
    tried = np.full(count + 1, -1)
    item = 0
    while 0 <= item < count:
        if tried[item] >= 0:
            loads[tried[item]] -= sizes[item]
        found = -1
        for part in range(tried[item] + 1, min(used[item] + 1, parts)):
            effort -= 1
            if effort < 0:
                return -1
            if _fits(loads[part], sizes[item], limits):
                found = part
                break
        tried[item] = found
        if found < 0:
            item -= 1
            continue
        loads[found] += sizes[item]
        used[item + 1] = max(used[item], found + 1)
        item += 1
        tried[item] = -1
    part_of[:] = tried[:count]
    return int(item == count)


@kernel("int64(float64[:, :], int64[:, :], float64[:, :], float64[:], float64, int64)")
def swap_within(costs: Floats, items: Integers, sizes: Floats, limits: Floats, good_enough: float, effort: int) -> int:
    """Swap items between the most expensive part and others, within the limits. Returns the number of swaps.

    As `partition.swap_down`: rows are parts, their costs descending, an item of -1 is an empty place; both arrays are
    rewritten in place. The last row of `sizes` is that of an empty place: nothing.
    """
    parts, width = costs.shape
    load = np.empty(parts)
    loads = np.zeros((parts, limits.size))
    for part in range(parts):
        load[part] = costs[part].sum()
        for place in range(width):
            loads[part] += sizes[items[part, place]]
    mean = load.sum() / parts
    swaps = 0
    while effort > 0:
        heaviest = int(np.argmax(load))
        if load[heaviest] <= good_enough:
            break
        best = load[heaviest]
        best_part = best_i = best_j = -1
        enough = mean + LEFT_OF_EXCESS * (load[heaviest] - mean)
        lightest = np.argmin(load)
        for number in range(parts):
            part = (lightest + number) % parts
            if load[part] >= best:
                continue
            effort -= 2 * width
            j = 0
            difference = load[heaviest] - load[part]
            for i in range(width):
                while j < width - 1 and costs[heaviest, i] - costs[part, j] < difference / 2:
                    j += 1
                for k in range(max(j - 1, 0), j + 1):
                    moved = costs[heaviest, i] - costs[part, k]
                    after = load[part] + max(difference - moved, moved)
                    if after >= best:
                        continue
                    leaving, coming = sizes[items[heaviest, i]], sizes[items[part, k]]
                    allowed = True
                    for column in range(limits.size):
                        moving = leaving[column] - coming[column]
                        allowed = allowed and (
                            loads[part, column] + moving <= limits[column]
                            and loads[heaviest, column] - moving <= limits[column]
                        )
                    if allowed:
                        best, best_part, best_i, best_j = after, part, i, k
            if best <= enough:
                break
        if best_part < 0:
            break
        moving_size = sizes[items[heaviest, best_i]] - sizes[items[best_part, best_j]]
        loads[heaviest] -= moving_size
        loads[best_part] += moving_size
        exchange(costs, items, load, heaviest, best_i, best_part, best_j)
        swaps += 1
    return swaps
