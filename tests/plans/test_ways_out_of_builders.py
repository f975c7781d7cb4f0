"""Every refusal of the builders of plans of fixed size: its fact, and its way out, which is followed."""

from __future__ import annotations

import numpy as np
import pytest

import batchwright as bw

from ..refusals import cases, told_and_followed
from .small import EMPTY, LABELS, LEVELS, MOVES, balanced, lengths, levels, numbers_of, tasks

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # ways out that give nearly what was asked

TAGS = [["a"], ["a", "b"], ["b"], []]
MARGINS = {"sex": "uniform", "site": "uniform"}
COLUMNS = {"sex": list("mmmmff"), "site": list("aabbab")}
APART = {"sex": list("mmff"), "site": list("aabb")}  # all men at a, all women at b
AGAINST = {"sex": {"m": 0.9, "f": 0.1}, "site": {"a": 0.2, "b": 0.8}}


def raked(attributes=COLUMNS, margins=MARGINS, batch_size=4, **more):
    return bw.raked(attributes, margins, batch_size, **more)


def rates(labels=TAGS, target="natural", **more):
    return bw.multilabel_weights(labels, target=target, **more)


def rotating(cohorts, **more):
    return bw.rotating(list("aabbcc"), cohorts, per_class=1, **more)


def mixed(sources, batch_size=4, **more):
    return bw.mixed(sources, batch_size, **more)


def wandering(counts, epoch):
    return [0.5, 0.5] if epoch % 2 else [0.25, 0.75]


MOST = (1 << 30) // 89


