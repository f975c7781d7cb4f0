"""TRL's trainers through PlanTrainer: packs of documents, pairs of answers, on one process and two, with evaluation."""

from __future__ import annotations

import math
from collections import Counter

import pytest

import batchwright as bw

from .. import processes
from . import recorder
from .programs import trl
from .test_kills import survive
from .test_runs import goes_on_from_the_end_of_an_epoch

pytestmark = pytest.mark.filterwarnings("ignore", "error::batchwright.PoorWarning")  # of the trainers' own


processes.preload(
    "trl.trainer.sft_trainer",
    "trl.trainer.dpo_trainer",
    "trl.trainer.grpo_trainer",
    "trl.trainer.rloo_trainer",
    "transformers.models.llama.modeling_llama",
    "tests.trainers.programs.trl",
)


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
    assert taken == [batch.tolist() for epoch in range(2) for batch in plan.epoch(epoch, world)]
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


def test_sft_goes_on_from_the_end_of_an_epoch_in_another_world(tmp_path):
    goes_on_from_the_end_of_an_epoch("trl", tmp_path, workers=(0, 1, 0))


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.long)])
def test_sft_survives_kills(kills, tmp_path):
    survive("trl", 1, kills, tmp_path)
    assert len(recorder.check(tmp_path)) == kills + 1


def _stopped(rank, world_size, folder, options):
    return trl.supervised(rank, world_size, folder, **options, max_steps=3)


def _resumed(rank, world_size, folder, options):
    return trl.supervised(rank, world_size, folder, resume=True, **options)


@pytest.mark.parametrize("world", [1, 2])
def test_dpo_trains_on_the_pairs_of_the_plan_and_evaluates_each_once(world):
    ranks = processes.run(trl.preferences, world)
    plan = bw.shuffled(len(trl.PAIRS), 3, seed=5)
    taken = [batch for step in zip(*(rank["seen"] for rank in ranks), strict=True) for batch in step]
    assert taken == [batch.tolist() for epoch in range(2) for batch in plan.epoch(epoch, world)]
    evaluated = sorted(prompt for rank in ranks for prompt in rank["evaluated"])
    assert sorted(set(evaluated)) == list(range(11))
    assert len(evaluated) == 11 + (-11 % world)  # with one filler on two processes, which does not count
    for rank in ranks:
        assert rank["eval_loss"] == pytest.approx(math.log(2), rel=1e-5)


@pytest.fixture(scope="module")
def generating(tmp_path_factory):
    """What was generated on one process, and on two, which go on where one was stopped."""
    folder = str(tmp_path_factory.mktemp("generating"))
    return {world: processes.run(trl.every_generation, world, folder) for world in (1, 2)}


def rows_of(plan, first=0, last=None):
    """The rows of the plan's micro-batches of an epoch, each prompt as often as it is generated from."""
    batches = [batch.tolist() for batch in plan.epoch(0)][first:last]
    return [[prompt for prompt in batch for _ in range(trl.GENERATIONS)] for batch in batches]


@pytest.mark.parametrize("kind", ["prompts", "RLOO"])
def test_grpo_and_rloo_generate_from_the_prompts_of_the_plan(generating, kind):
    for world, ranks in generating.items():
        taken = [batch for step in zip(*(rank[kind]["generated"] for rank in ranks), strict=True) for batch in step]
        assert taken == rows_of(trl.prompts_plan()), world
        for rank in ranks:
            halves = rank[kind]["trained"]
            together = [sorted(first + second) for first, second in zip(halves[::2], halves[1::2], strict=True)]
            assert together == [sorted(batch) for batch in rank[kind]["generated"]]


@pytest.mark.parametrize("kind", ["prompts", "RLOO"])
def test_grpo_and_rloo_evaluate_every_prompt(generating, kind):
    """By TRL's own sampler, which fills up the last batch of several processes with rows that come again."""
    for world, ranks in generating.items():
        rows = Counter(prompt for rank in ranks for prompt in rank[kind]["evaluated"])
        assert set(rows) == set(range(len(trl.PROMPTS)))
        assert min(rows.values()) == trl.GENERATIONS
        assert rows.total() == len(trl.PROMPTS) * trl.GENERATIONS + (2 if world == 2 else 0)
        assert all(0 < rank[kind]["eval_reward"] <= 3 for rank in ranks)


def test_grpo_takes_a_plan_of_prompts_and_generations(generating):
    (rank,) = generating[1]
    assert rank["per_class"]["generated"] == [batch.tolist() for batch in trl.prompts_plan("per_class").epoch(0)]
    assert {len(batch) for batch in rank["per_class"]["generated"]} == {6}


def test_grpo_uses_a_generation_as_often_as_it_is_told(generating):
    (rank,) = generating[1]
    plan, found = trl.prompts_plan(), rank["reused"]
    epochs = [rows_of(plan), [[p for p in b.tolist() for _ in range(trl.GENERATIONS)] for b in plan.epoch(1)]]
    assert found["generated"] == epochs[0] + epochs[1]
    assert found["steps"] == 2 * 2 * 4
    assert len(found["trained"]) == 2 * 4 * 4


def test_grpo_goes_on_in_another_world(generating):
    """Stopped after one batch of one process; two processes take the rest."""
    (first,) = generating[1]
    assert first["stopped"]["generated"] == rows_of(trl.prompts_plan(), 0, 1)
    ranks = generating[2]
    taken = [batch for step in zip(*(rank["resumed"]["generated"] for rank in ranks), strict=True) for batch in step]
    assert taken[:3] == rows_of(trl.prompts_plan(), 1)


def test_grpo_generates_again_where_it_was_stopped_in_the_use_of_a_generation(generating):
    (rank,) = generating[1]
    assert rank["stopped in a generation"]["generated"] == rows_of(trl.prompts_plan(), 0, 1)
    assert rank["resumed in a generation"]["generated"] == rows_of(trl.prompts_plan())
