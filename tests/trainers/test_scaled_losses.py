"""`LossScale` under every trainer: the gradient is that of the mean over the samples of the step, or it is refused."""

from __future__ import annotations

import pytest

from .. import processes
from .programs.scaled_losses import gradient

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers' own

WORLDS = pytest.mark.parametrize("world", [1, 2])
SETTINGS = {
    "Accelerate": "Accelerator(gradient_accumulation_steps)",
    "Accelerate alone": "Accelerator(gradient_accumulation_steps)",
    "Lightning": "Trainer(accumulate_grad_batches)",
    "Lightning alone": "Trainer(accumulate_grad_batches)",
    "Lightning, a schedule": "Trainer(accumulate_grad_batches)",
    "HF": "TrainingArguments(gradient_accumulation_steps)",
    "Ignite": "create_supervised_trainer(gradient_accumulation_steps)",
}
"""Trainers that divide each loss."""


@pytest.mark.parametrize(
    ("run", "divides"),
    [
        *[(run, True) for run in SETTINGS],
        ("plain", None),
        ("plain", False),
        ("Accelerate, its backward not used", False),
        ("HF, num_items_in_batch", False),
        ("HF, compute_loss_func", None),
    ],
)
@WORLDS
def test_the_gradient_is_that_of_the_mean_over_the_step(run, divides, world):
    for found, wanted in processes.run(gradient, world, run, divides):
        assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("run", SETTINGS)
@WORLDS
def test_a_trainer_that_divides_is_refused_until_it_is_named(run, world):
    for said in processes.run(gradient, world, run, None):
        assert f"{SETTINGS[run]} is 4, and that trainer divides each loss by it" in said
        assert "pass LossScale(..., trainer_divides=True), or False if it does not divide this loss" in said


@pytest.mark.parametrize(
    ("run", "divided", "has", "way_out"),
    [
        ("Lightning, a schedule that changes", 2, 4, "leave out the schedule"),
        ("Lightning alone accumulates", 4, 1, "pass accumulate=4 to the plan's loader"),
    ],
)
def test_another_accumulation_than_the_samplers_is_refused(run, divided, has, way_out):
    for divides in (True, False, None):
        (said,) = processes.run(gradient, 1, run, divides)
        assert f"is {divided}, and that trainer divides each loss by it; the sampler accumulates {has}" in said
        assert way_out in said


def test_a_loss_that_trainer_multiplies_by_the_processes_is_refused():
    run = "HF, compute_loss_func, tokens averaged"
    ((found, wanted),) = processes.run(gradient, 1, run, None)
    assert found == pytest.approx(wanted, rel=1e-5)
    for said in processes.run(gradient, 2, run, None):
        assert "pass average_tokens_across_devices=False to TrainingArguments" in said
