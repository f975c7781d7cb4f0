"""Sources of a mixture: a user's own order, and shares that move within a source."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.orders import Dealt, Order

from .. import laws
from ..examples import examples

SCHEDULE = bw.targets.schedule("natural", "uniform", epochs=3)


class Ladder:
    """A user's own order: 0, 1, 1, 2, 2, 2, ... over and over; sample i is i + 1 parts of it."""

    epoch_batches = 1

    def __init__(self, samples):
        self.groups = bw.Groups.singletons(samples)
        self._places = np.repeat(np.arange(samples), np.arange(1, samples + 1))
        self.batch_size = self._places.size

    @property
    def identity(self):
        return {"order": "ladder", "samples": str(self.groups.sample_count)}

    def batches_at(self, numbers):
        return np.tile(self._places, (numbers.size, 1))

    def take(self, start, stop):
        return self._places[np.arange(start, stop) % self.batch_size]

    def rates(self, samples, epoch=0):
        return (np.asarray(samples) + 1) / self.batch_size


def own_order(samples=4, **options):
    arguments = {"batch_size": 8, "target": {"web": 0.5, "own": 0.5}} | options
    return bw.mixed({"web": 30, "own": Ladder(samples)}, **arguments)


def test_identities_are_not_computed_to_find_out_what_an_order_is(monkeypatch):
    def refuse(self):
        raise AssertionError("that of groups takes a pass over all samples")

    inner = bw.balanced([0] * 9 + [1] * 9, 2)
    monkeypatch.setattr(Dealt, "identity", property(refuse))
    bw.mixed({"a": 10, "b": inner, "c": inner.order}, 6, target={"a": 0.5, "b": 0.25, "c": 0.25})
    bw.budgeted([1] * 18, 3, order=inner)


@examples(30)
@given(samples=st.integers(1, 6), batch_size=st.sampled_from([2, 4, 10]), seed=st.integers(0, 99))
def test_a_users_own_order_is_followed_and_its_rates_are_those_of_the_mixture(samples, batch_size, seed):
    assert isinstance(Ladder(samples), Order)
    plan = laws.quietly(lambda: own_order(samples, batch_size=batch_size, seed=seed))
    ladder = plan.order.children[1]
    batches = 2 * 30 * ladder.batch_size
    drawn = np.stack([plan[batch] for batch in range(batches)])
    own = drawn[drawn >= 30] - 30
    assert np.bincount(own).tolist() == np.bincount(ladder.take(0, own.size)).tolist()
    for batch in range(0, batches, 17):  # each micro-batch has the next ones, in any order
        had = int((drawn[:batch] >= 30).sum())
        mine = drawn[batch][drawn[batch] >= 30] - 30
        assert sorted(mine) == sorted(ladder.take(had, had + mine.size))
    everyone = np.arange(30 + samples)
    expected = np.concatenate([np.full(30, 0.5 / 30), 0.5 * ladder.rates(np.arange(samples))])
    assert plan.rates(everyone) == pytest.approx(expected)
    assert plan.inclusion_rates(0, 1).rates(everyone) == pytest.approx(expected)
    assert np.bincount(drawn.reshape(-1), minlength=everyone.size) / drawn.size == pytest.approx(expected, abs=1e-9)
    assert plan.prior_between(3, 9, bw.Groups.from_labels(everyone % 2)) == pytest.approx(
        np.bincount(everyone % 2, weights=expected, minlength=2)[: len(set(everyone % 2))]
    )
    assert plan.settles_after == 0
    assert plan.audit(batches=50).kept


def scheduled(share, child_epoch):
    """A plain source, and one whose shares move over three epochs of its own."""
    child = laws.quietly(
        lambda: bw.balanced(np.repeat([0, 1, 2], [70, 20, 10]), 10, target=SCHEDULE, epoch=child_epoch)
    )
    target = {"web": 1 - share, "moving": share}
    return laws.quietly(lambda: bw.mixed({"web": 50, "moving": child}, 20, target=target, epoch=7))


CLASSES = bw.Groups.from_labels(np.repeat(["web", "a", "b", "c"], [50, 70, 20, 10]))


def test_the_prior_of_a_source_that_moves_is_what_is_drawn_of_it():
    met: Counter[str] = Counter()

    @examples(40)
    @given(
        share=st.sampled_from([0.2, 0.5, 0.75]),
        child_epoch=st.integers(1, 20),
        start=st.integers(0, 60),
        count=st.integers(1, 60),
    )
    def law(share, child_epoch, start, count):
        plan = scheduled(share, child_epoch)
        drawn = np.concatenate([plan[batch] for batch in range(start, start + count)])
        shares = np.bincount(CLASSES.group_of(drawn), minlength=4) / drawn.size
        prior = plan.prior_between(start, start + count, CLASSES)
        assert prior.sum() == pytest.approx(1)
        # of the source two of its own micro-batches are drawn from in part, and drift is within 6 tickets at both ends
        assert np.abs(prior - shares).max() <= (2 * 10 + 12) / drawn.size
        count_ignores_order = plan.settles_after * plan.epoch_batches
        # the source settles after three epochs of its own, of which the mixture takes `20 * share` samples a micro-batch
        assert count_ignores_order == pytest.approx(np.ceil(3 * child_epoch * 10 / (20 * share)))
        at_rest = plan.prior_between(int(count_ignores_order), int(count_ignores_order) + 5, CLASSES)
        assert at_rest == pytest.approx(at_the_end(share), abs=1e-9)
        began = plan.prior_between(0, 1, CLASSES)
        met["moved"] += bool(np.abs(prior - at_rest).max() > 0.05)
        met["moves"] += bool(np.abs(began - at_rest).max() > 0.05)

    law()
    assert met["moves"] >= 20
    assert met["moved"] >= 5


def at_the_end(share):
    """The shares of all classes once the source is uniform."""
    expected = {"web": 1 - share, "a": share / 3, "b": share / 3, "c": share / 3}
    return [expected[name] for name in CLASSES.names]


def test_a_source_whose_shares_may_always_move_never_settles():
    child = bw.balanced([0] * 70 + [1] * 30, 10, target=lambda counts, epoch: laws.swinging(epoch))
    for inner in (child, laws.EVERY_PLAN["moving"](0)):
        plan = laws.quietly(lambda inner=inner: bw.mixed({"web": 50, "in": inner}, 20))
        assert plan.settles_after is None
    never_drawn = bw.mixed({"web": 50, "in": scheduled(0.5, 4)}, 20, target={"web": 1, "in": 0})
    assert never_drawn.settles_after == 0
