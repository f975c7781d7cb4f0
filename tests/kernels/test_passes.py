"""Passes through a group: whole, and with seams that no batch can feel."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batchwright.kernels.passes import draws
from batchwright.kernels.permutation import permutation

from . import oracles

KEYS = st.integers(0, 2**64 - 1)


def drawn(first, count, n, wide, key):
    run = np.empty(count, np.int64)
    draws(run, first, n, wide, np.uint64(key))
    return run


@given(n=st.integers(1, 150), wide=st.integers(0, 60), key=KEYS, first=st.integers(0, 600), count=st.integers(1, 300))
def test_match_the_oracle(n, wide, key, first, count):
    passes = {}
    expected = []
    for draw in range(first, first + count):
        trip, place = divmod(draw, n)
        if trip not in passes:
            passes[trip] = oracles.whole_pass(n, wide, key, trip)
        expected.append(passes[trip][place])
    assert drawn(first, count, n, wide, key).tolist() == expected


@given(data=st.data(), n=st.integers(64, 2**40), key=KEYS, trip=st.integers(0, 1000), count=st.integers(1, 400))
def test_long_runs_are_the_permutation_point_by_point(data, n, key, trip, count):
    first = data.draw(st.integers(0, n - 1))
    points, images = np.arange(first, min(n, first + count)), np.empty(min(n, first + count) - first, np.int64)
    permutation(points, n, np.uint64(oracles.stream(key, trip)), images, False)
    assert drawn(trip * n + first, points.size, n, 0, key).tolist() == images.tolist()


@given(n=st.integers(1, 2000), wide=st.integers(0, 300), key=KEYS, trip=st.integers(0, 2**40))
def test_every_pass_is_whole(n, wide, key, trip):
    assert sorted(drawn(trip * n, n, n, wide, key).tolist()) == list(range(n))


@given(data=st.data(), wide=st.integers(0, 300), key=KEYS, trip=st.integers(0, 2**40))
def test_any_run_a_batch_can_take_is_distinct(data, wide, key, trip):
    n = data.draw(st.integers(wide + 1, 4 * wide + 70))
    around = drawn(trip * n, 2 * n, n, wide, key)
    for start in range(max(0, n - wide), n):
        run = around[start : start + wide + 1]
        assert len(set(run.tolist())) == run.size
