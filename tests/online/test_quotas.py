from __future__ import annotations

import hashlib

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.kernels import hashing
from batchwright.online import keyed_random
from batchwright.online.quotas import Quotas, round_length


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=40).filter(any),
    st.integers(1, 70),
    st.lists(st.integers(1, 500), min_size=1, max_size=6),
    st.integers(0, 2**64 - 1),
)
def test_every_batch_has_floor_or_ceil_and_the_running_total_stays_near(weights, batch_size, slots, key):
    shares = np.array(weights) / sum(weights)
    quota = shares * batch_size
    quotas = Quotas(batch_size=batch_size, key=key)
    totals, batches = np.zeros(len(shares)), 0
    for wanted in slots:
        hands = quotas.deal(shares, batches=round_length(wanted, batch_size))
        for hand in hands:
            counts = np.bincount(hand, minlength=len(shares))
            assert (np.floor(quota + 1e-9) <= counts).all()
            assert (counts <= np.ceil(quota - 1e-9)).all()
            totals += counts
            batches += 1
            assert np.abs(totals - batches * quota).max() < 4


@given(st.lists(st.integers(1, 99), min_size=2, max_size=20), st.integers(1, 30), st.data())
def test_a_round_cut_short_counts_only_what_was_used(weights, batch_size, data):
    shares = np.array(weights) / sum(weights)
    quotas = Quotas(batch_size=batch_size, key=1)
    totals, batches = np.zeros(len(shares)), 0
    for _ in range(12):
        hands = quotas.deal(shares, batches=8)
        used = data.draw(st.integers(0, 8))
        if used < 8:
            quotas.take_back(hands[used:], shares)
        totals += np.bincount(hands[:used].ravel(), minlength=len(shares))
        batches += used
        assert np.allclose(batches * batch_size * shares - totals, quotas.deficit, atol=1e-6)
    assert np.abs(quotas.deficit).max() < 4


@given(st.lists(st.integers(1, 99), min_size=2, max_size=20), st.integers(1, 30), st.integers(0, 99))
def test_a_round_cut_at_the_worst_moment_again_and_again_is_made_up_for(weights, batch_size, key):
    shares = np.array(weights) / sum(weights)
    quotas = Quotas(batch_size=batch_size, key=key)
    for _ in range(20):
        hands = quotas.deal(shares, batches=8)
        ahead = np.cumsum([np.sum(hand == 0) - shares[0] * batch_size for hand in hands])
        used = int(ahead.argmax()) + 1  # where group 0 has had the most beyond its share
        if used < 8:
            quotas.take_back(hands[used:], shares)
        assert (
            np.abs(quotas.deficit).max() < 6
        )  # 5.1 was seen in 100,000 such cuts; where nothing is made up for it grows on
        assert abs(quotas.deficit.sum()) < 1e-6


def test_which_groups_meet_is_by_chance_anew_in_every_round():
    quotas, most, rounds = Quotas(batch_size=10, key=3), 9, 60  # a group has at most 9 tickets in a round of 89 batches
    together = np.zeros((100, 100))
    for _ in range(rounds):
        for hand in quotas.deal(np.full(100, 0.01), batches=89):
            together[np.ix_(hand, hand)] += 1
    pairs = together[~np.eye(100, dtype=bool)]
    expected = rounds * 89 * 10 * 9 / (100 * 99)
    assert abs(pairs.mean() - expected) < 1e-9
    spread = (most * expected) ** 0.5  # of a sum over rounds, each of up to `most` meetings at once
    assert pairs.std() < spread
    assert pairs.min() > 0
    assert pairs.max() < expected + 6 * spread


@numba.njit
def compiled_child(key, number):
    return hashing.child(key, number)  # an inner function: only compiled code may call it


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40))
def test_words_are_the_hash_of_their_address(key, number):
    expected = compiled_child(np.uint64(key), np.uint64(number))
    assert keyed_random.words(key, number, 1)[0] == expected
    assert hashing.child_key(key, number) == int(expected)


@pytest.mark.parametrize(("seed", "golden"), [(0, "a299815ef515c12e"), (1, "5fbe85ed8cd67e33")])
def test_the_same_on_every_platform(seed, golden):
    quotas = Quotas(batch_size=7, key=keyed_random.root(seed, 1, 2))
    hands = np.concatenate([quotas.deal(np.array([0.5, 0.3, 0.2]), batches=13) for _ in range(5)])
    assert hashlib.sha256(hands.astype("<i8").tobytes()).hexdigest()[:16] == golden
