"""Distributes items over parts of equal cost: longest first into the lightest part, then swaps with the heaviest."""

from __future__ import annotations

import numpy as np

from .array_types import Floats, Integers
from .compile import inner, kernel

__all__ = ["LEFT_OF_EXCESS", "exchange", "lighter", "longest_first", "sift", "swap_down"]

LEFT_OF_EXCESS = 0.1
"""A swap that leaves this part of a part's excess over the mean is taken at once (chosen by trial)."""


@inner
def lighter(a: int, b: int, load: Floats, filled: Integers) -> bool:
    """Whether part `a` comes before part `b`: by load, then by number of items, then by number of part."""
    if load[a] != load[b]:
        return bool(load[a] < load[b])
    if filled[a] != filled[b]:
        return bool(filled[a] < filled[b])
    return a < b


@inner
def sift(heap: Integers, place: int, size: int, load: Floats, filled: Integers) -> None:
    """Move the part at this place of the heap down to where it belongs."""
    part = heap[place]
    while True:
        below = 2 * place + 1
        if below >= size:
            break
        if below + 1 < size and lighter(heap[below + 1], heap[below], load, filled):
            below += 1
        if not lighter(heap[below], part, load, filled):
            break
        heap[place] = heap[below]
        place = below
    heap[place] = part


@kernel("int64[:](float64[:], int64, int64)")
def longest_first(costs: Floats, parts: int, most_items: int) -> Integers:
    """The part of each item: each goes to the lightest part that has fewer than `most_items`; `costs` descend.

    Graham's rule (1969), with a count cap. Ties go to the part with fewer items, then to the lower number.
    """
    load = np.zeros(parts)
    filled = np.zeros(parts, np.int64)
    heap = np.arange(parts)
    size = parts
    part_of = np.empty(costs.size, np.int64)
    for item in range(costs.size):
        part = heap[0]
        part_of[item] = part
        load[part] += costs[item]
        filled[part] += 1
        if filled[part] == most_items:
            size -= 1
            heap[0] = heap[size]
        if size > 0:
            sift(heap, 0, size, load, filled)
    return part_of


@inner
def _best_swap(heavy: Floats, light: Floats, difference: float) -> tuple[float, int, int]:
    """The swap between two rows of descending costs after which the heavier of the two is as light as possible.

    Moving `d = heavy[i] - light[j]` leaves max(load - d, other + d): the best `d` is nearest to half the
    difference.
    Both rows are walked once: as i grows, heavy[i] falls, and so does the light[j] that fits it.
    """
    best_rest = difference  # what the heavier of the two then has above the lighter part's old load
    best_i = -1
    best_j = -1
    j = 0
    for i in range(heavy.size):
        while j < light.size - 1 and heavy[i] - light[j] < difference / 2:
            j += 1
        # heavy[i] - light[j] passes half the difference between j - 1 and j, so one of these two is nearest to it.
        for k in range(max(j - 1, 0), j + 1):
            moved = heavy[i] - light[k]
            rest = max(difference - moved, moved)
            if rest < best_rest:
                best_rest = rest
                best_i = i
                best_j = k
    return best_rest, best_i, best_j


@inner
def _replace(row: Floats, items: Integers, place: int, cost: float, item: int) -> None:
    """Put another item at `place` of a descending row and move it to its place in the order."""
    while place > 0 and row[place - 1] < cost:
        row[place] = row[place - 1]
        items[place] = items[place - 1]
        place -= 1
    while place < row.size - 1 and row[place + 1] > cost:
        row[place] = row[place + 1]
        items[place] = items[place + 1]
        place += 1
    row[place] = cost
    items[place] = item


@inner
def exchange(costs: Floats, items: Integers, load: Floats, part: int, place: int, other: int, other_place: int) -> None:
    """Swap an item of a part with an item of another part; rows of costs stay descending."""
    cost, item = costs[part, place], items[part, place]
    _replace(costs[part], items[part], place, costs[other, other_place], items[other, other_place])
    _replace(costs[other], items[other], other_place, cost, item)
    load[part] = costs[part].sum()
    load[other] = costs[other].sum()


@kernel("int64(float64[:, :], int64[:, :], float64, int64)")
def swap_down(costs: Floats, items: Integers, good_enough: float, effort: int) -> int:
    """Swap items between the heaviest part and others until it is at most `good_enough`; swaps made.

    Rows are parts, their costs descending; both arrays are rewritten in place. Every swap leaves both parts
    lighter than the heaviest was, so the loop ends. `effort` limits how many cells it looks at; a limit on the time
    would make results depend on the machine. It takes the first swap that leaves a tenth of the heaviest part's excess
    over the mean, else the best swap of all parts: looking at all parts for every swap would use up the effort.
    """
    parts, width = costs.shape
    load = np.empty(parts)
    for part in range(parts):
        load[part] = costs[part].sum()
    mean = load.sum() / parts
    swaps = 0
    while effort > 0:
        heaviest = int(np.argmax(load))
        if load[heaviest] <= good_enough:
            break
        best = load[heaviest]
        best_part = -1
        best_i = -1
        best_j = -1
        enough = mean + LEFT_OF_EXCESS * (load[heaviest] - mean)
        for part in range(parts):
            if load[part] >= best:
                continue
            rest, i, j = _best_swap(costs[heaviest], costs[part], load[heaviest] - load[part])
            effort -= 2 * width
            if i >= 0 and load[part] + rest < best:
                best = load[part] + rest
                best_part = part
                best_i = i
                best_j = j
                if best <= enough:
                    break
        if best_part < 0 or best >= load[heaviest]:
            break
        exchange(costs, items, load, heaviest, best_i, best_part, best_j)
        swaps += 1
    return swaps
