"""The way out that a refusal of `correct` names is followed, and what was refused passes."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import batchwright as bw
from batchwright.correct import (
    LogitAdjustment,
    LossScale,
    Weighted,
    Weights,
    evaluate,
    frozen,
    loss_scale,
    per_group,
    recalibrate,
    synchronised,
    without_running_stats,
)
from batchwright.correct.batchnorm import check
from batchwright.errors import Infeasible

from ..refusals import SOURCE, cases, places_of, told, told_and_followed, unreached
from .ranks import Ranks

LABELS = [0] * 30 + [1] * 10
IMAGES = TensorDataset(torch.randn(40, 3))
PLAN = bw.balanced(LABELS, batch_size=8)
MOVING = bw.balanced(LABELS, batch_size=8, target=lambda counts, epoch: [0.5, 0.5] if epoch % 2 else [0.75, 0.25])
MANY = bw.balanced(bw.Groups.from_sizes({f"class {number}": 2 for number in range(200)}), batch_size=8)
PREDICTED = (torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([1, 0]))


def norm(**options: Any) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(3, **options))


def loader(plan: Any = PLAN) -> Any:
    return DataLoader(IMAGES, batch_sampler=plan.sampler())


def grouped(ids: list[int]) -> Any:
    return per_group(norm(), ["day", "night"])(torch.randn(len(ids), 3), groups=torch.tensor(ids))


def given(plan: Any) -> Any:
    sampler = plan.sampler()
    list(sampler)
    return sampler


def quietly(call: Callable[[], Any]) -> Any:
    with pytest.warns(bw.PoorWarning):
        return call()


def state() -> dict[str, Any]:
    return recalibrate(norm(), [torch.ones(4, 3)])


def by_domain(sizes: dict[str, int], target: dict[str, float]) -> Any:
    plan = bw.balanced(
        bw.Groups.from_sizes({(name, "cat"): size for name, size in sizes.items()}),
        8,
        target={(name, "cat"): share for name, share in target.items()},
    )
    return LogitAdjustment.from_plan(plan, class_of=lambda name: name[1], domain_of=lambda name: name[0])


TABLE = {
    "another stream": (
        lambda: recalibrate(norm(), loader(bw.shuffled(40, 8)), plan=PLAN),
        "the loader draws from <plan: .*>, the model was trained on <plan: .*>",
        "pass a loader with batch_sampler=plan.sampler(), or stream='natural' and accept what it costs",
        lambda: (
            recalibrate(norm(), loader(), plan=PLAN),
            quietly(lambda: recalibrate(norm(), loader(bw.shuffled(40, 8)), plan=PLAN, stream="natural")),
        ),
    ),
    "batches in dicts": (
        lambda: recalibrate(norm(), [{"input": torch.randn(4, 3)}]),
        "what would go into the model is a dict, no tensor",
        "say how to run it: forward=lambda model, batch: model(**batch)",
        lambda: recalibrate(norm(), [{"input": torch.randn(4, 3)}], forward=lambda model, batch: model(**batch)),
    ),
    "an exhausted loader": (
        lambda: recalibrate(norm(), iter([])),
        "the loader gave 0 batches, at least 1 is needed",
        "pass a loader that is not exhausted",
        lambda: recalibrate(norm(), iter([torch.randn(4, 3)])),
    ),
    "a state that is none": (
        lambda: recalibrate(norm(), [torch.randn(4, 3)], resume={"batches": 1}),
        "the state has no 'layers'",
        "pass what an earlier call of recalibrate returned",
        lambda: recalibrate(norm(), [torch.randn(4, 3)], resume=recalibrate(norm(), [torch.randn(4, 3)])),
    ),
    "no statistics": (
        lambda: recalibrate(norm(track_running_stats=False), [torch.randn(4, 3)]),
        "of the model's 1 BatchNorm layers 0 keep running statistics, at least 1 must",
        "pass a model with BatchNorm layers built with track_running_stats=True",
        lambda: recalibrate(norm(track_running_stats=True), [torch.randn(4, 3)]),
    ),
    "no layer to freeze": (
        lambda: frozen(nn.Linear(1, 1)).__enter__(),
        "of the model's 0 BatchNorm layers 0 keep running statistics, at least 1 must",
        "pass a model with BatchNorm layers built with track_running_stats=True",
        lambda: frozen(norm()).__enter__(),
    ),
    "no layer to synchronise": (
        lambda: synchronised(nn.Linear(1, 1)),
        "the model has 0 BatchNorm layers to synchronise",
        "pass a model with at least 1",
        lambda: synchronised(norm()),
    ),
    "batches of one": (
        lambda: check(bw.shuffled(10, batch_size=1), norm()),
        "BatchNorm layer '0' sees 1 value per channel in a micro-batch of 1 samples, it needs 2",
        "pass larger batches, or synchronise the layers over ranks",
        lambda: (
            check(bw.shuffled(10, batch_size=2), norm()),
            check(bw.shuffled(10, batch_size=1), synchronised(norm()), world_size=2),
        ),
    ),
    "a group named twice": (
        lambda: per_group(norm(), ["day", "day"]),
        "groups has 2 names of which 1 differ",
        "name every group exactly once",
        lambda: per_group(norm(), ["day"]),
    ),
    "a group of one": (
        lambda: grouped([0, 0, 1]),
        "group 'night' has 1 value per channel in the batch, BatchNorm needs 2 in training",
        "draw at least 2 samples of 'night' into each batch",
        lambda: grouped([0, 0, 1, 1]),
    ),
    "an unknown group": (
        lambda: grouped([0, 0, 2, 2]),
        "the batch has group ids from 0 to 2, the model knows 0 to 1",
        "pass ids in the order of the names given to per_group",
        lambda: grouped([0, 0, 1, 1]),
    ),
    "no ids": (
        lambda: per_group(norm(), ["day"]).model(torch.randn(4, 3)),
        "a BatchNorm layer per group got 4 samples and 0 group ids",
        "call the PerGroup model with groups=ids, one id a sample",
        lambda: per_group(norm(), ["day"])(torch.randn(4, 3), groups=torch.zeros(4, dtype=torch.int64)),
    ),
    "moving weights": (
        lambda: Weights(MOVING).lasting(),
        "the plan's target moves, a sample has another weight in another epoch",
        "call weights(indices, epoch=...) in the training loop instead",
        lambda: Weights(MOVING)([0, 1], epoch=3),
    ),
    "a clip of 0": (
        lambda: Weights(PLAN, clip=0),
        "clip is 0, it must be above 0",
        "pass the largest weight allowed, or None",
        lambda: (Weights(PLAN, clip=2), Weights(PLAN, clip=None)),
    ),
    "a plan as a sampler": (
        lambda: LossScale(PLAN),
        "a sampler is needed, this is a FixedPlan",
        "pass what plan.sampler(...) gives your loader",
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
        "step 5 of an epoch of 5 steps",
        "pass 0 to 4",
        lambda: [LossScale(PLAN.sampler()).at(step) for step in range(5)],
    ),
    "nothing trained": (
        lambda: LogitAdjustment.from_sampler(PLAN.sampler()),
        "the sampler has given out 0 batches",
        "train first, or use from_plan",
        lambda: (LogitAdjustment.from_sampler(given(PLAN)), LogitAdjustment.from_plan(PLAN)),
    ),
    "a sampler as a plan": (
        lambda: LogitAdjustment.from_plan(given(PLAN)),
        "a plan is needed, this is a BatchSampler",
        "call LogitAdjustment.from_sampler(sampler), or pass sampler.plan",
        lambda: (LogitAdjustment.from_sampler(given(PLAN)), LogitAdjustment.from_plan(given(PLAN).plan)),
    ),
    "shares that miss 1": (
        lambda: LogitAdjustment([2.0, 2.0], "uniform"),
        "the shares of trained sum to 4, which misses 1 by more than 1e-06",
        "divide them by their sum",
        lambda: LogitAdjustment([2.0 / 4, 2.0 / 4], "uniform"),
    ),
    "a class that vanishes": (
        lambda: LogitAdjustment([0.5, 0.5], [1.0, 0.0], mode="loss"),
        r"1 of 2 classes are trained on and have deploy share 0 \(1\): no finite logits learn that",
        "give them a share in deploy, or pass mode='post_hoc'",
        lambda: (
            LogitAdjustment([0.5, 0.5], [0.9, 0.1], mode="loss"),
            LogitAdjustment([0.5, 0.5], [1.0, 0.0], mode="post_hoc"),
        ),
    ),
    "binary of three": (
        lambda: LogitAdjustment([0.2, 0.3, 0.5], "uniform", binary=True),
        "binary=True with 3 classes, it takes 2",
        "pass binary=False",
        lambda: LogitAdjustment([0.2, 0.3, 0.5], "uniform", binary=False),
    ),
    "more logits than classes": (
        lambda: LogitAdjustment.from_plan(PLAN)(torch.zeros(2, 3)),
        "the model gives 3 logits, the priors are of 2 classes: 0, 1",
        "name the class of every logit with order=, or everyone's class with classes= where a plan's groups are something "
        "else",
        lambda: (
            LogitAdjustment.from_plan(PLAN, deploy=[0.5, 0.5, 0.0], order=[0, 1, 2])(torch.zeros(2, 3)),
            LogitAdjustment.from_plan(PLAN, classes=[0] * 20 + [1] * 10 + [2] * 10)(torch.zeros(2, 3)),
        ),
    ),
    "a state of another width": (
        lambda: recalibrate(nn.BatchNorm1d(2), [torch.randn(4, 2)], resume=state()),
        "the state is of a model with a BatchNorm layer '0' of 3 channels, this one has none of that name",
        "resume with the state of this model",
        lambda: recalibrate(norm(), [torch.randn(4, 3)], resume=state()),
    ),
    "what is not finite": (
        lambda: recalibrate(norm(), [torch.full((4, 3), float("inf"))]),
        "BatchNorm layer '0' met values that are not finite",
        "look at the inputs and the model before it",
        lambda: recalibrate(norm(), [torch.full((4, 3), 2.0)]),
    ),
    "another stream's name": (
        lambda: recalibrate(norm(), loader(), stream="balanced"),
        "stream is 'balanced'",
        "pass 'sampled' or 'natural'",
        lambda: (
            recalibrate(norm(), loader(), stream="sampled"),
            quietly(lambda: recalibrate(norm(), loader(), stream="natural")),
        ),
    ),
    "no model": (
        lambda: check(PLAN, None),
        "the model is None",
        "pass the torch.nn.Module that will be trained",
        lambda: check(PLAN, norm()),
    ),
    "synchronised batches of one": (
        lambda: check(bw.shuffled(10, batch_size=1), synchronised(norm()), example=torch.ones(2, 3)),
        "BatchNorm layer '0' sees 1 value per channel in a micro-batch of 1 samples, it needs 2",
        "pass larger batches, or train on more ranks (world_size=...)",
        lambda: (
            check(bw.shuffled(10, batch_size=2), synchronised(norm()), example=torch.ones(2, 3)),
            check(bw.shuffled(10, batch_size=1), synchronised(norm()), example=torch.ones(2, 3), world_size=2),
        ),
    ),
    "no layer without statistics": (
        lambda: without_running_stats(nn.Linear(1, 1)),
        "the model has 0 BatchNorm layers",
        "pass a model with at least 1",
        lambda: without_running_stats(norm()),
    ),
    "no layer per group": (
        lambda: per_group(nn.Linear(1, 1), ["day"]),
        "the model has 0 BatchNorm layers to split by group",
        "pass a model with at least 1",
        lambda: per_group(norm(), ["day"]),
    ),
    "ids that are shares": (
        lambda: per_group(norm(), ["day"])(torch.randn(2, 3), groups=torch.zeros(2)),
        r"groups has shape \(2,\) and dtype float32",
        "pass one whole id a sample",
        lambda: grouped([0, 0]),
    ),
    "neither plan nor adjustment": (
        lambda: evaluate(nn.Identity(), [PREDICTED]),
        "plan and adjustment are both None, one is needed",
        "pass the plan the model was trained on",
        lambda: evaluate(nn.Identity(), [PREDICTED], PLAN),
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
    "targets beyond the logits": (
        lambda: evaluate(nn.Identity(), [(PREDICTED[0], torch.tensor([0, 2]))], PLAN),
        "targets run from 0 to 2, the model knows 0 to 1",
        "pass targets in the order of the logits",
        lambda: evaluate(nn.Identity(), [(PREDICTED[0], torch.tensor([0, 1]))], PLAN),
    ),
    "targets in a list": (
        lambda: evaluate(nn.Identity(), [(PREDICTED[0], [0, 1])], PLAN),
        "the targets of a batch are a list, no tensor",
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
    "fetches of several steps": (
        lambda: LossScale(PLAN.sampler(accumulate=2, fetch=3)),
        "a list of the sampler holds 3 micro-batches, an optimizer step 2: no one factor is right for it",
        "pass fetch='micro', 'step', or a number that divides accumulate",
        lambda: [LossScale(PLAN.sampler(accumulate=2, fetch=fetch)) for fetch in ("micro", "step", 1, 2)],
    ),
    "a loss of fewer than none": (
        lambda: loss_scale(-1.5),
        "the counts of an optimizer step sum to -1.5, the least is 0",
        "count tokens or samples",
        lambda: loss_scale(torch.tensor([3, 4])),
    ),
    "counts of others": (
        lambda: LossScale(PLAN.sampler(), counts=[1, 2]),
        "counts has 2 amounts, the plan yields 40 numbers",
        "pass one amount for each",
        lambda: LossScale(PLAN.sampler(), counts=[1] * 40).at(0),
    ),
    "a negative count": (
        lambda: LossScale(PLAN.sampler(), counts=[1] * 39 + [-1234567.5]),
        "counts at sample 39 is -1234567.5",
        "pass amounts of 0 or more",
        lambda: LossScale(PLAN.sampler(), counts=[1] * 39 + [0]).at(0),
    ),
    "means of some": (
        lambda: Weights(PLAN).report().bias({0: 1.0}),
        "means lacks 1 of 2 groups: 1",
        "name them all",
        lambda: Weights(PLAN).report().bias({0: 1.0, 1: 2.0}),
    ),
    "weights in a list": (
        lambda: Weighted(IMAGES, [1.0] * 40),
        "weights is a list",
        "pass Weights(plan)",
        lambda: Weighted(IMAGES, Weights(PLAN))[0],
    ),
    "weights of another dataset": (
        lambda: Weighted(range(41), Weights(PLAN)),
        "the dataset has 41 samples, the plan of the weights yields 40 numbers",
        "pass the dataset that the plan is of",
        lambda: Weighted(IMAGES, Weights(PLAN))[0],
    ),
    "a mode": (
        lambda: LogitAdjustment([0.5, 0.5], "uniform", mode="both"),
        "mode is 'both'",
        "pass 'post_hoc' or 'loss'",
        lambda: [LogitAdjustment([0.5, 0.5], "uniform", mode=mode) for mode in ("post_hoc", "loss")],
    ),
    "a strength below none": (
        lambda: LogitAdjustment([0.5, 0.5], "uniform", tau=-0.1),
        "tau is -0.1, the least is 0",
        "pass tau=0 or more, 1 for Bayes' rule",
        lambda: [LogitAdjustment([0.5, 0.5], "uniform", tau=tau) for tau in (0, 1)],
    ),
    "deploy by a word": (
        lambda: LogitAdjustment([0.5, 0.5], "even"),
        "deploy is 'even'",
        "pass 'uniform' or shares",
        lambda: [LogitAdjustment([0.5, 0.5], deploy) for deploy in ("uniform", [0.9, 0.1])],
    ),
    "no deploy": (
        lambda: LogitAdjustment([0.5, 0.5], None),
        "deploy is None",
        "pass shares of shape (C,) or (D, C)",
        lambda: (LogitAdjustment([0.5, 0.5], [0.9, 0.1]), LogitAdjustment([[0.5, 0.5]], [[0.9, 0.1]])),
    ),
    "no shares": (
        lambda: LogitAdjustment([], "uniform"),
        r"trained has shape \(0,\)",
        "pass shares of shape (C,) or (D, C)",
        lambda: [LogitAdjustment(shares, "uniform") for shares in ([0.5, 0.5], [[0.5, 0.5]])],
    ),
    "more deployed than trained": (
        lambda: LogitAdjustment([0.5, 0.5], [0.2, 0.3, 0.5]),
        r"trained has shape \(2,\), deploy \(3,\)",
        "pass one share a class in both",
        lambda: LogitAdjustment([0.5, 0.5], [0.2, 0.8]),
    ),
    "names of some": (
        lambda: LogitAdjustment([0.5, 0.5], "uniform", names=["a"]),
        "names has 1 entries for 2 classes",
        "pass one name a class",
        lambda: LogitAdjustment([0.5, 0.5], "uniform", names=["a", "b"]),
    ),
    "a share below none": (
        lambda: LogitAdjustment([0.5, 0.5], [1.5, -0.5]),
        "deploy holds -0.5, a share is from 0 to 1",
        "pass shares from 0 to 1",
        lambda: LogitAdjustment([0.5, 0.5], [1, 0]),
    ),
    "an infinite share": (
        lambda: LogitAdjustment([0.5, 0.5], [0.25, float("inf")]),
        "deploy holds inf, a share is from 0 to 1",
        "pass shares from 0 to 1",
        lambda: LogitAdjustment([0.5, 0.5], [0.25, 0.75]),
    ),
    "shares of nothing": (
        lambda: LogitAdjustment([0.5, 0.5], [0.0, 0.0]),
        "the shares of deploy sum to 0, which misses 1 by more than 1e-06",
        "give a share above 0 to a class that is met",
        lambda: LogitAdjustment([0.5, 0.5], [0.0, 1.0]),
    ),
    "rows that miss 1": (
        lambda: LogitAdjustment([[0.5, 0.5], [1, 3]], "uniform"),
        "the shares of trained sum to 4, which misses 1 by more than 1e-06",
        "divide them by the sum of their row",
        lambda: LogitAdjustment([[0.5 / 1, 0.5 / 1], [1 / 4, 3 / 4]], "uniform"),
    ),
    "a plan for a sampler": (
        lambda: LogitAdjustment.from_sampler(PLAN),
        "a sampler is needed, this is a FixedPlan",
        "pass the sampler that was trained with, or call LogitAdjustment.from_plan(plan)",
        lambda: (LogitAdjustment.from_sampler(given(PLAN)), LogitAdjustment.from_plan(PLAN)),
    ),
    "labels for a plan": (
        lambda: LogitAdjustment.from_plan(LABELS),
        "a plan is needed, this is a list",
        "pass what balanced(...) or another of batchwright's functions made",
        lambda: LogitAdjustment.from_plan(bw.balanced(LABELS, batch_size=8)),
    ),
    "domains without ids": (
        lambda: LogitAdjustment([[0.5, 0.5]] * 2, "uniform")(torch.zeros(1, 2)),
        "the priors have 2 rows of domains, domains is None",
        "pass domains=ids, the domain of each sample as a tensor",
        lambda: LogitAdjustment([[0.5, 0.5]] * 2, "uniform")(torch.zeros(1, 2), domains=torch.tensor([1])),
    ),
    "ids without domains": (
        lambda: LogitAdjustment([0.5, 0.5], "uniform")(torch.zeros(1, 2), domains=torch.tensor([0])),
        "the priors have no rows of domains, domains is a Tensor",
        "leave domains out, or give the priors a row for each domain",
        lambda: (
            LogitAdjustment([0.5, 0.5], "uniform")(torch.zeros(1, 2)),
            LogitAdjustment([[0.5, 0.5]], "uniform")(torch.zeros(1, 2), domains=torch.tensor([0])),
        ),
    ),
    "a class the plan has not": (
        lambda: LogitAdjustment.from_plan(PLAN, deploy={0: 0.5, 2: 0.5}),
        r"deploy names 1 that the plan does not know \(2\) and lacks 1 of its 2 classes \(1\)",
        "name every class of the plan and no other, 0 if never met",
        lambda: LogitAdjustment.from_plan(PLAN, deploy={0: 1, 1: 0}),
    ),
    "a part that is no function": (
        lambda: LogitAdjustment.from_plan(PLAN, domain_of="night"),
        "domain_of is 'night'",
        "pass domain_of as a function of a group's name",
        lambda: LogitAdjustment.from_plan(PLAN, domain_of=lambda name: name % 2),
    ),
    "a class twice": (
        lambda: LogitAdjustment.from_plan(PLAN, order=[0, 1, 0]),
        "order names class 0 twice",
        "name each class once, the class of every logit",
        lambda: LogitAdjustment.from_plan(PLAN, order=[1, 0]),
    ),
    "an order of some": (
        lambda: LogitAdjustment.from_plan(PLAN, order=[0]),
        r"order names 1 classes, the plan has 1 besides \(1\)",
        "name the class of every logit",
        lambda: LogitAdjustment.from_plan(PLAN, order=[0, 1]),
    ),
    "a domain that was not sampled": (
        lambda: by_domain({"day": 30, "night": 10}, {"day": 1, "night": 0}),
        "domain 'night' has share 0: nothing of it was sampled",
        "leave its samples out, or give it a share in the plan's target",
        lambda: (by_domain({"day": 30}, {"day": 1}), by_domain({"day": 30, "night": 10}, {"day": 0.9, "night": 0.1})),
    ),
    "classes of others": (
        lambda: LogitAdjustment.from_plan(PLAN, classes=[1, 2, 3]),
        "classes are given for 3 samples, the plan draws from 40",
        "give one class a sample, by the numbers the plan yields",
        lambda: LogitAdjustment.from_plan(PLAN, classes=[1, 2] * 20),
    ),
}
CASES = cases("refuse fact way_out follow", TABLE)


def among_ranks(rank: int, group: Any, batches: list[int]) -> tuple[Infeasible | None, tuple[str, int]]:
    """What a rank's recalibration on its batches is refused with, and where that is raised."""
    return refused_in(
        lambda: recalibrate(norm(), [torch.randn(size, 3) for size in batches[rank]], process_group=group)
    )


