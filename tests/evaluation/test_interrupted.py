"""An evaluation that is broken off and gone on with, in the same world or in others: every sample still counts once."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import batchwright as bw

from ..examples import examples
from ..laws import LENGTHS

PLANS = {
    "by number": lambda n: bw.evaluation(n, 3),
    "shuffled": lambda n: bw.evaluation(n, 3, order="shuffled", seed=n),
    "in tokens": lambda n: bw.evaluation(LENGTHS[:n], max_tokens=1200),
    "packs": lambda n: bw.evaluation(LENGTHS[:n], capacity=512, order="length"),
}
every_plan = pytest.mark.parametrize("make", PLANS.values(), ids=PLANS)


def go_on(plan, world, accumulate, state, lists):
    """At most so many lists of what is left of the epoch, what counts of them in order, and whether that was all."""
    samplers = [plan.sampler(rank=rank, world_size=world, accumulate=accumulate) for rank in range(world)]
    for sampler in samplers:
        sampler.load_state_dict(state)
    begun, epoch = samplers[0].batches_done, samplers[0].epoch
    left, counted = len(samplers[0]) - begun, []
    for number, step in enumerate(zip(*samplers, strict=True), begun):
        for sampler, samples in zip(samplers, step, strict=True):
            counted += samples[: sampler.real(number, epoch=epoch)]
        if number + 1 - begun == lists:
            break
    states = [sampler.state_dict() for sampler in samplers]
    assert all(other == states[0] for other in states)
    return counted, json.loads(json.dumps(states[0])), lists >= left


@every_plan
@examples(60)
@given(
    n=st.integers(1, 60),
    parts=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 6)), min_size=1, max_size=6),
)
def test_an_epoch_has_every_sample_once_whatever_worlds_it_goes_through(make, n, parts):
    plan, state, counted, ended = make(n), {}, [], False
    ordered = plan.sequence.samples(0, n).tolist()
    for world, accumulate, lists in parts:
        if not ended:
            more, state, ended = go_on(plan, world, accumulate, state, lists)
            counted += more
    if not ended:
        more, state, ended = go_on(plan, 2, 1, state, 10**9)
        counted += more
    assert counted == ordered
    assert ended
    assert state["epoch"] == 1
    following, state, _ = go_on(plan, 3, 1, state, 10**9)  # and the next one too
    assert following == ordered
    assert state["epoch"] == 2


@every_plan
def test_a_rest_needs_no_more_fillers_than_as_many_samples_alone(make):
    """What is left is dealt to the new ranks as if it were the whole data set."""
    plan = make(60)
    sampler = plan.sampler(rank=0, world_size=4)
    next(iter(sampler))
    ranks = [plan.sampler(rank=rank, world_size=5) for rank in range(5)]
    fillers = []
    for rank in ranks:
        rank.load_state_dict(sampler.state_dict())
        begun = rank.batches_done
        lists = list(rank)
        assert len(lists) == len(rank) - begun
        fillers.append([len(samples) - rank.real(step, epoch=0) for step, samples in enumerate(lists, begun)])
    assert all(number == 0 for rank in fillers for number in rank[:-1])
    assert sum(rank[-1] for rank in fillers) < 5


@every_plan
def test_an_epoch_may_be_gone_through_again_after_its_world_changed(make):
    plan = make(40)
    one = plan.sampler(rank=0, world_size=3)
    next(iter(one))
    other = plan.sampler(rank=0, world_size=1)
    other.load_state_dict(one.state_dict())
    rest = list(other)
    other.set_epoch(0)
    assert list(other) == [batch.tolist() for batch in plan.epoch(0)]
    assert len(rest) < len(other)


@every_plan
def test_a_look_at_the_first_batch_does_not_change_the_next_pass(make):
    plan = make(40)
    loader = DataLoader(range(40), batch_sampler=plan.sampler(), collate_fn=list)
    next(iter(loader))
    assert list(loader) == [batch.tolist() for batch in plan.epoch(0)]


@every_plan
def test_workers_give_the_same(make):
    plan = make(40)
    loader = DataLoader(range(40), batch_sampler=plan.sampler(), collate_fn=list, num_workers=2)
    assert list(loader) == [batch.tolist() for batch in plan.epoch(0)]


@every_plan
def test_pickled_in_mid_epoch(make):
    plan = make(60)
    sampler = plan.sampler(rank=1, world_size=2)
    steps = iter(sampler)
    begun = next(steps)
    again = pickle.loads(pickle.dumps(plan)).sampler(rank=1, world_size=2)
    again.load_state_dict(pickle.loads(pickle.dumps(sampler.state_dict())))
    assert [begun, *again] == list(plan.sampler(rank=1, world_size=2))


def test_states_stay_small_and_ranks_agree():
    plan = bw.evaluation(10**9, 64, order="shuffled")
    sampler = plan.sampler(rank=3, world_size=64)
    sampler.seek(1000)
    smaller = plan.sampler(rank=0, world_size=7)
    smaller.load_state_dict(sampler.state_dict())
    state = smaller.state_dict()
    assert len(json.dumps(state)) < 1200
    assert state["plan"] == {"step_size": 7, "start": 1000 * 64 * 64}
    samples = list(map(smaller.all_ranks, range(smaller.batches_done, smaller.batches_done + 3)))
    flat = [sample for step in samples for batch in step for sample in batch.tolist()]
    assert flat == plan.sequence.samples(1000 * 64 * 64, 1000 * 64 * 64 + 3 * 7 * 64).tolist()


def test_every_world_in_turn_over_one_epoch():
    """A list in each of thirty worlds, and the rest in one."""
    plan, state, counted = bw.evaluation(2000, 2), {}, []
    worlds = [*range(1, 16), *range(15, 0, -1)]
    assert all(one != other for one, other in pairwise(worlds) if one < 15)
    for world in worlds:
        more, state, ended = go_on(plan, world, 1, state, 1)
        counted += more
        assert not ended
    more, state, ended = go_on(plan, 11, 1, state, 10**9)
    assert counted + more == list(range(2000))
    assert ended
