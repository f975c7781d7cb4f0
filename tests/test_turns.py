"""Turns: every task is near its share after every turn, and any turn is found directly."""

from __future__ import annotations

import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.kernels.task_schedule import earliest_deadline
from batchwright.orders import earliest_deadline as schedules
from batchwright.orders.earliest_deadline import EarliestDeadline
from batchwright.orders.reordered import Reordered
from batchwright.orders.task_schedule import LONGEST_PERIOD, BlockSchedule, Periodic, reduced, task_schedule
from batchwright.targets import explicit, temperature

from .examples import examples

SHORT = st.lists(st.integers(0, 60), min_size=1, max_size=12).filter(any)
MAGNITUDES = st.floats(0, 12).map(lambda power: int(10**power))
LONG = st.lists(st.integers(1, 10**6) | MAGNITUDES, min_size=2, max_size=12).filter(lambda w: sum(w) > LONGEST_PERIOD)
LONG_PERIODS = LONG.map(reduced).filter(lambda w: sum(w) > LONGEST_PERIOD)
IRRATIONAL = temperature(math.pi).exact([3_000_000, 450_000, 70_001, 12_345, 999])


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


def partitions(total, largest):
    """All weights of a sum, the largest first."""
    if not total:
        yield []
    for first in range(min(total, largest), 0, -1):
        for rest in partitions(total - first, first):
            yield [first, *rest]


@examples(60)
@given(weights=SHORT, begin=st.integers(-(10**6), 10**12))
def test_a_short_period_keeps_everybody_within_tijdemans_bound(weights, begin):
    found = task_schedule(reduced(weights))
    assert isinstance(found, Periodic)
    parties = sum(weight > 0 for weight in weights)
    assert furthest(found, weights, begin, 2 * sum(weights)) <= (1 - Fraction(1, 2 * parties - 2) if parties > 1 else 0)


@examples(60)
@given(weights=LONG, begin=st.integers(-(10**6), 10**15))
def test_any_shares_keep_everybody_within_one_turn(weights, begin):
    weights = reduced(weights)
    assert furthest(task_schedule(weights), weights, begin, 300) < 1


@examples(30)
@given(weights=LONG_PERIODS, edge=st.integers(-3, 10**6), data=st.data())
def test_everybody_is_within_one_turn_across_the_edges_of_blocks_too(weights, edge, data):
    found = task_schedule(weights)
    assert isinstance(found, BlockSchedule)
    block = data.draw(st.sampled_from(found._schedules))
    assert furthest(found, weights, edge * block._length - 100, 200) < 1


@pytest.mark.parametrize("total", range(1, 11))
def test_all_shares_in_tenths_and_coarser_in_the_shortest_blocks_and_any_two_lanes(total, monkeypatch):
    """Every vector of weights with this sum, split in two lanes in every way, over two periods."""
    monkeypatch.setattr(schedules, "_SHORTEST_BLOCK", 1)
    for weights in partitions(total, total):
        parties = range(len(weights))
        for chosen in range(1, 2 ** len(weights)):
            often, rarely = ([i for i in parties if (chosen >> i) & 1 == wanted] for wanted in (1, 0))
            assert furthest(BlockSchedule(weights, often, rarely), weights, -1, 2 * total + 2) < 1


@examples(30)
@given(weights=LONG, asked=st.lists(st.integers(0, 10**4) | st.integers(0, 10**15), min_size=1, max_size=20))
def test_a_turn_depends_on_its_number_alone(weights, asked):
    weights = reduced(weights)
    one = task_schedule(weights)
    assert [one.at(turn) for turn in asked] == [task_schedule(weights).at(turn) for turn in asked]


def test_irrational_shares_do_not_drift_over_a_long_horizon():
    weights = reduced(IRRATIONAL)
    found = task_schedule(weights)
    assert isinstance(found, BlockSchedule)
    for begin in (0, 10**6, 10**12, 10**30):
        assert furthest(found, weights, begin, 2000) < 1


def test_weights_of_any_size_are_kept_to_a_turn_in_a_hundred_million_billion():
    exact, kept = IRRATIONAL, reduced(IRRATIONAL)
    assert all(
        abs(Fraction(one, sum(exact)) - Fraction(other, sum(kept))) < Fraction(1, 10**17)
        for one, other in zip(exact, kept, strict=True)
    )
    assert reduced([6, 0, 9]) == (2, 0, 3)
    assert reduced([10**40, 0, 1]) == (2**59 - 1, 0, 1)


def test_golden_shares_stay_within_one():
    golden = (math.sqrt(5) - 1) / 2
    weights = reduced(explicit({"a": golden, "b": golden**2 / 2, "c": golden**2 / 2}).exact([1, 1, 1], names="abc"))
    assert furthest(task_schedule(weights), weights, 0, 20_000) < 1


def test_equal_shares_are_strict_round_robin():
    found = task_schedule(reduced([7, 7, 7, 0, 7]))
    assert [found.at(turn)[0] for turn in range(10)] == [0, 1, 2, 4, 0, 1, 2, 4, 0, 1]


@pytest.mark.parametrize("weights", [(3, 1), (10**17 + 1, 10**17, 7)])
def test_turns_survive_a_pickle(weights):
    found = task_schedule(weights)
    found.at(5)
    copy = pickle.loads(pickle.dumps(found))
    assert len(pickle.dumps(found)) < 1000
    assert [copy.at(turn) for turn in range(50)] == [found.at(turn) for turn in range(50)]


