"""Every refusal of plans by lengths and of orders: its fact, a message of bounded length, its way out, which works."""

from __future__ import annotations

import ast
import pathlib
import re
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batchwright as bw
from batchwright import Infeasible
from batchwright.lengths.packing import MOST_CAPACITY, pack
from batchwright.orders.turns import reduced, turns
from batchwright.plans.budgeted import costs_of
from batchwright.plans.cut import Cut, split_to
from batchwright.plans.grouped import GroupCutter, even_offsets

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # ways out that give nearly what was asked

PLANS = [
    *("budgeted", "bucketed", "grouped", "packed", "pack_cutter", "budget_cutter", "lengthwise", "source", "pieces"),
    *("delivered", "admission", "windows", "layers", "cut", "level"),
]
FILES = [*(f"plans/{name}.py" for name in PLANS), "lengths/*.py", "orders/*.py"]

L = [5, 6, 7, 8]
LABELS = ["cat"] * 6 + ["dog"] * 4
PAIR = {"a": L, "b": [1, 2, 3, 4]}
ROOM = {"a": 40, "b": 40}
LITTLE = {"a": 6, "b": 3}
SHAPES = [(1, 2), (2, 1)]
NAME = "n" * 9999
HUGE = [[0] * 9999]


def budget(lengths=L, max_tokens=40, **more):
    return bw.budgeted(lengths, max_tokens, **more)


def packs(lengths=L, capacity=40, **more):
    return bw.packed(lengths, capacity, **more)


def squared(lengths):
    return lengths**2


def ends(plan, epochs=2):
    """The plan is one that can be gone through."""
    assert all(batch.size for epoch in range(epochs) for batch in plan.epoch(epoch))
    return plan


def all_policies(make, *policies):
    """Each of the policies is one."""
    for policy in policies:
        ends(make(too_long=policy))


def moving(**more):
    return bw.balanced(LABELS, 4, target=lambda counts, epoch: [0.5, 0.5], **more)


def split_plan():
    return packs([3, 5], 4, too_long="split")


TEXTS = [[1, 2, 3], [4, 5, 6, 7, 8]]
RECORDS = [{"ids": text, "page": 7} for text in TEXTS]


class Opaque:
    """A sample with items, of a type that nobody knows."""

    def __init__(self, ids):
        self.ids = ids

    def __getitem__(self, name):
        return getattr(self, name)


def read(pieces):
    assert [pieces[number] for number in range(len(pieces))]


def cut_ids(sample, piece):
    return sample["ids"][piece] if isinstance(sample, dict) else sample.ids[piece]


def elastic():
    """A sampler of two ranks, of a run that went through 4 micro-batches of its epoch with one."""
    plan = bw.budgeted(np.arange(1, 61) % 9 + 1, 20, window=8)
    one, two = plan.sampler(), plan.sampler(rank=0, world_size=2)
    one.seek(4)
    two.load_state_dict(one.state_dict())
    return two


def resumed(**entries):
    plan = bw.budgeted(np.arange(1, 61) % 9 + 1, 20, window=8)
    sampler = plan.sampler()
    sampler.load_state_dict({**sampler.state_dict(), **entries})
    return sampler


def enough(make):
    """A call made again with the limit that its refusal names."""
    with pytest.raises(Infeasible) as refusal:
        make()
    return make(ast.literal_eval(re.findall(r"(?:max_tokens|capacity)=(\{.*?\}|[\d.e+]+)", refusal.value.way_out)[0]))


def single(limit=7, **more):
    return budget(L, limit, **more)


def costed(limit=40, **more):
    return budget(L, limit, cost=squared, **more)


def several(limit=LITTLE, **more):
    return budget(PAIR, limit, **more)


def rounded(limit=7, **more):
    return budget(L, limit, round_length=8, **more)


def single_pack(limit=7, **more):
    return packs(L, limit, **more)


def several_packs(limit=LITTLE, **more):
    return packs(PAIR, limit, **more)


def bundled(limit=4, **more):
    return packs([1] * 12, limit, together=[0] * 10 + [1] * 2, **more)


