"""torchdata's StatefulDataLoader: the protocols of its own test suite, restated as laws.

A loop that goes on from a state gets what the loop would have got that was never interrupted, wherever the state was taken:
before the first batch, in mid-epoch, after the last batch inside the loop, after the loop.
"""

from __future__ import annotations

import warnings
from itertools import islice

import numpy as np
import pytest

import batchwright as bw

from .datasets import Numbers

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchdata.stateful_dataloader import StatefulDataLoader

    from batchwright.adapters.torchdata import sampler_state

pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")  # torchdata calls it

COUNT = 22
PLANS = {
    "fixed": bw.shuffled(COUNT, batch_size=4, seed=3),
    "tasks": bw.alternating({"a": bw.shuffled(13, 4), "b": bw.shuffled(9, 4)}),
    "lengths": bw.budgeted(np.arange(COUNT) % 5 + 3, max_tokens=30, seed=3),
}
SETTINGS = {
    "no workers": {},
    "two workers": {"num_workers": 2},
    "two that stay": {"num_workers": 2, "persistent_workers": True},
    "hardly ahead": {"num_workers": 1, "prefetch_factor": 1},
    "epochs ahead": {"num_workers": 2, "prefetch_factor": 16},
    "rare snapshots": {"num_workers": 2, "snapshot_every_n_steps": 4},
}
every_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
every_plan = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)


def stateful(plan, settings):
    return StatefulDataLoader(Numbers(COUNT), batch_sampler=plan.sampler(), collate_fn=list, **settings)


def epoch(plan, number):
    return [batch.tolist() for batch in plan.epoch(number)]


@every_plan
@every_setting
def test_after_an_epoch_has_ended_the_next_comes_whole_and_once(plan, settings):
    saving = stateful(plan, settings)
    for number in range(2):
        assert list(saving) == epoch(plan, number)
        state = saving.state_dict()
        going_on = stateful(plan, settings)
        going_on.load_state_dict(state)
        for following in (number + 1, number + 2):
            assert list(going_on) == epoch(plan, following)


@every_setting
@pytest.mark.parametrize("taken", [0, 1, 3, 5, 6])
def test_what_was_left_of_an_epoch_comes_then_the_next(settings, taken):
    plan = PLANS["fixed"]
    saving = stateful(plan, settings)
    list(saving)
    batches = iter(saving)
    assert list(islice(batches, taken)) == epoch(plan, 1)[:taken]
    state = saving.state_dict()
    left = list(batches)
    for going_on in (stateful(plan, settings), saving):
        going_on.load_state_dict(state)
        assert [list(going_on), list(going_on)] == [left, epoch(plan, 2)]


@every_setting
def test_a_state_may_be_taken_before_the_first_batch_and_others_loaded_over_it(settings):
    plan = PLANS["fixed"]
    ended = stateful(plan, settings)
    list(ended)
    loader = stateful(plan, settings)
    first = loader.state_dict()
    loader.load_state_dict(ended.state_dict())
    again = loader.state_dict()  # of what was just loaded
    assert list(loader) == epoch(plan, 1)
    loader.load_state_dict(again)
    loader.load_state_dict(first)
    assert list(loader) == epoch(plan, 0)
    loader.load_state_dict(first)
    loader.load_state_dict(again)
    assert [list(loader), list(loader)] == [epoch(plan, 1), epoch(plan, 2)]


@every_setting
def test_a_state_taken_before_the_first_batch_takes_nothing_from_the_pass(settings):
    plan = PLANS["fixed"]
    loader = stateful(plan, settings)
    for number in range(2):
        loader.state_dict()
        assert list(loader) == epoch(plan, number)


@every_setting
def test_epochs_that_are_set_come_after_any_state(settings):
    plan = PLANS["fixed"]
    saving = stateful(plan, settings)
    saving.batch_sampler.set_epoch(4)
    assert list(saving) == epoch(plan, 4)
    going_on = stateful(plan, settings)
    going_on.load_state_dict(saving.state_dict())
    assert list(going_on) == epoch(plan, 5)
    going_on.batch_sampler.set_epoch(9)
    assert list(going_on) == epoch(plan, 9)


def test_an_iterators_state_is_checked():
    for state in ({}, None, {"ended": 1}, {"ended": None}):
        with pytest.raises(bw.Infeasible, match=r"; (load what|pass)"):
            iter(PLANS["fixed"].sampler()).load_state_dict(state)


@every_plan
@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_plans_loader_goes_on_from_its_state_and_back(plan, taken):
    """With other workers each time, which its own state refuses."""
    saving = stateful(plan, {"num_workers": 2})
    batches = iter(saving)
    expected = epoch(plan, 0)
    assert list(islice(batches, taken)) == expected[:taken]
    loader = plan.loader(Numbers(COUNT), collate=list, num_workers=0)
    loader.load_state_dict(sampler_state(saving.state_dict()))
    assert loader.peek() == expected[taken]
    batches = iter(loader)
    assert next(batches) == expected[taken]
    going_on = stateful(plan, {"num_workers": 1})
    going_on.batch_sampler.load_state_dict(loader.state_dict())
    rest = [expected[taken + 1 :], epoch(plan, 1), epoch(plan, 2)]
    assert [list(going_on), list(going_on)] == [lists for lists in rest if lists][:2]  # an ended epoch has no rest
