"""Laws of packing: every sample once, never over capacity, never below the bound."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.errors import Infeasible
from batchwright.lengths.lower_bounds import packs_at_least
from batchwright.lengths.packing import pack

from ..examples import examples

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=40)


def fewest_packs(lengths: list[int], capacity: int, most: int) -> int:
    """By trying: longest first into every pack that holds it, or a new one."""
    best = len(lengths)

    def place(left: list[int], packs: list[tuple[int, int]]) -> None:
        nonlocal best
        if len(packs) >= best:
            return
        if not left:
            best = len(packs)
            return
        for seen, (used, held) in enumerate(packs):
            if used + left[0] <= capacity and held < most and (used, held) not in packs[:seen]:
                place(left[1:], [*packs[:seen], (used + left[0], held + 1), *packs[seen + 1 :]])
        place(left[1:], [*packs, (left[0], 1)])

    place(sorted(lengths, reverse=True), [])
    return best


@given(LENGTHS, st.integers(12, 30), st.none() | st.integers(1, 5), st.sampled_from(["fast", "exact"]))
@examples(60)
def test_a_packing_is_whole_and_within_its_bounds(lengths, capacity, most, solver):
    lengths = np.array(lengths, np.int64)
    packing = pack(lengths, capacity, max_per_pack=most, solver=solver)
    assert sorted(packing.members) == list(range(lengths.size))
    assert packing.loads(lengths).max() <= capacity
    assert np.diff(packing.offsets).max() <= (most or lengths.size)
    assert packing.at_least <= len(packing)
    assert packing.gap >= 0


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(12, 20), st.none() | st.integers(1, 4))
@examples(60)
def test_the_bound_is_below_every_packing_and_exact_is_never_worse_than_fast(lengths, capacity, most):
    fewest = fewest_packs(lengths, capacity, most or 99)
    lengths = np.array(lengths, np.int64)
    assert packs_at_least(*np.unique(lengths, return_counts=True), capacity, most) <= fewest
    exact = pack(lengths, capacity, max_per_pack=most, solver="exact")
    assert exact.at_least <= fewest <= len(exact) <= len(pack(lengths, capacity, max_per_pack=most))


def test_exact_finds_what_best_fit_misses():
    # 100 x (5, 3, 3): best-fit decreasing pairs the 5s with each other
    lengths = np.repeat([5, 3, 3], 100)
    assert len(pack(lengths, 11)) > 100
    exact = pack(lengths, 11, solver="exact")
    assert (len(exact), exact.at_least) == (100, 100)


def test_equal_lengths_are_taken_in_the_order_given():
    members = pack(np.array([4, 7, 4, 7, 4, 7]), 11).members
    assert members[members % 2 == 1].tolist() == [1, 3, 5]
    assert members[members % 2 == 0].tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    ("lengths", "capacity", "solver", "fact"),
    [
        ([3, 11], 10, "fast", "sample 1 has length 11, the capacity is 10"),
        ([3, 0], 10, "fast", "lengths at sample 1 is 0"),
        ([3], 0, "fast", "capacity is 0"),
        ([3], 5, "quick", "solver is 'quick'"),
    ],
)
def test_refusals(lengths, capacity, solver, fact):
    with pytest.raises(Infeasible, match=fact):
        pack(np.array(lengths), capacity, solver=solver)


def test_an_empty_list_is_an_empty_packing():
    packing = pack(np.empty(0, np.int64), 8)
    assert (len(packing), packing.at_least, packing.gap) == (0, 0, 0.0)


def test_bounds_by_hand():
    for lengths, capacity, least in [([6, 6, 5, 5], 10, 3), ([7, 4, 7, 4], 10, 3), ([1] * 25, 10, 3)]:
        assert packs_at_least(*np.unique(lengths, return_counts=True), capacity) == least
        few = np.unique(lengths[:8], return_counts=True)
        assert fewest_packs(lengths[:8], capacity, 99) >= packs_at_least(*few, capacity)
    assert all(
        packs_at_least(*np.unique([a, b], return_counts=True), 9) == 1 + (a + b > 9)
        for a, b in itertools.product(range(1, 10), repeat=2)
    )


def traced_peak(make):
    make()  # compiled, and what is imported with it
    tracemalloc.start()
    try:
        make()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("most", [None, 4])
def test_memory_follows_the_samples_and_not_the_capacity(most):
    lengths = np.random.default_rng(0).integers(1, 1000, 500)
    small, large = (traced_peak(lambda c=capacity: pack(lengths, c, max_per_pack=most)) for capacity in (10**3, 10**15))
    assert large < 2 * small < 10**6
    scaled = pack(lengths * 10**9, 10**12, max_per_pack=most)
    assert np.array_equal(scaled.members, pack(lengths, 10**3, max_per_pack=most).members)


@given(LENGTHS, st.integers(12, 30), st.none() | st.integers(1, 5))
def test_the_bound_is_that_of_trying_every_threshold(lengths, capacity, most):
    counts = np.bincount(lengths, minlength=capacity + 1)
    bounds = [-(-sum(lengths) // capacity), -(-len(lengths) // most) if most else 0]
    for k in range(capacity // 2 + 1):
        large = [n for n in lengths if n > capacity // 2]
        gaps = sum(capacity - n for n in large if n <= capacity - k)
        rest = sum(n for n in lengths if k <= n <= capacity // 2)
        bounds.append(len(large) + max(0, -(-(rest - gaps) // capacity)))
    kinds = np.flatnonzero(counts)
    assert packs_at_least(kinds, counts[kinds], capacity, most) == max(bounds)


def test_lengths_that_cannot_be_written_to_or_lie_apart_are_packed_alike():
    lengths = np.arange(1, 21)
    frozen, apart = lengths.copy(), np.repeat(lengths, 2)[::2]
    frozen.flags.writeable = False
    for column in (frozen, apart):
        assert np.array_equal(pack(column, 40).members, pack(lengths, 40).members)


def test_the_exact_solver_is_bounded_and_says_so():
    apart = np.unique(np.random.default_rng(0).integers(1, 10**6, 300))
    with pytest.raises(Infeasible, match=r"makes a table of .* cells, the most is 134217728") as refusal:
        pack(apart, 10**6, solver="exact")
    assert "solver='fast'" in refusal.value.way_out
    assert len(pack(apart, 10**6)) > 0
    coarse = -(-apart // 5000) * 5000
    assert len(pack(coarse, 10**6, solver="exact")) <= len(pack(coarse, 10**6))
    with pytest.raises(Infeasible, match="of 2048 lengths"):
        pack(np.arange(1, 2051), 2100, solver="exact")
    with pytest.raises(Infeasible, match="the most is"):
        pack([1, 2], 10**30)


def test_an_exact_packing_that_ran_out_of_steps_is_whole(monkeypatch):
    from batchwright.lengths import exact

    lengths = np.random.default_rng(0).integers(1, 400, 200)
    for steps in (0, 10**5):
        monkeypatch.setattr(exact, "STEPS", steps)
        packing = pack(lengths, 500, solver="exact")
        assert sorted(packing.members) == list(range(200))
        assert packing.loads(lengths).max() <= 500
        assert 0 < packing.at_least <= len(packing) <= len(pack(lengths, 500))
