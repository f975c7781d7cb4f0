"""Groups and weighted samples that come less than once a micro-batch: coverage by the epoch, not by the round."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.groups import Groups

from .examples import examples

SEEDS = st.integers(0, 2**64 - 1)


def outside(counts, expected):
    """How far each count lies outside floor..ceil of what was expected."""
    return np.maximum(np.floor(expected + 1e-6) - counts, counts - np.ceil(expected - 1e-6)).clip(0)


def counts_of(plan, first, stop):
    return np.bincount(
        plan.order.batches_at(first + np.arange(stop - first)).reshape(-1), minlength=plan.groups.sample_count
    )


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_an_epoch_of_equal_weights_has_every_sample(epoch):
    """As a shuffle does: an epoch of 782 micro-batches is 48 draws more than a pass, so the next pass begins in it."""
    plan = bw.weighted(np.ones(50_000), 64)
    counts = counts_of(plan, epoch * plan.epoch_batches, (epoch + 1) * plan.epoch_batches)
    assert np.count_nonzero(counts == 0) <= 48 * epoch


@examples(40)
@given(
    samples=st.integers(2, 3000),
    share=st.floats(0.001, 1),
    batch_size=st.integers(1, 64),
    seed=SEEDS,
)
def test_equal_weights_come_floor_or_ceil_from_the_first_micro_batch_to_any(samples, share, batch_size, seed):
    weights = np.where(np.arange(samples) < max(1, int(share * samples)), 2.5, 0.0)
    np.random.default_rng(seed).shuffle(weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        plan = bw.weighted(weights, min(batch_size, int(np.count_nonzero(weights))), seed=seed)
    drawn = plan.order.batches_at(np.arange(150))
    counts = np.zeros(samples)
    for number, batch in enumerate(drawn, 1):
        counts[batch] += 1
        expected = weights / weights.sum() * number * plan.batch_size
        assert outside(counts, expected).max() == 0
        assert np.unique(batch).size == batch.size


@examples(40)
@given(
    classes=st.integers(2, 400),
    size=st.integers(1, 5),
    tickets=st.integers(1, 64),
    per_class=st.integers(1, 4),
    seed=SEEDS,
)
def test_no_class_comes_again_before_all_others_came(classes, size, tickets, per_class, seed):
    """Classes of equal shares: P classes x M samples, and others that come at most once in eight micro-batches."""
    tickets = min(tickets, classes) if per_class > 1 else max(1, min(tickets, classes // 8))
    assume(tickets * 8 <= classes or per_class > 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        plan = bw.balanced(
            Groups.from_sizes(dict.fromkeys(range(classes), size)), tickets * per_class, per_class=per_class, seed=seed
        )
    counts = np.zeros(classes, int)
    for batch in plan.order.batches_at(np.arange(120)):
        of_batch = np.bincount(plan.groups.group_of(batch), minlength=classes)
        assert set(of_batch.tolist()) <= {0, per_class}
        counts += of_batch // per_class
        assert counts.max() - counts.min() <= 1


@examples(30)
@given(
    samples=st.integers(50, 2000),
    spread=st.floats(0.05, 0.9),
    batch_size=st.integers(1, 16),
    epochs=st.floats(0.5, 3),
    epoch=st.integers(0, 3),
    seed=SEEDS,
)
def test_other_weights_come_floor_or_ceil_in_every_epoch(samples, spread, batch_size, epochs, epoch, seed):
    """Where no sample is expected more than twice an epoch; in every one of them, and near it at any place between."""
    weights = 1 + spread * (2 * np.random.default_rng(seed).random(samples) - 1)
    length = max(1, int(epochs * samples / batch_size))
    most = weights.max() / weights.sum() * length * batch_size
    length = int(length * min(1, 2 / most))
    assume(length >= 30)  # where an epoch is shorter than a third of a round, shares are kept by the round alone
    plan = bw.weighted(weights, batch_size, epoch=length, seed=seed)
    first = epoch * length
    expected = plan.shares() * length * batch_size
    assert outside(counts_of(plan, first, first + length), expected).max() == 0
    part = max(1, length // 3)
    assert outside(counts_of(plan, first, first + part), expected * part / length).max() <= 1


def test_images_that_repeat_factors_leave_alone_come_in_every_epoch():
    rng = np.random.default_rng(0)
    factors = np.maximum(1, rng.pareto(2, 3000) + 0.5)
    for batch_size in (4, 16, 32, 64):
        plan = bw.weighted(factors, batch_size, epoch=-(-int(np.ceil(factors.sum())) // batch_size))
        epochs = [counts_of(plan, e * plan.epoch_batches, (e + 1) * plan.epoch_batches) for e in range(4)]
        missing = sum(int(np.count_nonzero(counts == 0)) for counts in epochs)
        assert missing <= 4, batch_size


def test_rare_groups_are_found_at_any_place_alike():
    weights = np.random.default_rng(1).random(5000) + 0.1
    plan = bw.weighted(weights, 16)
    together = plan.order.batches_at(10**9 + 7 * np.arange(300))
    for row in (0, 13, 299):
        assert np.array_equal(together[row], plan[10**9 + 7 * row])


class Swapped:
    """An order whose micro-batches are those of another, but that one sample is replaced by one that came before."""

    def __init__(self, order, at):
        self._order, self._at = order, at

    def __getattr__(self, name):
        return getattr(self._order, name)

    def batches_at(self, numbers):
        found = self._order.batches_at(numbers)
        found[numbers == self._at, 0] = self._order.batches_at(np.array([0]))[0, 1]
        return found


def test_an_audit_sees_a_sample_that_comes_again_before_the_others():
    plan = bw.weighted(np.ones(5000), 16)
    assert plan.audit(batches=250)["G4 rare"].worst == 0
    plan.order = Swapped(plan.order, 40)
    finding = plan.audit(batches=250)["G4 rare"]
    assert not finding.kept
    assert finding.worst == 1
    assert "micro-batch 40" in finding.where
