"""Where a run of a plan that cuts by cost stands: going on costs one window, in any world, and nothing overflows."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from batchwright.plans.refit import Trail
from hypothesis import given, settings
from hypothesis import strategies as st

import batchwright as bw
from batchwright.lengths.windows import Begin
from batchwright.plans.by_length import LengthPlan

from .test_lengthwise import LABELS, LENGTHS

few = settings(max_examples=25)
WORLDS = (1, 3, 4, 5)


@few
@given(*[st.integers(0, 2**40)] * 4, st.lists(st.tuples(st.integers(1, 2**20), st.integers(0, 2**40)), max_size=4))
def test_a_trail_goes_through_its_numbers(epoch, window, place, skipped, refits):
    trail = Trail(epoch, window, Begin(place, skipped), tuple(refits))
    assert Trail.of(trail.numbers) == trail
    assert Trail.of(()) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: bw.budgeted(LENGTHS, 4096, window=16),
        lambda: bw.budgeted(LENGTHS, 4096, window=16, padded=False),
        lambda: bw.budgeted(LENGTHS, 4096, window=16, round_count=8),
        lambda: bw.budgeted({"a": LENGTHS, "b": LENGTHS[::-1]}, {"a": 4096, "b": 8000}, window=16),
        lambda: bw.grouped(LENGTHS, 32, window=16),
        lambda: bw.packed(LENGTHS, 4096, window=16, max_per_pack=60),
        lambda: bw.packed({"a": LENGTHS, "b": LENGTHS[::-1]}, {"a": 4096, "b": 8000}, window=16),
        lambda: bw.bucketed(np.stack([LENGTHS % 3 + 1, LENGTHS % 2 + 1], axis=1), 32, window=16, buckets=3),
        lambda: bw.budgeted(LENGTHS, 4096, window=16, order=bw.balanced(LABELS, 64)),
        lambda: bw.packed(LENGTHS, 900, window=16, order=bw.balanced(LABELS, 64), too_long="split"),
        lambda: bw.packed(LENGTHS, 900, window=16, order=bw.weighted(LENGTHS, 64, draw="random"), too_long="skip"),
    ],
)
def test_resuming_anywhere_costs_one_window(make, monkeypatch):
    plan = make()
    layout = plan.layout(8)
    assert layout.windows > 10
    planned = []
    for name in ("layered", "stretch"):
        method = getattr(LengthPlan, name)
        monkeypatch.setattr(LengthPlan, name, lambda *at, method=method: planned.append(at[2]) or method(*at))
    for step in (0, layout.length // 16, layout.length // 8 - 1):
        state = plan.sampler(rank=0, world_size=8).state_at(step)
        assert len(json.dumps(state)) < 400
        fresh = make().sampler(rank=0, world_size=8)
        fresh.load_state_dict(state)
        planned.clear()
        next(iter(fresh))
        assert planned == [layout.window_of(state["consumed"])[0]]


def in_turn(plan, world, epochs, state=None):
    """What all ranks are given, in order, by a trainer that stops at `len`; and the state at the end."""
    samplers = [plan.sampler(rank=rank, world_size=world) for rank in range(world)]
    given_out = []
    for sampler in samplers:
        sampler.load_state_dict(state or {})
    for _ in range(epochs):
        steps = len(samplers[0]) - samplers[0].step
        rows = [list(islice(sampler, steps)) for sampler in samplers]
        given_out += [batch for step in zip(*rows, strict=True) for batch in step]
    return given_out, samplers[0].state_dict()


def dear_every_other_epoch():
    """A plan whose odd epochs cost far more than all that is looked at when it is laid out."""
    order = bw.balanced(LABELS, 50, target=lambda counts, epoch: [0.2, 0.8] if epoch % 2 else [0.95, 0.05], epoch=60)
    return bw.budgeted(np.where(LABELS, 500, 50), 4000, order=order, window=8)


def test_an_epoch_that_costs_more_than_any_that_was_looked_at_is_gone_through_whole_and_nothing_is_refused():
    plan = dear_every_other_epoch()
    given_out, end = in_turn(plan, 3, 6)
    assert len(given_out) == 6 * plan.epoch_length(3)
    drawn = np.concatenate(given_out)
    assert (
        drawn.size < 6 * plan.epoch_samples
    )  # epochs have the steps they are to have: the order is not gone through so far
    assert Counter(drawn.tolist()) == Counter(plan.source.order.take(0, drawn.size).tolist())
    costs = np.where(LABELS, 500, 50)
    assert max(costs[batch].max() * len(batch) for batch in given_out) <= 4000
    further, _ = in_turn(plan, 3, 7)
    assert in_turn(dear_every_other_epoch(), 3, 1, end)[0] == further[len(given_out) :]
    assert len(json.dumps(end)) < 400
    assert plan.audit(multiple=3, epochs=4).kept


@pytest.mark.parametrize(
    "make",
    [
        lambda: bw.budgeted(LENGTHS[:6000], 4096, window=16),
        lambda: bw.grouped(LENGTHS[:6000], 16, window=16),
        lambda: bw.packed(LENGTHS[:6000], 2048, window=16),
        lambda: bw.budgeted(LENGTHS[:6000], 4096, window=16, order=bw.shuffled(6000, 1)),
    ],
)
def test_more_left_than_an_epoch_of_the_new_world_has_comes_first_in_the_next(make):
    plan = make()
    shortest, longest = min(WORLDS, key=plan.epoch_length), max(WORLDS, key=plan.epoch_length)
    before = [batch.tolist() for batch in plan.epoch(0, longest)[:longest]]
    assert plan.epoch_length(longest) - longest > plan.epoch_length(shortest)
    state = plan.sampler(rank=0, world_size=longest).state_at(1, epoch=0)
    given_out, end = in_turn(plan, shortest, 2, state)
    assert len(given_out) == 2 * plan.epoch_length(shortest)
    drawn = [sample for batch in before + given_out for sample in batch]
    assert sorted(drawn[:6_000]) == list(range(6_000))
    assert len(set(drawn[6_000:])) == len(drawn) - 6_000
    further, _ = in_turn(plan, shortest, 3, state)
    assert in_turn(make(), shortest, 1, end)[0] == further[len(given_out) :]
    once_more, _ = in_turn(make(), 1, 3, end)  # and in yet another world, while it lags
    drawn += [sample for batch in once_more for sample in batch]
    assert all(sorted(drawn[epoch : epoch + 6_000]) == list(range(6_000)) for epoch in (0, 6_000, 12_000))


@few
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 60)), min_size=60, max_size=300),
    st.integers(1, 5),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=4),
    st.booleans(),
)
def test_no_epoch_needs_more_than_the_layout_has(rows, multiple, epochs, padded):
    table = {"a": np.array(rows)[:, 0], "b": np.array(rows)[:, 1]}
    plans = [
        bw.budgeted(table, {"a": 90, "b": 130}, padded=padded, window=5),
        bw.budgeted(table["b"], 130, padded=padded, round_count=3, window=5),
        bw.packed(table, {"a": 90, "b": 130}, packs=2, window=5),
    ]
    for plan in plans:
        for epoch in epochs:
            audit = plan.audit(multiple=multiple, first=epoch)
            assert audit.kept, str(audit)


def all_go_on_or_none(plan, state, world, accumulate=1):
    """What ranks of a world are given of an epoch that goes on there; None where each of them refuses the state."""
    ranks = sorted({0, world // 2, world - 1})
    samplers = [plan.sampler(rank=rank, world_size=world, accumulate=accumulate) for rank in ranks]
    refusals = []
    for sampler in samplers:
        try:
            sampler.load_state_dict(state)
        except bw.Infeasible as refusal:
            refusals.append(str(refusal))
    if refusals:
        assert len(refusals) == len(ranks)
        assert len(set(refusals)) == 1
        return None
    steps = len(samplers[0]) - samplers[0].step
    rows = [list(sampler) for sampler in samplers]
    assert {len(row) for row in rows} == {steps}
    assert all(sampler.state_dict() == samplers[0].state_dict() for sampler in samplers)
    return rows


SHORT = np.random.default_rng(0).integers(4, 10, 5000)


@pytest.mark.parametrize(
    ("make", "before", "step", "after"),
    [
        (lambda: bw.packed(SHORT[:2000], 9, order=bw.balanced(np.arange(2000) % 7, 8), window=16), 1, 939, 8),
        (lambda: bw.packed(SHORT, 9, order=bw.balanced(np.arange(5000) % 7, 8), window=16), 16, 150, 128),
        (lambda: bw.bucketed(SHORT[:, None], 4, buckets=3, window=16), 16, 40, 128),
        (lambda: bw.bucketed(SHORT[:2000, None], 2, buckets=3, window=16, order=bw.shuffled(2000, 4)), 1, 939, 8),
        (lambda: bw.budgeted(SHORT[:2000], 12, window=16, order=bw.shuffled(2000, 1)), 1, 700, 24),
    ],
)
def test_what_cannot_go_on_in_another_world_is_refused_by_every_rank_when_the_state_is_loaded(
    make, before, step, after
):
    plan = make()
    all_go_on_or_none(plan, plan.sampler(rank=0, world_size=before).state_at(step), after)


def test_an_epoch_whose_last_window_cannot_be_split_further_goes_on_in_a_smaller_world_or_at_the_next_epoch():
    """The way out of the refusal."""
    plan = bw.packed(SHORT[:2000], 9, order=bw.balanced(np.arange(2000) % 7, 8), window=16)
    saving = plan.sampler(rank=0, world_size=1)
    assert all_go_on_or_none(plan, saving.state_at(939), 8) is None
    assert all_go_on_or_none(plan, saving.state_at(939), 3) is not None
    assert all_go_on_or_none(plan, saving.state_at(len(saving)), 8) is not None


@settings(max_examples=10)
@given(
    st.integers(0, 4),
    st.integers(3, 20),
    st.integers(9, 40),
    st.lists(st.tuples(st.integers(1, 12), st.integers(1, 3), st.integers(0, 10**6)), min_size=2, max_size=4),
)
def test_a_chain_of_worlds_is_gone_through_by_all_ranks_alike(kind, window, capacity, worlds):
    lengths = SHORT[:400]
    plan = [
        lambda: bw.packed(lengths, capacity, window=window, order=bw.balanced(np.arange(400) % 7, 8)),
        lambda: bw.packed(lengths, capacity, window=window),
        lambda: bw.bucketed(lengths[:, None], 1 + capacity // 8, buckets=3, window=window),
        lambda: bw.budgeted(lengths, capacity, window=window, order=bw.shuffled(400, 4)),
        lambda: bw.grouped(lengths, 1 + capacity // 8, window=window),
    ][kind]()
    state = {}
    for world, accumulate, cut in worlds:
        sampler = plan.sampler(rank=0, world_size=world, accumulate=accumulate)
        if all_go_on_or_none(plan, state, world, accumulate) is None:
            return
        sampler.load_state_dict(state)
        state = sampler.state_at(sampler.step + cut % (len(sampler) - sampler.step))