def in_training(rank: int, group: Any, samples: list[int]) -> tuple[Infeasible | None, tuple[str, int]]:
    return refused_in(lambda: synchronised(norm(), process_group=group)(torch.randn(samples[rank], 3)))


def refused_in(call: Callable[[], Any]) -> tuple[Infeasible | None, tuple[str, int]]:
    try:
        call()
    except Infeasible as refusal:
        *_, last = traceback.extract_tb(refusal.__traceback__)
        return refusal, (last.filename, last.lineno or 0)
    return None, ("", 0)


OVER_RANKS_TABLE = {  # what rank 0 of two is refused, and what it passes
    "a rank without batches": (
        lambda ranks: ranks.run(among_ranks, [[4], []], world=2),
        "rank 1 of 2 raised Infeasible: the loader gave 0 batches, at least 1 is needed; pass .*",
        "see to what that rank was given; no rank's statistics have changed",
        lambda ranks: ranks.run(among_ranks, [[4], [4]], world=2),
    ),
    "a global batch of one": (
        lambda ranks: ranks.run(in_training, [1, 0], world=2),
        "the global batch holds 1 value per channel in training, BatchNorm needs 2",
        "pass larger batches",
        lambda ranks: ranks.run(in_training, [1, 1], world=2),
    ),
}
OVER_RANKS = cases("refuse fact way_out follow", OVER_RANKS_TABLE)


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_is_one(name: str) -> None:
    told_and_followed(CASES[name])


