"""The kernel that places samples on groups of ranks, against a slow, obvious search."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batchwright.kernels.rank_groups import place_on_groups
from batchwright.lengths.rank_groups import group_sizes


def obvious(sizes, shares, ranks):
    """Of all groups of its size, a sample gets the one with the least work, then the fewest samples, then the lowest."""
    work, held, firsts = [0.0] * ranks, [0] * ranks, []
    for size, share in zip(sizes, shares, strict=True):
        first = min(range(0, ranks, size), key=lambda at: (work[at], held[at], at))
        firsts.append(first)
        for rank in range(first, first + size):
            work[rank] += share
            held[rank] += 1
    return firsts, work


@given(st.sampled_from([1, 2, 3, 6, 8, 12, 24, 30]), st.data())
def test_placing_matches_the_obvious_search(ranks, data):
    size = st.sampled_from(group_sizes(ranks).tolist())
    sizes = sorted(data.draw(st.lists(size, max_size=30)), reverse=True)
    shares = [float(data.draw(st.integers(0, 20))) for _ in sizes]
    firsts, loads = np.empty(len(sizes), np.int64), np.empty(ranks)
    longest = place_on_groups(np.array(sizes, np.int64), np.array(shares, float), firsts, loads)
    expected, work = obvious(sizes, shares, ranks)
    assert firsts.tolist() == expected
    assert loads.tolist() == work
    assert longest == max(work)


@given(st.integers(1, 5000))
def test_each_size_of_a_group_divides_the_next_and_small_factors_stay_together(ranks):
    sizes = group_sizes(ranks).tolist()
    assert (sizes[0], sizes[-1]) == (1, ranks)
    factors = [larger // smaller for smaller, larger in itertools.pairwise(sizes)]
    assert all(larger % smaller == 0 for smaller, larger in itertools.pairwise(sizes))
    assert all(factor % divisor for factor in factors for divisor in range(2, int(factor**0.5) + 1))
    assert factors == sorted(factors)
