"""`plan[t]` of plans of a fixed size: some are computed ahead, and that changes nothing but the time."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.micro_batches import LAST

LABELS = [0] * 30 + [1] * 7 + [2] * 3
MOVING = bw.targets.schedule("natural", "uniform", epochs=3)
PLANS = {
    "shuffled": lambda: bw.shuffled(50, 4),
    "balanced": lambda: bw.balanced(LABELS, 4),
    "moving": lambda: bw.balanced(LABELS, 4, target=MOVING, epoch=1000),
    "moving within epochs": lambda: bw.balanced(
        LABELS, 4, target=bw.targets.schedule("natural", "uniform", batches=300), epoch=1000
    ),
    "weighted": lambda: bw.weighted([1.0] * 30 + [4.0] * 10, 4),
    "mixed": lambda: bw.mixed({"a": 30, "b": bw.balanced(LABELS, 4)}, 4),
    "local": lambda: bw.shuffled(60, 4, local=bw.Shards([10] * 6, open=2)),
}
every_plan = pytest.mark.parametrize("plan", PLANS)


def runs():
    """Numbers of micro-batches, one after the other: some follow each other at one distance, also to the last there is."""
    first = st.integers(0, 200) | st.integers(LAST - 200, LAST)
    run = st.builds(
        lambda first, stride, count: range(first, first + stride * count, stride),
        first,
        st.integers(1, 9),
        st.integers(1, 9),
    ) | st.integers(5, 99).map(lambda first: range(first, first - 5, -1))
    return st.lists(run, min_size=1, max_size=3).map(lambda runs: [t for run in runs for t in run if t <= LAST])


@every_plan
@given(numbers=runs())
@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
def test_in_any_order_they_are_those_of_the_order_of_samples(plan, numbers):
    plan = PLANS[plan]()
    order = pickle.loads(pickle.dumps(plan)).order
    for number in numbers:
        samples = plan[number]
        assert samples.base is None
        np.testing.assert_array_equal(samples, order.batches_at(np.array([number]))[0])


@pytest.mark.parametrize("stride", [1, 3])
@every_plan
@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
def test_those_that_follow_each_other_take_few_calls_of_a_kernel(plan, stride):
    """Where a target moves, those of an epoch."""
    plan = PLANS[plan]()
    asked, batches_at = [], plan.order.batches_at
    plan.order.batches_at = lambda numbers: asked.append(numbers.size) or batches_at(numbers)
    for number in range(0, 3000 * stride, stride):
        plan[number]
    assert max(asked) * plan.batch_size <= 16_384
    epochs = 1 if plan.order.shares.settles_at == 0 else 3 * stride
    assert len(asked) <= 13 * epochs
    assert sum(asked) < 2 * 3000 + 2


def asked_of(plan, numbers):
    """Ask for micro-batches, and return how many each call of a kernel computed."""
    asked, batches_at = [], plan.order.batches_at
    expected = pickle.loads(pickle.dumps(plan.order)) if len(numbers) < 1000 else None
    plan.order.batches_at = lambda numbers: asked.append(numbers.size) or batches_at(numbers)
    for number in numbers:
        samples = plan[number]
        assert samples.base is None
        if expected is not None:
            np.testing.assert_array_equal(samples, expected.batches_at(np.array([number]))[0])
    return asked


@pytest.mark.parametrize("epochs_at_once", [1, 3])
@every_plan
@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
def test_epochs_in_any_order_are_each_computed_once(plan, epochs_at_once):
    """But for the first few micro-batches of each."""
    plan = PLANS[plan]()
    length, rng = plan.epoch_batches, np.random.default_rng(5)
    numbers = []
    for first in range(0, 6, epochs_at_once):
        several = np.arange(first * length, (first + epochs_at_once) * length)
        numbers += rng.permutation(several).tolist()
    asked = asked_of(plan, numbers)
    assert sum(count for count in asked if count > 1) <= 7 * length
    assert sum(count for count in asked if count == 1) <= 6 * (4 + length / 64)


def test_of_long_epochs_in_turns_what_is_computed_is_bounded():
    """Two of them do not fit into what is kept: each call would drop what the next one needs."""
    length = 10_000
    plan, rng = bw.shuffled(1024 * length, 1024), np.random.default_rng(5)
    numbers = (rng.permutation(length)[:2_000, None] + [[0, length]]).ravel().tolist()
    asked = asked_of(plan, numbers)
    assert max(asked) == 1024  # one of them is kept, computed a million samples at a time
    assert sum(asked) <= 2 * len(numbers) + (1 << 24) / 1024
    assert sum(table.nbytes for table in plan._ahead._kept.values()) <= 1 << 26


def test_a_look_computes_what_it_shows():
    plan = bw.shuffled(640, 64)
    assert asked_of(plan, [7, 2]) == [1, 1]


def test_longer_epochs_are_not_kept():
    plan = bw.shuffled((1 << 24) + 64, 64)
    asked = asked_of(plan, np.random.default_rng(5).permutation(plan.epoch_batches)[:9000].tolist())
    assert max(asked) <= 2
    assert not plan._ahead._kept


def inner_plan_that_ends():
    return bw.mixed({"x": 100, "y": bw.balanced([0, 1, 2] * 130, 4)}, 16, target={"x": 0.2, "y": 0.8})


def given_alone(number):
    try:
        return inner_plan_that_ends()[number].tolist()
    except bw.Infeasible:
        return None


@pytest.mark.parametrize("stride", [1, 3])
def test_what_is_computed_ahead_refuses_nothing_that_would_be_given(stride):
    """A mixture takes several micro-batches of a plan in it for one of its own, so that plan ends first."""
    given, refused = 0, LAST
    while refused - given > 1:
        middle = (given + refused) // 2
        given, refused = (given, middle) if given_alone(middle) is None else (middle, refused)
    plan = inner_plan_that_ends()
    for number in range(given - 60 * stride, given + 1, stride):
        assert plan[number].tolist() == given_alone(number)
    with pytest.raises(bw.Infeasible):
        plan[given + stride]
    (epoch,) = inner_plan_that_ends().computed_together(given - 2 * stride, stride, 3)
    assert epoch == [given_alone(number) for number in range(given - 2 * stride, given + 1, stride)]
