"""Positions of a loader: what the loop was given counts; others go on from there, in any world, also after an error."""

from __future__ import annotations

import json
import pickle
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from .. import laws
from .datasets import Numbers
from .small import COUNT, EPOCHS, EXPECTED, PLAN, batches, made, take

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores


@given(
    st.sampled_from(["shuffled", "balanced", "budgeted", "packed", "tasks by step", "balanced and packed"]),
    st.integers(0, 40),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(0, 99),
)
def test_going_on_elsewhere(kind, taken, world, accumulate, seed):
    plan = laws.EVERY_PLAN[kind](seed)
    loader = made(plan, accumulate=accumulate)
    before = take(loader, taken)
    state = json.loads(json.dumps(loader.state_dict()))
    sampler = plan.sampler(accumulate=accumulate)
    expected = plan.sampler(rank=0, world_size=1, accumulate=accumulate)
    lists = [batch for _ in range(3) for batch in expected][:taken]
    assert before == lists
    sampler.load_state_dict(state)  # the states of loaders and samplers are the same
    others = [plan.sampler(rank=rank, world_size=world, accumulate=2) for rank in range(world)]
    loaders = [made(plan, rank=rank, world_size=world, accumulate=2) for rank in range(world)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)  # uneven steps
        for other, loader in zip(others, loaders, strict=True):
            other.load_state_dict(state)
            loader.load_state_dict(state)
            assert take(loader, 5) == [batch for _ in range(2) for batch in other][:5]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("taken", [1, 7, len(EXPECTED[0]) - 1, len(EXPECTED[0]), len(EXPECTED[0]) + 2])
def test_workers_that_read_ahead_are_not_counted(workers, taken):
    loader = made(num_workers=workers, prefetch_factor=4)
    every = [batch for epoch in EXPECTED for batch in epoch]
    assert take(loader, taken) == every[:taken]
    for state in (loader.state_dict(), loader.sampler.state_dict()):
        for others in (0, 2):
            other = made(num_workers=others)
            other.load_state_dict(state)
            assert [batch for epoch in other.epochs(EPOCHS) for batch in batches(epoch)] == every[taken:]


def test_an_epoch_that_is_gone_on_with_says_how_long_it_is():
    loader = made()
    take(loader, 10)
    other = made()
    other.load_state_dict(loader.state_dict())
    assert [(epoch.number, len(epoch)) for epoch in other.epochs(2)] == [(0, 16), (1, 26)]


@pytest.mark.parametrize("taken", [1, 2, 25, 26])
def test_an_epoch_that_is_gone_on_with_has_one_length_in_its_loop(taken):
    loader = made()
    loader.seek(26 - taken, epoch=1)
    for epoch in loader.epochs(3):
        length = len(epoch)
        assert length == (taken if epoch.number == 1 else 26)
        assert [len(epoch) for _ in epoch] == [length] * length


def test_an_empty_state_is_warned_of_and_changes_nothing():
    loader = made()
    take(loader, 10)
    with pytest.warns(
        bw.PoorWarning, match=r"the state is \{\}, so nothing was loaded: the next loop begins at batch 0 of epoch 1"
    ):
        loader.load_state_dict({})
    assert loader.state_dict()["consumed"] == 10
    assert loader.epoch == 1


def test_progress():
    loader = made()
    assert str(loader.progress()) == "epoch 0: 0 of 26 batches (0.000 epochs in all)"
    take(loader, 13)
    progress = loader.progress()
    assert (progress.epoch, progress.batches_done, progress.batches, progress.epochs) == (0, 13, 26, 0.5)
    assert str(progress) == "epoch 0: 13 of 26 batches (0.500 epochs in all)"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("workers", [0, 2])
def test_after_an_error_in_the_loop(workers, error):
    """The batch that failed was given; the rest of the epoch comes where it is asked for, else the next epoch."""

    def five(loader):
        for step, _ in enumerate(loader, 1):
            if step == 5:
                raise error

    def fail(loader):
        with pytest.raises(error):
            five(loader)

    loader = made(num_workers=workers)
    fail(loader)
    other = made()
    other.load_state_dict(loader.state_dict())
    assert batches(other) == EXPECTED[0][5:]
    loader.load_state_dict(loader.state_dict())
    assert batches(loader) == EXPECTED[0][5:]
    fail(loader)
    at = loader.progress()
    loader.seek(at.batches_done - 1, epoch=at.epoch)
    assert batches(loader) == EXPECTED[1][4:]
    fail(loader)
    loader.set_epoch(0)
    assert batches(loader) == EXPECTED[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loop_ends_with_an_error_and_its_position_is_before_the_batch_that_failed(workers):
    broken = EXPECTED[0][3][1]
    loader = PLAN.loader(Numbers(COUNT, broken), num_workers=workers)
    loop = iter(loader)
    taken = [next(loop).tolist() for _ in range(3)]
    with pytest.raises(OSError, match="cannot be read"):
        next(loop)
    assert list(loop) == []
    other = made()
    other.load_state_dict(loader.state_dict())
    assert taken + batches(other) == EXPECTED[0]


def test_a_loader_travels():
    loader = made()
    take(loader, 3)
    assert batches(pickle.loads(pickle.dumps(loader))) == EXPECTED[1]


@pytest.mark.filterwarnings("ignore:the run goes on in steps:batchwright.PoorWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_says_what_is_in_the_batches_of_all_ranks_after_a_change_of_ranks_too(workers):
    plan = bw.budgeted([number * 37 % 50 + 1 for number in range(300)], 120)
    before = plan.loader(range(300), rank=0, world_size=4, num_workers=0)
    for number, batch in zip(range(3), before, strict=False):
        assert before.at(rank=0).samples.tolist() == before.at(number, rank=0).samples.tolist() == batch.tolist()
    ranks = [plan.loader(range(300), rank=rank, world_size=3, num_workers=workers * (rank == 1)) for rank in range(3)]
    for loader in ranks:
        loader.load_state_dict(before.state_dict())
    begun = ranks[0].batches_done
    assert begun > 0
    foreseen = ranks[2].at(begun).micro_batches  # before the loop
    loops = [loader.epochs(2) for loader in ranks]
    drawn = [[batch.tolist() for batch in next(loop)] for loop in loops]
    assert [batch.samples.tolist() for batch in foreseen] == [batches[0] for batches in drawn]
    for number, step in enumerate(zip(*drawn, strict=True), begun):
        told = ranks[1].at(number, epoch=0)
        assert [batch.samples.tolist() for batch in told.micro_batches] == list(step)
        assert (told.step, told.epoch, told.step_in_epoch) == (None, 0, number)
        assert f"batch {number} of epoch 0" in str(told)
    with pytest.raises(bw.Infeasible, match="came before this run was resumed"):
        ranks[1].at(begun - 1, epoch=0)
