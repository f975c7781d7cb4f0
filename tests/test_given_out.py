"""What a run has given out: exactly the micro-batches that loops had, however they ended and whatever came between."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.correct import LogitAdjustment, recalibrate
from batchwright.run.given_out import LeftOut, given_out, left_out_at

from .examples import examples

LABELS = np.repeat([0, 1], [90, 10])
SCHEDULE = bw.targets.schedule("natural", "uniform", epochs=10)
PLAN = bw.balanced(LABELS, 10, target=SCHEDULE, seed=4, epoch=12)
ODD = bw.balanced(LABELS, 10, target=SCHEDULE, seed=4, epoch=11)  # other ranks round an epoch up
NUMBERS = {tuple(ODD[t].tolist()): t for t in range(400)}


def numbers(sampler):
    return {t for start, stop in sampler.given_out() for t in range(start, stop)}


steps = st.lists(
    st.tuples(st.sampled_from([1, 2, 3]), st.integers(0, 14), st.sampled_from(["", "resume", "set_epoch", "state"])),
    min_size=1,
    max_size=12,
)


@examples(150)
@given(steps=steps)
def test_it_is_what_all_ranks_had(steps):
    samplers, had, epoch = [ODD.sampler(rank=0, world_size=1)], set(), 0
    for world, count, then in steps:
        if then == "resume":
            state = json.loads(json.dumps(samplers[0].state_dict()))
            samplers = [ODD.sampler(rank=rank, world_size=world) for rank in range(world)]
            for sampler in samplers:
                sampler.load_state_dict(state)
        if then == "set_epoch":
            epoch = samplers[0].epoch
            for sampler in samplers:
                sampler.set_epoch(epoch)
        if then == "state":
            samplers[0].state_dict()
        walks = [iter(sampler) for sampler in samplers]
        for _ in range(count):
            batches = [next(walk, None) for walk in walks]
            if batches[0] is None:
                break
            had |= {NUMBERS[tuple(batch)] for batch in batches}
        assert [numbers(sampler) for sampler in samplers] == [had] * len(samplers)
    assert len({json.dumps(sampler.state_dict()) for sampler in samplers}) == 1


@examples(200)
@given(jumps=st.lists(st.tuples(st.integers(1, 9), st.integers(-5, 9)), max_size=30))
def test_entries_are_those_of_a_list_of_all_numbers(jumps):
    left_out, had, here = (), set(), 0
    for given_now, jump in jumps:
        had |= set(range(here, here + given_now))
        here += given_now
        start = max(0, here + jump)
        left_out = left_out_at(left_out, here, start)
        assert left_out_at(left_out, start, start) == left_out
        had = {number for number in had if number < start}
        here = start
        assert {t for start, stop in given_out(left_out, here) for t in range(start, stop)} == had


def test_epochs_that_end_alike_are_one_entry():
    sampler = PLAN.sampler()
    for _ in range(1000):
        for number, _ in enumerate(sampler, 1):
            if number == 5:
                break
    assert sampler.state_dict()["left_out"] == [[5, 7, 12, 999]]


def test_whole_epochs_leave_nothing_in_a_state():
    sampler = PLAN.sampler()
    for _ in range(3):
        list(sampler)
    assert "left_out" not in sampler.state_dict()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("limit", [1, 3, 7])
def test_priors_and_passes_are_of_the_batches_that_were_given(workers, limit):
    loader = PLAN.loader(range(100), num_workers=workers, collate=list)
    counts, drawn = np.zeros(2), 0
    for epoch in loader.epochs(20):
        for number, batch in enumerate(epoch, 1):
            counts += np.bincount(LABELS[batch], minlength=2)
            drawn += 1
            if epoch.number >= 4 and number == limit:
                break
    adjust = LogitAdjustment.from_sampler(loader, deploy="uniform")
    trained = np.exp(-adjust.offset.double().numpy())
    assert trained / trained.sum() == pytest.approx(counts / counts.sum(), abs=12 / drawn / 10)
    assert list(loader.sampler.passes_done.values()) == pytest.approx(counts / [90, 10], abs=0.6)
    again = PLAN.loader(range(100), num_workers=0)
    again.load_state_dict(loader.state_dict())
    assert again.sampler.passes_done == loader.sampler.passes_done
    assert LogitAdjustment.from_sampler(again, deploy="uniform").offset.tolist() == adjust.offset.tolist()


def test_looks_and_recalibration_leave_nothing_out():
    import torch

    loader = PLAN.loader(torch.arange(100.0)[:, None], num_workers=0)
    for _ in range(3):
        next(iter(loader))
        recalibrate(torch.nn.BatchNorm1d(1), loader, batches=2)
        list(loader)
    assert loader.sampler.given_out() == [(0, 36)]
    assert "left_out" not in loader.state_dict()


def test_packs_count_what_was_taken_of_their_order():
    order = bw.balanced(LABELS, 10, target=SCHEDULE, seed=1)
    plan = bw.budgeted(np.full(100, 5), 50, order=order, window=1)
    sampler, counts = plan.sampler(), np.zeros(2)
    for _ in range(12):
        for number, batch in enumerate(sampler, 1):
            counts += np.bincount(LABELS[batch], minlength=2)
            if number == 2:
                break
    assert list(sampler.passes_done.values()) == pytest.approx(counts / [90, 10], abs=0.5)


def test_a_run_that_begins_later_counts_what_came_before():
    sampler = PLAN.sampler()
    sampler.seek(3, epoch=2)
    assert sampler.given_out() == [(0, 27)]
    next(iter(sampler))
    assert sampler.given_out() == [(0, 28)]


@pytest.mark.parametrize(
    "wrong",
    [
        5,
        [5],
        [[5, 7, 12]],
        [[5, 7, 12, "a"]],
        [[5, 7, 6, 2]],
        [[-1, 1, 1, 1]],
        [[5, 0, 1, 1]],
        [[9, 1, 1, 1], [5, 1, 1, 1]],
    ],
)
def test_a_state_that_no_run_wrote_is_refused(wrong):
    sampler = PLAN.sampler()
    next(iter(sampler))
    state = sampler.state_dict()
    with pytest.raises(
        bw.Infeasible, match=r"the state's left_out is .*, which no run has left out; load what state_dict"
    ):
        PLAN.sampler().load_state_dict({**state, "left_out": wrong})


def test_an_entry_ends_behind_its_last_stretch():
    assert LeftOut(5, 7, 12, 3).stop == 36
