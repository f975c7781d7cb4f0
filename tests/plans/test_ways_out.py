"""Every refusal of the plans of fixed size, of tasks and of the sampler: its fact, and its way out, which is followed."""

from __future__ import annotations

import ast
import pathlib
import re
import sys
from itertools import islice

import numpy as np
import pytest

import batchwright as bw
from batchwright import Infeasible
from batchwright.correct import LogitAdjustment
from batchwright.plans.micro_batches import LAST
from batchwright.plans.position import Position
from batchwright.plans.refit import Trail
from batchwright.plans.standing import Standing

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # ways out that give nearly what was asked

FILES = [
    *(
        f"plans/{name}.py"
        for name in (
            "build", "alternate", "mix", "rake", "repeats", "multi", "rotate", "hierarchy", "tasks", "retarget", "fixed",
            "plan", "micro_batches", "position", "refit",
        )
    ),
    "sampler.py",
    "lists.py",
]  # fmt: skip

LABELS = ["cat"] * 6 + ["dog"] * 4
LEVELS = [list("aaaabbbbcccc"), list("xxyyxxyyxxyy")]
TAGS = [["a"], ["a", "b"], ["b"], []]
MARGINS = {"sex": "uniform", "site": "uniform"}
COLUMNS = {"sex": list("mmmmff"), "site": list("aabbab")}
APART = {"sex": list("mmff"), "site": list("aabb")}  # all men at a, all women at b
AGAINST = {"sex": {"m": 0.9, "f": 0.1}, "site": {"a": 0.2, "b": 0.8}}
MOVES = bw.targets.schedule("natural", "uniform", epochs=3)
WANDERS = bw.targets.moving("uniform", floor=0.2, ceiling=0.7)
EMPTY = bw.Groups.from_sizes({"cat": 6, "dog": 4, "owl": 0})
NEVER = hex(Standing(0, (-5, 9)).encoded(always=Standing(0, (0, 0))))
OPEN: set[str] = set()  # files and numbers of refusals that no case comes to


def balanced(*, labels=LABELS, batch_size=4, **more):
    return bw.balanced(labels, batch_size, **more)


def tasks(**more):
    return bw.alternating({"a": bw.shuffled(8, 4), "b": bw.shuffled(8, 4)}, **more)


def raked(attributes=COLUMNS, margins=MARGINS, batch_size=4, **more):
    return bw.raked(attributes, margins, batch_size, **more)


def rates(labels=TAGS, target="natural", **more):
    return bw.multilabel_weights(labels, target=target, **more)


def rotating(cohorts, **more):
    return bw.rotating(list("aabbcc"), cohorts, per_class=1, **more)


def levels(per, columns=LEVELS, **more):
    return bw.hierarchical(columns, per, **more)


def mixed(sources, batch_size=4, **more):
    return bw.mixed(sources, batch_size, **more)


def movable(**more):
    return balanced(target=WANDERS, **more)


def lengths(numbers=40):
    return bw.budgeted([1 + number % 3 for number in range(numbers)], 9)


def sampler(plan=None, **more):
    return (balanced() if plan is None else plan).sampler(**more)


def used_sampler(plan=None, lists=1):
    taken = sampler(plan)
    assert len(list(islice(taken, lists))) == lists
    return taken


def state_of(plan=None, lists=1):
    return used_sampler(plan, lists).state_dict()


def wandering(counts, epoch):
    return [0.5, 0.5] if epoch % 2 else [0.25, 0.75]


def load(state, plan=None):
    """Load a state, and go on from it."""
    taken = sampler(plan)
    taken.load_state_dict(state)
    next(iter(taken))


def load_changed(plan=None, **entries):
    load({**state_of(plan), **entries}, plan)


def load_without(name):
    load({key: value for key, value in state_of().items() if key != name})


def load_as_it_was(plan=None):
    load(state_of(plan), plan)


