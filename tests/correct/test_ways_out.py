"""The way out that a refusal of `correct` names is followed, and what was refused passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import batchwright as bw
from batchwright.correct import LogitAdjustment, LossScale, Weights, frozen, per_group, recalibrate, synchronised
from batchwright.correct.batchnorm import check
from batchwright.errors import Infeasible

LABELS = [0] * 30 + [1] * 10
IMAGES = TensorDataset(torch.randn(40, 3))
PLAN = bw.balanced(LABELS, batch_size=8)
MOVING = bw.balanced(LABELS, batch_size=8, target=lambda counts, epoch: [0.5, 0.5] if epoch % 2 else [0.75, 0.25])


class Case(NamedTuple):
    refuse: Callable[[], Any]
    way_out: str
    follow: Callable[[], Any]


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


CASES = {
    "another stream": Case(
        lambda: recalibrate(norm(), loader(bw.shuffled(40, 8)), plan=PLAN),
        "pass a loader with batch_sampler=plan.sampler(), or stream='natural' and accept what it costs",
        lambda: (
            recalibrate(norm(), loader(), plan=PLAN),
            quietly(lambda: recalibrate(norm(), loader(bw.shuffled(40, 8)), plan=PLAN, stream="natural")),
        ),
    ),
    "batches in dicts": Case(
        lambda: recalibrate(norm(), [{"input": torch.randn(4, 3)}]),
        "say how to run it: forward=lambda model, batch: model(**batch)",
        lambda: recalibrate(norm(), [{"input": torch.randn(4, 3)}], forward=lambda model, batch: model(**batch)),
    ),
    "an exhausted loader": Case(
        lambda: recalibrate(norm(), iter([])),
        "pass a loader that is not exhausted",
        lambda: recalibrate(norm(), iter([torch.randn(4, 3)])),
    ),
    "a state that is none": Case(
        lambda: recalibrate(norm(), [torch.randn(4, 3)], resume={"batches": 1}),
        "pass what an earlier call of recalibrate returned",
        lambda: recalibrate(norm(), [torch.randn(4, 3)], resume=recalibrate(norm(), [torch.randn(4, 3)])),
    ),
    "no statistics": Case(
        lambda: recalibrate(norm(track_running_stats=False), [torch.randn(4, 3)]),
        "pass a model with BatchNorm layers built with track_running_stats=True",
        lambda: recalibrate(norm(track_running_stats=True), [torch.randn(4, 3)]),
    ),
    "no layer to freeze": Case(
        lambda: frozen(nn.Linear(1, 1)).__enter__(),
        "pass a model with BatchNorm layers built with track_running_stats=True",
        lambda: frozen(norm()).__enter__(),
    ),
    "no layer to synchronise": Case(
        lambda: synchronised(nn.Linear(1, 1)), "pass a model with at least 1", lambda: synchronised(norm())
    ),
    "batches of one": Case(
        lambda: check(bw.shuffled(10, batch_size=1), norm()),
        "pass larger batches, or synchronise the layers over ranks",
        lambda: (
            check(bw.shuffled(10, batch_size=2), norm()),
            check(bw.shuffled(10, batch_size=1), synchronised(norm()), world_size=2),
        ),
    ),
    "a group named twice": Case(
        lambda: per_group(norm(), ["day", "day"]), "name every group exactly once", lambda: per_group(norm(), ["day"])
    ),
    "a group of one": Case(
        lambda: grouped([0, 0, 1]), "draw at least 2 samples of 'night' into each batch", lambda: grouped([0, 0, 1, 1])
    ),
    "an unknown group": Case(
        lambda: grouped([0, 0, 2, 2]),
        "pass ids in the order of the names given to per_group",
        lambda: grouped([0, 0, 1, 1]),
    ),
    "no ids": Case(
        lambda: per_group(norm(), ["day"]).model(torch.randn(4, 3)),
        "call the PerGroup model with groups=ids, one id a sample",
        lambda: per_group(norm(), ["day"])(torch.randn(4, 3), groups=torch.zeros(4, dtype=torch.int64)),
    ),
    "moving weights": Case(
        lambda: Weights(MOVING).lasting(),
        "call weights(indices, epoch=...) in the training loop instead",
        lambda: Weights(MOVING)([0, 1], epoch=3),
    ),
    "a clip of 0": Case(
        lambda: Weights(PLAN, clip=0),
        "pass the largest weight allowed, or None",
        lambda: (Weights(PLAN, clip=2), Weights(PLAN, clip=None)),
    ),
    "a plan as a sampler": Case(
        lambda: LossScale(PLAN),
        "pass what plan.sampler(...) gives your loader",
        lambda: LossScale(PLAN.sampler(rank=0, world_size=2)),
    ),
    "another loader": Case(
        lambda: next(LossScale(PLAN.sampler()).over(loader())),
        "pass a loader with batch_sampler=sampler, the one the loss scale was made with",
        lambda: [
            next(LossScale(sampler).over(DataLoader(IMAGES, batch_sampler=sampler))) for sampler in [PLAN.sampler()]
        ],
    ),
    "a step too far": Case(
        lambda: LossScale(PLAN.sampler()).at(5),
        "pass 0 to 4",
        lambda: [LossScale(PLAN.sampler()).at(step) for step in range(5)],
    ),
    "nothing trained": Case(
        lambda: LogitAdjustment.from_sampler(PLAN.sampler()),
        "train first, or use from_plan",
        lambda: (LogitAdjustment.from_sampler(given(PLAN)), LogitAdjustment.from_plan(PLAN)),
    ),
    "a sampler as a plan": Case(
        lambda: LogitAdjustment.from_plan(given(PLAN)),
        "call LogitAdjustment.from_sampler(sampler), or pass sampler.plan",
        lambda: (LogitAdjustment.from_sampler(given(PLAN)), LogitAdjustment.from_plan(given(PLAN).plan)),
    ),
    "shares that miss 1": Case(
        lambda: LogitAdjustment([2.0, 2.0], "uniform"),
        "divide them by their sum",
        lambda: LogitAdjustment([2.0 / 4, 2.0 / 4], "uniform"),
    ),
    "a class that vanishes": Case(
        lambda: LogitAdjustment([0.5, 0.5], [1.0, 0.0], mode="loss"),
        "give them a share in deploy, or pass mode='post_hoc'",
        lambda: (
            LogitAdjustment([0.5, 0.5], [0.9, 0.1], mode="loss"),
            LogitAdjustment([0.5, 0.5], [1.0, 0.0], mode="post_hoc"),
        ),
    ),
    "binary of three": Case(
        lambda: LogitAdjustment([0.2, 0.3, 0.5], "uniform", binary=True),
        "pass binary=False",
        lambda: LogitAdjustment([0.2, 0.3, 0.5], "uniform", binary=False),
    ),
    "more logits than classes": Case(
        lambda: LogitAdjustment.from_plan(PLAN)(torch.zeros(2, 3)),
        "name the class of every logit with order=, or everyone's class with classes= where a plan's groups are something "
        "else",
        lambda: (
            LogitAdjustment.from_plan(PLAN, deploy=[0.5, 0.5, 0.0], order=[0, 1, 2])(torch.zeros(2, 3)),
            LogitAdjustment.from_plan(PLAN, classes=[0] * 20 + [1] * 10 + [2] * 10)(torch.zeros(2, 3)),
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_is_one(name: str) -> None:
    case = CASES[name]
    with pytest.raises(Infeasible) as caught:
        case.refuse()
    assert caught.value.way_out == case.way_out
    case.follow()


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
