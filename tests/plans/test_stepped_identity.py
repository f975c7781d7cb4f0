"""`stepped(n)`, as a user writes it: part of a plan's fingerprint and recipe where it changes a batch, and of no run."""

from __future__ import annotations

import json
import pickle
from itertools import islice

import numpy as np
import pytest
import torch

import batchwright as bw
from batchwright import recipes

from . import differing

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")

LENGTHS = np.random.default_rng(0).integers(20, 900, 400)
CUT = bw.packed(LENGTHS, 2048)
SEEN = 48


def tasks(cut, unit="step"):
    return bw.alternating({"cut": cut, "plain": bw.shuffled(400, 8)}, target="uniform", unit=unit)


STEPPED = {
    "packed": CUT.stepped(8),
    "packed, in other steps before": CUT.stepped(3).stepped(8),
    "budgeted over an order": bw.budgeted(LENGTHS, 4000, order=bw.shuffled(400, 4), window=4).stepped(3),
    "tasks": tasks(CUT).stepped(4),
    "tasks in steps of their own": tasks(CUT.stepped(8)),
    "micro-batches of tasks in steps of their own": tasks(CUT.stepped(8), unit="batch"),
    "tasks of tasks": bw.alternating({"inner": tasks(CUT.stepped(4)), "plain": bw.shuffled(9, 3)}, unit="step").stepped(
        2
    ),
    "evaluation": bw.evaluation(13, 4).stepped(3),
    "hybrid": bw.hybrid(LENGTHS, ranks=2, tokens_per_rank=900).stepped(4),
}


def first(plan, count=SEEN):
    return [plan[t].tolist() for t in range(count)]


def as_json(plan):
    return json.loads(json.dumps(plan.to_recipe()))


@pytest.mark.parametrize("plan", STEPPED.values(), ids=STEPPED)
def test_a_stepped_plan_comes_back_from_its_recipe_and_its_pickle(plan):
    recipe = as_json(plan)
    for again in (bw.from_recipe(recipe), pickle.loads(pickle.dumps(plan))):
        assert first(again) == first(plan)
        assert again.fingerprint == plan.fingerprint == recipe["fingerprint"]
        assert again.identity == plan.identity
        assert again.to_recipe() == recipe


@pytest.mark.parametrize(
    "builder", sorted(set(recipes.PLANS) - {"hybrid"})
)  # its ranks are the run's, by its fingerprint
def test_plans_that_steps_make_differ_differ_in_the_fingerprint(builder):
    told = 0
    for _, argument, plan in differing.plans(builder):
        if argument:
            continue
        stepped = plan.stepped(3)
        assert stepped.stepped(1).fingerprint == plan.fingerprint == plan.run_fingerprint == stepped.run_fingerprint
        if first(stepped) != first(plan):
            assert stepped.fingerprint != plan.fingerprint
            told += 1
    assert told or builder not in ("packed", "budgeted", "grouped", "bucketed", "evaluation")


@pytest.mark.parametrize("unit", ["batch", "step"])
def test_tasks_in_steps_of_their_own_differ_in_the_fingerprint(unit):
    plans = [tasks(CUT, unit), tasks(CUT.stepped(2), unit), tasks(CUT.stepped(8), unit)]
    assert len({plan.fingerprint for plan in plans}) == 3
    assert len({json.dumps(first(plan)) for plan in plans}) == 3


@pytest.mark.parametrize("name", sorted(set(STEPPED) - {"hybrid"}))
def test_a_run_is_the_same_run_however_its_plan_was_stepped(name):
    plan = STEPPED[name]
    state = plan.sampler(rank=0, world_size=2).state_dict()
    for again in (plan.stepped(1), plan.stepped(5)):
        sampler = again.sampler(rank=1, world_size=2)
        assert sampler.state_dict() == state
        assert list(sampler) == list(plan.sampler(rank=1, world_size=2))
        sampler.load_state_dict(state)


def left_of(plan, world_size, state):
    """What all ranks get in the rest of the epoch, sorted."""
    samplers = [plan.sampler(rank=rank, world_size=world_size) for rank in range(world_size)]
    for sampler in samplers:
        sampler.load_state_dict(json.loads(json.dumps(state)))
    return [list(sampler) for sampler in samplers]


@pytest.mark.parametrize("world_size", [2, 8])
def test_a_state_goes_on_in_tasks_that_are_stepped_for_the_new_ranks(world_size):
    saved = tasks(CUT.stepped(4)).sampler(rank=0, world_size=4)
    for _ in islice(saved, 6):
        pass
    state = saved.state_dict()
    known = left_of(tasks(CUT.stepped(4)), world_size, state)
    for cut in (CUT, CUT.stepped(world_size)):  # the state has the steps of its own tasks
        assert left_of(tasks(cut), world_size, state) == known


def test_a_state_has_the_fingerprint_of_the_plan_without_steps():
    state = tasks(CUT.stepped(8)).stepped(2).sampler(rank=0, world_size=2).state_dict()
    assert state["fingerprint"] == tasks(CUT).fingerprint
    assert state["identity"] == tasks(CUT).identity


def test_random_transforms_do_not_depend_on_the_steps_of_a_plan():
    class Noise(torch.utils.data.Dataset):
        def __len__(self):
            return 400

        def __getitem__(self, index):
            return torch.rand(())

    loaders = [plan.loader(Noise(), num_workers=0, rank=0, world_size=2) for plan in (CUT, CUT.stepped(2))]
    one, other = ([batch.tolist() for batch in loader] for loader in loaders)
    assert one == other


def test_a_report_names_the_stepped_plan():
    assert STEPPED["tasks"].report().fingerprint == STEPPED["tasks"].fingerprint


def test_a_recipe_of_a_stepped_plan_says_so():
    assert CUT.stepped(8).to_recipe()["stepped"] == 8
    (cut, _) = tasks(CUT.stepped(8)).to_recipe()["arguments"]["tasks"]["map"]
    assert cut[1]["stepped"] == 8

    for plan in (CUT, CUT.stepped(8).stepped(1), bw.shuffled(9, 3).stepped(8), tasks(CUT, unit="batch").stepped(8)):
        assert "stepped" not in json.dumps(plan.to_recipe())


@pytest.mark.parametrize("number", [0, -1, True, 2.5, "8", None, [8]])
def test_steps_of_a_recipe_that_are_no_number_of_1_or_more_are_refused(number):
    with pytest.raises(bw.Infeasible, match="stepped"):
        bw.from_recipe(CUT.to_recipe() | {"stepped": number})


def test_ranks_whose_tasks_have_other_steps_are_told_apart():
    assert tasks(CUT).identity != tasks(CUT.stepped(8)).identity
