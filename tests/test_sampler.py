"""The contract with trainers: see `docs/design.md`."""

from __future__ import annotations

import contextlib
import inspect
import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler

import batchwright as bw

from .examples import examples


@pytest.fixture
def plan():
    return bw.balanced(["cat"] * 70 + ["dog"] * 30, 10)


def test_is_a_batch_sampler_without_the_attributes_that_make_trainers_rebuild_it(plan):
    sampler = plan.sampler()
    assert isinstance(sampler, BatchSampler)
    for name in ("batch_size", "drop_last", "generator"):
        assert not hasattr(sampler, name)
    assert sampler.sampler is sampler


def test_rank_and_world_come_from_a_distributed_sampler_or_from_what_is_given(plan):
    distributed = DistributedSampler(range(100), num_replicas=4, rank=3)
    assert repr(bw.BatchSampler(plan, sampler=distributed)).startswith("<rank 3 of 4")
    assert bw.BatchSampler(plan, sampler=distributed, rank=1, world_size=2).rank == 1
    assert bw.BatchSampler(plan, sampler=object()).world_size == 1
    assert "sampler" in inspect.signature(bw.BatchSampler.__init__).parameters


def test_the_process_group_is_looked_up_when_needed_and_not_before(plan, tmp_path):
    sampler = plan.sampler()
    assert (sampler.rank, sampler.world_size) == (0, 1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        assert (sampler.rank, sampler.world_size) == (0, 1)
        assert len(list(sampler)) == 10
    finally:
        torch.distributed.destroy_process_group()


def test_epochs_advance_by_themselves_and_obey_set_epoch(plan):
    sampler = plan.sampler()
    for epoch in (0, 1, 2):
        assert sampler.epoch == epoch
        assert list(sampler) == [batch.tolist() for batch in plan.epoch(epoch)]
    sampler.set_epoch(1)
    assert list(sampler) == [batch.tolist() for batch in plan.epoch(1)]
    assert list(sampler) == [batch.tolist() for batch in plan.epoch(2)]


def test_iter_changes_nothing_and_the_first_next_decides_the_epoch(plan):
    sampler = plan.sampler()
    early, late = iter(sampler), iter(sampler)
    before = sampler.state_dict()
    for _ in range(3):
        iter(sampler)
    assert sampler.state_dict() == before
    sampler.set_epoch(7)
    assert next(early) == plan.epoch(7)[0].tolist()
    sampler.load_state_dict(plan.sampler().state_at(3, epoch=2))
    assert next(late) == plan.epoch(2)[3].tolist()
    assert next(late) == plan.epoch(2)[4].tolist()


def test_a_trainer_may_stop_at_len_and_never_exhaust_the_iterator(plan):
    sampler = plan.sampler()
    iterator = iter(sampler)
    for _ in range(len(sampler)):
        next(iterator)
    assert sampler.state_dict()["epoch"] == 1
    assert next(iter(sampler)) == plan.epoch(1)[0].tolist()


def test_len_is_constant_and_the_same_on_all_ranks(plan):
    for world in range(1, 12):
        for accumulate in (1, 3):
            lengths = {len(plan.sampler(rank=r, world_size=world, accumulate=accumulate)) for r in range(world)}
            assert len(lengths) == 1
            assert lengths.pop() % accumulate == 0


def test_set_epoch_keeps_the_position_of_a_state_just_loaded(plan):
    sampler = plan.sampler()
    sampler.set_epoch(3)
    iterator = iter(sampler)
    for _ in range(4):
        next(iterator)
    state = sampler.state_dict()
    rest = list(iterator)
    again = plan.sampler()
    again.load_state_dict(state)
    again.set_epoch(3)
    again.set_epoch(3)
    assert list(again) == rest
    again.load_state_dict(state)
    again.set_epoch(4)
    assert next(iter(again)) == plan.epoch(4)[0].tolist()


def test_state_is_small_fresh_json_and_the_same_on_every_rank(plan):
    states = []
    for rank in range(3):
        sampler = plan.sampler(rank=rank, world_size=3)
        next(iter(sampler))
        state = sampler.state_dict()
        assert len(json.dumps(state)) < 1200
        assert json.loads(json.dumps(state)) == state
        states.append(state)
        state["epoch"] = -1
        assert sampler.state_dict()["epoch"] == 0
    assert states[0] == states[1] == states[2]
    sampler.load_state_dict({})
    assert sampler.state_dict()["consumed"] == 3


def test_seek_and_state_at_are_the_trainers_step_count(plan):
    for rank in range(2):
        sampler = plan.sampler(rank=rank, world_size=2)
        whole = list(sampler)
        sampler.seek(3, epoch=0)
        assert list(sampler) == whole[3:]
        sampler.seek(0)
        assert next(iter(sampler)) == plan.epoch(1, 2)[rank].tolist()
        other = plan.sampler(rank=rank, world_size=2)
        other.load_state_dict(sampler.state_at(2, epoch=0))
        assert list(other) == whole[2:]
        sampler.seek(len(sampler), epoch=4)
        assert sampler.epoch == 5


def test_a_loader_with_workers_runs_ahead_and_seek_makes_up_for_it(plan):
    sampler = plan.sampler()
    loader = DataLoader(torch.arange(100), batch_sampler=sampler, num_workers=2, prefetch_factor=2)
    batches = [batch.tolist() for batch in plan.epoch(0)]
    for step, batch in enumerate(loader, 1):
        assert batch.tolist() == batches[step - 1]
        if step == 3:
            break
    with pytest.warns(bw.PoorWarning, match="have read 4 batches"):
        assert sampler.state_dict()["consumed"] == 7  # read, not seen
    sampler.load_state_dict(sampler.state_at(3, epoch=0))
    assert [batch.tolist() for batch in loader] == batches[3:]


SHUFFLED = bw.shuffled(103, 4)


@given(st.integers(1, len(SHUFFLED.sampler())), st.integers(1, 2), st.integers(1, 4), st.booleans(), st.booleans())
@examples(12)
def test_so_is_one_after_the_loop_was_left(seen, workers, prefetch, raises, persistent):
    """By `break` or an exception, at any batch; what the warning advises is followed. The last batch leaves none unseen."""
    sampler, options = SHUFFLED.sampler(), {"num_workers": workers, "prefetch_factor": prefetch}
    loader = DataLoader(range(103), batch_sampler=sampler, persistent_workers=persistent, **options)
    with contextlib.suppress(ZeroDivisionError):
        for step, _ in enumerate(loader, 1):
            if step == seen:
                if raises:
                    raise ZeroDivisionError
                break
    ahead = sampler.run.consumed - seen
    assert ahead == min(workers * prefetch, len(SHUFFLED.sampler()) - seen)
    with pytest.warns(bw.PoorWarning, match=f"have read {ahead} batches") if ahead else contextlib.nullcontext():
        sampler.state_dict()
    resumed = SHUFFLED.sampler()
    resumed.load_state_dict(sampler.state_at(seen, epoch=0))
    assert list(resumed)[: len(SHUFFLED.sampler()) - seen] == list(SHUFFLED.sampler())[seen:]
    sampler.load_state_dict(sampler.state_at(0))
    sampler.state_dict()


def test_pickles_with_its_position(plan):
    sampler = plan.sampler(rank=1, world_size=2)
    iterator = iter(sampler)
    next(iterator)
    copy = pickle.loads(pickle.dumps(sampler))
    assert copy.state_dict() == sampler.state_dict()
    copy.load_state_dict(copy.state_dict())
    assert list(copy) == list(iterator)


def test_going_on_with_less_accumulation_loses_nothing_to_a_trainer_that_stops_at_len():
    plan = bw.shuffled(100, 10)
    before = plan.sampler(accumulate=16)
    first = next(iter(before))
    after = plan.sampler()
    after.load_state_dict(before.state_dict())
    seen = [first]
    for _ in range(3):
        epoch = list(after)
        assert len(epoch) <= len(after)
        seen += epoch
    assert seen == [plan[t].tolist() for t in range(len(seen))]


def test_state_at_speaks_of_the_epoch_that_is_being_yielded(plan):
    sampler = plan.sampler()
    loader = DataLoader(torch.arange(100), batch_sampler=sampler, num_workers=2, prefetch_factor=4)
    for step, _ in enumerate(loader, 1):
        if step == 4:
            state = sampler.state_at(4)
            break
    assert (state["epoch"], state["consumed"]) == (0, 4)


def test_set_epoch_after_an_early_break_is_where_the_state_is(plan):
    sampler = plan.sampler()
    for step, _ in enumerate(sampler):
        if step == 2:
            break
    sampler.set_epoch(1)
    state = sampler.state_dict()
    assert (state["epoch"], state["consumed"]) == (1, 0)


def test_integers_of_any_kind_make_a_json_state(plan):
    sampler = plan.sampler(rank=np.int64(0), world_size=np.int64(2), accumulate=np.int32(1))
    sampler.set_epoch(np.int64(3))
    assert json.loads(json.dumps(sampler.state_dict()))["epoch"] == 3
    with pytest.raises(bw.Infeasible, match=r"accumulate is 1\.5, not a whole number"):
        plan.sampler(accumulate=1.5)
