"""The way out that a refusal of `LogitAdjustment` names is followed, and what was refused passes."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

import batchwright as bw
from batchwright.correct import LogitAdjustment

from ..refusals import cases, told_and_followed
from .small import LABELS, PLAN


def given(plan: Any) -> Any:
    sampler = plan.sampler()
    list(sampler)
    return sampler


def trained() -> Any:
    loader = PLAN.loader(range(40))
    list(loader)
    return loader


def by_domain(sizes: dict[str, int], target: dict[str, float]) -> Any:
    plan = bw.balanced(
        bw.Groups.from_sizes({(name, "cat"): size for name, size in sizes.items()}),
        8,
        target={(name, "cat"): share for name, share in target.items()},
    )
    return LogitAdjustment.from_plan(plan, class_of=lambda name: name[1], domain_of=lambda name: name[0])


BY_DOMAIN = LogitAdjustment([[0.5, 0.5], [0.9, 0.1]], "uniform")


def read_stream() -> Any:
    stream = bw.online.balanced([(n, "ab"[n % 3 == 0]) for n in range(300)], key=1, batch_size=4, buffer=60)
    assert list(stream)
    return stream


TABLE = {
    "a stream as a plan": (
        lambda: LogitAdjustment.from_plan(read_stream()),
        "a plan is needed, this is of type Stream, of a stream",
        "correct the logits by LogitAdjustment.from_stream(stream) once it is read; evaluate takes that as adjustment=",
        lambda: LogitAdjustment.from_stream(read_stream()),
    ),
    "a plan as a stream": (
        lambda: LogitAdjustment.from_stream(PLAN),
        "a stream is needed, this is of type FixedPlan",
        "pass a stream, its loader or its report; of a plan use from_plan",
        lambda: (LogitAdjustment.from_stream(read_stream().report()), LogitAdjustment.from_plan(PLAN)),
    ),
    "a stream without groups": (
        lambda: LogitAdjustment.from_stream(type(read_stream().report())(read=0, delivered=0)),
        "the stream has delivered 0 samples that have a group",
        "read batches of online.balanced or online.mixed first",
        lambda: LogitAdjustment.from_stream(read_stream()),
    ),
    "nothing trained": (
        lambda: LogitAdjustment.from_sampler(PLAN.sampler()),
        "the sampler has given out 0 batches",
        "train first, or use from_plan",
        lambda: (LogitAdjustment.from_sampler(given(PLAN)), LogitAdjustment.from_plan(PLAN)),
    ),
    "a sampler as a plan": (
        lambda: LogitAdjustment.from_plan(given(PLAN)),
        "a plan is needed, this is of type BatchSampler",
        "call LogitAdjustment.from_sampler(sampler), or pass sampler.plan",
        lambda: (LogitAdjustment.from_sampler(given(PLAN)), LogitAdjustment.from_plan(given(PLAN).plan)),
    ),
    "a loader as a plan": (
        lambda: LogitAdjustment.from_plan(PLAN.loader(range(40))),
        "a plan is needed, this is of type Loader",
        "call LogitAdjustment.from_sampler(loader), or pass loader.plan",
        lambda: (LogitAdjustment.from_sampler(trained()), LogitAdjustment.from_plan(trained().plan)),
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
    "no dimension of classes": (
        lambda: LogitAdjustment.from_plan(PLAN)(torch.tensor(3.0)),
        "the model gives logits without dimensions",
        "give logits (..., C), a number for each class",
        lambda: LogitAdjustment.from_plan(PLAN)(torch.zeros(2)),
    ),
    "classes in another dimension": (
        lambda: LogitAdjustment.from_plan(PLAN)(torch.zeros(2, 2, 5)),
        "the model gives 5 logits, the priors are of 2 classes: 0, 1",
        "pass dim=1, the dimension of the classes",
        lambda: LogitAdjustment.from_plan(PLAN)(torch.zeros(2, 2, 5), dim=1),
    ),
    "classes in one of two dimensions": (
        lambda: LogitAdjustment.from_plan(PLAN)(torch.zeros(3, 2, 2, 2)),
        r"logits of shape \(3, 2, 2, 2\) may have their 2 classes in dimension 1 or in the last",
        "pass dim=1, or dim=-1",
        lambda: [LogitAdjustment.from_plan(PLAN)(torch.zeros(3, 2, 2, 2), dim=dim) for dim in (1, -1)],
    ),
    "no such dimension": (
        lambda: LogitAdjustment.from_plan(PLAN)(torch.zeros(3, 2), dim=2),
        r"dim is 2, and the logits of shape \(3, 2\) have no such dimension",
        "leave dim out, or pass the dimension of the classes",
        lambda: [LogitAdjustment.from_plan(PLAN)(torch.zeros(3, 2), dim=dim) for dim in (None, 1, -1)],
    ),
    "an adjustment of log-odds for logits of two classes": (
        lambda: LogitAdjustment.from_plan(PLAN, binary=True)(torch.zeros(3, 2)),
        r"logits have shape \(3, 2\), as those of two classes have, and the adjustment was made with binary=True, for "
        "log-odds",
        "make the adjustment with binary=False; log-odds of two places in each sample are given as (N, 2, 1)",
        lambda: (
            LogitAdjustment.from_plan(PLAN, binary=False)(torch.zeros(3, 2)),
            LogitAdjustment.from_plan(PLAN, binary=True)(torch.zeros(3, 2, 1)),
        ),
    ),
    "a dimension of log-odds": (
        lambda: LogitAdjustment.from_plan(PLAN, binary=True)(torch.zeros(3), dim=0),
        r"dim is 0, and the logits of shape \(3,\) are log-odds without classes",
        "leave dim out, or pass the dimension of the classes",
        lambda: (
            LogitAdjustment.from_plan(PLAN, binary=True)(torch.zeros(3)),
            LogitAdjustment.from_plan(PLAN)(torch.zeros(3, 2), dim=1),
        ),
    ),
    "more logits than classes": (
        lambda: LogitAdjustment.from_plan(PLAN)(torch.zeros(2, 3)),
        "the model gives 3 logits, the priors are of 2 classes: 0, 1",
        "name the class of every logit with order=, or the class of every sample with classes= if the groups of the plan "
        "are something else",
        lambda: (
            LogitAdjustment.from_plan(PLAN, deploy=[0.5, 0.5, 0.0], order=[0, 1, 2])(torch.zeros(2, 3)),
            LogitAdjustment.from_plan(PLAN, classes=[0] * 20 + [1] * 10 + [2] * 10)(torch.zeros(2, 3)),
        ),
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
        "a sampler or a loader of a plan is needed, this is of type FixedPlan",
        "pass plan.loader(...) or plan.sampler(...)",
        lambda: (LogitAdjustment.from_sampler(given(PLAN)), LogitAdjustment.from_plan(PLAN)),
    ),
    "labels for a plan": (
        lambda: LogitAdjustment.from_plan(LABELS),
        "a plan is needed, this is of type list",
        "pass what balanced(...) or another of batchwright's functions made",
        lambda: LogitAdjustment.from_plan(bw.balanced(LABELS, batch_size=8)),
    ),
    "domains without ids": (
        lambda: LogitAdjustment([[0.5, 0.5]] * 2, "uniform")(torch.zeros(1, 2)),
        "the priors have 2 rows of domains, domains is None",
        "pass domains=ids, the domain of each sample as a tensor",
        lambda: LogitAdjustment([[0.5, 0.5]] * 2, "uniform")(torch.zeros(1, 2), domains=torch.tensor([1])),
    ),
    "a domain without a row": (
        lambda: LogitAdjustment([[0.5, 0.5]] * 2, "uniform")(torch.zeros(3, 2), domains=torch.tensor([1, -1, 0])),
        "domains has numbers from -1 to 1, the priors have 2 rows of domains",
        "pass numbers from 0 to 1",
        lambda: LogitAdjustment([[0.5, 0.5]] * 2, "uniform")(torch.zeros(2, 2), domains=torch.tensor([1, 0])),
    ),
    **{
        f"domains {name}": (
            lambda domains=domains: BY_DOMAIN(torch.zeros(3, 2), domains=domains),
            fact,
            f"pass the domain of each sample as an integer tensor (N,){more}",
            lambda: [
                BY_DOMAIN(torch.zeros(3, 2), domains=torch.tensor([1, 0, 1]).to(dtype))
                for dtype in (torch.uint8, torch.int16, torch.int32, torch.int64)
            ],
        )
        for name, domains, fact, more in (
            ("of text", "day", r"domains is 'day', of type str \(TypeError.*", ""),
            ("that are floats", torch.zeros(3), "domains has dtype float32, integers are needed", ""),
            ("that are a mask", torch.ones(3).bool(), "domains has dtype bool, integers are needed", ""),
            *(
                (
                    f"of shape {shape}",
                    torch.zeros(shape, dtype=torch.int64),
                    rf"domains has shape {re.escape(str(shape))}, the logits have shape \(3, 2\)",
                    ", with the samples in dimension 0 of the logits",
                )
                for shape in ((), (1,), (2,), (3, 1))
            ),
        )
    },
    "domains of no samples": (
        lambda: BY_DOMAIN(torch.zeros(2), domains=torch.tensor([0, 1])),
        r"domains has shape \(2,\), the logits have shape \(2,\)",
        "pass the domain of each sample as an integer tensor (N,), with the samples in dimension 0 of the logits",
        lambda: BY_DOMAIN(torch.zeros(2, 2), domains=torch.tensor([0, 1])),
    ),
    **{
        f"logits {name}": (
            lambda logits=logits: LogitAdjustment([0.5, 0.5], [0.9, 0.1])(logits),
            f"logits are of {kind}, whose dtype cannot hold the offset",
            "give logits as a tensor of floating-point numbers",
            lambda: LogitAdjustment([0.5, 0.5], [0.9, 0.1])(torch.zeros(3, 2)),
        )
        for name, logits, kind in (
            ("that are integers", torch.zeros(3, 2, dtype=torch.int64), "torch.int64"),
            ("that are a mask", torch.zeros(3, 2, dtype=torch.bool), "torch.bool"),
            ("that are complex", torch.zeros(3, 2, dtype=torch.complex64), "torch.complex64"),
            ("in a list", [[0.0, 0.0]], "type list"),
        )
    },
    "deploy of a plan by a word": (
        lambda: LogitAdjustment.from_plan(PLAN, deploy="even"),
        "deploy is 'even'",
        "pass 'natural', 'uniform' or shares",
        lambda: [LogitAdjustment.from_plan(PLAN, deploy=deploy) for deploy in ("natural", "uniform", [0.9, 0.1])],
    ),
    "ids without domains": (
        lambda: LogitAdjustment([0.5, 0.5], "uniform")(torch.zeros(1, 2), domains=torch.tensor([0])),
        "the priors have no rows of domains, domains is of type Tensor",
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
    "classes that are lists": (
        lambda: LogitAdjustment.from_plan(PLAN, order=[[0], [1]]),
        r"order is \[\[0\], \[1\]\], of type list \(TypeError.*",
        "name the class of every logit, as text, numbers or tuples of these",
        lambda: LogitAdjustment.from_plan(PLAN, order=[0, 1]),
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


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_is_one(name: str) -> None:
    told_and_followed(CASES[name])


def test_the_adjustment_of_a_stream_is_the_one_made_by_hand():
    stream = read_stream()
    report = stream.report()
    names = sorted(report.seen)
    read = sum(report.seen.values())
    by_hand = LogitAdjustment([report.shares[n] for n in names], [report.seen[n] / read for n in names], names=names)
    by_name = LogitAdjustment(report.shares, {n: report.seen[n] / read for n in names}, names=names)
    for found in (LogitAdjustment.from_stream(stream), LogitAdjustment.from_stream(report), by_name):
        assert found.classes == names
        assert torch.equal(found.offset, by_hand.offset)