def set_again(times=1):
    """The sampler of a run in which the shares were set so often."""
    taken = sampler(movable())
    for number in range(times):
        taken.seek(0, epoch=100 * number)
        taken.retarget([0.3, 0.7] if number % 2 else [0.7, 0.3])
    return taken


def load_segments(change, times=1):
    state = set_again(times).state_dict()
    load({**state, "segments": change(state["segments"])}, movable())


def load_set(times=1):
    load(set_again(times).state_dict(), movable())


def begin(taken, epoch):
    taken.seek(0, epoch=epoch)
    next(iter(taken))


def retarget(shares, plan=None):
    sampler(movable() if plan is None else plan).retarget(shares)


def numbers_of(refused):
    """The numbers in the way out of a refusal, as they are written."""
    with pytest.raises(Infeasible) as refusal:
        refused()
    return [int(number) for number in re.findall(r"\d+", refusal.value.way_out)]


def go_on_elsewhere(*, anew):
    """Draw, ask for another place, and go on: with the iterator that had begun, or with a new one."""
    taken = sampler()
    iterator = iter(taken)
    next(iterator)
    taken.seek(2, epoch=5)
    assert len(next(iter(taken) if anew else iterator)) == 4


def lists_of(state):
    loaded = iter(sampler())
    loaded.load_state_dict(state)
    assert next(loaded)


def short_rest(world_size, *, anew=False):
    """Go on in another world where 1 micro-batch of 2 samples is left of the epoch, or begin the next epoch there."""
    plan = bw.budgeted([1] * 12, 2)
    taken = sampler(plan, rank=0, world_size=world_size)
    if anew:
        taken.set_epoch(1)
    else:
        taken.load_state_dict(state_of(plan, 5))
    next(iter(taken))