CASES = cases("refuse in_fact follow", {  # what is refused, what is said of it, and what its way out says to do
    "evaluation as a task": (lambda: bw.alternating({"a": bw.evaluation(9, 3)}), "'a' is a plan for evaluation, whose",
                             lambda: bw.alternating({"a": bw.sequential(9, 3)})),
    # build
    "samples": (lambda: bw.shuffled(2**62, 4), f"samples is {2**62}, the most is {2**61}",
                lambda: bw.shuffled(*numbers_of(lambda: bw.shuffled(2**62, 4)), 2**23)),
    "an epoch without end": (
        lambda: bw.shuffled(10**12, 2), f"an epoch has {5 * 10**11} micro-batches, and a plan has {89 * 2**32}, so",
        lambda: (bw.shuffled(10**12, 2 * numbers_of(lambda: bw.shuffled(10**12, 2))[0])[5],
                 bw.shuffled(10**12, 2, epoch=numbers_of(lambda: bw.shuffled(10**12, 2))[1])[5])),
    "draw": (lambda: balanced(draw="x" * 9999), "draw is 'xxx",
             lambda: (balanced(draw="exact"), balanced(draw="random"))),
    "local": (lambda: bw.shuffled(100, 4, local=[50, 50]), "local is of type list",
              lambda: bw.shuffled(100, 4, local=bw.Shards([50, 50]))),
    "local and random": (lambda: bw.shuffled(100, 4, draw="random", local=bw.Shards([50, 50])), "independent draws keep",
                         lambda: (bw.shuffled(100, 4, draw="exact", local=bw.Shards([50, 50])),
                                  bw.shuffled(100, 4, draw="random"))),
    "local and moving": (lambda: balanced(local=bw.Shards([5, 5]), target=MOVES), "with local= shares are constant",
                         lambda: (balanced(local=bw.Shards([5, 5]), target="natural"), balanced(target=MOVES))),
    "local of a mixture": (
        lambda: mixed({"a": 100, "b": 50}, local=bw.Shards([25] * 4)), "local is one bw.Shards, and each source lies in",
        lambda: mixed({"a": 100, "b": 50}, local={"a": bw.Shards([25] * 4)})),
    "local of no source": (
        lambda: mixed({"a": 100, "b": 50}, local={"c": bw.Shards([25] * 4)}), "local has 'c', which is no source",
        lambda: mixed({"a": 100, "b": 50}, local={"a": bw.Shards([25] * 4), "b": None})),
    "local of a plan": (
        lambda: mixed({"a": bw.shuffled(100, 4), "b": 50}, local={"a": bw.Shards([25] * 4)}), "for source 'a', which has an",
        lambda: (mixed({"a": bw.shuffled(100, 4, local=bw.Shards([25] * 4)), "b": 50}),
                 mixed({"a": 100, "b": 50}, local={"a": bw.Shards([25] * 4)}))),
    "local of other samples": (
        lambda: mixed({"a": 100, "b": 50}, local={"a": bw.Shards([25] * 3)}), "of source 'a': the shards have 75 samples, ",
        lambda: mixed({"a": 75, "b": 50}, local={"a": bw.Shards([25] * 3)})),
    "shards of ranks of a source without a whole quota": (
        lambda: mixed({"a": 100, "b": 50}, local={"a": bw.Shards([25] * 4, open=8, ranks=2)}),
        "of source 'a': shards are divided among 2 ranks, and a micro-batch of the mixture takes up to 3 samples of several",
        lambda: (mixed({"a": 100, "b": 50}, target="uniform", local={"a": bw.Shards([25] * 4, open=8, ranks=2)}),
                 mixed({"a": 100, "b": 50}, local={"a": bw.Shards([25] * 4, ranks=1)}))),
    "few open shards of a source": (
        lambda: mixed({"a": 100, "b": 50}, local={"a": bw.Shards([25] * 4, open=3)}),
        "of source 'a': open=3 is too few: the 3 samples of a micro-batch may be read from shards that end in it and from",
        lambda: (mixed({"a": 100, "b": 50}, local={"a": bw.Shards([25] * 4, open=4)}),
                 mixed({"a": 100, "b": 50}, target="uniform", local={"a": bw.Shards([25] * 4, open=3)}))),
    "local and distinct": (lambda: balanced(local=bw.Shards([5, 5]), distinct=True), "with local= distinct samples cannot",
                           lambda: (balanced(local=bw.Shards([5, 5]), distinct=False), balanced(distinct=True))),
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
    "distinct, moving without end": (
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
    "epoch by name": (lambda: balanced(epoch="all"), "epoch is 'all'",
                      lambda: [balanced(epoch=epoch) for epoch in ("natural", "largest", "smallest", 3)]),
    "epoch of no group": (lambda: bw.weighted([1, 2], 2, epoch="largest"), "epoch is 'largest'",
                          lambda: [bw.weighted([1, 2], 2, epoch=epoch) for epoch in ("natural", 3)]),
    "epoch of all": (lambda: bw.shuffled(4, 2, epoch="smallest"), "epoch is 'smallest'",
                     lambda: [bw.shuffled(4, 2, epoch=epoch) for epoch in ("natural", 3)]),
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
    "value of an attribute": (lambda: raked({"sex": ["m", None, "f"], "site": list("aba")}),
                              r"attribute 'sex': labels has no value at sample 1 \(None\)", raked),
    "label of a margin": (lambda: raked(margins={"sex": {"m": 0.5, "x": 0.5}, "site": "uniform"}),
                          "attribute 'sex': a share is given to 'x' but the labels are 'f', 'm'", raked),
    "margin that moves": (lambda: raked(margins={"sex": MOVES, "site": "uniform"}),
                          "attribute 'sex': the margin moves: schedule",
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
    "no levels": (lambda: bw.hierarchical(None, [4]), "levels is None and per is of type list",
                  lambda: bw.hierarchical(LEVELS, [2, 2, 1])),
    "counts": (lambda: levels([2, 2]), "there are 2 levels and 2 counts", lambda: levels([2, 2, 1])),
    "no count": (lambda: levels([2, None, 1]), r"per\[1\] is None, not a whole number",
        lambda: levels([2, 1, 1])),
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
})  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    told_and_followed(CASES[case])
