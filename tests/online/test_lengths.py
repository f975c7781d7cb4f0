from __future__ import annotations

import copy
import math
import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright import Infeasible, online

pytestmark = pytest.mark.filterwarnings("ignore:source .* has 0 samples:batchwright.PoorWarning")

lengths = st.lists(st.integers(1, 60), max_size=300)


def numbered(values):
    return list(enumerate(values))


@given(lengths, st.integers(60, 200), st.none() | st.integers(1, 9), st.integers(1, 90))
def test_no_batch_is_above_its_budget_and_every_sample_comes_once(values, max_tokens, max_samples, buffer):
    samples = numbered(values)
    stream = online.budgeted(samples, length=1, max_tokens=max_tokens, max_samples=max_samples, buffer=buffer)
    seen = []
    for batch in stream:
        seen += batch
        assert max(length for _, length in batch) * len(batch) <= max_tokens
        assert max_samples is None or len(batch) <= max_samples
        report = stream.report()
        assert report.buffered <= buffer
        assert report.read == report.delivered + report.buffered
    assert sorted(seen) == samples


@given(lengths, st.integers(60, 100), st.integers(1, 4), st.integers(1, 90))
def test_no_pack_is_above_capacity_and_every_sample_comes_once(values, capacity, packs, buffer):
    samples = numbered(values)
    stream = online.packed(samples, length=1, capacity=capacity, packs=packs, buffer=buffer)
    seen = []
    for batch in stream:
        seen += batch
        assert sum(batch.packs) == len(batch)
        assert 1 <= len(batch.packs) <= packs
        items = iter(batch)
        assert all(sum(length for _, length in islice(items, count)) <= capacity for count in batch.packs)
        assert stream.report().buffered <= buffer
    assert sorted(seen) == samples


@given(st.sampled_from(["budgeted", "packed"]), lengths, st.integers(60, 300), st.integers(1, 90), st.booleans(),
       st.integers(0, 9))  # fmt: skip
def test_what_is_sorted_together_may_be_bounded_in_bytes(kind, values, limit, buffer, by_value, stop):
    def stream():
        samples = online.Strided(numbered(values)) if by_value else numbered(values)
        bounds = {"buffer": buffer, "buffer_bytes": limit, "size": 1}
        if kind == "budgeted":
            return online.budgeted(samples, length=1, max_tokens=100, **bounds)
        return online.packed(samples, length=1, capacity=60, packs=2, **bounds)

    first, seen, state, rest = stream(), [], None, []
    for number, batch in enumerate(first):
        seen += batch
        rest.append(batch)
        if number == stop:
            state, rest = first.state_dict(), []
        held = first._run.composer.held()[0]
        weights = [(item if by_value else item[1])[1] for item in held]
        assert sum(weights) <= limit + max(values)
    assert sorted(seen) == numbered(values)
    if state is not None:
        second = stream()
        second.load_state_dict(state)
        assert list(second) == (rest or list(first))  # the next epoch begins where a state leaves nothing of one


def test_a_sample_larger_than_the_buffer_is_refused():
    with pytest.raises(Infeasible, match="sample 1 of source 'clips': its size is 99 and buffer_bytes is 50"):
        list(online.packed([(1, 9), (2, 99)], length=0, capacity=5, buffer_bytes=50, size=1, name="clips"))
    with pytest.raises(Infeasible, match="buffer_bytes is 0, the least is 1"):
        online.packed([(1, 9)], length=0, capacity=5, buffer_bytes=0, size=1)


@given(lengths, st.integers(60, 100))
def test_best_fit_is_what_slow_obvious_best_fit_is(values, capacity):
    bins: list[list[int]] = []
    for value in sorted(values, reverse=True):
        fitting = [one for one in bins if sum(one) + value <= capacity]
        if fitting:
            max(fitting, key=sum).append(value)
        else:
            bins.append([value])
    packs = online.packed(values, length=int, capacity=capacity, buffer=1000)
    assert sorted(map(sorted, packs)) == sorted(map(sorted, bins))


@given(st.sampled_from(["budgeted", "packed"]), lengths, st.integers(0, 40), st.integers(1, 90), st.booleans())
def test_going_on_from_a_state_is_never_having_stopped(kind, values, stop, buffer, by_value):
    def stream():
        samples = online.Strided(numbered(values)) if by_value else numbered(values)
        if kind == "budgeted":
            return online.budgeted(samples, length=1, max_tokens=100, buffer=buffer)
        return online.packed(samples, length=1, capacity=60, packs=2, buffer=buffer)

    first = stream()
    iterator = iter(first)
    head = []
    for batch in islice(iterator, stop):
        head.append(batch)
        state = copy.deepcopy(first.state_dict())
    if head:
        second = stream()
        second.load_state_dict(state)
        rest = list(iterator) or list(first)
        assert list(second) == rest
        assert second.report() == first.report()


def test_a_buffer_of_like_lengths_pads_little_and_packs_full():
    rng = random.Random(0)
    samples = [min(512, max(1, int(rng.lognormvariate(4.5, 0.8)))) for _ in range(30_000)]
    batches = list(online.budgeted(samples, length=int, max_tokens=8192, buffer=10_000))
    padded = sum(max(batch) * len(batch) for batch in batches)
    assert 1 - sum(samples) / padded < 0.015
    packs = list(online.packed(samples, length=int, capacity=512, buffer=5000))
    assert sum(samples) / (512 * len(packs)) > 0.998


def test_an_unsound_length_is_refused_by_ordinal_and_source():
    cases = [(0, "its length is 0, the least is 1"), (math.nan, "its length is nan, not a finite float"),
             (math.inf, "its length is inf, not a finite float"),
             (65, "its length is 65 and capacity is 64")]  # fmt: skip
    for length, fact in cases:
        samples = [5, 6, length, 7]
        with pytest.raises(Infeasible, match=f"sample 2 of source 'books': {fact}"):
            list(online.packed(samples, length=lambda n: n, capacity=64, name="books"))
        stream = online.packed(samples, length=lambda n: n, capacity=64, on_error="skip")
        assert sorted(n for batch in stream for n in batch) == [5, 6, 7]
        assert stream.report().skipped == 1
    with pytest.raises(Infeasible, match="its length is 65 and max_tokens is 64"):
        list(online.budgeted([65], length=int, max_tokens=64))
    with pytest.raises(Infeasible, match="neither max_tokens nor max_samples"):
        online.budgeted([1], length=int)
    with pytest.raises(Infeasible, match="capacity is nan"):
        online.packed([1], length=int, capacity=math.nan)
