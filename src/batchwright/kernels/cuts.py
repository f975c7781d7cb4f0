"""Cuts a sequence of samples so that no micro-batch exceeds a budget."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .array_types import Floats, Integers
from .compile import inner, kernel

__all__ = ["count_longest", "count_summed", "count_within", "cut_longest", "cut_several", "joined_ranges", "of_first"]


@kernel("int64[:](float64[:], float64, int64, int64)")
def cut_longest(costs: Floats, budget: float, most_samples: int, count_multiple: int) -> Integers:
    """Offsets of micro-batches of descending `costs` with longest x count <= budget, as few as possible, int64.

    The first sample of a micro-batch is its longest, so it alone decides how many fit; the time grows with the number
    of micro-batches, not of samples. A sample over the budget gets a micro-batch of its own. Sample counts above
    `count_multiple` are rounded down to a multiple of it.
    """
    offsets = np.empty(costs.size + 1, np.int64)
    offsets[0] = 0
    cuts = 0
    at = 0
    while at < costs.size:
        at += _fit(costs[at], costs.size - at, budget, most_samples, count_multiple)
        cuts += 1
        offsets[cuts] = at
    return offsets[: cuts + 1].copy()


@kernel("int64(float64[:], int64[:], float64, int64, int64)", allocates=False)
def count_longest(costs: Floats, counts: Integers, budget: float, most_samples: int, count_multiple: int) -> int:
    """How many micro-batches `cut_longest` makes of `counts[kind]` samples of each of these descending costs."""
    left = counts.sum()
    cuts = 0
    kind = 0
    passed = 0  # samples of this kind that are cut already
    while left > 0:
        fit = _fit(costs[kind], left, budget, most_samples, count_multiple)
        left -= fit
        cuts += 1
        passed += fit
        kind, passed = _kind_after(counts, kind, passed)
    return cuts


@inner
def _kind_after(counts, kind, passed):
    """The kind of the sample that comes `passed` samples after the first of a kind, and how many of its kind precede it."""
    while kind < counts.size and passed >= counts[kind]:
        passed -= counts[kind]
        kind += 1
    return kind, passed


@inner
def _fit(longest, left, budget, most_samples, count_multiple):
    """How many of the `left` samples fit into a micro-batch whose longest costs so much."""
    fit = most_samples
    if longest > 0.0:
        # Below 2^53, so that the float is an exact integer.
        fit = min(most_samples, int(min(budget / longest, 9e15)))
        if (fit + 1) * longest <= budget and fit < most_samples:  # the division was rounded down
            fit += 1
        elif fit * longest > budget:  # or up
            fit -= 1
    fit = max(1, min(fit, left))
    if fit > count_multiple:
        fit -= fit % count_multiple
    return fit


@kernel("int64(float64[:], int64[:], float64, int64, int64)", allocates=False)
def count_summed(costs: Floats, counts: Integers, budget: float, most_samples: int, count_multiple: int) -> int:
    """How many micro-batches `cut_several` makes of `counts[kind]` samples of each of these costs, in this order.

    There is one budget, of which samples take the sum of their costs.
    """
    left = counts.sum()
    cuts = 0
    kind = 0
    passed = 0  # samples of this kind that are cut already
    while left > 0:
        used = 0.0
        taken = 0
        here, before = kind, passed  # of the first sample that is not taken
        while taken < min(left, most_samples):
            fits = used + costs[here] <= budget
            if not fits and taken > 0:
                break
            used += costs[here]
            taken += 1
            before += 1
            here, before = _kind_after(counts, here, before)
            if not fits:
                break
        if taken > count_multiple:
            taken -= taken % count_multiple
        left -= taken
        cuts += 1
        passed += taken
        kind, passed = _kind_after(counts, kind, passed)
    return cuts


@kernel("int64[:](float64[:, :], float64[:], boolean[:], int64, int64)")
def cut_several(
    costs: Floats, budgets: Floats, padded: NDArray[np.bool_], most_samples: int, count_multiple: int
) -> Integers:
    """Offsets of micro-batches, in the order given, that exceed no budget; column k of `costs` counts for budget k.

    If `padded[k]`, the cost of a micro-batch is its most expensive sample times its number of samples, else the sum.
    Greedy: a micro-batch takes samples as long as they fit. A sample over a budget gets a micro-batch of its own.
    """
    samples, measures = costs.shape
    offsets = np.empty(samples + 1, np.int64)
    offsets[0] = 0
    cuts = 0
    at = 0
    used = np.zeros(measures)
    while at < samples:
        used[:] = 0.0
        end = at
        while end < samples and end - at < most_samples:
            count = end - at + 1
            fits = True
            for measure in range(measures):
                if padded[measure]:
                    fits = fits and max(used[measure], costs[end, measure]) * count <= budgets[measure]
                else:
                    fits = fits and used[measure] + costs[end, measure] <= budgets[measure]
            # The first sample is taken also if it does not fit, and is then alone.
            if not fits and end > at:
                break
            for measure in range(measures):
                if padded[measure]:
                    used[measure] = max(used[measure], costs[end, measure])
                else:
                    used[measure] += costs[end, measure]
            end += 1
            if not fits:
                break
        if end - at > count_multiple:
            end -= (end - at) % count_multiple
        at = end
        cuts += 1
        offsets[cuts] = at
    return offsets[: cuts + 1].copy()


@kernel("int64(float64[:], float64)", allocates=False)
def count_within(sizes: Floats, most: float) -> int:
    """How many of the first sizes have a sum of at most `most`."""
    total = 0.0
    for place in range(sizes.size):
        total += sizes[place]
        if total > most:
            return place
    return sizes.size


@kernel("Tuple((int64[:], float64[:]))(int64[:], float64[:], int64)")
def of_first(places: Integers, costs: Floats, count: int) -> tuple[Integers, Floats]:
    """The places below `count` and their costs, in the order given."""
    found, found_costs = np.empty(places.size, np.int64), np.empty(places.size)
    held = 0
    for at in range(places.size):
        # Written in any case: which places are kept looks random, and a processor guesses such a branch wrong.
        found[held] = places[at]
        found_costs[held] = costs[at]
        held += places[at] < count
    return found[:held], found_costs[:held]


@kernel("int64[:](int64[:], int64[:], int64[:])")
def joined_ranges(values: Integers, offsets: Integers, numbers: Integers) -> Integers:
    """`values[offsets[i]:offsets[i + 1]]` for each of the numbers i, one after the other."""
    count = 0
    for number in numbers:
        count += offsets[number + 1] - offsets[number]
    joined = np.empty(count, np.int64)
    start = 0
    for number in numbers:
        first, last = offsets[number], offsets[number + 1]
        joined[start : start + last - first] = values[first:last]
        start += last - first
    return joined