@pytest.mark.parametrize("name", OVER_RANKS)
def test_the_way_out_over_ranks_is_one(name: str, ranks: Ranks) -> None:
    case = OVER_RANKS[name]
    refusal, _ = case.refuse(ranks)[0]
    told(refusal, case)
    assert [refused for refused, _ in case.follow(ranks)] == [None, None]


@pytest.mark.parametrize(
    "make",
    [
        lambda: LogitAdjustment.from_plan(MANY, order=["a"]),
        lambda: LogitAdjustment.from_plan(MANY, order=["a", "a" * 9999, "a" * 9999]),
        lambda: LogitAdjustment.from_plan(MANY, deploy={"a" * 9999: 1}),
        lambda: LogitAdjustment.from_plan(MANY, deploy=[1] + [0] * 199, mode="loss"),
        lambda: LogitAdjustment.from_plan(MANY, class_of="a" * 9999),
        lambda: LogitAdjustment([0.5, 0.5], "a" * 9999),
        lambda: LogitAdjustment([0.5, 0.5], "uniform", mode="a" * 9999),
        lambda: Weights(MANY).report().bias({}),
        lambda: recalibrate(norm(), [], stream="a" * 9999),
        lambda: per_group(norm(), ["a" * 9999])(torch.randn(1, 3), groups=torch.tensor([0])),
    ],
)
def test_messages_are_short_however_long_and_many_names_are(make: Callable[[], Any]) -> None:
    with pytest.raises(Infeasible) as caught:
        make()
    assert len(str(caught.value)) < 1300


def test_every_refusal_in_the_code_is_among_these(monkeypatch: pytest.MonkeyPatch, ranks: Ranks) -> None:
    places = places_of((SOURCE / "correct").rglob("*.py"))
    assert len(places) > 50
    over_ranks = [case.refuse(ranks)[0][1] for case in OVER_RANKS.values()]
    assert unreached(places, [CASES], monkeypatch, over_ranks) == []


class Gone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) == 5:
            raise OSError("the file is gone")
        return self.norm(x)


def test_what_a_forward_raises_names_the_batch() -> None:
    with pytest.raises(OSError, match="the file is gone") as caught:
        recalibrate(Gone(), [torch.randn(size, 3) for size in (4, 3, 5, 2)])
    assert caught.value.__notes__ == ["batch 2 of the loader was run through the model"]


def test_what_a_forward_raises_in_an_evaluation_names_the_batch() -> None:
    batches = [(torch.randn(size, 3), torch.zeros(size, dtype=torch.int64)) for size in (4, 5)]
    with pytest.raises(OSError, match="the file is gone") as caught:
        bw.correct.evaluate(Gone(), batches, plan=PLAN)
    assert caught.value.__notes__ == ["batch 1 of the loader was run through the model"]
