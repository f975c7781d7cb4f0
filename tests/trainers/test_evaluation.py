"""Evaluation in every trainer, on 1, 2 and 4 processes: every sample counts exactly once, in the order of the file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .. import processes
from .programs import evaluating
from .programs.evaluating import EVALUATIONS, evaluate

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers' own

# 21; one sample for all ranks, and two; a last step that some ranks miss; no step that is short
SIZES = [21, 1, 2, 9, 24]


@pytest.mark.parametrize("trainer", EVALUATIONS)
@pytest.mark.parametrize("world", [1, 2, 4])
def test_21_samples_are_21_and_their_mean_is_10(trainer, world):
    for rank in processes.run(evaluate, world, trainer, SIZES):
        for samples, (counted, mean) in zip(SIZES, rank, strict=True):
            assert counted == list(range(samples))
            assert mean == pytest.approx((samples - 1) / 2, rel=1e-12)


@pytest.mark.parametrize(
    ("row", "program"),
    [
        ("HF `Trainer.evaluate`", evaluating.transformers_without_a_plan),
        ("Lightning `self.log(..., sync_dist=True)`", evaluating.lightning_without_a_plan),
    ],
)
def test_the_table_of_means_without_a_plan_is_what_those_trainers_say(row, program):
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
    stated = re.search(rf"^\| {re.escape(row)}.*?\|(.+)\|$", page, re.MULTILINE)[1].split("|")
    for world, mean in zip((1, 2, 4), stated, strict=True):
        assert {f"{round(found, 2):g}" for found in processes.run(program, world)} == {mean.strip()}
