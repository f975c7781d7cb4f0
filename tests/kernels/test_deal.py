"""Dealing: any micro-batch directly, the same as dealing every ticket from the start."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batchwright.groups import Groups
from batchwright.kernels.deal_arguments import ROUND
from batchwright.kernels.hashing import child_key
from batchwright.orders import Dealt
from batchwright.orders.shares import TargetShares
from batchwright.targets import Target

from ..examples import examples
from . import oracles


def weights_of(counts, names, epoch, weights):
    return weights


WEIGHTS = (
    st.lists(st.integers(0, 50) | st.just(10**4), min_size=1, max_size=30)
    | st.lists(st.sampled_from([0, 1, 1, 1]), min_size=2, max_size=40)  # equal shares
    | st.integers(64, 300).map(lambda count: [1] * count)
    | st.tuples(st.integers(64, 200), st.integers(1, 3)).map(lambda of: [3000, 0] + [of[1]] * of[0] + [2, 1] * 5)
    | st.integers(64, 200).map(lambda count: [40] + [1] * count)  # equal shares beside a large one
)


@st.composite
def orders_and_oracles(draw):
    weights = draw(WEIGHTS.filter(any))
    count = len(weights)
    sizes = draw(st.lists(st.integers(1, 120), min_size=count, max_size=count))
    tickets, per_ticket = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    seed, epoch = draw(st.integers(0, 2**64 - 1)), draw(st.integers(1, 40) | st.integers(41, 1000))
    groups = Groups.from_sizes(dict(enumerate(sizes)))
    order = Dealt(
        groups,
        TargetShares(Target(weights_of, (tuple(weights),), "given"), groups),
        batch_size=tickets * per_ticket,
        per_ticket=per_ticket,
        seed=seed,
        epoch_batches=epoch,
    )
    total = sum(weights)
    wide = [max(0, -(-tickets * weight // total) * per_ticket - 1) for weight in weights]
    return order, oracles.DealtOrder(weights, sizes, tickets, per_ticket, wide, seed, epoch)


@examples(60)
@given(both=orders_and_oracles())
def test_matches_dealing_every_ticket(both):
    order, oracle = both
    samples, groups, _ = order.dealing(np.arange(2 * ROUND + 5))
    for batch, (expected_samples, expected_groups) in enumerate(oracle.batches(2 * ROUND + 5)):
        assert groups[batch].tolist() == expected_groups
        assert samples[batch].tolist() == expected_samples


@given(both=orders_and_oracles(), first=st.integers(0, 10**10), stride=st.integers(1, 2000), count=st.integers(1, 20))
def test_a_micro_batch_is_the_same_however_it_is_asked_for(both, first, stride, count):
    order, _ = both
    together = order.batches_at(first + stride * np.arange(count))
    backwards = [order.batches_at(np.array([first + i * stride]))[0] for i in reversed(range(count))]
    assert np.array_equal(together, backwards[::-1])


@given(both=orders_and_oracles(), first=st.integers(0, 10**10), count=st.integers(1, 200))
def test_totals_are_what_was_dealt(both, first, count):
    order, _ = both
    groups = order.dealing(first + np.arange(count)).groups
    counted = np.bincount(groups.reshape(-1), minlength=order.groups.group_count) * order.per_ticket
    assert np.array_equal(order.drawn(first + count) - order.drawn(first), counted)


@given(key=st.integers(0, 2**64 - 1), number=st.integers(0, 2**63))
def test_keys_outside_kernels_are_those_inside(key, number):
    assert child_key(key, number) == oracles.child(key, number)


@given(
    size=st.integers(1, 300),
    first=st.integers(0, 10**11),
    count=st.integers(0, 400),
    seed=st.integers(0, 2**64 - 1),
    places=st.none() | st.integers(1, 100),
    labels=st.booleans(),
)
def test_a_part_of_a_plain_shuffle_is_taken_as_it_is_dealt(size, first, count, seed, places, labels):
    groups = Groups.from_labels(["one"] * size) if labels else Groups.from_sizes({"one": size})
    target = TargetShares(Target(weights_of, ((1,),), "given"), groups)
    order = Dealt(groups, target, batch_size=1, seed=seed, distinct_over=places)
    assert order.take(first, first + count).tolist() == order.batches_at(first + np.arange(count)).ravel().tolist()
