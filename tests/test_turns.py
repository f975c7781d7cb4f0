"""Turns: everybody near his share after every turn, for ever, and any turn can be had at once."""

from __future__ import annotations

import math
import pickle
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.orders.turns import LONGEST_PERIOD, Halved, Periodic, turns
from batchwright.targets import explicit, temperature

SHORT = st.lists(st.integers(0, 60), min_size=1, max_size=12).filter(any)
LONG = st.lists(st.integers(1, 10**30), min_size=1, max_size=30)


def furthest(found, weights, begin, count):
    """How far from its share anybody is after any of these turns, counted from turn 0."""
    total, had = sum(weights), found.counts(begin)
    worst = 0
    for turn in range(begin, begin + count):
        who, before = found.at(turn)
        assert before == had[who]
        had[who] += 1
        worst = max(worst, *(abs(one * total - weight * (turn + 1)) for one, weight in zip(had, weights, strict=True)))
    assert had == found.counts(begin + count)
    return Fraction(worst, total)


@settings(max_examples=60)
@given(weights=SHORT, begin=st.integers(-(10**6), 10**12))
def test_a_short_period_keeps_everybody_within_tijdemans_bound(weights, begin):
    found = turns(weights)
    assert isinstance(found, Periodic)
    parties = sum(weight > 0 for weight in weights)
    assert furthest(found, weights, begin, 2 * sum(weights)) <= (1 - Fraction(1, 2 * parties - 2) if parties > 1 else 0)


@settings(max_examples=60)
@given(weights=LONG, begin=st.integers(-(10**6), 10**18))
def test_any_shares_keep_everybody_within_the_bound_that_is_told(weights, begin):
    found = Halved(tuple(weights))
    assert furthest(found, weights, begin, 200) <= Fraction(found.bound) + Fraction(1, 10**9)
    assert found.bound < 1.68
    if len(weights) <= 3:
        assert found.bound <= 1


def test_irrational_shares_do_not_drift_over_a_long_horizon():
    weights = temperature(math.pi).exact([3_000_000, 450_000, 70_001, 12_345, 999])
    found = turns(weights)
    assert isinstance(found, Halved)
    for begin in (0, 10**6, 10**12, 10**30):
        assert furthest(found, weights, begin, 2000) <= found.bound
    assert found.bound < 1.1


def test_golden_shares_stay_within_one():
    golden = (math.sqrt(5) - 1) / 2
    weights = explicit({"a": golden, "b": golden**2 / 2, "c": golden**2 / 2}).exact([1, 1, 1], names="abc")
    assert furthest(turns(weights), weights, 0, 20_000) < 1


def test_equal_shares_are_strict_round_robin():
    found = turns([7, 7, 7, 0, 7])
    assert [found.at(turn)[0] for turn in range(10)] == [0, 1, 2, 4, 0, 1, 2, 4, 0, 1]


@pytest.mark.parametrize("weights", [[3, 1], [10**20 + 1, 10**20, 7]])
def test_turns_survive_a_pickle(weights):
    found = turns(weights)
    found.at(5)
    copy = pickle.loads(pickle.dumps(found))
    assert [copy.at(turn) for turn in range(50)] == [found.at(turn) for turn in range(50)]


def test_the_period_table_is_bounded():
    assert isinstance(turns([1, LONGEST_PERIOD - 1]), Periodic)
    assert isinstance(turns([1, LONGEST_PERIOD]), Halved)
