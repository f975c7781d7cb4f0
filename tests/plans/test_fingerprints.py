"""A fingerprint tells plans apart: what differs in a micro-batch differs in it, what is built the same shares it."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from functools import cache, partial
from itertools import combinations
from pathlib import Path

import pytest

import batchwright as bw

from . import differing

BY_LENGTH = ("budgeted", "packed", "grouped", "bucketed", "hybrid", "evaluation")
"""Builders whose plans hold their arguments in other forms."""


def batches(plan):
    """All that samplers yield in the first epochs, alone and in steps of three micro-batches."""
    return [
        list(plan.epoch(epoch, step_size).lists(0, 1))
        for step_size in differing.STEP_SIZES
        for epoch in range(differing.EPOCHS)
    ]


def test_every_builder_and_every_argument_is_tried():
    assert set(differing.CALLS) == set(differing.builders())
    for name, builder in differing.builders().items():
        assert set(differing.CALLS[name].other) == set(inspect.signature(builder).parameters), name


@pytest.mark.parametrize("builder", differing.CALLS)
def test_plans_that_differ_in_a_micro_batch_differ_in_the_fingerprint(builder):
    given = cache(batches)  # what no comparison needs is not computed
    found = list(differing.plans(builder))
    for (*one, plan), (*other, another) in combinations(found, 2):
        assert plan.fingerprint != another.fingerprint or given(plan) == given(another), (one, other)
    begun = {number: plan for number, argument, plan in found if not argument}
    tell = set()
    for number, argument, plan in found:
        if argument and argument not in tell and (number not in begun or given(plan) != given(begun[number])):
            tell.add(argument)
    refuse = differing.CHANGES_NO_BATCH | differing.REFUSES_ONLY.get(builder, set())
    assert tell >= set(differing.CALLS[builder].other) - refuse  # else the values try nothing


@pytest.mark.parametrize("builder", differing.CALLS)
def test_a_state_of_another_plan_says_which_argument_differs(builder):
    _, _, saved = next(iter(differing.plans(builder)))
    state = saved.sampler(rank=0, world_size=1).state_dict()
    assert len(json.dumps(state)) < 16_000
    for number, argument, plan in differing.plans(builder):
        sampler = plan.sampler(rank=0, world_size=1)
        if plan.fingerprint == saved.fingerprint:
            sampler.load_state_dict(state)
            continue
        with pytest.raises(bw.Infeasible, match="build the plan with the arguments, labels and seed it had") as refusal:
            sampler.load_state_dict(state)
        said = re.search(r": its (.+?) was (.+), now it is (.+?)(; also other: .+)?; build", str(refusal.value))
        assert said, (number, argument, str(refusal.value))
        named = re.findall(r"\w+", f"{said[1]} {said[4] or ''}")
        if number == 0 and builder in BY_LENGTH:  # it differs in this argument alone
            assert argument in (named if argument != "local" else said[3]), (argument, str(refusal.value))
        assert said[2] != said[3], (number, argument, str(refusal.value))
        assert len(str(refusal.value)) < 1300


@pytest.mark.parametrize("draw", ["exact", "random"])
@pytest.mark.parametrize(
    ("saved", "built"),
    [
        (bw.targets.stages({0: "natural", 100: "uniform"}), bw.targets.stages({0: "natural", 200: "uniform"})),
        (*(bw.targets.schedule("natural", "uniform", batches=batches) for batches in (1000, 2000)),),
    ],
)
def test_a_state_of_a_target_that_moves_within_epochs_names_the_target_and_no_epoch(saved, built, draw):
    make = partial(bw.balanced, [0] * 30 + [1] * 10, 4, draw=draw, epoch=50)
    state = make(target=saved).sampler(rank=0, world_size=1).state_dict()
    make(target=saved).sampler(rank=0, world_size=1).load_state_dict(state)
    assert make(target=saved).fingerprint != make(target=built).fingerprint
    with pytest.raises(bw.Infeasible, match=r": its target was '\w+ as s.*', now it is '\w+ as s[^;]*; build the plan"):
        make(target=built).sampler(rank=0, world_size=1).load_state_dict(state)
    with pytest.raises(bw.Infeasible, match=r": its epoch_batches was '50', now it is '60'; build the plan"):
        make(target=saved, epoch=60).sampler(rank=0, world_size=1).load_state_dict(state)


def test_plans_built_again_in_another_process_have_the_same_fingerprints():
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.plans.differing"],
        cwd=root, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(ran.stdout) == differing.fingerprints()
