"""Every refusal of targets: its fact, and its way out, which is followed here and works."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import batchwright as bw
from batchwright import Groups, targets
from batchwright.targets import Active, Compensating, Filler, Fixed, quantities

from .refusals import SOURCE, cases, check_that_all_are_reached, told_and_followed

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # ways out that give nearly what was asked

FILES = sorted((SOURCE / "targets").glob("*.py"))

LABELS = ["cat"] * 6 + ["dog"] * 4
HALF = {"cat": 0.5, "dog": 0.5}
LOTS = {"x": 0.5, "y": 0.5}


class Named:
    """A dataset with names of its classes."""

    targets = (0, 1, 0)

    def __init__(self):
        self.class_to_idx = {"cat": 0, "dog": 1}

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return self.targets[index]


def aimed(target, labels=LABELS):
    return bw.balanced(labels, 2, target=target)


def recipe(*lines, size=10):
    return quantities(lines, size)


def moved(**limits):
    return aimed(targets.moving(HALF, **limits))


def huge_cap(passes):
    return targets.capped(passes, budget=2**53 + 1).shares([1])


def bound_shares():
    groups = Groups.from_labels(LABELS)
    return targets.in_units("uniform", [1] * 10).bound_to(groups).shares(groups.sizes, names=groups.names)


CASES = cases("refuse message follow", {  # what is refused, what is said of it, and what its way out says to do
    # counts
    "names of other groups": (lambda: bw.targets.power(1).exact([4, 1], names=["a"]),
        "there are 1 names for 2 counts; pass a name for each group",
        lambda: bw.targets.power(1).exact([4, 1], names=["a", "b"])),
    "no count": (lambda: bw.targets.power(1).exact([4, float("nan")]),
        "counts at group 1 is nan; pass the number of samples of each group",
        lambda: bw.targets.power(1).exact([4, 1])),
    "a masked count": (lambda: bw.targets.power(0.5).exact(np.ma.masked_array([4, 1], [False, True])),
        "counts at group 1 is None; pass the number of samples of each group",
        lambda: bw.targets.power(0.5).exact([4, 1])),
    "names without end": (lambda: bw.targets.power(0.5).exact([4, 1], names=itertools.count()),
        "names has more than 1048576 items; pass names of at most as many",
        lambda: bw.targets.power(0.5).exact([4, 1], names=["a", "b"])),
    "a count below 0": (lambda: bw.targets.power(0.5).exact([4, -1]),
        "counts at group 1 is -1; pass the number of samples of each group",
        lambda: bw.targets.power(0.5).exact([4, 1])),
    "a count past every index": (lambda: bw.targets.power(0.5).exact([4, 10**400]),
        "counts at group 1 is a number of 1329 bits; pass the number of samples of each group",
        lambda: bw.targets.power(0.5).exact([4, 1])),
    # recipes
    "target strength": (lambda: Active("a", 3, 0, 1), "line 'a' has target strength 0; pass strengths above 0",
        lambda: Active("a", 3, 0.1, 1)),
    "lots in part": (lambda: Active({"x": 0.5, "y": 0.4}, 3, 1, 1),
        "the lots of line {'x': 0.5, 'y': 0.4} deliver 0.9 of it in all; give parts that sum to 1",
        lambda: Active(LOTS, 3, 1, 1)),
    "lot": (lambda: Active(LOTS, 3, 1, {"x": 1, "y": 0}), "lot 'y' has strength 0; pass strengths above 0",
        lambda: Active(LOTS, 3, 1, {"x": 1, "y": 0.1})),
    "strength by lot": (lambda: Active("a", 3, 1, {"x": 1, "y": 2}),
        "line 'a' has a strength for each of 2 lots and names none of them; pass one strength, or name={lot: "
        "its part of the line}",
        lambda: (Active("a", 3, 1, 1), Active(name=LOTS, estimated=3, target_strength=1, strength={"x": 1, "y": 2}))),
    "lots": (lambda: Active(LOTS, 3, 1, {"x": 1}),
        "lots ['x', 'y'] have strengths for ['x']; give each lot its strength",
        lambda: Active(LOTS, 3, 1, {"x": 1, "y": 1})),
    "recipe size": (lambda: recipe(Filler("a"), size=0), "the size is 0; pass a size above 0",
        lambda: recipe(Filler("a"), size=1)),
    "recipe lines": (lambda: quantities("ab", 10), "lines is of type str; pass a list of Fixed, Active, Compensating or",
        lambda: quantities([Fixed("a", 3), Active("b", 3, 1, 1), Compensating("c", 1), Filler("d")], 10)),
    "line without a name": (lambda: Fixed(["a"], 1),
        "the name of a line is of type list, which cannot be hashed; pass the label of a group", lambda: Fixed("a", 1)),
    "line twice": (lambda: recipe(Fixed("a", 1), Filler("a")), "line 'a' is given twice; give each name one line",
        lambda: recipe(Fixed("a", 1), Filler("b"))),
    "line too large": (lambda: recipe(Fixed("a", 10.000001), Filler("b")),
        "line 'a' comes out at 10.000001, the size is 10; change the estimates, the factor or the size",
        lambda: recipe(Fixed("a", 10.000001), Filler("b"), size=11)),
    "line below 0": (lambda: recipe(Active("a", 3, 2, 1), Compensating("c", 2), Filler("b")),
        "line 'c' comes out at -1, the size is 10",
        lambda: recipe(Active("a", 3, 2, 1), Compensating("c", 2, factor=0.5), Filler("b"))),
    "no line": (lambda: recipe(("a", 10)), "a line is ('a', 10); pass Fixed, Active, Compensating or Filler lines",
        lambda: recipe(Fixed("a", 10))),
    "fillers": (lambda: recipe(Filler("a", 0)), "the fillers' estimates sum to 0; estimate one of them above 0",
        lambda: recipe(Filler("a", 1))),
    "no filler": (lambda: recipe(Fixed("a", 9.5)),
        "the lines come to 9.5, the size is 10, and no line is a filler; add a Filler line",
        lambda: (recipe(Fixed("a", 9.5), Filler("b")), recipe(Fixed("a", 10)))),
    # moving targets
    "limits": (lambda: moved(floor=0.5, ceiling=0.25), "floor is 0.5 and ceiling 0.25; pass 0 <= floor <= ceiling <= 1",
        lambda: moved(floor=0.25, ceiling=0.5)),
    "moves by itself": (lambda: targets.moving(targets.schedule(0, 1, epochs=2)),
        "moves by itself; pass a target that stays", lambda: targets.moving(0)),
    "outside": (lambda: moved(ceiling=0.4999999),
        "gives group 'cat' the share 0.5 to begin with, the limits are 0 to 0.4999999; begin within the "
        "limits, or widen them",
        lambda: (moved(ceiling=0.5), aimed(targets.moving({"cat": 0.4, "dog": 0.6}, ceiling=0.6)))),
    # targets
    "target": (lambda: aimed("even"), "no target is called 'even'; pass one of 'natural', 'uniform', 'sqrt'",
        lambda: (aimed("natural"), aimed("uniform"), aimed("sqrt"))),
    "table": (lambda: aimed([[0.5, 0.5]]), "the target has shape (1, 2); pass one share a group",
        lambda: aimed([0.5, 0.5])),
    "not called": (lambda: aimed(targets.uniform),
        "the target is targets.uniform itself; call it, and pass what it gives", lambda: aimed(targets.uniform())),
    "arguments": (lambda: aimed(lambda a, b, c: 1),
        "a target function of 3 arguments is not understood; take (counts) or (counts, epoch)",
        lambda: (aimed(lambda counts: [0.5, 0.5]), aimed(lambda counts, epoch: [0.5, 0.5]))),
    "target None": (lambda: aimed(None),
        "the target is None, which is not understood; pass a name, a number from 0 to 1, a mapping",
        lambda: (aimed("uniform"), aimed(0.5), aimed(HALF), aimed([0.5, 0.5]), aimed(targets.uniform()))),
    "alpha": (lambda: aimed(1.5), "alpha is 1.5; pass a number from 0 (natural) to 1 (uniform)",
        lambda: (aimed(0), aimed(1))),
    "power": (lambda: targets.power(2), "q is 2; pass a number from 0 (class-balanced) to 1 (instance-balanced)",
        lambda: (targets.power(0), targets.power(1))),
    "temperature": (lambda: targets.temperature(0.5), "the temperature is 0.5; pass 1 (natural) or more",
        lambda: targets.temperature(1)),
    "beta": (lambda: targets.effective_number(1),
        "beta is 1; pass a number from 0 up to, not including, 1, such as 0.999",
        lambda: (targets.effective_number(0), targets.effective_number(0.999))),
    "threshold": (lambda: targets.repeat_factor(2), "threshold is 2; pass a natural share, from 0 to 1, such as 0.001",
        lambda: targets.repeat_factor(0.001)),
    "max_passes": (lambda: targets.capped(0), "max_passes is 0; pass a number above 0", lambda: targets.capped(0.5)),
    "capped while it moves": (lambda: targets.capped(2, targets.schedule("natural", "uniform", epochs=3)),
        "moves; pass shares that stay, and schedule from one capped(...) to another",
        lambda: targets.schedule(targets.capped(2, "natural"), targets.capped(2), epochs=3)),
    "capped": (lambda: targets.capped(1.5, budget=7).shares([2, 1]),
        "1.5 passes through 3 samples give 4.5, the budget is 7; pass max_passes=2.333334 or more, or a "
        "smaller budget",
        lambda: (targets.capped(2.333334, budget=7).shares([2, 1]), targets.capped(1.5, budget=4).shares([2, 1]))),
    "capped far": (lambda: huge_cap(1),
        "1 passes through 1 samples give 1, the budget is 9007199254740993; pass max_passes=9007199254740993 "
        "or more", lambda: huge_cap(9007199254740993)),
    "one label twice": (lambda: aimed({1: 0.5, torch.tensor(1): 0.5}, [1, 2]),
        "two of the shares are of one label; give each", lambda: aimed({1: 0.5, torch.tensor(2): 0.5}, [1, 2])),
    "negative share": (lambda: aimed({"cat": 1.5, "dog": -0.5}), "'dog' has share -0.5; give shares of 0 or more",
        lambda: aimed({"cat": 1, "dog": 0})),
    "shares off 1": (lambda: aimed({"cat": 3, "dog": 1}), "the shares sum to 4, not to 1; divide each by their sum",
        lambda: aimed({"cat": 3 / 4, "dog": 1 / 4})),
    "shares of some groups": (lambda: aimed({"cat": 0.25}),
        "the shares sum to 0.25, not to 1; give the groups that are left out a share too; if there are none, divide each",
        lambda: (aimed({"cat": 0.25, "dog": 0.75}), aimed({"cat": 0.25 / 0.5, "dog": 0.25 / 0.5}))),
    "shares just off 1": (lambda: aimed([0.5, 0.500002]),
        "the shares sum to 1.000002, not to 1; divide each by their sum",
        lambda: aimed([0.5 / 1.000002, 0.500002 / 1.000002])),
    "shares of 0": (lambda: aimed({"cat": 0, "dog": 0}),
        "the shares sum to 0, not to 1; give shares of 0 or more that sum to 1", lambda: aimed({"cat": 1, "dog": 0})),
    "shares beyond float64": (lambda: aimed({"cat": 1e308, "dog": 1e308}),
        "the shares sum to inf, not to 1; give shares of", lambda: aimed(HALF)),
    "long schedule": (lambda: targets.schedule(0, 1, epochs=131073),
        "the schedule takes 131073 epochs, the most is 131072; pass fewer",
        lambda: targets.schedule(0, 1, epochs=131072)),
    "no length": (lambda: targets.schedule(0, 1), "epochs is None and batches is None; pass one of them",
        lambda: [targets.schedule(0, 1, epochs=2), targets.schedule(0, 1, batches=2)]),
    "two counts": (lambda: targets.schedule(targets.schedule(0, 1, batches=9), 1, epochs=2),
        "moves by itself, and it or the change to it is counted in micro-batches; count both in epochs",
        lambda: targets.schedule(targets.schedule(0, 1, epochs=9), 1, epochs=2)),
    "one stage": (lambda: targets.stages("natural"), "the stages are of type str; pass each target under the micro-batch at",
        lambda: targets.stages({0: "natural", 5000: "uniform"})),
    "a list of stages": (lambda: targets.stages([0, 1]), "the stages are of type list; pass each target under the",
        lambda: targets.stages({0: 0, 5000: 1})),
    "no first stage": (lambda: targets.stages({100: 1}), "no target begins at micro-batch 0; say what the run begins with",
        lambda: targets.stages({0: 0, 100: 1})),
    "stage before the run": (lambda: targets.stages({0: 0, -1: 1}),
        "a stage begins at micro-batch -1; let it begin at one from 0 to 382252089343, the last",
        lambda: targets.stages({0: 0, 382252089343: 1})),
    "stage with too few shares": (lambda: aimed(targets.stages({0: 0, 100: [1], 200: 1})),
        "from micro-batch 100 on: [1] gave 1 shares for 2 groups; give one share a group",
        lambda: aimed(targets.stages({0: 0, 100: [0.5, 0.5], 200: 1}))),
    "stage that moves": (lambda: targets.stages({0: 0, 100: targets.schedule(0, 1, epochs=2)}),
        "the target of micro-batch 100 moves by itself: schedule(", lambda: targets.stages({0: 0, 100: 1})),
    "odd stages": (lambda: targets.stages({0: 0, 200_000: 0.5, 200_001: 1}),
        "the stages begin at multiples of 1, and the last one at 200001, which is more than 131072 of them; pass rounder",
        lambda: targets.stages({0: 0, 200_000: 0.5, 201_000: 1})),
    "shape": (lambda: targets.schedule(0, 1, epochs=2, shape="log"),
        "shape is 'log'; pass 'linear', 'cosine' or a",
        lambda: [targets.schedule(0, 1, epochs=2, shape=shape) for shape in ("linear", "cosine", lambda way: way)]),
    "never settles": (lambda: targets.schedule(0, lambda counts, epoch: [0.5, 0.5], epochs=2),
        "a schedule between functions of the epoch never settles; write one function(counts, epoch) for the "
        "whole way", lambda: aimed(lambda counts, epoch: [0.5, 0.5])),
    "scheduled": (lambda: targets.schedule(targets.moving(0), 1, epochs=2),
        "is set while training runs and cannot be scheduled; pass what it begins as, or moving(...) alone and"
        " set its shares with sampler.retarget",
        lambda: (targets.schedule(0, 1, epochs=2), aimed(targets.moving(0)).sampler().retarget(HALF))),
    "shape beyond 1": (lambda: aimed(targets.schedule(0, 1, epochs=2, shape=lambda way: 1 + way)),
        "the shape gives 1.5 at epoch 1; give values",
        lambda: aimed(targets.schedule(0, 1, epochs=2, shape=lambda way: way**2))),
    "shape beyond 1 in micro-batches": (lambda: aimed(targets.schedule(0, 1, batches=1000, shape=lambda way: 2 * way)),
        "the shape gives 1.02 at micro-batch 510; give values",
        lambda: aimed(targets.schedule(0, 1, batches=1000, shape=lambda way: way**2))),
    "unknown label": (lambda: aimed({"cat": 0.5, "dgo": 0.5}),
        "a share is given to 'dgo' but the labels are 'cat', 'dog'; use", lambda: aimed({"cat": 0.5, "dog": 0.5})),
    "without share": (lambda: aimed({"cat": 1}),
        "1 of 2 groups have no share, 'dog' the first; give every group a share; 0 says",
        lambda: aimed({"cat": 1, "dog": 0})),
    "label and name": (lambda: aimed({"cat": 0.5, 0: 0.5}, Named()),
        "label 0 is given two shares; give it one, by its label or",
        lambda: (aimed({0: 0.5, 1: 0.5}, Named()), aimed({"cat": 0.5, "dog": 0.5}, Named()))),
    "few shares": (lambda: aimed(lambda counts: [1]),
        "the target function gives 1 shares for 2 groups; give one share a group",
        lambda: aimed(lambda counts: [0.25, 0.75])),
    "function by label": (lambda: aimed(lambda counts: HALF),
        "the target function gives a dict at epoch 0; give a list with one share a group, in the order of the counts, or",
        lambda: (aimed(lambda counts: [0.5, 0.5]), aimed(HALF), aimed(targets.schedule(HALF, HALF, epochs=2)))),
    "function off 1": (lambda: aimed(lambda counts: [1, 3]),
        "the target function's shares sum to 4 at epoch 0, not to 1; divide",
        lambda: aimed(lambda counts: [1 / 4, 3 / 4])),
    "function of tenths": (lambda: aimed(lambda counts: [0.1] * 9, range(9)),
        "shares sum to 0.9 at epoch 0, not to 1; divide each by their sum",
        lambda: aimed(lambda counts: [0.1 / 0.9] * 9, range(9))),
    "function of 0": (lambda: aimed(lambda counts: [1, -1]),
        "shares sum to 0 at epoch 0, not to 1; give shares of 0 or more", lambda: aimed(lambda counts: [1, 0])),
    "listed shares": (lambda: aimed([0.5, 0.25, 0.25]),
        "[0.5, 0.25, 0.25] gave 3 shares for 2 groups; give one share a group", lambda: aimed([0.5, 0.5])),
    "share nan": (lambda: aimed(lambda counts: [np.nan, 1]),
        "gives group 'cat' the share nan; give finite shares of 0 or more", lambda: aimed(lambda counts: [0, 1])),
    "share of nothing": (lambda: aimed({"a": 0.1234567891, "b": 0.8765432109}, Groups.from_sizes({"a": 0, "b": 3})),
        "gives group 'a' the share 0.1234567891 but it has 0 samples; give empty groups no share, or leave " "them out",
        lambda: (aimed({"a": 0, "b": 1}, Groups.from_sizes({"a": 0, "b": 3})),
                 aimed({"b": 1}, Groups.from_sizes({"b": 3})))),
    "no share": (lambda: targets.uniform().shares([0, 0]),
        "uniform() gives all 2 groups no share; give one of them a share", lambda: targets.uniform().shares([1, 0])),
    "capped nothing": (lambda: targets.capped(1, budget=5).shares([0]),
        "uniform() gives all 1 groups no share; give", lambda: targets.capped(1, budget=5).shares([5])),
    "estimate nan": (lambda: recipe(Fixed("a", float("nan")), Filler("b")),
        "estimated of line 'a' is nan, not a finite number; pass", lambda: recipe(Fixed("a", 1), Filler("b"))),
    # units
    "lengths": (lambda: aimed(targets.in_units("uniform", [1, 2])),
        "there are 2 lengths for 10 samples; pass one length a sample",
        lambda: aimed(targets.in_units("uniform", range(1, 11)))),
    "length 0": (lambda: aimed(targets.in_units("uniform", [1] * 6 + [0] * 4)),
        "group 'dog' has 4 samples of length 0 in all; give it a length, or leave it out",
        lambda: (aimed(targets.in_units("uniform", [1] * 10)),
                 aimed(targets.in_units("uniform", [1] * 6), LABELS[:6]))),
    "large lengths": (lambda: aimed(targets.in_units("uniform", [1e308] * 10)),
        "the lengths of group 'cat' sum to more than 1.7976931348623157e+308; pass lengths in a larger unit",
        lambda: aimed(targets.in_units("uniform", [1e308 / 1e6] * 10))),
    "negative length": (lambda: targets.in_units("uniform", [1, -0.5]),
        "sample 1 has length -0.5; pass lengths of 0 or", lambda: targets.in_units("uniform", [1, 0])),
    "moving in units": (lambda: targets.in_units(targets.moving("uniform"), [1] * 10),
        "is set while training runs, in shares of samples; pass moving(in_units(...)) instead",
        lambda: aimed(targets.moving(targets.in_units("uniform", [1] * 10)))),
    "not bound": (lambda: targets.in_units("uniform", [1] * 10).shares([6, 4]),
        "a target in units has shares only where it is known which sample is in which group; ask the plan, or"
        " bind it: target.bound_to(groups)",
        lambda: (aimed(targets.in_units("uniform", [1] * 10)).shares(), bound_shares())),
})  # fmt: skip


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    told_and_followed(CASES[case])


def test_every_refusal_in_these_files_is_among_these():
    check_that_all_are_reached(FILES, 50, [CASES])
