"""The way out that a refusal about BatchNorm names is followed, and what was refused passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import batchwright as bw
from batchwright.correct import frozen, per_group, recalibrate, report, synchronised, without_running_stats
from batchwright.correct.batchnorm import check
from batchwright.errors import Infeasible

from ..refusals import cases, refusals_noted, told, told_and_followed
from .ranks import Ranks
from .small import PLAN, loader, norm


def grouped(ids: list[int]) -> Any:
    return per_group(norm(), ["day", "night"])(torch.randn(len(ids), 3), groups=torch.tensor(ids))


def checked(batch_size: int, model: nn.Module, **options: Any) -> Any:
    return check(bw.shuffled(10, batch_size), model, **options)


def quietly(call: Callable[[], Any]) -> Any:
    with pytest.warns(bw.PoorWarning):
        return call()


def state() -> dict[str, Any]:
    return recalibrate(norm(), [torch.ones(4, 3)])


RESUME = "pass what an earlier call of recalibrate returned"

TABLE = {
    "a list in place of a model": (
        lambda: recalibrate([1], loader()),
        "model is of type list",
        "pass a torch.nn.Module",
        lambda: recalibrate(norm(), loader()),
    ),
    "fewer batches than one": (
        lambda: recalibrate(norm(), loader(), batches=-1),
        "batches is -1, the least is 1",
        "pass batches=1 or more",
        lambda: recalibrate(norm(), loader(), batches=1),
    ),
    "no state": (
        lambda: recalibrate(norm(), loader(), resume=[1]),
        "resume is of type list",
        "pass what an earlier call of recalibrate returned",
        lambda: recalibrate(norm(), loader(), resume=recalibrate(norm(), loader())),
    ),
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
        "what would go into the model is of type dict, no tensor",
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
    **{
        f"a damaged state: {name}": (
            lambda state=state: recalibrate(norm(), [torch.randn(4, 3)], resume=state),
            fact,
            way_out,
            lambda: recalibrate(norm(), [torch.randn(4, 3)], resume=recalibrate(norm(), [torch.randn(4, 3)])),
        )
        for name, state, fact, way_out in (
            ("batches", {"batches": "x", "layers": {}}, "the state's 'batches' is 'x', not a whole number", None),
            ("layers", {"batches": 1, "layers": [1]}, "the state's 'layers' is of type list", RESUME),
            *(
                (
                    name,
                    {"batches": 1, "layers": {"0": parts}},
                    r"the state of BatchNorm layer '0' is not the three tensors count \(G, 1\), mean \(G, C\) and .*",
                    RESUME,
                )
                for name, parts in (
                    ("two parts", [torch.ones(1, 1), torch.ones(1, 3)]),
                    ("numbers", [1, 2, 3]),
                    ("no parts", None),
                    ("no groups", [torch.ones(1, 1), torch.ones(3), torch.ones(3)]),
                    ("other channels", [torch.ones(1, 1), torch.ones(1, 3), torch.ones(1, 2)]),
                    ("other groups", [torch.ones(2, 1), torch.ones(1, 3), torch.ones(1, 3)]),
                )
            ),
        )
    },
    **{
        f"a batch of one sample in {name}": (
            lambda call=call: call([torch.randn(4, 3), torch.randn(1, 3)]),
            "BatchNorm layer '0' got 1 value per channel in a batch, it needs 2",
            "pass batches of at least 2 samples, for instance with drop_last=True",
            lambda call=call: call([torch.randn(4, 3), torch.randn(2, 3)]),
        )
        for name, call in (
            ("recalibrate", lambda batches: recalibrate(norm(), batches)),
            ("report", lambda batches: report(norm(), batches[:1], batches)),
            ("a synchronised layer", lambda batches: recalibrate(synchronised(norm()), batches)),
        )
    },
    "a batch of integers": (
        lambda: recalibrate(norm(), [torch.ones(4, 3, dtype=torch.int64)]),
        "BatchNorm layer '0' got values of torch.int64, it needs floating-point numbers",
        "give the model floats: forward=lambda model, batch: model(batch.float())",
        lambda: recalibrate(
            norm(), [torch.ones(4, 3, dtype=torch.int64)], forward=lambda model, batch: model(batch.float())
        ),
    ),
    "batches without names": (
        lambda: recalibrate(norm(), [{"0": torch.randn(4, 3)}]),
        "what would go into the model is of type dict, no tensor",
        "say how to run it: forward=lambda model, batch: model(batch['0'])",
        lambda: recalibrate(norm(), [{"0": torch.randn(4, 3)}], forward=lambda model, batch: model(batch["0"])),
    ),
    "groups in a text": (
        lambda: per_group(norm(), "day"),
        "groups is 'day', of type str",
        "pass the names of the groups in a list",
        lambda: per_group(norm(), ["day"]),
    ),
    **{
        f"ids {name}": (
            lambda ids=ids: per_group(norm(), ["day"])(torch.randn(2, 3), groups=ids),
            fact,
            "pass one whole id a sample",
            lambda: (grouped([0, 0]), per_group(norm(), ["day"])(torch.randn(2, 3), groups=[0, 0])),
        )
        for name, ids, fact in (
            ("of None", None, r"groups is None, None \(.*"),
            ("in a text", "x", r"groups is 'x', of type str \(.*"),
            ("that are complex", torch.zeros(2) * 1j, r"groups has shape \(2,\) and dtype complex64"),
        )
    },
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
        lambda: checked(1, norm()),
        "BatchNorm layer '0' sees 1 value per channel in a micro-batch of 1 samples, it needs 2",
        "pass larger batches, or synchronise the layers over ranks",
        lambda: (
            checked(2, norm()),
            checked(1, synchronised(norm()), world_size=2),
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
        lambda: checked(1, synchronised(norm()), example=torch.ones(2, 3)),
        "BatchNorm layer '0' sees 1 value per channel in a micro-batch of 1 samples, it needs 2",
        "pass larger batches, or train on more ranks (world_size=...)",
        lambda: (
            checked(2, synchronised(norm()), example=torch.ones(2, 3)),
            checked(1, synchronised(norm()), example=torch.ones(2, 3), world_size=2),
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
    with refusals_noted() as noted:
        try:
            call()
        except Infeasible as refusal:
            return refusal, noted[-1]
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
        "the batches of all ranks hold 1 value per channel in training, BatchNorm needs 2",
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
