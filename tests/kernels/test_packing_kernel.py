"""The packing kernels against slow, obvious oracles."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.kernels.counting_sort import sorted_by_counting
from batchwright.kernels.open_gaps import MOST_BITS
from batchwright.kernels.packing import (
    best_fit_decreasing,
    best_fit_vectors,
    fill_packs,
    most_valuable_pack,
    stack_contents,
)
from batchwright.lengths.distinct_lengths import DistinctLengths

from . import oracles

UNLIMITED = 10**9
LENGTHS = st.lists(st.integers(1, 20), max_size=60)


def gaps_of_best_fit(lengths: list[int], capacity: int) -> list[int]:
    gaps: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [gap for gap in gaps if gap >= length]
        gap = min(fitting, default=None)
        if gap is None:
            gaps.append(capacity - length)
        else:
            gaps[gaps.index(gap)] -= length
    return sorted(gaps)


def counted(lengths):
    distinct, counts = np.unique(np.array(lengths, np.int64), return_counts=True)
    return distinct, counts


@given(LENGTHS, st.integers(20, 45))
def test_distinct_lengths_pack_as_best_fit_decreasing_item_by_item(lengths, capacity):
    distinct, counts = counted(lengths)
    contents, copies = stack_contents(best_fit_decreasing(distinct, counts, capacity, UNLIMITED), distinct.size)
    gaps = np.repeat(capacity - contents @ distinct, copies)
    assert sorted(gaps.tolist()) == gaps_of_best_fit(lengths, capacity)


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 40)), max_size=120),
    st.integers(300, 900),
    st.sampled_from([1, 10**6, 10**15]),
    st.sampled_from([1, 3, 20, UNLIMITED]),
)
def test_the_stacks_are_those_of_trying_every_gap_at_any_scale(counted, capacity, scale, most):
    histogram = {length * scale: count for length, count in counted}
    distinct = np.array(sorted(histogram), np.int64)
    counts = np.array([histogram[length] for length in distinct.tolist()], np.int64)
    table = best_fit_decreasing(distinct, counts, capacity * scale, most)[:, :5]
    found = [[row[0], int(distinct[row[1]]), *row[2:]] for row in table.tolist()]
    assert found == oracles.stacks(histogram, capacity * scale, most)


@pytest.mark.parametrize("capacity", [131_072, 1_048_576])
def test_packs_of_long_sequences_are_the_same_by_bitmap_and_by_list(capacity):
    lengths = np.clip(np.random.default_rng(0).lognormal(7.0, 1.6, 20_000), 16, capacity).astype(np.int64)
    distinct, counts = counted(lengths)
    scale = MOST_BITS // capacity + 1  # at this scale gaps are kept in the list
    near = best_fit_decreasing(distinct, counts, capacity, UNLIMITED)
    far = best_fit_decreasing(distinct * scale, counts, capacity * scale, UNLIMITED)
    assert np.array_equal(near * [1, 1, 1, scale, 1, 1], far)


@given(LENGTHS, st.integers(20, 45), st.integers(1, 5))
def test_named_packs_hold_every_sample_once_within_both_limits(lengths, capacity, most):
    lengths = np.array(lengths, np.int64)
    distinct = DistinctLengths.of(lengths)
    table = best_fit_decreasing(distinct.lengths, distinct.counts, capacity, most)
    members, offsets = fill_packs(table, distinct.places, distinct.starts)
    assert sorted(members) == list(range(lengths.size))
    for begin, end in pairwise(offsets):
        inside = lengths[members[begin:end]]
        assert 1 <= inside.size <= most
        assert inside.sum() <= capacity
        assert (np.diff(inside) <= 0).all()
    contents, copies = stack_contents(table, distinct.lengths.size)
    assert copies.sum() == offsets.size - 1
    assert (copies @ contents).tolist() == distinct.counts.tolist()


@given(LENGTHS, st.sampled_from([1, 10**9]))
def test_distinct_lengths_are_those_of_a_stable_sort(lengths, scale):
    column = scale * np.array(lengths, np.int64)
    distinct = DistinctLengths.of(column)
    lengths, counts = counted(column)
    assert distinct.lengths.tolist() == lengths.tolist()
    assert distinct.counts.tolist() == counts.tolist()
    assert distinct.places.tolist() == np.argsort(column, kind="stable").tolist()
    assert distinct.starts.tolist() == [0, *counts.cumsum().tolist()]


@given(LENGTHS)
def test_grouping_is_a_stable_sort(lengths):
    places, begin = sorted_by_counting(np.array(lengths, np.int64), 20)
    assert places.tolist() == np.argsort(np.array(lengths, np.int64), kind="stable").tolist()
    assert begin.tolist() == [sum(n < length for n in lengths) for length in range(22)]


def most_value(offered: list[tuple[int, float, int]], room: int, most: int) -> float:
    if not offered:
        return 0.0
    (length, value, at_most), *rest = offered
    fits = min(at_most, room // length, most)
    return max(copies * value + most_value(rest, room - copies * length, most - copies) for copies in range(fits + 1))


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 20), st.integers(0, 3)), min_size=1, max_size=5),
    st.integers(1, 25),
    st.integers(0, 4),
)
def test_the_most_valuable_pack_is_found(offered, capacity, most):
    lengths, values, at_most = (np.array(column) for column in zip(*offered, strict=True))
    worth, pack = most_valuable_pack(lengths, values.astype(float), at_most, capacity, most)
    assert worth == most_value([(a, float(b), c) for a, b, c in offered], capacity, most or UNLIMITED)
    assert pack @ values == worth
    assert pack @ lengths <= capacity
    assert (pack <= at_most).all()
    assert most == 0 or pack.sum() <= most


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=40), st.integers(1, 5))
def test_vector_packs_keep_every_capacity(costs, most):
    costs = np.array(costs, float).reshape(-1, 2)
    pack_of, held = best_fit_vectors(costs, np.array([10.0, 15.0]), most)
    assert np.bincount(pack_of, minlength=held.size).tolist() == held.tolist()
    assert (held <= most).all()
    for pack in range(held.size):
        assert (costs[pack_of == pack].sum(0) <= [10, 15]).all()
