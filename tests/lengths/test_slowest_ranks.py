"""The bound of what rows of packs cost, against every way to pack few samples."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batchwright.lengths.lower_bounds import slowest_ranks_at_least


def packings(lengths, capacity):
    """All ways to put samples into packs, as lists of lists."""
    if not lengths:
        yield []
        return
    last = len(lengths) - 1
    for packs in packings(lengths[:-1], capacity):
        yield [*packs, [last]]
        for place, pack in enumerate(packs):
            if sum(lengths[item] for item in [*pack, last]) <= capacity:
                yield [*packs[:place], [*pack, last], *packs[place + 1 :]]


def least_of_rows(lengths, costs, capacity, ranks):
    """Packs sorted by cost make the cheapest rows; a row that is not full is filled with empty packs."""
    found = np.inf
    for packs in packings(lengths, capacity):
        descending = sorted((sum(costs[item] for item in pack) for pack in packs), reverse=True)
        found = min(found, sum(descending[::ranks]))
    return found


@given(
    st.lists(st.tuples(st.integers(1, 10), st.integers(0, 30)), min_size=1, max_size=7),
    st.integers(1, 3),
    st.booleans(),
)
def test_no_packing_is_below_the_bound(rows, ranks, squared):
    lengths = [length for length, _ in rows]
    costs = [float(length**2) if squared else float(cost) for length, cost in rows]
    bound = slowest_ranks_at_least(np.array(costs), np.array(lengths), 10, ranks)
    assert max(max(costs), sum(costs) / ranks) - 1e-9 <= bound <= least_of_rows(lengths, costs, 10, ranks) + 1e-9
    assert slowest_ranks_at_least(np.array(costs), np.array(lengths), 10, ranks, 2) <= bound + 1e-9


def test_one_giant_a_pack_is_a_tight_bound():
    costs, lengths = np.array([100.0, 81, 64, 49, 36]), np.array([10, 9, 8, 7, 6])
    assert slowest_ranks_at_least(costs, lengths, 10, 2) == 100 + 64 + 36
