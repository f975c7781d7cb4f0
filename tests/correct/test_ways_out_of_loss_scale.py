"""The way out that a refusal of a loss scale names is followed, and what was refused passes."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

import batchwright as bw
from batchwright.correct import LossScale, loss_scale
from batchwright.told_accumulation import Accumulation

from ..refusals import cases, told_and_followed
from .small import IMAGES, PLAN, loader


def driven(accumulate: int, told: Accumulation | None) -> bw.BatchSampler:
    """A sampler whose loader a trainer loops over."""
    sampler = PLAN.sampler(accumulate=accumulate)
    sampler.trainer = told
    return sampler


TABLE = {
    "a plan as a sampler": (
        lambda: LossScale(PLAN),
        "a sampler or a loader of a plan is needed, this is of type FixedPlan",
        "pass plan.loader(...) or plan.sampler(...)",
        lambda: LossScale(PLAN.sampler(rank=0, world_size=2)),
    ),
    "another loader": (
        lambda: next(LossScale(PLAN.sampler()).over(loader())),
        "the loader draws from <.*>, the loss scale is of <rank 0 of 1.*>",
        "pass a loader with batch_sampler=sampler, the one the loss scale was made with",
        lambda: [
            next(LossScale(sampler).over(DataLoader(IMAGES, batch_sampler=sampler))) for sampler in [PLAN.sampler()]
        ],
    ),
    "a step too far": (
        lambda: LossScale(PLAN.sampler()).at(5),
        "batch 5 of an epoch of 5 batches",
        "pass 0 to 4",
        lambda: [LossScale(PLAN.sampler()).at(step) for step in range(5)],
    ),
    "fetches of several steps": (
        lambda: LossScale(PLAN.sampler(accumulate=2, fetch=3)),
        "a batch of the sampler holds 3 micro-batches, an optimizer step 2: no one factor is right for it",
        "pass fetch='micro', 'step', or a number that divides accumulate",
        lambda: [LossScale(PLAN.sampler(accumulate=2, fetch=fetch)) for fetch in ("micro", "step", 1, 2)],
    ),
    "a loss that a trainer divides": (
        lambda: LossScale(driven(4, Accumulation(4, "Trainer(accumulate_grad_batches)", 4))).at(0),
        r"Trainer\(accumulate_grad_batches\) is 4, and that trainer divides each loss by it",
        "pass LossScale(..., trainer_divides=True), or False if it does not divide this loss",
        lambda: [
            LossScale(driven(4, Accumulation(4, "", 4)), trainer_divides=True).at(0),
            LossScale(driven(4, Accumulation(4, "", 4)), trainer_divides=False).at(0),
            LossScale(driven(4, Accumulation(4, ""))).at(0),
            LossScale(driven(4, None)).at(0),
        ],
    ),
    "a trainer that accumulates by itself": (
        lambda: LossScale(driven(1, Accumulation(4, "Trainer(accumulate_grad_batches)", 4)), trainer_divides=True).at(
            0
        ),
        r"Trainer\(accumulate_grad_batches\) is 4, and that trainer divides each loss by it; the sampler accumulates 1",
        "pass accumulate=4 to the plan's loader or sampler",
        lambda: LossScale(driven(4, Accumulation(4, "", 4)), trainer_divides=True).at(0),
    ),
    "a trainer that accumulates by a schedule": (
        lambda: LossScale(driven(4, Accumulation(4, "Trainer(accumulate_grad_batches)", 2)), trainer_divides=True).at(
            0
        ),
        r"Trainer\(accumulate_grad_batches\) is 2, and that trainer divides each loss by it; the sampler accumulates 4",
        "leave out the schedule: the loss scale is of steps of one size",
        lambda: LossScale(driven(4, Accumulation(4, "", 4)), trainer_divides=True).at(0),
    ),
    "a loss that a trainer multiplies": (
        lambda: LossScale(driven(4, Accumulation(4, "", multiplied=True)), trainer_divides=False).at(0),
        "Trainer multiplies what compute_loss_func gives by the number of processes, as the factor does",
        "pass average_tokens_across_devices=False to TrainingArguments",
        lambda: LossScale(driven(4, Accumulation(4, ""))).at(0),
    ),
    "a loss of fewer than none": (
        lambda: loss_scale(-1.5),
        "the counts of an optimizer step sum to -1.5, a finite number of 0 or more is needed",
        "count tokens or samples",
        lambda: loss_scale(torch.tensor([3, 4])),
    ),
    "an infinite loss": (
        lambda: loss_scale(float("inf")),
        "the counts of an optimizer step sum to inf, a finite number of 0 or more is needed",
        "count tokens or samples",
        lambda: loss_scale(3.0),
    ),
    "a complex count": (
        lambda: loss_scale(1j),
        "count is 1j, a complex number",
        "count tokens or samples",
        lambda: loss_scale(1),
    ),
    "a function that gives too many": (
        lambda: LossScale(PLAN.sampler(), counts=lambda numbers: [1.0] * 9).at(0),
        "counts gives 9 amounts for 8 numbers",
        "return one amount for each number",
        lambda: LossScale(PLAN.sampler(), counts=lambda numbers: [1.0] * len(numbers)).at(0),
    ),
    "a function that gives one": (
        lambda: LossScale(PLAN.sampler(), counts=lambda numbers: numbers.sum()).at(0),
        "what counts gives is a single value, .*",
        "pass a list, an array or a tensor of them",
        lambda: LossScale(PLAN.sampler(), counts=lambda numbers: numbers).at(0),
    ),
    "a function that gives less than none": (
        lambda: LossScale(PLAN.sampler(), counts=lambda numbers: [2.0] * 7 + [-1.0]).at(0),
        "what counts gives at position 7 is -1",
        "pass amounts of 0 or more",
        lambda: LossScale(PLAN.sampler(), counts=lambda numbers: [2.0] * 7 + [0.0]).at(0),
    ),
    "counts of others": (
        lambda: LossScale(PLAN.sampler(), counts=[1, 2]),
        "there are 2 counts, the plan yields 40 numbers",
        "pass one for each of them",
        lambda: LossScale(PLAN.sampler(), counts=[1] * 40).at(0),
    ),
    "a negative count": (
        lambda: LossScale(PLAN.sampler(), counts=[1] * 39 + [-1234567.5]),
        "counts at sample 39 is -1234567.5",
        "pass amounts of 0 or more",
        lambda: LossScale(PLAN.sampler(), counts=[1] * 39 + [0]).at(0),
    ),
}


CASES = cases("refuse fact way_out follow", TABLE)


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_is_one(name: str) -> None:
    told_and_followed(CASES[name])
