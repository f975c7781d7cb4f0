"""Apportioning: exact counts in a round, exact totals before any."""

from __future__ import annotations

import itertools

import numba
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batchwright.kernels import apportion

from . import oracles

WEIGHTS = st.lists(st.integers(0, 10**9), min_size=1, max_size=40).filter(any)


@numba.njit
def totals(edges, rounds, start):
    found = np.empty(edges.size - 1, np.int64)
    for g in range(found.size):
        found[g] = apportion.tickets_before(edges[g], edges[g + 1], rounds, start)
    return found


@given(weights=WEIGHTS, tickets=st.integers(1, 1 << 20))
def test_both_kinds_of_weights_give_the_exact_line(weights, tickets):
    expected = oracles.line(weights, tickets)
    assert apportion.line(weights, tickets).tolist() == expected
    assert apportion.line(np.array(weights), tickets).tolist() == expected


def test_weights_of_any_size_are_exact():
    huge = [10**60, 2 * 10**60, 10**60]
    assert apportion.line(huge, 4).tolist() == [0, 1 << 32, 3 << 32, 4 << 32]


@given(
    weights=WEIGHTS,
    tickets=st.integers(1, 50),
    start=st.integers(0, 2**32 - 1),
    rounds=st.integers(0, 40) | st.integers(250, 520),
)
def test_totals_are_the_sums_of_rounds(weights, tickets, start, rounds):
    edges = oracles.line(weights, tickets)
    counted = np.zeros(len(weights), np.int64)
    for number in range(rounds):
        counted += np.bincount(oracles.tickets_of_round(edges, start, number), minlength=len(weights))
    assert totals(np.array(edges), rounds, start).tolist() == counted.tolist()


@given(
    weights=WEIGHTS,
    tickets=st.integers(1, 50),
    start=st.integers(0, 2**32 - 1),
    first=st.sampled_from([2**16, 2**24, 2**31]) | st.integers(0, 2**32 - 300),
    count=st.integers(1, 20),
)
def test_totals_grow_by_the_rounds_between(weights, tickets, start, first, count):
    """Also where one byte of the round's number carries into the next."""
    first = first - count // 2 if first >= 2**16 else first
    edges = oracles.line(weights, tickets)
    counted = np.zeros(len(weights), np.int64)
    for number in range(first, first + count):
        counted += np.bincount(oracles.tickets_of_round(edges, start, number), minlength=len(weights))
    grown = totals(np.array(edges), first + count, start) - totals(np.array(edges), first, start)
    assert grown.tolist() == counted.tolist()


@given(
    weights=WEIGHTS,
    tickets=st.integers(1, 1 << 28),
    start=st.integers(0, 2**32 - 1),
    rounds=st.integers(0, (1 << 32) - 1),
)
def test_totals_stay_next_to_the_quota_for_ever(weights, tickets, start, rounds):
    edges = np.array(oracles.line(weights, tickets))
    found = totals(edges, rounds, start)
    exact = [rounds * (int(high) - int(low)) / 2**32 for low, high in itertools.pairwise(edges)]
    assert found.sum() == rounds * tickets
    assert max(abs(f - e) for f, e in zip(found.tolist(), exact, strict=True)) < 12


@given(weights=WEIGHTS, tickets=st.integers(1, 1 << 28), start=st.integers(0, 2**32 - 1), at=st.integers(0, 2**32 - 2))
def test_one_round_gives_floor_or_ceil(weights, tickets, start, at):
    edges = np.array(oracles.line(weights, tickets))
    counts = totals(edges, at + 1, start) - totals(edges, at, start)
    length = np.diff(edges)
    assert (counts >= length >> 32).all()
    assert (counts <= -(-length >> 32)).all()
