"""The way out that a refusal of weights or an evaluation names is followed, and what was refused passes."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

import batchwright as bw
from batchwright.correct import LogitAdjustment, Weighted, Weights, evaluate
from batchwright.correct.calibration import calibration_error

from ..refusals import cases, told_and_followed
from .small import IMAGES, LABELS, PLAN, loader

MOVING = bw.balanced(LABELS, batch_size=8, target=lambda counts, epoch: [0.5, 0.5] if epoch % 2 else [0.75, 0.25])
PREDICTED = (torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([1, 0]))
OF_PLAN = PLAN.loader(IMAGES)
COLLATED = bw.Collate()([(torch.tensor([0.0, 1.0]), 1), (torch.tensor([1.0, 0.0]), 0)])
ROWS = torch.utils.data.TensorDataset(torch.eye(3, 2), torch.tensor([0, 1, 1]))


def evaluated_by_name() -> Any:
    """The way out of a batch of tuples, whose fields have numbers as names."""
    return evaluate(
        nn.Identity(),
        [COLLATED],
        PLAN,
        forward=lambda model, batch: model(batch["0"]),
        targets=lambda batch: batch["1"],
    )


def filled() -> bw.loader.Loader:
    """Batches of two, of which the second has a filler."""
    return bw.evaluation(ROWS, 2).loader(ROWS, accumulate=2)


def adjustment(*, binary: bool) -> LogitAdjustment:
    return LogitAdjustment.from_plan(PLAN, binary=binary)


TABLE = {
    "moving weights": (
        lambda: Weights(MOVING).lasting(),
        "the plan's shares move, a sample has another weight in another epoch",
        "call weights(indices, epoch=...) in the training loop instead",
        lambda: Weights(MOVING)([0, 1], epoch=3),
    ),
    "a clip of 0": (
        lambda: Weights(PLAN, clip=0),
        "clip is 0, it must be above 0",
        "pass the largest weight allowed, or None",
        lambda: (Weights(PLAN, clip=2), Weights(PLAN, clip=None)),
    ),
    "neither plan nor adjustment": (
        lambda: evaluate(nn.Identity(), [PREDICTED]),
        "plan and adjustment are both None, one is needed",
        "pass the plan the model was trained on",
        lambda: evaluate(nn.Identity(), [PREDICTED], PLAN),
    ),
    "the loader of a training plan": (
        lambda: evaluate(nn.Identity(), loader(), PLAN),
        "the loader gives the batches of <plan.*>, a plan for training, whose epochs have other shares than the data or .*",
        "pass bw.evaluation(dataset, batch_size).loader(dataset)",
        lambda: evaluate(nn.Identity(), bw.evaluation(ROWS, 2).loader(ROWS), PLAN),
    ),
    "one rank of several": (
        lambda: evaluate(nn.Identity(), bw.evaluation(ROWS, 2).loader(ROWS, rank=1, world_size=2), PLAN),
        "the loader gives the batches of rank 1 of 2, and there is no process group of 2 to gather those of the others from",
        "leave rank and world_size out, or pass rank=0, world_size=1 to plan.loader",
        lambda: [
            evaluate(nn.Identity(), bw.evaluation(ROWS, 2).loader(ROWS, **ranks), PLAN)
            for ranks in ({}, {"rank": 0, "world_size": 1})
        ],
    ),
    "a row for each token": (
        lambda: evaluate(nn.Identity(), filled(), PLAN, forward=lambda model, batch: batch[0].repeat(2, 1)),
        "the model gives 4 rows of logits for batch 1, which has 2 samples, 1 of which count",
        "give a row for each sample: forward=lambda model, batch: ...",
        lambda: evaluate(nn.Identity(), filled(), PLAN, forward=lambda model, batch: batch[0]),
    ),
    "targets of another shape": (
        lambda: evaluate(nn.Identity(), [(PREDICTED[0], torch.zeros(2, 2).long())], PLAN),
        r"logits have shape \(2, 2\), targets \(2, 2\)",
        "give logits (N, C), or log-odds (N,) or (N, 1), and classes (N,): see forward= and targets=",
        lambda: (
            evaluate(
                nn.Identity(), [(PREDICTED[0], torch.zeros(2, 2).long())], PLAN, targets=lambda batch: batch[1][0]
            ),
            evaluate(nn.Identity(), [(torch.zeros(2), PREDICTED[1])], PLAN),
            evaluate(nn.Identity(), [(torch.zeros(2, 1), PREDICTED[1])], PLAN),
        ),
    ),
    "batches of no sample": (
        lambda: evaluate(nn.Identity(), [(torch.zeros(0, 2), torch.zeros(0).long())], PLAN),
        "the loader gave 0 samples, at least 1 is needed",
        "pass a loader that is not empty",
        lambda: evaluate(nn.Identity(), [PREDICTED], PLAN),
    ),
    "no batches": (
        lambda: evaluate(nn.Identity(), [], PLAN),
        "the loader gave 0 batches, at least 1 is needed",
        "pass a loader that is not empty",
        lambda: evaluate(nn.Identity(), [PREDICTED], PLAN),
    ),
    "logits of NaN": (
        lambda: evaluate(nn.Identity(), [(torch.tensor([[0.0, float("nan")], [0.0, 1.0]]), PREDICTED[1])], PLAN),
        "the logits of 1 of 2 samples hold NaN",
        "look at the model and its inputs",
        lambda: evaluate(nn.Identity(), [PREDICTED], PLAN),
    ),
    "logits that are infinite": (
        lambda: evaluate(nn.Identity(), [(torch.tensor([[0.0, float("inf")], [0.0, 1.0]]), PREDICTED[1])], PLAN),
        "the logits of 1 of 2 samples hold infinities that leave no probabilities",
        "look at the model and its inputs",
        lambda: evaluate(nn.Identity(), [(torch.tensor([[0.0, -float("inf")], [0.0, 1.0]]), PREDICTED[1])], PLAN),
    ),
    **{
        f"an adjustment of log-odds for {classes} logits": (
            lambda classes=classes: evaluate(
                nn.Identity(), [(torch.zeros(2, classes), PREDICTED[1])], adjustment=adjustment(binary=True)
            ),
            rf"the model gives logits of shape \(2, {classes}\), the adjustment was made with binary=True, for log-odds "
            r"\(N,\) or \(N, 1\)",
            "make the adjustment with binary=False",
            lambda: evaluate(nn.Identity(), [PREDICTED], adjustment=adjustment(binary=False)),
        )
        for classes in (2, 3)
    },
    **{
        f"an adjustment of logits for log-odds of shape {shape}": (
            lambda shape=shape: evaluate(
                nn.Identity(), [(torch.zeros(shape), PREDICTED[1])], adjustment=adjustment(binary=False)
            ),
            rf"the model gives logits of shape {re.escape(str(shape))}, the adjustment was made with binary=False, for "
            r"logits \(N, C\)",
            "make the adjustment with binary=True",
            lambda shape=shape: evaluate(
                nn.Identity(), [(torch.zeros(shape), PREDICTED[1])], adjustment=adjustment(binary=True)
            ),
        )
        for shape in ((2,), (2, 1))
    },
    "targets beyond the logits": (
        lambda: evaluate(nn.Identity(), [(PREDICTED[0], torch.tensor([0, 2]))], PLAN),
        "targets run from 0 to 2, the model knows 0 to 1",
        "pass targets in the order of the logits",
        lambda: evaluate(nn.Identity(), [(PREDICTED[0], torch.tensor([0, 1]))], PLAN),
    ),
    "no domains": (
        lambda: evaluate(nn.Identity(), [PREDICTED], PLAN, domains=lambda batch: None),
        "the domain of each sample is None, None .RuntimeError.*",
        "give integers: domains=lambda batch: ...",
        lambda: evaluate(nn.Identity(), [PREDICTED], PLAN),
    ),
    "logits in a list": (
        lambda: evaluate(nn.Identity(), [PREDICTED], PLAN, forward=lambda model, batch: batch[0].tolist()),
        "the logits of a batch are of type list, no tensor",
        "say how the model is run: forward=lambda model, batch: ...",
        lambda: evaluate(nn.Identity(), [PREDICTED], PLAN, forward=lambda model, batch: batch[0]),
    ),
    **{
        f"logits {name}": (
            lambda logits=logits: evaluate(nn.Identity(), [(logits, PREDICTED[1])], PLAN),
            fact,
            "give floating-point logits (N, C), or log-odds (N,) or (N, 1)",
            lambda: [
                evaluate(nn.Identity(), [(logits, PREDICTED[1])], PLAN)
                for logits in (torch.zeros(2, 2), torch.zeros(2), torch.zeros(2, 1))
            ],
        )
        for name, logits, fact in (
            (
                "that are complex",
                torch.zeros(2, 2) + 1j,
                r"the logits of a batch are of torch.complex64 and shape \(2, 2\)",
            ),
            ("that are integers", torch.eye(2).long(), r"the logits of a batch are of torch.int64 and shape \(2, 2\)"),
            ("that are a mean", torch.tensor(0.5), r"the logits of a batch are of torch.float32 and shape \(\)"),
        )
    },
    "a batch of tuples": (
        lambda: evaluate(nn.Identity(), [COLLATED], PLAN),
        "what would go into the model is of type Batch, no tensor",
        "say how to run it: forward=lambda model, batch: model(batch['0'])",
        evaluated_by_name,
    ),
    "targets of a batch of tuples": (
        lambda: evaluate(nn.Identity(), [COLLATED], PLAN, forward=lambda model, batch: model(batch["0"])),
        r"a batch is of type Batch, no tuple \(inputs, targets, ...\)",
        "say where its targets are: targets=lambda batch: batch['1']",
        evaluated_by_name,
    ),
    "targets of a tensor": (
        lambda: evaluate(nn.Identity(), [PREDICTED[0]], PLAN),
        r"a batch is of type Tensor, no tuple \(inputs, targets, ...\)",
        "say where its targets are: targets=lambda batch: ...",
        lambda: evaluate(nn.Identity(), [PREDICTED[0]], PLAN, targets=lambda batch: batch.argmax(-1)),
    ),
    "targets in a list": (
        lambda: evaluate(nn.Identity(), [(PREDICTED[0], [0, 1])], PLAN),
        "the targets of a batch are of type list, no tensor",
        "say where they are: targets=lambda batch: ...",
        lambda: evaluate(nn.Identity(), [(PREDICTED[0], [0, 1])], PLAN, targets=lambda batch: torch.tensor(batch[1])),
    ),
    "no targets": (
        lambda: evaluate(nn.Identity(), [(PREDICTED[0], None, PREDICTED[1])], PLAN),
        "the targets of a batch are None, no tensor",
        "say where they are: targets=lambda batch: ...",
        lambda: evaluate(nn.Identity(), [(PREDICTED[0], None, PREDICTED[1])], PLAN, targets=lambda batch: batch[2]),
    ),
    "targets that are parts": (
        lambda: evaluate(nn.Identity(), [(PREDICTED[0], torch.tensor([1.0, 0.5]))], PLAN),
        "targets hold 0.5, which is not whole",
        "pass classes, 0 to C-1",
        lambda: evaluate(nn.Identity(), [(PREDICTED[0], torch.tensor([1.0, 0.0]))], PLAN),
    ),
    **{
        f"a report of {batches} batches": (
            lambda batches=batches: Weights(MOVING).report(batches=batches),
            fact,
            way_out,
            lambda: Weights(MOVING).report(batches=1),
        )
        for batches, fact, way_out in (
            (0, "batches is 0, the least is 1", "pass batches=1 or more"),
            (-3, "batches is -3, the least is 1", "pass batches=1 or more"),
            (1.5, "batches is 1.5, not a whole number", "pass batches as an integer"),
        )
    },
    "a loader of a plan as a plan": (
        lambda: Weights(OF_PLAN),
        "a plan is needed, this is of type Loader",
        "pass loader.plan",
        lambda: Weights(OF_PLAN.plan),
    ),
    "a loader of a sampler as a plan": (
        lambda: Weights(loader()),
        "a plan is needed, this is of type DataLoader",
        "pass loader.batch_sampler.plan",
        lambda: Weights(loader().batch_sampler.plan),
    ),
    "a sampler as a plan": (
        lambda: Weights(PLAN.sampler()),
        "a plan is needed, this is of type BatchSampler",
        "pass sampler.plan",
        lambda: Weights(PLAN.sampler().plan),
    ),
    "no probabilities": (
        lambda: calibration_error(torch.ones(0, 2), torch.ones(0)),
        "there are 0 samples",
        "pass the probabilities of one sample at least",
        lambda: calibration_error(torch.ones(1, 2), torch.ones(1)),
    ),
    "means of some": (
        lambda: Weights(PLAN).report().bias({0: 1.0}),
        "means lacks 1 of 2 groups: 1",
        "name them all",
        lambda: Weights(PLAN).report().bias({0: 1.0, 1: 2.0}),
    ),
    "weights in a list": (
        lambda: Weighted(IMAGES, [1.0] * 40),
        "weights is of type list",
        "pass Weights(plan)",
        lambda: Weighted(IMAGES, Weights(PLAN))[0],
    ),
    **{
        f"weights of samples that have some, {name}": (
            lambda read=read: read(Weighted([{"x": 1, "weight": 2.0}] * 40, Weights(PLAN))),
            "sample 3 of the dataset has a field 'weight' of its own, 2.0",
            "give that field another name in the dataset",
            lambda read=read: read(Weighted([{"x": 1, "own_weight": 2.0}] * 40, Weights(PLAN))),
        )
        for name, read in (
            ("one by one", lambda dataset: dataset[3]),
            ("together", lambda dataset: dataset.__getitems__([3, 4])),
        )
    },
    "weights of another dataset": (
        lambda: Weighted(range(41), Weights(PLAN)),
        "the dataset has 41 samples, the plan of the weights yields 40 numbers",
        "pass the dataset that the plan is of",
        lambda: Weighted(IMAGES, Weights(PLAN))[0],
    ),
}


CASES = cases("refuse fact way_out follow", TABLE)


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_is_one(name: str) -> None:
    told_and_followed(CASES[name])
