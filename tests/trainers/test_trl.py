"""TRL's trainers through PlanTrainer: packs of documents, pairs of answers, on one process and two, with evaluation."""

from __future__ import annotations

import math

import pytest

import batchwright as bw

from .. import processes
from .programs import trl

pytestmark = pytest.mark.filterwarnings("ignore", "error::batchwright.PoorWarning")  # of the trainers' own


processes.preload("trl.trainer.sft_trainer", "trl.trainer.dpo_trainer")


@pytest.fixture(scope="module")
def supervised():
    """What every rank of one process and of two trained on and evaluated."""
    return {world: processes.run(trl.supervised, world) for world in (1, 2)}


@pytest.mark.parametrize("world", [1, 2])
def test_sft_trains_on_the_packs_of_the_plan(world, supervised):
    """Every document is apart from its neighbours, and neither its first token nor its prompt is a label."""
    ranks = supervised[world]
    plan = trl.packs_plan()
    taken = [batch for step in zip(*(rank["seen"] for rank in ranks), strict=True) for batch in step]
    assert taken == [batch.tolist() for epoch in range(2) for batch in plan.epoch(epoch, multiple=world)]
    for rank in ranks:
        for documents, counts in zip(rank["seen"], rank["labelled"], strict=True):
            assert counts[: len(documents)] == [trl.LENGTHS[document] - 1 for document in documents]


def test_sft_evaluates_every_document_once_on_any_number_of_processes(supervised):
    (alone,) = supervised[1]
    for rank in supervised[2]:
        assert rank["eval_loss"] == pytest.approx(alone["eval_loss"], rel=1e-6)


def test_sft_goes_on_in_mid_epoch(tmp_path, supervised):
    options = {"save_strategy": "steps", "save_steps": 3}
    (whole,) = supervised[1]
    (first,) = processes.run(_stopped, 1, str(tmp_path), options)
    (again,) = processes.run(_resumed, 1, str(tmp_path), options)
    assert first["seen"] == whole["seen"][:3]
    assert again["seen"] == whole["seen"][3:]


def _stopped(rank, world_size, folder, options):
    return trl.supervised(rank, world_size, folder, **options, max_steps=3)


def _resumed(rank, world_size, folder, options):
    return trl.supervised(rank, world_size, folder, resume=True, **options)


@pytest.mark.parametrize("world", [1, 2])
def test_dpo_trains_on_the_pairs_of_the_plan_and_evaluates_each_once(world):
    ranks = processes.run(trl.preferences, world)
    plan = bw.shuffled(len(trl.PAIRS), 3, seed=5)
    taken = [batch for step in zip(*(rank["seen"] for rank in ranks), strict=True) for batch in step]
    assert taken == [batch.tolist() for epoch in range(2) for batch in plan.epoch(epoch, multiple=world)]
    evaluated = sorted(prompt for rank in ranks for prompt in rank["evaluated"])
    assert sorted(set(evaluated)) == list(range(11))
    assert len(evaluated) == 11 + (-11 % world)  # with one filler on two processes, which does not count
    for rank in ranks:
        assert rank["eval_loss"] == pytest.approx(math.log(2), rel=1e-5)
