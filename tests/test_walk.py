"""Targets that move: every epoch is asked for once, in bounded memory, and any epoch is found again."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.orders import walk
from batchwright.targets.target import MOST_EPOCHS, fraction, integer_weights

from .examples import examples

LABELS = np.repeat([0, 1, 2], [70, 30, 20])


class Swinging:
    """Shares that never settle, and how often each epoch was asked for."""

    def __init__(self) -> None:
        self.asked: Counter[int] = Counter()

    def __call__(self, counts, epoch):
        self.asked[epoch] += 1
        share = 0.25 + 0.3 * (epoch * 7 % 13) / 13
        return [share, 0.75 - share, 0.25]


def plan_of(function, **changed):
    return bw.balanced(LABELS, **{"batch_size": 8, "target": function, "epoch": 3, **changed})


@pytest.mark.parametrize("epochs", [50, 3000])
def test_a_far_epoch_asks_for_every_epoch_once(epochs):
    function = Swinging()
    plan = plan_of(function)
    looked_at = function.asked.copy()  # when it is built: for its fingerprint, and for groups that repeat
    for batch in range(3 * epochs, 3 * epochs + 3):
        plan[batch]
    assert max(looked_at) < 32
    assert max(looked_at.values()) < 6
    assert function.asked - looked_at == Counter(range(1, epochs + 1))


@pytest.mark.filterwarnings("ignore:149 of 30000 samples practically never come:batchwright.PoorWarning")
def test_what_is_kept_of_a_long_way_does_not_grow_with_it_and_going_back_is_short():
    function = Swinging()
    plan = plan_of(function)
    plan[3 * 5000]
    apart, marks = plan.order._walk._marks
    assert len(marks) <= walk._MARKS
    function.asked.clear()
    plan[3 * 1234 + 1]
    assert sum(function.asked.values()) <= apart < 10
    many = bw.balanced(bw.Groups.from_sizes(dict.fromkeys(range(30_000), 1)), 8, target=_uneven, epoch=3)
    for epoch in range(0, 60, 7):
        many[3 * epoch]
    assert len(many.order._walk._marks[1]) <= 17


def _uneven(counts, epoch):
    weights = np.arange(1, len(counts) + 1) + epoch % 2
    return weights / weights.sum()


@examples(20)
@given(epochs=st.lists(st.integers(0, 90), min_size=1, max_size=8), kept=st.integers(2, 6))
def test_epochs_asked_for_in_any_order_are_those_of_one_pass(epochs, kept):
    in_turn = plan_of(Swinging())
    expected = [in_turn[batch].tolist() for batch in range(3 * 91)]
    jumping = plan_of(Swinging())
    jumping.order._walk._most = kept  # so few marks that most epochs are walked to again
    for epoch in epochs:
        assert [jumping[3 * epoch + i].tolist() for i in range(3)] == expected[3 * epoch : 3 * epoch + 3]


def test_so_far_a_target_is_followed_and_no_further():
    function = Swinging()
    plan = plan_of(function)
    function.asked.clear()
    for ask in (lambda: plan[10**9], lambda: plan.epoch(MOST_EPOCHS + 1)[0], lambda: list(_sampler_at(plan))):
        with pytest.raises(bw.Infeasible, match="is followed for 131072 epochs"):
            ask()
    assert not function.asked
    assert bw.balanced(LABELS, 8, target=Swinging(), epoch=10**6)[10**9].size == 8  # the way out
    with pytest.raises(bw.Infeasible, match="the schedule takes 131073 epochs, the most is 131072"):
        bw.targets.schedule("natural", "uniform", epochs=MOST_EPOCHS + 1)


def _sampler_at(plan):
    sampler = plan.sampler()
    sampler.seek(0, epoch=MOST_EPOCHS + 1)
    return sampler


@given(st.lists(st.floats(0, allow_nan=False, allow_infinity=False), min_size=1, max_size=6).filter(any))
def test_whole_numbers_are_in_the_proportion_of_the_decimals(weights):
    total, found = sum(map(fraction, weights)), integer_weights(weights)
    assert [fraction(weight) * sum(found) for weight in weights] == [number * total for number in found]


def test_after_its_last_change_a_target_has_its_shares():
    """No other change follows that would end the span which pays deficits back."""
    labels = np.repeat([0, 1, 2], [500, 60, 40])
    plan = bw.balanced(labels, 16, target=bw.targets.schedule("natural", "uniform", epochs=9))
    first = 10 * plan.epoch_batches
    for batches in (890, 8900):
        drawn = np.bincount(labels[np.concatenate([plan[first + number] for number in range(batches)])])
        assert np.abs(drawn - batches * 16 / 3).max() <= 6
