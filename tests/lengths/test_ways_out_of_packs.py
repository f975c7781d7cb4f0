"""Every refusal of packs and of pieces: its fact, and its way out, which works."""

from __future__ import annotations

import numpy as np
import pytest

import batchwright as bw
from batchwright.lengths.packing import MOST_CAPACITY, pack

from ..refusals import cases, told_and_followed
from .small import LITTLE, NAME, PAIR, ROOM, L, all_policies, ends, enough, packs, squared

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # ways out that give nearly what was asked


def split_plan():
    return packs([3, 5], 4, too_long="split")


TEXTS = [[1, 2, 3], [4, 5, 6, 7, 8]]
MASKED = [{"ids": text, "mask": [0] * len(text)} for text in TEXTS]
RECORDS = [{"ids": text, "page": 7} for text in TEXTS]


class Opaque:
    """A sample that has items, of an unknown type."""

    def __init__(self, ids):
        self.ids = ids

    def __getitem__(self, name):
        return getattr(self, name)


def read(pieces):
    assert [pieces[number] for number in range(len(pieces))]


def cut_ids(sample, piece):
    return sample["ids"][piece] if isinstance(sample, dict) else sample.ids[piece]


def single_pack(limit=7, **more):
    return packs(L, limit, **more)


def several_packs(limit=LITTLE, **more):
    return packs(PAIR, limit, **more)


def bundled(limit=4, **more):
    return packs([1] * 12, limit, together=[0] * 10 + [1] * 2, **more)


CASES = cases("refuse message follow", {  # what is refused, what is said of it, and what its way out says to do
    # packed
    "pieces of another dataset": (
        lambda: split_plan().pieces(TEXTS[1:]), "the dataset has 1 samples, the plan was made for 2; pass the dataset of",
        lambda: read(split_plan().pieces(TEXTS))),
    "local and together": (
        lambda: bw.packed([1] * 40, 9, together=np.arange(40) // 2, local=bw.Shards([10] * 4)),
        "local has the samples of each shard, and with together= an order is over keys; pass order=bw.shuffled(n_keys, 1, ",
        lambda: bw.packed([1] * 40, 9, window=2, together=np.arange(40) // 2,
                          order=bw.shuffled(20, 1, local=bw.Shards([5] * 4, open=2)))),
    "the cost of no micro-batch": (
        lambda: packs(L, 9).cost(3), "batch is 3; pass the sample numbers of a micro-batch, or of several",
        lambda: (packs(L, 9).cost([3]), packs(L, 9).cost([[3]]))),
    "the cost of a table": (
        lambda: packs(L, 9).cost([[[0, 1]]]), "the sample numbers of a micro-batch are of shape (1, 2); pass a list",
        lambda: packs(L, 9).cost([[0, 1]])),
    "the cost of samples of another plan": (
        lambda: packs(L, 9).cost([[0, 1], [len(L)]]), f"a micro-batch has samples {len(L)} to {len(L)}, the plan has 4",
        lambda: packs(L, 9).cost([[0, 1], [len(L) - 1]])),
    "the bucket of no sample": (
        lambda: bw.bucketed([[1, 1], [2, 2]], 2, buckets=1).bucket([]), "0 samples; pass a micro-batch of the plan",
        lambda: bw.bucketed([[1, 1], [2, 2]], 2, buckets=1).bucket([1, 0])),
    "the bucket of samples of another plan": (
        lambda: bw.bucketed([[1, 1], [2, 2]], 2, buckets=1).bucket([-1]),
        "a micro-batch has samples -1 to -1, the plan has 2; pass numbers from 0 to 1",
        lambda: bw.bucketed([[1, 1], [2, 2]], 2, buckets=1).bucket([1])),
    "packs of other samples": (
        lambda: packs().packs([0, 4]),
        "samples from 0 to 4 are to be found in a plan over 4; pass micro-batches of this plan, of the dataset",
        lambda: packs().packs(packs()[0])),
    "packs of parts": (
        lambda: packs(together=[0, 0, 1, 1]).packs([0, 2, 3]),
        "a micro-batch of 3 samples holds parts of what `together` keeps in one pack; pass whole micro-batches of this plan",
        lambda: packs(together=[0, 0, 1, 1]).packs(packs(together=[0, 0, 1, 1])[0])),
    "a summary of parts of steps": (
        lambda: packs().summary(4, accumulate=3), "steps of 4 micro-batches do not divide into 3 of every rank; pass a mu",
        lambda: (packs(L * 9).summary(6, accumulate=3), packs(L * 9).summary(4, accumulate=1))),
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
    "pieces with a part that is not cut": (
        lambda: read(split_plan().pieces(MASKED, cut=["ids"])),
        "sample 1, part 'mask' is as long as part 'ids', 5, and cut does not name it; pass cut=['ids', 'mask'], or, if it "
        "belongs to every piece, a function (sample, slice) -> sample",
        lambda: [read(split_plan().pieces(MASKED, cut=cut)) for cut in (["ids", "mask"], cut_ids)]),
    "pieces of records": (
        lambda: read(split_plan().pieces(RECORDS)),
        "sample 0 is a dict, and plan.pieces is not told what of it to cut; name the parts: plan.pieces(dataset, cut=[",
        lambda: (read(split_plan().pieces(RECORDS, cut=["ids"])), read(split_plan().pieces(RECORDS, cut=cut_ids)))),
    "pieces of objects": (
        lambda: read(split_plan().pieces([Opaque(text) for text in TEXTS], cut=["ids"])),
        "sample 0 is a Opaque, and a copy of it may share its contents; leave cut out if samples are",
        lambda: (read(split_plan().pieces(TEXTS)),
                 read(split_plan().pieces([Opaque(text) for text in TEXTS], cut=cut_ids)))),
    "pieces of no such part": (
        lambda: read(split_plan().pieces(RECORDS, cut=["idz", NAME])),
        "sample 0, a dict, has no parts ['idz', 'nnn", lambda: read(split_plan().pieces(RECORDS, cut=["ids"]))),
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
})  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    told_and_followed(CASES[case])
