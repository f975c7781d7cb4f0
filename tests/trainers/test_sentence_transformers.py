"""Sentence Transformers' trainer on a plan: through its own arguments, and through PlanTrainer."""

from __future__ import annotations

import pickle

import pytest

import batchwright as bw
from batchwright.adapters.sentence_transformers import samplers

from .. import processes
from . import recorder
from .programs import sentence_transformers as program
from .test_kills import survive
from .test_runs import goes_on_from_the_end_of_an_epoch

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers' own

processes.preload("tests.trainers.programs.sentence_transformers")


@pytest.fixture(scope="module", params=[1, 2])
def ranks(request, tmp_path_factory):
    """What each rank trained on through the trainer's arguments."""
    return processes.run(program.by_argument, request.param, str(tmp_path_factory.mktemp("arguments")))


def taken(ranks, name):
    return [batch for step in zip(*(rank[name] for rank in ranks), strict=True) for batch in step]


def test_one_data_set_trains_in_the_plans_order(ranks):
    whole = recorder.plan()
    expected = [batch.tolist() for epoch in range(2) for batch in whole.epoch(epoch, len(ranks))]
    assert taken(ranks, "one") == expected
    if len(ranks) == 1:  # in mid-epoch, and in the next epoch
        assert ranks[0]["resumed"] == [expected[15:], expected[30:]]


@pytest.mark.parametrize("by", ["several", "several, planned"])
def test_each_batch_of_several_data_sets_is_of_one(ranks, by):
    whole = program.several_plan()
    epochs = [batch.tolist() for epoch in range(2) for batch in whole.epoch(epoch, len(ranks))]
    assert taken(ranks, by) == [[program.TOGETHER[number] for number in batch] for batch in epochs]


def test_plan_trainer_goes_on_from_the_end_of_an_epoch_in_another_world(tmp_path):
    goes_on_from_the_end_of_an_epoch("sentence_transformers", tmp_path, workers=(0, 0, 1))


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.long)])
def test_plan_trainer_survives_kills(kills, tmp_path):
    survive("sentence_transformers", 1, kills, tmp_path)
    assert len(recorder.check(tmp_path)) == kills + 1


def test_arguments_of_a_checkpoint_are_small_and_hold_no_plan():
    told = samplers(bw.balanced([0, 1] * 50_000, 4))
    saved = pickle.dumps(told)
    assert len(saved) < 500
    with pytest.raises(
        bw.Infeasible, match=r"read from a checkpoint, which holds no plan; call samplers\(plan\) again"
    ):
        pickle.loads(saved)["batch_sampler"](range(100_000), batch_size=4)
    assert len(told["batch_sampler"](range(100_000), batch_size=4)) == 25_000
