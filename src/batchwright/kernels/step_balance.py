"""Makes the costs of the micro-batches of a step equal, without adding a micro-batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .compile import kernel

__all__ = ["balance_in_all", "raise_to_most_expensive"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_LOOKED_AT = 64  # samples of a suitable cost that are tried; if none can be used, the micro-batch stays as it is


@kernel("float64[:](float64[:], int64[:], int64[:], int64[:], int64, float64, float64)")
def raise_to_most_expensive(
    costs: Floats, members: Integers, offsets: Integers, falling: Integers, multiple: int, budget: float, enough: float
) -> Floats:
    """Swap a more expensive sample into every micro-batch below `enough` times the most expensive one of its step.

    The cost of a micro-batch is that of its most expensive sample times its number of samples. `falling` are the places
    of `members` by falling `costs`; both arrays are rewritten in place. The sample that is swapped in comes from a
    micro-batch with a more expensive one, whose cost therefore stays the same; it is swapped for the micro-batch's most
    expensive sample. No micro-batch exceeds the most expensive one of its step. Returns the new cost of every
    micro-batch.
    """
    batches = offsets.size - 1
    at_first = costs[falling]
    batch_of = np.empty(members.size, np.int64)
    taken = np.zeros(members.size, np.bool_)  # the sample decides what its micro-batch costs, or was already moved
    most_expensive_at = np.empty(batches, np.int64)
    total = np.empty(batches)
    for batch in range(batches):
        place = offsets[batch]
        for other in range(offsets[batch], offsets[batch + 1]):
            batch_of[other] = batch
            if costs[other] > costs[place]:
                place = other
        most_expensive_at[batch] = place
        taken[place] = True
        total[batch] = costs[place] * (offsets[batch + 1] - offsets[batch])
    for first in range(0, batches - multiple + 1, multiple):
        limit = min(total[first : first + multiple].max(), budget)
        for batch in range(first, first + multiple):
            count = offsets[batch + 1] - offsets[batch]
            if total[batch] >= enough * limit:
                continue
            low, high = 0, falling.size
            while low < high:
                middle = (low + high) // 2
                if at_first[middle] * count <= limit:
                    high = middle
                else:
                    low = middle + 1
            for rank in range(low, min(low + _LOOKED_AT, falling.size)):
                place = falling[rank]
                if at_first[rank] * count <= total[batch]:
                    break
                if taken[place] or batch_of[place] == batch:
                    continue
                own = most_expensive_at[batch]
                members[own], members[place] = members[place], members[own]
                costs[own], costs[place] = costs[place], costs[own]
                taken[place] = True
                total[batch] = costs[own] * count
                break
    return total


@kernel("int64[:](float64[:, :], int64, int64)")
def balance_in_all(costs: Floats, parts: int, most_items: int) -> Integers:
    """The part of each item, in the order given: the one whose largest load, over all kinds, stays smallest.

    Graham's rule (1969) for vectors. `costs` are float64 (items, kinds). Loads are divided by the mean of their kind
    over the parts, so that kinds can be compared; kinds that sum to 0 are ignored. Of equal parts the first is taken; a
    part with `most_items` takes no more.
    """
    items, kinds = costs.shape
    weight = np.zeros(kinds)
    for kind in range(kinds):
        total = costs[:, kind].sum()
        if total > 0.0:
            weight[kind] = parts / total
    load = np.zeros((parts, kinds))
    held = np.zeros(parts, np.int64)
    part_of = np.empty(items, np.int64)
    for item in range(items):
        chosen = 0
        smallest = np.inf
        for part in range(parts):
            if held[part] == most_items:
                continue
            largest = 0.0
            for kind in range(kinds):
                largest = max(largest, (load[part, kind] + costs[item, kind]) * weight[kind])
            if largest < smallest:
                smallest = largest
                chosen = part
        part_of[item] = chosen
        held[chosen] += 1
        for kind in range(kinds):
            load[chosen, kind] += costs[item, kind]
    return part_of
