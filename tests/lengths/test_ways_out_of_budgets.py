"""Every refusal of budgets, buckets, groups and the order that is cut: its fact, and its way out, which works."""

from __future__ import annotations

import numpy as np
import pytest

import batchwright as bw
from batchwright.lengths.cut import Cut
from batchwright.lengths.even_cuts import even_offsets
from batchwright.lengths.numbers import Numbers
from batchwright.lengths.same_size_cutter import GroupCutter
from batchwright.plans.length_arguments import costs_of

from ..refusals import cases, told_and_followed
from .small import LITTLE, NAME, PAIR, ROOM, L, all_policies, budget, ends, enough, packs, squared

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # ways out that give nearly what was asked

SHAPES = [(1, 2), (2, 1)]


def _of_one(count):
    return GroupCutter(Numbers(np.ones(count)), count)


def single(limit=7, **more):
    return budget(L, limit, **more)


def costed(limit=40, **more):
    return budget(L, limit, cost=squared, **more)


def several(limit=LITTLE, **more):
    return budget(PAIR, limit, **more)


def rounded(limit=7, **more):
    return budget(L, limit, round_length=8, **more)


def skipping(order, limit=6):
    return budget(L, limit, order=order, too_long="skip")


def many_shapes(buckets, **more):
    return bw.bucketed(np.arange(1, 8193)[:, None], 2, buckets=buckets, **more)