MOST = (1 << 30) // 89
CASES = {  # what is refused, what is said of it, and what its way out says to do
    # build
    "samples": (lambda: bw.shuffled(2**62, 4), f"samples is {2**62}, the most is {2**61}",
                lambda: bw.shuffled(*numbers_of(lambda: bw.shuffled(2**62, 4)), 4)[5]),
    "draw": (lambda: balanced(draw="x" * 9999), "draw is 'xxx",
             lambda: (balanced(draw="exact"), balanced(draw="random"))),
    "per_class": (lambda: balanced(batch_size=5, per_class=2), "per_class=2 does not divide batch_size=5",
                  lambda: (balanced(batch_size=4, per_class=2), balanced(batch_size=5, per_class=5))),
    "per_class above batch_size": (lambda: balanced(batch_size=2, per_class=4), "per_class=4 does not divide batch_size=2",
                                   lambda: (balanced(batch_size=4, per_class=4), balanced(batch_size=2, per_class=1))),
    "per_source": (lambda: mixed({"a": 8}, 4, per_source=3), "per_source=3 does not divide batch_size=4",
                   lambda: (mixed({"a": 8}, 3, per_source=3), mixed({"a": 8, "b": 8}, 4, per_source=2))),
    "large batch": (lambda: balanced(batch_size=MOST + 1), f"batch_size is {MOST + 1}, the most is {MOST}",
                    lambda: balanced(batch_size=numbers_of(lambda: balanced(batch_size=MOST + 1))[0])),
    "groups in a batch": (lambda: balanced(batch_size=12, per_class=4), "asks for 3 groups a batch, there are 2",
                          lambda: (balanced(batch_size=8, per_class=4), balanced(batch_size=12, per_class=6))),
    "distinct, independent": (lambda: balanced(draw="random", distinct=True), "cannot be promised for independent draws",
                              lambda: (balanced(distinct=True), balanced(draw="random"))),
    "distinct, moving for ever": (
        lambda: mixed({"a": 50, "b": 50}, distinct=True, target=wandering),
        "cannot be promised with the target .*: its shares may move in any epoch",
        lambda: (mixed({"a": 50, "b": 50}, distinct=True, target=MOVES),
                 mixed({"a": 50, "b": 50}, target=wandering))),
    "distinct": (
        lambda: balanced(batch_size=10, distinct=True), "group 'dog' has 4 samples but a batch takes 5, and distinct",
        lambda: (balanced(batch_size=8, distinct=True), balanced(batch_size=10),
                 balanced(batch_size=10, target={"cat": 0.6, "dog": 0.4}, distinct=True))),
    "distinct, per_class": (
        lambda: balanced(batch_size=10, per_class=5, distinct=True), "group 'dog' has 4 samples but a batch takes 5",
        lambda: (balanced(batch_size=8, per_class=4, distinct=True), balanced(batch_size=10, per_class=5))),
    "epoch that moves": (lambda: balanced(target=MOVES, epoch="largest"), "epoch='largest' has no one length where the",
                         lambda: (balanced(target=MOVES, epoch="natural"), balanced(target=MOVES, epoch=7))),
    "epoch by name": (lambda: bw.weighted([1, 2], 2, epoch="all"), "epoch is 'all'",
                      lambda: [bw.weighted([1, 2], 2, epoch=epoch) for epoch in ("natural", "largest", "smallest", 3)]),
    "epoch by name, tasks": (lambda: tasks(epoch="all"), "epoch is 'all'",
                             lambda: (tasks(epoch="natural"), tasks(epoch=3))),
    "no epoch": (lambda: balanced(epoch=0), "epoch is 0 micro-batches", lambda: balanced(epoch=1)),
    # alternate
    "no plan": (lambda: bw.alternating({"a": None}), "task 'a' is None",
                lambda: bw.alternating({"a": balanced(), "b": bw.shuffled(8, 4)})),
    "no plan, a list": (lambda: bw.alternating({"a": []}), "task 'a' is of type list",
                        lambda: bw.alternating({"a": bw.shuffled(8, 4)})),
    "turns that move": (lambda: tasks(target=MOVES), "the target schedule.* moves, and tasks take turns in shares that stay",
                        lambda: (tasks(target="uniform"), tasks(target={"a": 0.3, "b": 0.7}))),
    "datasets": (
        lambda: bw.alternating({"a": bw.shuffled(8, 4), "b": bw.shuffled(9, 4)}, same_dataset=True),
        "datasets of {'a': 8, 'b': 9} samples, and same_dataset=True",
        lambda: (tasks(same_dataset=True), bw.alternating({"a": bw.shuffled(8, 4), "b": bw.shuffled(9, 4)}))),
    # mix
    "distinct in a source": (
        lambda: mixed({"a": 50, "b": balanced(batch_size=8)}, 8, distinct=True),
        "samples of source 'b' may repeat within a micro-batch: its group 'cat' has 6 .*, and distinct samples were asked",
        lambda: (mixed({"a": 50, "b": balanced(batch_size=4)}, 8, target="uniform", distinct=True),
                 mixed({"a": 50, "b": balanced(batch_size=8)}, 8))),
    "tasks in a mixture": (
        lambda: mixed({"a": tasks()}), "source 'a' keeps each micro-batch to one task",
        lambda: (mixed({"a": bw.shuffled(8, 4), "b": bw.shuffled(8, 4)}),
                 bw.alternating({"mixture": mixed({"a": 50, "b": 50}), "other": bw.shuffled(8, 4)}))),
    "lengths in a mixture": (
        lambda: mixed({"a": lengths()}), "source 'a' is a plan whose micro-batches differ in size",
        lambda: bw.budgeted([1] * 50, 9, order=mixed({"a": 20, "b": 30}))),
    # rake
    "no margin": (lambda: raked(margins={"sex": "uniform"}), "attribute 'site' has no margin", raked),
    "no column": (lambda: raked({"sex": COLUMNS["sex"]}), "attribute 'site' has no column", raked),
    "columns": (lambda: raked({"sex": list("mf"), "site": list("aab")}), "of different lengths: {'sex': 2, 'site': 3}",
                lambda: raked({"sex": list("mff"), "site": list("aba")})),
    "many levels": (
        lambda: raked({"id": np.arange(4097)}, {"id": "uniform"}), "the 1 attributes have 4097 levels in all, the most is",
        lambda: (raked({"id": np.arange(4097) // 99}, {"id": "uniform"}), balanced(labels=np.arange(4097)))),
    "margin that moves": (lambda: raked(margins={"sex": MOVES, "site": "uniform"}), "the margin of 'sex' moves: schedule",
                          lambda: (raked(), raked(margins={"sex": {"m": 0.5, "f": 0.5}, "site": "uniform"}))),
    "margins": (
        lambda: raked(APART, AGAINST), r"cannot be met together: '\w+' '\w' reaches 0\.\d+ of 0\.[1289]$",
        lambda: (raked(APART, AGAINST, closest=True), raked(APART, {**AGAINST, "site": {"a": 0.9, "b": 0.1}}))),
    "margins and limits": (
        lambda: raked(margins=AGAINST, min_repeats=0.9, max_repeats=1.1),
        r"cannot be met together with min_repeats=0.9 and max_repeats=1.1: '\w+' '\w' reaches",
        lambda: (raked(margins=AGAINST, min_repeats=0.001, max_repeats=9),
                 raked(margins=AGAINST, min_repeats=0.9, max_repeats=1.1, closest=True))),
    # repeats
    "min_repeats": (lambda: rates(min_repeats=1.25), "min_repeats is 1.25",
                    lambda: (rates(min_repeats=0), rates(min_repeats=1))),
    "max_repeats": (lambda: rates(max_repeats=0.123456789), "max_repeats is 0.123456789", lambda: rates(max_repeats=1)),
    # multi
    "no labels": (lambda: rates([[], []]), "there are 2 samples with 0 labels", lambda: rates([["a"]])),
    "many labels": (lambda: rates([[number] for number in range(4097)]), "there are 4097 labels, the most is 4096",
                    lambda: rates([[number // 99] for number in range(4097)])),
    "rate of no label": (lambda: rates(target={"a": 0.5, "b": 0.5, "c": 0.1}), "label 'c' has a rate but no sample",
                         lambda: rates(target={"a": 0.5, "b": 0.5})),
    "label without a rate": (lambda: rates(target={"a": 0.5}), "label 'b' has no wanted rate",
                             lambda: rates(target={"a": 0.5, "b": 0.5})),
    "rates that move": (lambda: rates(target=MOVES), "the target schedule.* moves, and weights are found once",
                        lambda: (rates(target="natural"), rates(target={"a": 0.5, "b": 0.5}))),
    "rate": (lambda: rates(target={"a": 1.000000001, "b": 0.5}), "label 'a' has a wanted rate of 1.000000001",
             lambda: rates(target={"a": 1, "b": 0.5})),
    "rate of a named target": (
        lambda: rates([["a", "b"]] * 3 + [["a"]] * 9, lambda counts: [0.99, 0.01]), "label 'a' has a wanted rate of 1.2375",
        lambda: rates([["a", "b"]] * 3 + [["a"]] * 9, {"a": 1, "b": 0.3})),
    "rate without samples": (
        lambda: rates(np.array([[1, 0], [1, 0], [0, 0]]), {0: 0.5, 1: 0.5}),
        "label 1 has a wanted rate of 0.5 but no sample", lambda: rates(np.array([[1, 0], [1, 0], [0, 0]]), {0: 0.5, 1: 0})),
    # rotate
    "per_class of cohorts": (lambda: bw.rotating(LABELS, [["cat"]], per_class=0), "per_class is 0, the least is 1",
                             lambda: bw.rotating(LABELS, [["cat"]], per_class=1)),
    "cohorts": (lambda: rotating(4), "3 classes cannot be split into 4 cohorts", lambda: (rotating(1), rotating(3))),
    "cohorts in a set": (lambda: rotating({"a", "b"}), "cohorts is {.*}, neither a list nor a whole number",
                         lambda: (rotating([["a"], ["b", "c"]]), rotating(2))),
    "unit of cohorts": (lambda: rotating(2, unit="step"), "unit is 'step' for cohorts that are drawn",
                        lambda: (rotating([["a"], ["b", "c"]], unit="step"), rotating(2, unit="batch"))),
    "cohort": (lambda: rotating(["ab", "c"]), "a cohort is 'ab'", lambda: (rotating([["a", "b"], ["c"]]), rotating(2))),
    "no cohorts": (lambda: rotating([]), r"the cohorts are \[\]", lambda: rotating([["a"]])),
    "empty cohort": (lambda: rotating([["a"], []]), r"the cohorts are \[\('a',\), \(\)\]",
                     lambda: rotating([["a"], ["b"]])),
    "cohort twice": (lambda: rotating([["a"], ["b"], ["a"]]), r"cohort \('a',\) is given 2 times",
                     lambda: rotating([["a"], ["b"]])),
    "class twice": (lambda: rotating([["a", "b", "b"]]), r"cohort \('a', 'b', 'b'\) names class 'b' 2 times",
                    lambda: rotating([["a", "b"]])),
    # hierarchy
    "no levels": (lambda: bw.hierarchical(None, [4]), "levels is None and per of type list",
                  lambda: bw.hierarchical(LEVELS, [2, 2, 1])),
    "counts": (lambda: levels([2, 2]), "there are 2 levels and 2 counts", lambda: levels([2, 2, 1])),
    "count": (lambda: levels([2, 0, 1]), r"per is \[2, 0, 1\]", lambda: levels([2, 1, 1])),
    "levels that move": (lambda: levels([2, 2, 1], target=MOVES), "the target schedule.* moves, and the shares of levels",
                         lambda: (levels([2, 2, 1], target="uniform"),
                                  levels([2, 2, 1], target={"a": 0.5, "b": 0.25, "c": 0.25}))),
    "due too often": (
        lambda: levels([2, 2, 1], target={"a": 0.7000001, "b": 0.1499999, "c": 0.15}),
        "'a' is due 1.4000002 times in a batch that takes 2",
        lambda: (levels([2, 2, 1], target={"a": 1 / 2, "b": 0.25, "c": 0.25}),
                 levels([1, 2, 1], target={"a": 0.7000001, "b": 0.1499999, "c": 0.15}))),
    "branches": (lambda: levels([2, 3, 1]), "'a' has 2 groups below it, a batch takes 3",
                 lambda: levels([2, *numbers_of(lambda: levels([2, 3, 1])), 1])),
    "categories": (lambda: levels([4, 1, 1]), "'the dataset' has 3 groups below it, a batch takes 4",
                   lambda: levels([*numbers_of(lambda: levels([4, 1, 1])), 1, 1])),
    "large batch of levels": (lambda: levels([2, 2, 2**60]), f"would have {2**62} samples, the most is {MOST}",
                              lambda: levels([1, 1, *numbers_of(lambda: levels([2, 2, 2**60]))])),
    "empty class": (lambda: levels([1, 8], [EMPTY]), "'owl' has 0 samples, a batch takes 8",
                    lambda: levels([1, 8], [LABELS])),
    "distinct below": (
        lambda: levels([2, 2, 3], distinct=True), r"'a / x' has 2 samples, a batch takes 3 \(6 such groups\), and distinct",
        lambda: (levels([2, 2, *numbers_of(lambda: levels([2, 2, 3], distinct=True))], distinct=True), levels([2, 2, 3]))),
    # tasks
    "unit": (lambda: tasks(unit="x" * 9999), "unit is 'xxx", lambda: (tasks(unit="batch"), tasks(unit="step"))),
    "multiple of tasks": (lambda: tasks().epoch_length(0), "multiple is 0", lambda: tasks().epoch_length(2 * 4)),
    "epoch of tasks": (lambda: tasks().epoch(-1), "epoch is -1", lambda: tasks().epoch(0)[0]),
    "origin of tasks": (lambda: load_changed(tasks(), origin=-1), "the state's origin is not that of 2 tasks",
                        lambda: load_as_it_was(tasks())),
    "turns of tasks": (lambda: load_changed(tasks(), consumed=0, origin=NEVER),
                       "the state stands at turn 0, by which its tasks have had -5 to 9 micro-batches",
                       lambda: load_as_it_was(tasks())),
    # retarget
    "shares of independent draws": (
        lambda: retarget("uniform", movable(draw="random")), "cannot be set: its draws are independent",
        lambda: retarget([0.3, 0.7], movable(draw="exact"))),
    "shares of levels": (lambda: retarget("uniform", levels([2, 2, 1])), "cannot be set: its groups come in turn",
                         lambda: retarget([0.3, 0.7], movable(draw="exact"))),
    "shares of samples": (lambda: retarget("uniform", bw.weighted([1, 2, 3], 2)), "they are weights of single samples",
                          lambda: retarget([0.3, 0.7], balanced(labels=bw.Groups.from_labels(LABELS), target=WANDERS))),
    "shares": (lambda: retarget("uniform", balanced()), "the shares of <plan.* cannot be set$",
               lambda: retarget([0.3, 0.7])),
    "shares that move": (lambda: retarget(MOVES), "the target schedule.* moves", lambda: retarget("natural")),
    "shares of no group": (lambda: retarget({"cat": 0.5, "dog": 0.5, "owl": 0}), "new shares name 'owl', which is no group",
                           lambda: retarget({"cat": 0.5, "dog": 0.5})),
    "group without a share": (lambda: retarget({"cat": 0.5}), "the new shares have none for group 'dog'",
                              lambda: retarget({"cat": 0.5, "dog": 0.5})),
    "shape of shares": (lambda: retarget([[0.5, 0.5]]), r"the new shares are of shape \(1, 2\)",
                        lambda: retarget(np.array([[0.5, 0.5]]).reshape(2))),
    "sum of shares": (lambda: retarget([0.5, 0.50001]), "the 2 new shares sum to 1.00001", lambda: retarget([0.5, 0.5])),
    "share outside": (lambda: retarget([0.71, 0.29]), "'cat' is given the share 0.71, the plan is laid out for 0.2 to 0.7",
                      lambda: (retarget([0.7, 0.3]), retarget([0.71, 0.29], balanced(target=bw.targets.moving("uniform"))))),
    "share of nobody": (
        lambda: retarget([0.4, 0.3, 0.3], balanced(labels=EMPTY, target=bw.targets.moving("natural"))),
        "group 'owl' is given the share 0.3 but it has 0 samples",
        lambda: retarget([0.4, 0.6, 0], balanced(labels=EMPTY, target=bw.targets.moving("natural")))),
    "shares of a state": (lambda: load_changed(segments=set_again().state_dict()["segments"]),
                          "there are shares that were set, those of <plan.* cannot be", load_as_it_was),
    "changes of shares": (lambda: load_segments(lambda found: found[::-1], 2), "change 1 of the shares, at micro-batch",
                          lambda: load_set(2)),
    "columns of shares": (lambda: load_segments(lambda found: [[*found[0][:2], [1], [1], [1]]]),
                          "1 shares were set, with 1 draws and 1 dues, of 2 groups", load_set),
    "numbers of shares": (lambda: load_segments(lambda found: [[found[0][0] + 1, *found[0][1:]]]),
                          "the shares that were set at micro-batch 1 do not go with what was drawn by then", load_set),
    # fixed
    "multiple": (lambda: balanced().epoch_length(0), "multiple is 0", lambda: balanced().epoch_length(2 * 4)),
    "epoch": (lambda: balanced().epoch(-1), "epoch is -1", lambda: balanced().epoch(0)[0]),
    "forgotten shares": (
        lambda: begin(set_again(12), 0),
        r"micro-batch 0 came before the shares of micro-batch \d+ were set, and only the last 8 times",
        lambda: begin(set_again(12), 1200)),
    # plan
    "no stretch": (lambda: tasks().prior_between(3, 3), "no micro-batches from 3 to 3",
                   lambda: tasks().prior_between(0, 3)),
    "no one prior": (
        lambda: movable().sampled_prior, "may move for ever, so it has no one prior",
        lambda: (LogitAdjustment.from_plan(movable(), batches=9), movable().prior_between(0, 9),
                 LogitAdjustment.from_sampler(used_sampler(movable())))),
    "weights that move": (lambda: movable().weights([0]), "the plan's shares move", lambda: movable().weights([0], epoch=2)),
    "weights of no group": (
        lambda: balanced(labels=bw.Groups.from_indices({"cat": [0, 1]}, sample_count=4)).weights([3]),
        "sample 3 of no group is never drawn",
        lambda: balanced(labels=bw.Groups.from_indices({"cat": [0, 1]}, sample_count=4)).weights([0, 1])),
    "weights": (lambda: balanced(target={"cat": 1, "dog": 0}).weights([9]), "sample 9 of group 'dog' is never drawn",
                lambda: balanced(target={"cat": 1, "dog": 0}).weights(balanced(target={"cat": 1, "dog": 0})[0])),
    # micro_batches
    "past the last": (lambda: balanced()[2**40], f"micro-batch {2**40} is past the last, {LAST}", lambda: balanced()[LAST]),
    "stretch": (lambda: load_changed(consumed=99), "the state has consumed 99 micro-batches of an epoch of 3 from 0 on",
                load_as_it_was),
    "stretch with a trail": (lambda: load_changed(trail=[1, 2]), "with a trail of 2 numbers", load_as_it_was),
    "late epoch": (lambda: begin(sampler(), 2**40), f"epoch {2**40} ends at micro-batch {3 * 2**40 + 3}, the last is {LAST}",
                   lambda: begin(sampler(), 2**30)),
    # position
    "a number": (lambda: load_changed(consumed="3"), "the state's consumed is '3', not a whole number", load_as_it_was),
    "a large number": (lambda: load_changed(epoch=1 << 63), "the state's epoch is a number of 64 bits", load_as_it_was),
    "missing number": (lambda: load_without("origin"), "the state has no 'origin'", load_as_it_was),
    "small numbers": (lambda: load_changed(multiple=0), "the state's epoch, consumed and multiple are 0, 1 and 0",
                      load_as_it_was),
    "trail": (lambda: load_changed(trail="a"), "the state's trail is 'a'", load_as_it_was),
    # refit
    "numbers of a trail": (lambda: Trail.of((1, 2, 3)), "the state's trail has 3 numbers", lambda: Trail.of((1, 2, 3, 0))),
    "trail of a state": (lambda: load_changed(lengths(), trail=[1, 2, 3]), "the state's trail has 3 numbers",
                         lambda: load_as_it_was(lengths())),
    "taken": (lambda: load_changed(lengths(), trail=[0, 0, 0, 0, 1, 9999]), "the state has taken 9999 of",
              lambda: load_as_it_was(lengths())),
    "rest": (lambda: short_rest(8), "1 micro-batches are left .*, a step has 8, and .* gives 1 more at most",
             lambda: (short_rest(2), short_rest(8, anew=True))),
    # sampler
    "rank alone": (lambda: sampler(rank=1), "rank is 1 and world_size is None",
                   lambda: (sampler(rank=1, world_size=2), sampler())),
    "world_size": (lambda: sampler(rank=0, world_size=0), "world_size is 0, the least is 1",
                   lambda: sampler(rank=0, world_size=1)),
    "rank": (lambda: sampler(rank=2, world_size=2), "rank 2 is outside a world of 2",
             lambda: [sampler(rank=rank, world_size=2) for rank in (0, 1)]),
    "no state": (lambda: load(None), "the state is None", load_as_it_was),
    "no state, text": (lambda: load("{}"), "the state is of type str", load_as_it_was),
    "ended": (lambda: load_changed(ended="no"), "the state's ended is 'no', neither True nor False", load_as_it_was),
    "shares of a plan by lengths": (lambda: retarget([0.5, 0.5], lengths()), "the shares of <.* cannot be set",
                                    lambda: retarget([0.5, 0.5])),
    "shares in a state of lengths": (
        lambda: load_changed(lengths(), segments=set_again().state_dict()["segments"]),
        "the state has shares that were set, those of <.* cannot be", lambda: load_as_it_was(lengths())),
    "version": (lambda: load_changed(version=99), "the state has version 99, this is version 1", load_as_it_was),
    "no fingerprint": (lambda: load_without("fingerprint"), "the state has no 'fingerprint'", load_as_it_was),
    "another plan": (lambda: load(state_of(), balanced(seed=1)), r"the state is of plan \w{16}, this is plan \w{16}",
                     lambda: load(state_of(balanced(seed=1)), balanced(seed=1))),
    "another place": (lambda: go_on_elsewhere(anew=False),
                      "list 2 of epoch 5 was asked for, an iterator that had begun before goes on with list 1 of epoch 0",
                      lambda: go_on_elsewhere(anew=True)),
    "step": (lambda: sampler().seek(4), "step 4 of an epoch of 3 steps", lambda: (sampler().seek(0), sampler().seek(3))),
    "segments": (lambda: load_changed(segments=[[1, 2]]), r"the state's segments are \[\[1, 2\]\]", load_as_it_was),
    "many segments": (lambda: load_segments(lambda found: found * 9), "the state has 9 segments, the most is 8", load_set),
    "fetch": (lambda: sampler(fetch=None), "fetch is None",
              lambda: [sampler(fetch=fetch) for fetch in ("micro", "step", 1, 3)]),
    # lists
    "state of lists": (lambda: lists_of({}), "does not say whether the epoch has ended",
                       lambda: lists_of(iter(sampler()).state_dict())),
    "state of lists, changed": (lambda: lists_of({"ended": "no"}), "does not say whether the epoch has ended",
                                lambda: lists_of(iter(sampler()).state_dict())),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    refused, fact, follow = CASES[case]
    with pytest.raises(Infeasible) as refusal:
        refused()
    assert re.search(fact, refusal.value.fact)
    assert refusal.value.way_out
    assert len(str(refusal.value)) < 1300
    follow()


def test_a_number_of_a_state_is_read_back_however_large_it_is():
    for origin in (0, 1 << 62, (1 << 63) - 1, 1 << 63, 1 << 99):
        position = Position(3, 2, 1, origin)
        assert Position.of(position.as_state()) == position


def test_every_refusal_in_the_code_is_among_these(monkeypatch):
    """Each place that makes an `Infeasible` is passed by one of the cases."""
    folder = pathlib.Path(bw.__file__).parent
    places = {}
    for file in FILES:
        calls = [
            node
            for node in ast.walk(ast.parse((folder / file).read_text()))
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "Infeasible"
        ]
        for number, call in enumerate(sorted(calls, key=lambda node: node.lineno)):
            places[f"{file} {number}"] = str(folder / file), call.lineno, call.end_lineno
    made = set()
    original = Infeasible.__init__

    def noting(self, *arguments):
        frame = sys._getframe(1)
        made.add((frame.f_code.co_filename, frame.f_lineno))
        original(self, *arguments)

    monkeypatch.setattr(Infeasible, "__init__", noting)
    for refused, _, _ in CASES.values():
        with pytest.raises(Infeasible):
            refused()
    missed = {
        f"{place}, line {first}"
        for place, (file, first, last) in places.items()
        if not any(seen == file and first <= at <= last for seen, at in made)
    }
    assert len(places) > 80
    assert missed == OPEN
