"""Independent draws whose shares move: each epoch has its own, and a micro-batch depends on its number alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from .examples import examples

EPOCH = 40
TARGETS = {
    "a schedule": bw.targets.schedule({0: 0.9, 1: 0.1}, {0: 0.1, 1: 0.9}, epochs=2),
    "a function": lambda counts, epoch: [0.25 + 0.25 * (epoch % 3), 0.75 - 0.25 * (epoch % 3)],
}


def plan(name, seed=0):
    return bw.balanced([0] * 60 + [1] * 60, 50, target=TARGETS[name], draw="random", epoch=EPOCH, seed=seed)


@pytest.mark.parametrize("name", TARGETS)
@examples(30)
@given(
    numbers=st.lists(st.integers(0, 6 * EPOCH), min_size=1, max_size=30, unique=True).map(sorted),
    seed=st.integers(0, 99),
)
def test_many_micro_batches_at_once_are_each_alone_across_epochs(name, numbers, seed):
    order = plan(name, seed).order
    together = order.batches_at(np.array([*numbers, 6 * EPOCH + 1, 9 * EPOCH]))  # two epochs at least
    alone = [order.batches_at(np.array([number]))[0] for number in numbers]
    assert np.array_equal(together[:-2], alone)


@pytest.mark.parametrize("name", TARGETS)
def test_shares_of_every_epoch_hold_on_average(name):
    """2,000 draws an epoch: within 5 standard deviations of what they should be, and of no other epoch's."""
    found = plan(name)
    shares = [found.shares(epoch) for epoch in range(5)]
    drawn = found.order.batches_at(np.arange(5 * EPOCH)).reshape(5, -1)
    for samples, wanted in zip(drawn, shares, strict=True):
        share = (samples < 60).mean()
        assert abs(share - wanted[0]) < 5 * np.sqrt(wanted[0] * (1 - wanted[0]) / samples.size)
    assert np.ptp([share[0] for share in shares]) >= 0.5
    expected = shares[-1] if name == "a schedule" else [0.5, 0.5]
    assert found.shares(10**6) == pytest.approx(expected)