CASES: dict[str, tuple[Any, str, Any]] = {  # what is refused, what is said of it, and what its way out says to do
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
        lambda: budget(round_length=[]), "round_length is a menu of 0 lengths; pass one length or more",
        lambda: ends(budget(round_length=[8]))),
    "cost": (
        lambda: budget(cost=NAME), "cost is 'nnn", lambda: ends(budget(cost=lambda lengths: lengths + 1))),
    "cost None": (
        lambda: costs_of(None, np.array([1.0])),
        "cost is None, no function; pass a function from an array of lengths to as many costs",
        lambda: costs_of(squared, np.array([1.0]))),
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
        lambda: bw.bucketed([1, 2], 2), "shapes have 1 dimensions, not 2; pass one row of sizes for every sample",
        lambda: ends(bw.bucketed([[1], [2]], 2))),
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
    # grouped
    "grouped below 0": (
        lambda: bw.grouped([2, -1], 2), "sample 1 has length -1; pass lengths of 0 or more",
        lambda: ends(bw.grouped([2, 0], 2))),
    "micro-batches without samples": (
        lambda: even_offsets(3, 4, 2, 4), "3 samples cannot fill 4 micro-batches; pass a larger window, more samples, or",
        lambda: (even_offsets(4, 4, 2, 4), even_offsets(3, 2, 2, 2))),
    "splits without samples": (
        lambda: split_to(Cut(np.arange(3), np.array([0, 3]), np.array([3.0])), 4, np.arange(3), GroupCutter(np.ones(3), 3)),
        "3 samples cannot fill 4 micro-batches; pass a larger window, more samples, or a smaller world_size or accumulate",
        lambda: (
            split_to(Cut(np.arange(4), np.array([0, 4]), np.ones(1)), 4, np.arange(4), GroupCutter(np.ones(4), 4)),
            split_to(Cut(np.arange(3), np.array([0, 3]), np.ones(1)), 2, np.arange(3), GroupCutter(np.ones(3), 3)))),
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
    "order over others": (
        lambda: budget(order=bw.shuffled(5, 2)),
        "the order is over 5 samples, there are 4 lengths; pass one length for every sample of the order",
        lambda: ends(budget([*L, 9], order=bw.shuffled(5, 2)))),
    # packed
    "pieces of another dataset": (
        lambda: split_plan().pieces(TEXTS[1:]), "the dataset has 1 samples, the plan was made for 2; pass the dataset of",
        lambda: read(split_plan().pieces(TEXTS))),
    "packs of other samples": (
        lambda: packs().packs([0, 4]),
        "samples from 0 to 4 are to be found in a plan over 4; pass micro-batches of this plan, of the dataset",
        lambda: packs().packs(packs()[0])),
    "packs of parts": (
        lambda: packs(together=[0, 0, 1, 1]).packs([0, 2, 3]),
        "a micro-batch of 3 samples holds parts of what `together` keeps in one pack; pass whole micro-batches of this plan",
        lambda: packs(together=[0, 0, 1, 1]).packs(packs(together=[0, 0, 1, 1])[0])),
    "exact, two capacities": (
        lambda: packs(PAIR, ROOM, solver="exact"), "solver='exact' packs one capacity, there are 2; pass solver=\"fast\"",
        lambda: ends(packs(PAIR, ROOM, solver="fast"))),
    "truncate, two capacities": (
        lambda: packs(PAIR, {"a": 7, "b": 4}, too_long="truncate"),
        "too_long='truncate' needs one capacity and no `together`, there are 2 capacities; pass too_long='skip', or",
        lambda: (ends(packs(PAIR, {"a": 7, "b": 4}, too_long="skip")), ends(packs(PAIR, ROOM, too_long="refuse")))),
    "split together": (
        lambda: packs(L, 14, together=[0, 0, 1, 1], too_long="split"),
        "too_long='split' needs one capacity and no `together`, together is given; pass too_long='skip', or capacities that "
        "no sample exceeds and too_long='refuse'.",
        lambda: (ends(packs(L, 14, together=[0, 0, 1, 1], too_long="skip")),
                 ends(packs(L, 15, together=[0, 0, 1, 1], too_long="refuse")))),
    "balance and cost": (
        lambda: packs(balance=L, cost=squared), "balance and cost are both given; pass one of them",
        lambda: (ends(packs(balance=L)), ends(packs(cost=squared)))),
    "balance of pieces": (
        lambda: packs(L, 7, balance=L, too_long="split"),
        "balance has one number a sample and too_long='split' makes pieces of samples; pass cost instead of balance, or",
        lambda: (ends(packs(L, 7, cost=squared, too_long="split")),
                 all_policies(lambda **how: packs(L, 7, balance=L, **how), "truncate", "skip"))),
    "skip all packs": (
        lambda: packs(L, 4, too_long="skip"),
        "all 4 samples are too long and would be skipped; pass capacity=8 or more to keep them all",
        lambda: ends(packs(L, 8, too_long="skip"))),
    "skip all keys": (
        lambda: packs(PAIR, {"a": 10, "b": 2}, together=[0, 0, 1, 1], too_long="skip"),
        "all 2 keys are too long and would be skipped; pass capacity={'a': 15, 'b': 7} or more to keep them all",
        lambda: ends(packs(PAIR, {"a": 15, "b": 7}, together=[0, 0, 1, 1], too_long="skip"))),
    "one mapping of packs": (
        lambda: packs(L, ROOM), "lengths is of type list and capacity is of type dict; pass one column and one number, or",
        lambda: (packs(L, 40), packs(PAIR, ROOM))),
    "other names of packs": (
        lambda: packs(PAIR, {"a": 40}), "lengths are 'a', 'b', capacities are 'a'; pass both by the same names",
        lambda: ends(packs(PAIR, ROOM))),
    "capacity": (lambda: packs(L, 8.5), "capacity is 8.5; pass a whole capacity of 1 or more", lambda: ends(packs(L, 9))),
    "large capacity": (
        lambda: packs(PAIR, {"a": 40, "b": 1e300}),
        f"capacity['b'] is 1e+300, the most is {MOST_CAPACITY}; pass capacity['b']={MOST_CAPACITY} or less",
        lambda: ends(packs(PAIR, {"a": 40, "b": MOST_CAPACITY}))),
    "columns of packs that differ": (
        lambda: packs({"a": L, "b": L[1:]}, ROOM), "columns of different length: {'a': 4, 'b': 3}; pass one value a sample",
        lambda: ends(packs(PAIR, ROOM))),
    "keys": (lambda: packs(together=[0, 1]), "2 keys for 4 lengths; pass one key a sample",
             lambda: ends(packs(together=[0, 1, 0, 1]))),
    "too long for a pack": (
        single_pack,
        "sample 3 has length 8, capacity is 7; pass capacity=8 or more, or too_long='truncate', 'split' or 'skip'.",
        lambda: (ends(enough(single_pack)), all_policies(single_pack, "truncate", "split", "skip"))),
    "too long for a pack, balance": (
        lambda: packs(L, 4, balance=L),
        "sample 0 has length 5, capacity is 4 (3 more are too long); pass capacity=8 or more, or too_long='truncate'.",
        lambda: (ends(packs(L, 8, balance=L)), ends(packs(L, 4, balance=L, too_long="truncate")))),
    "too long for several": (
        several_packs,
        "sample 2 has a 7, capacity['a'] is 6 (1 more are too long); pass capacity={'a': 8, 'b': 4} or more, or "
        "too_long='skip'.",
        lambda: (ends(enough(several_packs)), ends(several_packs(too_long="skip")))),
    "too long together": (
        bundled,
        "samples 0, 1, 2, 3 and 6 more stay together and have length 10, capacity is 4; pass capacity=10 or more, or "
        "too_long='skip'.",
        lambda: (ends(enough(bundled)), ends(bundled(too_long="skip")))),
    # pieces
    "cut": (
        lambda: split_plan().pieces(RECORDS, cut="ids"), "cut is 'ids'; pass a list of names or numbers of parts, as cut=",
        lambda: (read(split_plan().pieces(RECORDS, cut=["ids"])), read(split_plan().pieces(RECORDS, cut=cut_ids)))),
    "pieces of samples with numbers": (
        lambda: read(split_plan().pieces(bw.identified(RECORDS), cut=["ids"])),
        "sample 0 comes from bw.identified, and numbers are those of pieces; wrap the pieces: bw.identified(plan.pieces(",
        lambda: read(bw.identified(split_plan().pieces(RECORDS, cut=["ids"])))),
    "pieces of another length": (
        lambda: read(split_plan().pieces([[1, 2, 3], [4, 5]])),
        "sample 1 has length 2, the plan has it as 5 to 8; plan with the lengths of this dataset along the first dimension",
        lambda: read(packs([3, 2], 4, too_long="split").pieces([[1, 2, 3], [4, 5]]))),
    "pieces of nothing": (
        lambda: read(packs(L, 6, too_long="truncate").pieces([[]] * 4, cut=None)),
        "sample 0 has length 0, the plan has it as 1 or more; plan with the lengths of this dataset",
        lambda: read(packs(L, 6, too_long="truncate").pieces([[]] * 4, cut=lambda sample, piece: [0]))),
    "pieces of records": (
        lambda: read(split_plan().pieces(RECORDS)),
        "sample 0 is a dict, and plan.pieces is not told what of it to cut; name the parts: plan.pieces(dataset, cut=[",
        lambda: (read(split_plan().pieces(RECORDS, cut=["ids"])), read(split_plan().pieces(RECORDS, cut=cut_ids)))),
    "pieces of objects": (
        lambda: read(split_plan().pieces([Opaque(text) for text in TEXTS], cut=["ids"])),
        "sample 0 is a Opaque, not known to be copied without what it holds being shared; leave cut out if samples are",
        lambda: (read(split_plan().pieces(TEXTS)),
                 read(split_plan().pieces([Opaque(text) for text in TEXTS], cut=cut_ids)))),
    "pieces of no such part": (
        lambda: read(split_plan().pieces(RECORDS, cut=["idz", NAME])),
        "sample 0, a dict, has no parts ['idz', 'nnn", lambda: read(split_plan().pieces(RECORDS, cut=["ids"]))),
    # places of a run
    "multiple": (
        lambda: budget().layout(0), "multiple is 0; pass world_size * accumulate, 1 or more", lambda: budget().layout(1)),
    "epoch": (
        lambda: budget().epoch(-1), "epoch is -1; pass 0 or more: epochs count from 0", lambda: ends(budget())),
    "window": (
        lambda: budget(window=HUGE), "micro-batches; pass a whole number of 1 or more, or \"epoch\"",
        lambda: [ends(budget(window=window)) for window in (1, "epoch")]),
    "multiples of a state": (
        lambda: resumed(multiple=1 << 30), "the state's multiples are [1073741824], the most is 16777216; load what",
        lambda: list(resumed())),
    "trail of no window": (
        lambda: resumed(trail=[0, 999, 0, 0]), "the state's trail is [0, 999, 0, 0]; load what state_dict() gave, as it was",
        lambda: list(resumed())),
    "trail of no item": (
        lambda: resumed(trail=[0, 0, 0, 5]), "the state's trail is [0, 0, 0, 5]; load what state_dict() gave, as it was",
        lambda: list(resumed())),
    "before what is left": (
        lambda: elastic().seek(1),
        "micro-batch 2 of epoch 0 is outside what is left of it, micro-batches 4 to 20: the run went on with another "
        "multiple; go on from micro-batch 4 or a later one, or with another epoch.",
        lambda: (elastic().seek(2), elastic().seek(3), elastic().seek(0, epoch=1), list(elastic()))),
    # lengths
    "exact, many lengths": (
        lambda: pack(np.arange(1, 2051), 2100, solver="exact"),
        "solver='exact' with 2050 distinct lengths, a capacity of 2100 and max_per_pack=None makes a table of 4307050 "
        "cells, the most is 134217728, of 2048 lengths; pass solver='fast', or lengths rounded up to multiples of more",
        lambda: (pack(np.arange(1, 2051), 2100, solver="fast"),
                 pack(-(-np.arange(1, 2051) // 700) * 700, 2100, solver="exact"))),
    "capacity of one packing": (
        lambda: pack(L, MOST_CAPACITY + 1),
        f"capacity is {MOST_CAPACITY + 1}, the most is {MOST_CAPACITY}; pass capacity={MOST_CAPACITY} or less",
        lambda: pack(L, MOST_CAPACITY)),
    "solver": (lambda: pack(L, 9, solver=NAME), "solver is 'nnn",
               lambda: (pack(L, 9, solver="fast"), pack(L, 9, solver="exact"))),
    "longer than a pack": (
        lambda: pack([3, 1234567, 2], 5),
        "sample 1 has length 1234567, the capacity is 5; pass capacity=1234567 or more, or leave longer samples out",
        lambda: (pack([3, 1234567, 2], 1234567), pack([3, 2], 5))),
    "costs in a table": (
        lambda: bw.partition([[1, 2]], 2), "costs have 2 dimensions, one is needed; pass one number an item",
        lambda: bw.partition([1, 2], 2)),
    "a cost below 0": (
        lambda: bw.partition([1, -0.1], 2), "the cost of item 1 is -0.1; pass finite costs of 0 or more",
        lambda: bw.partition([1, 0], 2)),
    "items that do not divide": (
        lambda: bw.partition([1, 2, 3], 4, equal_size=True),
        "3 items do not divide into 4 parts of equal size; pass a multiple of 4 items, or equal_size=False",
        lambda: (bw.partition([1, 2, 3, 4], 4, equal_size=True), bw.partition([1, 2, 3], 4, equal_size=False))),
    "a sum of costs": (
        lambda: bw.partition([1e308] * 4, 2),
        "the costs sum to more than 1.7976931348623157e+308; pass costs in a larger unit",
        lambda: bw.partition([1e308 / 1e300] * 4, 2)),
    "an item above max_cost": (
        lambda: bw.partition([5, 5.5], 1, max_cost=3), "item 1 costs 5.5, max_cost is 3; pass max_cost=10.5 or more.",
        lambda: bw.partition([5, 5.5], 1, max_cost=10.5)),
    "a sum above max_cost": (
        lambda: bw.partition([5, 5, 5], 2, max_cost=7),
        "the costs sum to 15, 2 parts of at most 7 hold 14; pass max_cost=10 or more, or more parts: with 3, one for every "
        "item, no part costs more than its item.",
        lambda: (bw.partition([5, 5, 5], 2, max_cost=10), bw.partition([5, 5, 5], 3, max_cost=7))),
    "a part above max_cost": (
        lambda: bw.partition([3, 3, 3], 2, max_cost=5),
        "the best partition found has a part that costs 6, max_cost is 5; pass max_cost=6 or more, or more parts: with 3,",
        lambda: (bw.partition([3, 3, 3], 2, max_cost=6), bw.partition([3, 3, 3], 3, max_cost=5))),
    # orders
    "a late micro-batch": (
        lambda: bw.balanced(LABELS, 4).audit(first=1 << 40),
        "micro-batch 1099511627776 is past the last, 382252089343; ask for 0 to 382252089343",
        lambda: [bw.balanced(LABELS, 4).audit(first=first, batches=4) for first in (0, 382252089343 - 3)]),
    "a weight below 0": (
        lambda: bw.weighted([1, -2.5], 4), "the weight of sample 1 is -2.5; pass weights of 0 or more",
        lambda: bw.weighted([1, 0], 4)[0]),
    "no weight": (lambda: bw.weighted([0, 0], 4), "all 2 weights are 0; give one sample a weight above 0",
                  lambda: bw.weighted([0, 1], 4)[0]),
    "weights that move": (
        lambda: bw.weighted([1, 2], 2).order.shares.moved([1, 1]),
        "the weights of samples cannot be set; group the samples and balance the groups with target=targets.moving(...)",
        lambda: bw.balanced([0, 1], 2, target=bw.targets.moving("uniform")).sampler().retarget([0.4, 0.6])),
    "late epoch of a moving target": (
        lambda: moving()[10**9], "epoch 333333333 is asked for, a target that moves is followed for 131072 epochs; build",
        lambda: (moving(epoch=10**6)[10**9],
                 bw.balanced(LABELS, 4, target=bw.targets.schedule(0, 1, epochs=3))[10**9])),
    "turns too far apart": (
        lambda: turns([10**16, 10**8, 1], [1, 2, NAME]), "nnn' has one turn in 10000000100000001, and others lie so far",
        lambda: (turns(reduced([10**16, 10**8])), turns([10**16, 10**8, 10**8]))),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    refused, said, follow = CASES[case]
    with pytest.raises(Infeasible) as refusal:
        refused()
    assert said in str(refusal.value)
    assert len(str(refusal.value)) < 1300
    assert refusal.value.way_out
    follow()


LIMIT = re.compile(r"(max_tokens|capacity|max_cost)=(\{.*?\}|[\d.e+-]+)")
MENU = re.compile(r"round_length that ends with (\d+)")
POLICIES = re.compile(r"too_long=((?:'\w+'(?:, | or )?)+)")
FUNCTIONS = [None, lambda lengths: lengths**2 / 3, np.sqrt]


def followed(build, **arguments):
    """Every way out of a refusal is followed, each by itself."""
    try:
        build(**arguments)
    except Infeasible as refusal:
        said = refusal.way_out
    else:
        return
    ways = [
        {"too_long": policy}
        for found in POLICIES.findall(said)
        for policy in re.findall(r"\w+", found)
        if policy != "or"
    ]
    larger = {name: ast.literal_eval(value) for name, value in LIMIT.findall(said)}
    if ends_with := MENU.search(said):
        larger["round_length"] = [*arguments["round_length"], int(ends_with[1])]
    ways += [larger] if larger else []
    for way in ways:
        build(**arguments | way)
    assert ways


@settings(max_examples=60)
@given(data=st.data(), names=st.sampled_from([None, ["a"], ["a", "b"]]), count=st.integers(1, 5))
def test_limits_and_policies_that_are_told_work_for_any_lengths(data, names, count):
    def by_name(values):
        return data.draw(values) if names is None else {name: data.draw(values) for name in names}

    menu = st.integers(1, 9) | st.lists(st.integers(1, 25), min_size=1, max_size=3)
    decimals = st.lists(st.floats(0, 30), min_size=count, max_size=count)
    followed(
        bw.budgeted,
        lengths=by_name(decimals),
        max_tokens=by_name(st.floats(0.25, 25)),
        round_length=data.draw(menu),
        cost=data.draw(st.sampled_from(FUNCTIONS)),
        too_long=data.draw(st.sampled_from(["refuse", "skip"])),
    )
    keys = st.lists(st.integers(0, 2), min_size=count, max_size=count)
    followed(
        bw.packed,
        lengths=by_name(st.lists(st.integers(1, 30), min_size=count, max_size=count)),
        capacity=by_name(st.integers(1, 25)),
        together=data.draw(st.none() | keys),
        balance=data.draw(st.none() | decimals),
        too_long=data.draw(st.sampled_from(["refuse", "skip"])),
    )
    parts = data.draw(st.integers(1, 4))
    costs = data.draw(decimals)
    followed(bw.partition, costs=costs, parts=parts, max_cost=data.draw(st.floats(0, 30)))


OPEN: set[tuple[str, str]] = set()  # a file and the beginning of a fact that no case makes; it only gets smaller


def test_every_refusal_in_the_code_is_among_these(monkeypatch):
    """Each place that makes an `Infeasible` is passed by one of the cases."""
    folder = pathlib.Path(bw.__file__).parent
    places = {
        (str(file.relative_to(folder)), line.lineno, line.end_lineno, ast.unparse(line.args[0])[:60])
        for pattern in FILES
        for file in folder.glob(pattern)
        for line in ast.walk(ast.parse(file.read_text()))
        if isinstance(line, ast.Call) and getattr(line.func, "id", None) == "Infeasible"
    }
    made = set()
    original = Infeasible.__init__

    def noting(self, *arguments):
        frame = sys._getframe(1)
        path = pathlib.Path(frame.f_code.co_filename)
        made.add((f"{path.parent.name}/{path.name}", frame.f_lineno))
        original(self, *arguments)

    monkeypatch.setattr(Infeasible, "__init__", noting)
    for refused, _, _ in CASES.values():
        with pytest.raises(Infeasible):
            refused()
    missed = {
        (name, fact)
        for name, first, last, fact in places
        if not any(f == name and first <= at <= last for f, at in made)
    }
    assert len(places) > 65
    assert missed == OPEN