def test_the_period_table_is_bounded():
    assert isinstance(task_schedule([1, LONGEST_PERIOD - 1]), Periodic)
    assert isinstance(task_schedule([1, LONGEST_PERIOD]), BlockSchedule)


@pytest.mark.parametrize(
    ("weights", "slots"),
    [
        ([10**6, 999_999, 10**5 + 1], 4096),  # the rarest comes every 21 turns
        (
            [10**12, 10**6, 10**5, 7],
            400_000,
        ),  # three of them come once in a million and less, and share slots of their own
        ([10**17, 1], 4096),
        (list(range(10**6, 10**6 + 5000)), 16_384),
    ],
)
def test_a_position_costs_no_more_than_a_block_or_two(weights, slots):
    found = task_schedule(reduced(weights))
    assert all(block.slots(block._length) + block.slots(block._longest) <= slots for block in found._schedules)


def test_shares_too_far_apart_for_any_table_are_refused_by_name():
    with pytest.raises(
        bw.Infeasible, match=r"'c' has one turn in 10000000100000001, .* 100000001 entries, 4194304 at most"
    ):
        task_schedule([10**16, 10**8, 1], "abc")


@pytest.mark.parametrize("clipped", [False, True])
@examples(50)
@given(data=st.data(), weights=st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_the_kernel_serves_as_slow_obvious_rules_do(data, weights, clipped):
    """Of the jobs whose window is open the one with the earliest deadline, of several the party named first."""
    total = sum(weights)
    lane_of_all = EarliestDeadline(weights, total, late=False)
    first = data.draw(st.integers(-50, 50))
    end = first + data.draw(st.integers(total, 3 * total))
    begun = [weight * first // total for weight in weights]
    ahead = data.draw(st.permutations([i for i, weight in enumerate(weights) if weight * first % total]))
    for party in sorted(ahead, key=lambda i: -(-(begun[i] + 1) * total // weights[i]))[: first - sum(begun)]:
        begun[party] += 1
    jobs = dict(enumerate(begun))
    expected = []
    for turn in range(first + 1, end + 1):
        due = {}
        for party, weight in enumerate(weights):
            if math.floor(Fraction(jobs[party] * total, weight)) + 1 <= turn:
                due[party] = math.ceil(Fraction((jobs[party] + 1) * total, weight))
        party = min(due, key=lambda i: (due[i], i))
        assert turn <= due[party]
        expected.append((party, jobs[party] - begun[party]))
        jobs[party] += 1
    ended = [jobs[party] for party in range(len(weights))] if clipped else None
    who, before, had = lane_of_all._served(first, end, begun, ended)
    if not clipped:
        assert list(zip(who.tolist(), before.tolist(), strict=True)) == expected
    assert [one + more for one, more in zip(begun, had.tolist(), strict=True)] == list(jobs.values())
    assert np.bincount(who, minlength=len(weights)).tolist() == had.tolist()


def test_the_kernel_takes_slots_that_are_not_every_turn():
    spacing = np.array([[0, 0, 4, 0, 1], [0, 0, 4, 0, 1], [1, 0, 2, 0, 1]], np.int64)  # slots 2, 4, 6, ...
    who, before = np.empty((2, 4), np.int32)
    had = np.empty(2, np.int64)
    earliest_deadline(spacing, 100, np.array([9, 9]), who, before, had)
    assert who.tolist() == [0, 1, 0, 1]
    assert before.tolist() == [0, 0, 1, 1]
    assert had.tolist() == [2, 2]


@examples(60)
@given(weights=SHORT | LONG, begin=st.integers(-(10**6), 10**12))
def test_reordered_turns_keep_everybody_within_one_turn(weights, begin):
    weights = reduced(weights)
    found = Reordered(task_schedule(weights), weights)
    assert furthest(found, weights, begin, 300) <= Fraction(sum(weights) - 1, sum(weights))
    assert found.bound <= 1


@examples(30)
@given(weights=SHORT | LONG, asked=st.lists(st.integers(0, 10**4) | st.integers(0, 10**15), min_size=1, max_size=10))
def test_a_reordered_turn_depends_on_its_number_alone(weights, asked):
    weights = reduced(weights)
    one = Reordered(task_schedule(weights), weights)
    again = pickle.loads(pickle.dumps(one))
    assert [one.at(turn) for turn in asked] == [again.at(turn) for turn in reversed(asked)][::-1]


@pytest.mark.parametrize("weights", [[1, 1], [2, 1], [1] * 6, [5, 3, 2], [9, 1], [10**9, 10**9 + 1]])
@pytest.mark.parametrize("world", [2, 3, 6, 10, 64])
def test_no_rank_is_in_step_with_reordered_turns(weights, world):
    found, asked = Reordered(task_schedule(reduced(weights)), reduced(weights)), 300
    shares = np.array(weights) / sum(weights)
    for rank in (0, 1, world - 1):
        had = np.bincount([found.at(rank + world * k)[0] for k in range(asked)], minlength=len(weights))
        assert np.abs(had - shares * asked).max() < 6 * math.sqrt(asked / 4)
        assert had.min() > 0


@pytest.mark.parametrize("weights", [[1, 1], [501, 500], [10**9, 10**9 + 1]])
def test_in_any_order_the_turns_of_a_block_are_shuffled_once(weights):
    found, made = Reordered(task_schedule(reduced(weights)), reduced(weights)), []
    make = found._made
    found._made = lambda number: made.append(number) or make(number)
    for turn in np.random.default_rng(3).permutation(20_000).tolist():
        found.at(turn)
    assert len(made) == len(set(made)) <= 20_000 / 128 + 1
