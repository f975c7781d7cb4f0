"""Makes the parts of a window alike in cost, step by step, where single items cost more than a part on average.

No arrangement can level a step of one very expensive item and of cheap ones. So the parts with the most expensive items
make the first step, those with the next ones the second, and so on. Steps are made level one after the other, with
parts of later steps as partners: what costs too much is given to the cheapest of them, and parts that cost less than
the step must cost anyway take items from them. So the later steps have less left to do, and are level at the mean.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .array_types import Floats, Integers
from .compile import allocating, inner, kernel

__all__ = ["level_work"]


# How many partners are tried, and the gain that counts as one: both chosen by trial.
_CHEAPER = 4
_FILLERS = 12
_LEFT = 0.98  # of `least / step`: a part that gives items away keeps this size at least, for later steps
_GAIN = 1e-4  # of the distance to the wanted cost
_GONE = -np.inf


class _Window(NamedTuple):
    """Items by part, and trees in which parts are found."""

    costs: Floats
    sizes: Floats
    limits: Floats
    part_of: Integers
    head: Integers  # the most expensive item of each part; lists of items by descending cost, -1 at their end
    following: Integers
    load: Floats
    filled: Floats  # the size of each part, in the first measure
    by_item: Floats  # a tree of the parts that are in no step yet, by their most expensive item
    heavy: Floats  # a tree of the same parts, by load
    light: Floats  # a tree of the parts that are in no finished step, by descending load
    merged: Integers  # scratch: what `_divide` finds
    side: Integers
    sums: Floats


@inner
def _set(tree: Floats, part: int, value: float) -> None:
    """Change a leaf of a tree in which every inner node is the larger of its two children."""
    node = tree.size // 2 + part
    tree[node] = value
    while node > 1:
        node //= 2
        tree[node] = max(tree[2 * node], tree[2 * node + 1])


@inner
def _top(tree: Floats) -> int:
    """The first part with the largest value."""
    node = 1
    while node < tree.size // 2:
        node = 2 * node if tree[2 * node] == tree[1] else 2 * node + 1
    return node - tree.size // 2


@allocating
def _divide(window: _Window, one: int, two: int, wanted: float) -> tuple[int, float, float, float]:
    """Divide the items of two parts again: the first is to cost `wanted`, and no more; the second gets the rest.

    Items are looked at most expensive first. The first part takes an item if it has room for it and then costs `wanted`
    at most together with those last items that the second part will have no room for. Returns the number of items,
    what both parts would cost, infinite if an item found no room or a part is empty, and how filled the first would be.
    Nothing is changed but scratch.
    """
    costs, sizes, limits, sums = window.costs, window.sizes, window.limits, window.sums
    measures = sizes.shape[1]
    first, second = window.head[one], window.head[two]
    count = 0
    while first >= 0 or second >= 0:
        if second < 0 or (first >= 0 and first < second):
            item = first
            first = window.following[first]
        else:
            item = second
            second = window.following[second]
        window.merged[count] = item
        for measure in range(measures):
            sums[count + 1, measure] = sums[count, measure] + sizes[item, measure]
        sums[count + 1, measures] = sums[count, measures] + costs[item]
        count += 1
    used = np.zeros((2, measures))
    load = np.zeros(2)
    held = np.zeros(2, np.int64)
    for place in range(count):
        item = window.merged[place]
        fits_first = True
        fits_second = True
        later = 0.0
        for measure in range(measures):
            fits_first = fits_first and used[0, measure] + sizes[item, measure] <= limits[measure]
            fits_second = fits_second and used[1, measure] + sizes[item, measure] <= limits[measure]
            room_until = sums[place + 1, measure] + limits[measure] - used[1, measure]
            if sums[count, measure] > room_until:
                low, high = place + 1, count
                while low < high:
                    middle = (low + high + 1) // 2
                    if sums[middle, measure] <= room_until:
                        low = middle
                    else:
                        high = middle - 1
                later = max(later, sums[count, measures] - sums[low, measures])
        part = 0 if fits_first and load[0] + costs[item] + later <= wanted else 1
        if part == 1 and not fits_second:
            if not fits_first:
                return count, np.inf, np.inf, 0.0
            part = 0
        for measure in range(measures):
            used[part, measure] += sizes[item, measure]
        load[part] += costs[item]
        held[part] += 1
        window.side[place] = part
    if held.min() == 0:
        return count, np.inf, np.inf, 0.0
    return count, load[0], load[1], used[0, 0]


@inner
def _keep(window: _Window, count: int, one: int, two: int, loads: tuple[float, float], filled: float) -> None:
    """Store what `_divide` found."""
    window.head[one] = -1
    window.head[two] = -1
    for place in range(count - 1, -1, -1):
        item = window.merged[place]
        part = one if window.side[place] == 0 else two
        window.part_of[item] = part
        window.following[item] = window.head[part]
        window.head[part] = item
    window.load[one], window.load[two] = loads
    window.filled[two] += window.filled[one] - filled
    window.filled[one] = filled
    for part in (one, two):
        if window.light[window.light.size // 2 + part] != _GONE:
            _set(window.light, part, -window.load[part])
        if window.heavy[window.heavy.size // 2 + part] != _GONE:
            _set(window.heavy, part, window.load[part])
            _set(window.by_item, part, window.costs[window.head[part]])


@allocating
def _lower(window: _Window, part: int, mean: float, tried: Integers) -> tuple[bool, int]:
    """Give items of a part to one of the cheapest ones. Returns whether it costs less now, and the items looked at."""
    load = window.load
    effort = 0
    looked = 0
    lower = False
    _set(window.light, part, _GONE)
    while looked < tried.size and not lower and window.light[1] != _GONE:
        other = _top(window.light)
        tried[looked] = other
        looked += 1
        both = load[part] + load[other]
        # One of the two then costs the mean. If the items do not allow that, both are to cost the same.
        for wanted in (max(load[other], mean if both >= 2 * mean else both - mean), both / 2):
            count, one, two, filled = _divide(window, other, part, wanted)
            effort += count
            if load[part] - max(one, two) > max(_GAIN * (load[part] - mean), 1e-7 * mean):
                _keep(window, count, other, part, (one, two), filled)
                lower = True
                break
        _set(window.light, other, _GONE)
    for place in range(looked):
        _set(window.light, tried[place], -load[tried[place]])
    _set(window.light, part, -load[part])
    return lower, effort


@inner
def _filler(window: _Window, longest: int, wanted: float, first: int) -> int:
    """The first item from `first` on that a part with the item `longest` may take, to cost `wanted` when it is full."""
    costs, sizes = window.costs, window.sizes
    last = costs.size - 1
    low, high = min(first, costs.size), costs.size
    while low < high:
        middle = (low + high) // 2
        fits = True
        later = 0.0
        for measure in range(sizes.shape[1]):
            rest = window.limits[measure] - sizes[longest, measure] - sizes[middle, measure]
            fits = fits and rest >= 0
            if sizes[last, measure] > 0:
                later = max(later, rest * costs[last] / sizes[last, measure])
        if fits and costs[longest] + costs[middle] + later <= wanted:
            high = middle
        else:
            low = middle + 1
    return low


@allocating
def _raise(window: _Window, part: int, wanted: float, spare: float, least: float, enough: float) -> int:
    """Let a part take items of parts that are in no step yet, until it costs `wanted`.

    Its size falls by `spare` at most; a part whose size falls in its place keeps `least`. Returns how many items were
    looked at.
    """
    load = window.load
    effort = 0
    item = 0
    for attempt in range(_FILLERS):
        if load[part] >= enough * wanted:
            break
        item = _filler(window, window.head[part], wanted, item)
        while item < window.costs.size and window.heavy[window.heavy.size // 2 + window.part_of[item]] == _GONE:
            item += 1
            effort += 1
        if item == window.costs.size:
            break
        other = window.part_of[item]
        count, one, two, filled = _divide(window, part, other, wanted)
        effort += count
        lost = window.filled[part] - filled
        gains = one - load[part] > _GAIN * (wanted - load[part]) and two < load[other]
        enough_left = lost >= 0 or window.filled[other] + lost >= least
        if one <= wanted and gains and lost <= spare and enough_left:
            _keep(window, count, part, other, (one, two), filled)
            spare -= lost
        item += 4 << attempt  # neighbours are often in the same part, or in one that is much like it
    return effort


@kernel("int64[:](float64[:], float64[:, :], int64[:], int64, int64, float64[:], float64, float64, int64)")
def level_work(
    costs: Floats,
    sizes: Floats,
    part_of: Integers,
    parts: int,
    step: int,
    limits: Floats,
    least: float,
    enough: float,
    effort: int,
) -> Integers:
    """Exchange items between parts, so that the most expensive parts of all steps cost less together.

    Args:
        costs: descending, float64 (items,).
        sizes: what an item takes of each limit, float64 (items, measures).
        part_of: the part of each item at first, int64 (items,); no part is empty.
        parts: how many there are, a multiple of `step`.
        step: parts that run together; steps are parts sorted by cost.
        limits: float64 (measures,); no part exceeds them.
        least: what a step should have in the first measure; parts do not take items if it would have less.
        enough: a part that costs this fraction of what is wanted is level.
        effort: how many items are looked at before it stops; a limit on the time would make results depend on the
            machine.

    Returns:
        The part of each item, int64 (items,).
    """
    width = 1
    while width < parts:
        width *= 2
    window = _Window(
        costs,
        sizes,
        limits,
        part_of.copy(),
        np.full(parts, -1),
        np.full(costs.size, -1),
        np.zeros(parts),
        np.zeros(parts),
        np.full(2 * width, _GONE),
        np.full(2 * width, _GONE),
        np.full(2 * width, _GONE),
        np.empty(costs.size, np.int64),
        np.empty(costs.size, np.int64),
        np.zeros((costs.size + 1, sizes.shape[1] + 1)),
    )
    load = window.load
    for item in range(costs.size - 1, -1, -1):
        load[part_of[item]] += costs[item]
        window.filled[part_of[item]] += sizes[item, 0]
        window.following[item] = window.head[part_of[item]]
        window.head[part_of[item]] = item
    for part in range(parts):
        _set(window.by_item, part, costs[window.head[part]])
        _set(window.heavy, part, load[part])
        _set(window.light, part, -load[part])
    total = load.sum()
    chosen = np.empty(step, np.int64)
    tried = np.empty(_CHEAPER, np.int64)
    for begin in range(0, parts, step):
        mean = total / (parts - begin)
        if window.heavy[1] * enough <= mean:
            break
        for place in range(step):
            chosen[place] = _top(window.by_item)
            _set(window.by_item, chosen[place], _GONE)
            _set(window.heavy, chosen[place], _GONE)
        heaviest = chosen[np.argmax(load[chosen])]
        lower = True
        while lower and effort > 0 and load[heaviest] * enough > mean:
            lower, looked = _lower(window, heaviest, mean, tried)
            effort -= looked
            heaviest = chosen[np.argmax(load[chosen])]
        wanted = max(mean, load[heaviest])
        for one in chosen:
            _set(window.light, int(one), _GONE)
        spare = window.filled[chosen].sum() - least
        for one in chosen:
            if effort > 0:
                before = window.filled[one]
                effort -= _raise(window, int(one), wanted, max(0.0, spare), _LEFT * least / step, enough)
                spare += window.filled[one] - before
        total -= load[chosen].sum()
    return window.part_of