CASES = cases("refuse message follow", {  # what is refused, what is said of it, and what its way out says to do
    # budgeted
    "truncate, two budgets": (
        lambda: budget(PAIR, {"a": 6, "b": 9}, too_long="truncate"),
        "too_long='truncate' needs one budget in tokens, there are 2; pass too_long='alone'.",
        lambda: ends(budget(PAIR, {"a": 6, "b": 9}, too_long="alone"))),
    "truncate, cost": (
        lambda: budget(L, 6, cost=squared, too_long="truncate"), "budget in tokens, cost is given; pass too_long='alone'",
        lambda: ends(budget(L, 6, cost=squared, too_long="alone"))),
    "truncate to nothing": (
        lambda: budget(L, 7, round_length=8, too_long="truncate"),
        "no length that round_length gives is within the budget of 7; pass max_tokens=8 or more",
        lambda: ends(budget(L, 8, round_length=8, too_long="truncate"))),
    "truncate to nothing, menu": (
        lambda: budget(L, 0.5, round_length=[4, 16], too_long="truncate"),
        "no length that round_length gives is within the budget of 0.5; pass max_tokens=4 or more",
        lambda: ends(budget(L, 4, round_length=[4, 16], too_long="truncate"))),
    "truncate to nothing, by name": (
        lambda: budget({"a": L}, {"a": 7}, round_length=8, too_long="truncate"), "budget of 7; pass max_tokens={'a': 8} or",
        lambda: ends(budget({"a": L}, {"a": 8}, round_length=8, too_long="truncate"))),
    "skip all": (
        lambda: budget(L, 4, too_long="skip"),
        "all 4 samples are too long and would be skipped; pass max_tokens=8 or more to keep them all",
        lambda: ends(budget(L, 8, too_long="skip"))),
    "skip all, menu": (
        lambda: budget(L, 40, round_length=[2, 4], too_long="skip"),
        "would be skipped; pass a round_length that ends with 8 or more to keep them all",
        lambda: ends(budget(L, 40, round_length=[2, 4, 8], too_long="skip"))),
    "balance, too few": (
        lambda: budget(balance=[1, 2]), "balance has 2 numbers for 4 lengths; pass one a sample",
        lambda: ends(budget(balance=[1, 2, 3, 4]))),
    "balance below 0": (
        lambda: budget(balance=[1, -0.1, 2, 3]), "the balance of sample 1 is -0.1; pass numbers of 0 or more",
        lambda: ends(budget(balance=[1, 0, 2, 3]))),
    "too long": (
        single,
        "sample 3 has length 8, max_tokens is 7; pass max_tokens=8 or more, or too_long='alone', 'truncate' or 'skip'.",
        lambda: (ends(enough(single)), all_policies(single, "alone", "truncate", "skip"))),
    "too long, all": (
        lambda: budget(L, 4), "(3 more are too long); pass max_tokens=8 or more, or too_long='alone' or 'truncate'.",
        lambda: (ends(budget(L, 8)), all_policies(lambda **how: budget(L, 4, **how), "alone", "truncate"))),
    "too long, a cost": (
        costed,
        "sample 2 has length 7, at a cost of 49, max_tokens is 40 (1 more are too long); pass max_tokens=64 or more, or "
        "too_long='alone' or 'skip'.",
        lambda: (ends(enough(costed)), all_policies(costed, "alone", "skip"))),
    "too long, several": (
        several,
        "sample 2 has a 7, max_tokens['a'] is 6 (1 more are too long); pass max_tokens={'a': 8, 'b': 4} or more, or "
        "too_long='alone' or 'skip'.",
        lambda: (ends(enough(several)), all_policies(several, "alone", "skip"))),
    "too long when rounded": (
        rounded,
        "sample 0 has length 5, rounded up to 8, max_tokens is 7 (3 more are too long); pass max_tokens=8 or more, or "
        "too_long='alone'.",
        lambda: (ends(enough(rounded)), ends(rounded(too_long="alone")))),
    "too long for the menu": (
        lambda: budget([2, 3.5, 7.5], 4, round_length=[1, 3]),
        "sample 1 has length 3.5, the longest of round_length is 3 (1 more are too long); pass a round_length that ends "
        "with 8 or more and max_tokens=8 or more, or too_long='alone', 'truncate' or 'skip'.",
        lambda: (ends(budget([2, 3.5, 7.5], 8, round_length=[1, 3, 8])),
                 all_policies(lambda **how: budget([2, 3.5, 7.5], 4, round_length=[1, 3], **how),
                              "alone", "truncate", "skip"))),
    "one mapping": (
        lambda: budget(PAIR, 40),
        "lengths is of type dict and max_tokens is of type int; pass one column and one number, or both as dictionaries by "
        "the same names.",
        lambda: (ends(budget(L, 40)), ends(budget(PAIR, ROOM)))),
    "one is None": (
        lambda: budget(PAIR, None), "lengths is of type dict and max_tokens is None; pass", lambda: budget(PAIR, ROOM)),
    "other names": (
        lambda: budget(PAIR, {"a": 40, NAME: 40}), "lengths are 'a', 'b', budgets are 'a', 'nnn",
        lambda: budget(PAIR, ROOM)),
    "columns that differ": (
        lambda: budget({"a": L, "b": L[1:]}, ROOM),
        "columns of different length: {'a': 4, 'b': 3}; pass one value a sample in each", lambda: ends(budget(PAIR, ROOM))),
    "length below 0": (
        lambda: budget([2, -1]), "sample 1 has length -1; pass lengths of 0 or more", lambda: ends(budget([2, 0]))),
    "length below 0, by name": (
        lambda: budget({"a": [2, -0.25]}, {"a": 4}), "sample 1 has a -0.25; pass lengths of 0 or more",
        lambda: ends(budget({"a": [2, 0]}, {"a": 4}))),
    "budget": (lambda: budget(L, -0.5), "max_tokens is -0.5; pass a budget above 0", lambda: ends(budget(L, 8.5))),
    "budget by name": (
        lambda: budget(PAIR, {"a": 40, "b": 0}), "max_tokens['b'] is 0; pass a budget above 0", lambda: budget(PAIR, ROOM)),
    "padded": (
        lambda: budget(PAIR, ROOM, padded={"a": True}),
        "padded is by the names 'a', budgets are 'a', 'b'; pass padded by the names of the budgets, or True or False",
        lambda: [ends(budget(PAIR, ROOM, padded=padded)) for padded in ({"a": True, "b": False}, True, False)]),
    "menu": (
        lambda: budget(round_length=[]), "round_length is a list of 0 lengths; pass one length or more",
        lambda: ends(budget(round_length=[8]))),
    "cost": (
        lambda: budget(cost=NAME), "cost is 'nnn", lambda: ends(budget(cost=lambda lengths: lengths + 1))),
    "cost None": (
        lambda: costs_of(None, Numbers(np.array([1.0]))),
        "cost is None, no function; pass a function from an array of lengths to as many costs",
        lambda: costs_of(squared, Numbers(np.array([1.0])))),
    "costs of another shape": (
        lambda: budget(cost=lambda lengths: lengths.sum()), "cost gave an array of shape () for 4 lengths; pass a function",
        lambda: ends(budget(cost=lambda lengths: lengths + lengths.sum() / 100))),
    "costs below 0": (
        lambda: budget(cost=lambda lengths: 6.5 - lengths),
        "cost gave -0.5 for length 7; pass a function whose values are finite numbers of 0 or more",
        lambda: ends(budget(cost=lambda lengths: 8 - lengths))),
    "costs not finite": (
        lambda: packs(cost=lambda lengths: np.where(lengths > 6, np.inf, 1)), "cost gave inf for length 7; pass a function",
        lambda: ends(packs(cost=squared))),
    "policy": (
        lambda: budget(too_long="split"), "too_long is 'split'; pass 'refuse', 'alone', 'truncate' or 'skip'",
        lambda: all_policies(budget, "refuse", "alone", "truncate", "skip")),
    "policy of packs": (
        lambda: packs(too_long=NAME), "too_long is 'nnn",
        lambda: all_policies(packs, "refuse", "truncate", "skip", "split")),
    # bucketed
    "no shapes": (
        lambda: bw.bucketed([], 2), "the dataset is empty: 0 shapes; pass at least one sample",
        lambda: ends(bw.bucketed([(1, 2)], 2))),
    "shapes without sides": (
        lambda: bw.bucketed([1, 2], 2), "shapes have 1 dimensions, not 2; pass one row of sizes for every sample, as "
        "np.array(shapes)[:, None]; for lengths, which are padded, pass them to bw.budgeted",
        lambda: (ends(bw.bucketed(np.array([1, 2])[:, None], 2)), ends(bw.budgeted([1, 2], 4)))),
    "shapes of other lengths": (
        lambda: bw.bucketed([(1, 2), (1, 2, 3)], 2), "sample 1 of shapes has 3 sizes, sample 0 has 2; pass equally "
        "many sizes for every sample",
        lambda: ends(bw.bucketed([(1, 2), (1, 2)], 2))),
    "a side of 0": (
        lambda: bw.bucketed([(1, 2), (3, 0)], 2), "side 1 of sample 1 of shapes is 0, not a finite number above 0; pass",
        lambda: ends(bw.bucketed([(1, 2), (3, 0.5)], 2))),
    "a side that is not finite": (
        lambda: bw.bucketed(SHAPES, 2, buckets=[(1, float("nan"))]), "side 1 of bucket 0 of buckets is nan, not a finite",
        lambda: ends(bw.bucketed(SHAPES, 2, buckets=[(1, 1)]))),
    "buckets of other sides": (
        lambda: bw.bucketed(SHAPES, 2, buckets=[(1, 2, 3)]),
        "buckets have shape (1, 3) and shapes have 2 sides; pass one row or more of 2 sizes",
        lambda: ends(bw.bucketed(SHAPES, 2, buckets=[(1, 2)]))),
    "no buckets": (
        lambda: bw.bucketed(SHAPES, 2, buckets=np.ones((0, 2))), "buckets have shape (0, 2) and shapes have 2 sides; pass",
        lambda: ends(bw.bucketed(SHAPES, 2, buckets=np.ones((1, 2))))),
    "many buckets": (
        lambda: bw.bucketed(SHAPES, 2, buckets=np.ones((5000, 2))),
        "there are 5000 buckets, the most is 4096; pass 4096 or fewer",
        lambda: bw.bucketed(SHAPES, 2, buckets=np.ones((4096, 2)))),
    "large sides": (
        lambda: bw.bucketed([(1e300, 1e300)] * 4, 2, buckets=1),
        "the product of the sides of a bucket is above what a float holds; pass sides in a larger unit",
        lambda: ends(bw.bucketed([(1e300 / 1e290, 1e300 / 1e290)] * 4, 2, buckets=1))),
    "many buckets in large steps": (
        lambda: many_shapes(4096, order=bw.shuffled(8192, 2)).stepped(129),
        "a window has 8192 steps of 129 micro-batches at least, two for every bucket, and a plan by lengths plans 1048576 "
        "micro-batches together at most; pass fewer buckets, or a smaller world_size or accumulate",
        lambda: (many_shapes(4, order=bw.shuffled(8192, 2)).stepped(129),
                 many_shapes(512, order=bw.shuffled(8192, 2)).stepped(2))),
    # grouped
    "grouped below 0": (
        lambda: bw.grouped([2, -1], 2), "sample 1 has length -1; pass lengths of 0 or more",
        lambda: ends(bw.grouped([2, 0], 2))),
    "micro-batches without samples": (
        lambda: even_offsets(3, 4, 2, 4), "3 samples cannot fill 4 micro-batches; pass a larger window, more samples, or",
        lambda: (even_offsets(4, 4, 2, 4), even_offsets(3, 2, 2, 2))),
    "splits without samples": (
        lambda: _of_one(3).split_to(Cut(np.arange(3), np.array([0, 3]), np.array([3.0])), 4, np.arange(3)),
        "3 samples cannot fill 4 micro-batches; pass a larger window, more samples, or a smaller world_size or accumulate",
        lambda: (
            _of_one(4).split_to(Cut(np.arange(4), np.array([0, 4]), np.ones(1)), 4, np.arange(4)),
            _of_one(3).split_to(Cut(np.arange(3), np.array([0, 3]), np.ones(1)), 2, np.arange(3)))),
    "large world": (
        lambda: bw.grouped([1, 2, 3], 2).epoch(0, 4),
        "3 samples cannot fill 4 micro-batches, the next multiple of 4; pass a smaller world_size or accumulate",
        lambda: bw.grouped([1, 2, 3], 2).epoch(0, 3)),
    # the order that is cut
    "no lengths": (lambda: budget([]), "the dataset is empty: 0 lengths; pass at least one sample", lambda: budget([1])),
    "order": (
        lambda: budget(order=budget()), "order is a LengthPlan; pass a plan of balanced, weighted, shuffled or mixed",
        lambda: [ends(budget(order=order)) for order in (bw.balanced([*"aabb"], 2), bw.weighted([1, 2, 3, 4], 2),
                                                         bw.shuffled(4, 2), bw.mixed({"a": 2, "b": 2}, 2))]),
    "order that keeps samples together": (
        lambda: budget(L, 40, order=bw.balanced([*"aabb"], 2, per_class=2)),
        "the order keeps 2 samples of a group together in a micro-batch, and cutting it by lengths tears them apart; build",
        lambda: (ends(budget(L, 40, order=bw.balanced([*"aabb"], 2, per_class=1))),
                 ends(budget(L, 40, order=bw.mixed({"a": 2, "b": 2}, 2, per_source=1))),
                 ends(budget(L, 40, order=bw.hierarchical([[*"aabb"]], [2, 1]))),
                 list(bw.balanced([*"aabb"], 2, per_class=2).sampler()))),
    "a group of the order that is skipped": (
        lambda: skipping(bw.balanced([*"aabb"], 2)),
        "group 'b' is to have a share, and all of its 2 samples are too long and would be skipped; raise the limit, give it "
        "no share, or pass another too_long",
        lambda: (ends(skipping(bw.balanced([*"aabb"], 2), 8)),
                 ends(skipping(bw.balanced([*"aabb"], 2, target={"a": 1, "b": 0}))),
                 ends(budget(L, 6, order=bw.balanced([*"aabb"], 2), too_long="truncate")))),
    "order and local": (
        lambda: budget(order=bw.shuffled(4, 1), local=bw.Shards([2, 2])),
        "order and local were both passed; pass local where the plan of the order is built",
        lambda: bw.budgeted([1] * 40, 9, order=bw.balanced([0, 1] * 20, 4, local=bw.Shards([10] * 4)))),
    "local of ranks": (
        lambda: bw.budgeted([1] * 40, 9, local=bw.Shards([10] * 4, open=2, ranks=2)),
        "and all ranks of a plan by lengths read from the same; pass bw.Shards(sizes, open=4), with ranks left out",
        lambda: bw.budgeted([1] * 40, 9, window=2, local=bw.Shards([10] * 4, open=4))),
    "few open shards": (
        lambda: bw.budgeted([1] * 40, 9, local=bw.Shards([10] * 4, open=3)),
        "open=3 is too few: a window may be read from shards that end in it and from shards that begin in it, and 2 of each",
        lambda: bw.budgeted([1] * 40, 9, window=2, local=bw.Shards([10] * 4, open=4))),
    "few micro-batches in shards": (
        lambda: bw.budgeted([1] * 20, 19, local=bw.Shards([5] * 4)),
        "the 20 samples of the shards make 2 micro-batches, fewer than 3; leave local out, or pass lower limits",
        lambda: (bw.budgeted([1] * 20, 19), bw.budgeted([1] * 20, 9, window=2, local=bw.Shards([5] * 4)))),
    "few samples in shards": (
        lambda: bw.budgeted([1] * 2, 9, local=bw.Shards([2])),
        "a pass has 2 samples for 1 ranks, fewer than 3 micro-batches for each; leave local out",
        lambda: bw.budgeted([1] * 2, 9)),
    "order over others": (
        lambda: budget(order=bw.shuffled(5, 2)),
        "the order is over 5 samples, there are 4 lengths; pass one length for every sample of the order",
        lambda: ends(budget([*L, 9], order=bw.shuffled(5, 2)))),
})  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    told_and_followed(CASES[case])
