"""What plans by lengths and `pack` are not made of: each is refused with the fact and what to pass instead."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import batchwright as bw
from batchwright.lengths.packing import pack

L = [5, 6, 7, 8]
PAIR = {"a": L, "b": L}
SHAPES = [(1, 2), (2, 1)]


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: bw.packed(L, 40, solver="exakt"), "solver is 'exakt'; pass 'fast' or 'exact'"),
        (lambda: bw.packed(L, 40, max_per_pack=0), "max_per_pack is 0, the least is 1"),
        (lambda: bw.packed(L, 40, max_per_pack=-3), "max_per_pack is -3, the least is 1"),
        (lambda: bw.packed(L, 40, packs=2.0), "packs is 2.0, not a whole number"),
        (lambda: bw.packed(L, None), "capacity is None, not a finite number"),
        (lambda: bw.packed(L, float("nan")), "capacity is nan, not a finite number"),
        (lambda: bw.packed(L, 8.5), "capacity is 8.5; pass a whole capacity"),
        (lambda: bw.packed({"a": L}, {"a": None}), r"capacity\['a'\] is None, not a finite number"),
        (lambda: bw.packed(L, 40, cost="tokens"), "cost is 'tokens', no function"),
        (lambda: bw.packed(L, 40, cost=lambda n: None), "what cost gives is None"),
        (
            lambda: bw.packed([1] * 3000, 40, together=[0] * 3000),
            "samples 0, 1, 2, 3 and 2996 more stay together and have length 3000, capacity is 40; "
            "pass capacity=3000 or more.",
        ),
        (
            lambda: bw.packed(PAIR, {"a": 6, "b": 9}),
            r"has a 7, capacity\['a'\] .* pass capacity=\{'a': 8, 'b': 9\} or more, or too_long='skip'",
        ),
        (lambda: bw.packed([[1, 2], [3]], 40), "lengths holds 2 values of type list"),
        (lambda: bw.packed(iter(L), 40), "lengths is of type list_iterator"),
        (
            lambda: bw.budgeted(L, float("nan")),
            "max_tokens is nan, not a number; .* a finite number, or inf for no limit",
        ),
        (lambda: bw.budgeted(L, None), "max_tokens is None, not a number"),
        (lambda: bw.budgeted(L, np.array([4, 5])), r"max_tokens is array\(\[4, 5\]\), not a number"),
        (lambda: bw.budgeted(L, 0), "max_tokens is 0; pass a budget above 0"),
        (lambda: bw.budgeted(PAIR, {"a": 8, "b": "8"}), r"max_tokens\['b'\] is '8'"),
        (lambda: bw.budgeted(L, 40, window="epochs"), "window is 'epochs' micro-batches; pass a whole number"),
        (lambda: bw.budgeted(L, 40, window=2.5), "window is 2.5 micro-batches"),
        (lambda: bw.budgeted(L, 40, max_samples=2.5), "max_samples is 2.5, not a whole number"),
        (lambda: bw.budgeted(L, 40, round_count=2.0), "round_count is 2.0, not a whole number"),
        (lambda: bw.budgeted(L, 40, round_length=8.0), "round_length is 8.0, not a whole number"),
        (lambda: bw.budgeted(L, 40, round_length=[8.5, 16]), "a length of round_length is 8.5"),
        (lambda: bw.budgeted(L, 40, round_length=[]), "round_length is a list of 0 lengths"),
        (lambda: bw.budgeted(L, 40, padded="yes"), "padded is 'yes', neither True nor False"),
        (
            lambda: bw.budgeted(PAIR, {"a": 40, "b": 40}, padded={"a": True}),
            "padded is by the names 'a', budgets are 'a', 'b'",
        ),
        (lambda: bw.budgeted(PAIR, {"a": 40, "b": 40}, padded={"a": True, "b": 1}), r"padded\['b'\] is 1"),
        (lambda: bw.budgeted(L, 6, cost=lambda n: n), "at a cost of 7, .* or too_long='alone' or 'skip'"),
        (lambda: bw.budgeted((n for n in L), 40), "lengths is of type generator"),
        (lambda: bw.grouped([-1, 2], 2), "sample 0 has length -1"),
        (lambda: bw.grouped(L, "16"), "batch_size is '16', not a whole number"),
        (lambda: bw.grouped(L, 2, level="yes"), "level is 'yes', neither True nor False"),
        (lambda: bw.grouped({"a": L}, 2), "lengths is of type dict"),
        (lambda: bw.bucketed([[1, 2], [2]], 2), "sample 1 of shapes has 1 sizes, sample 0 has 2"),
        (lambda: bw.bucketed([], 2), "0 shapes"),
        (lambda: bw.bucketed(torch.ones(2, 2, device="meta"), 2), "shapes is a tensor on the meta device"),
        (lambda: bw.bucketed([("1", "2")], 2), "shapes holds values of type <U1, numbers are needed"),
        (lambda: bw.bucketed(SHAPES, 2.5), "batch_size is 2.5, not a whole number"),
        (lambda: bw.bucketed(SHAPES, 2, buckets=2.5), "buckets is 2.5, not a whole number"),
        (
            lambda: bw.bucketed(SHAPES, 2, buckets=[(1, 2), (3,)]),
            "bucket 1 of buckets has 1 sizes, bucket 0 has 2",
        ),
        (lambda: bw.bucketed(SHAPES, 2, buckets=np.ones((0, 2))), r"buckets have shape \(0, 2\)"),
        (
            lambda: bw.bucketed(SHAPES, 2, buckets=[(1, float("nan"))]),
            "side 1 of bucket 0 of buckets is nan, not a finite number above 0",
        ),
        (lambda: pack([5, 3], 4), "sample 0 has length 5, the capacity is 4; pass capacity=5 or more"),
        (lambda: pack([2.5, 3], 4), "lengths at sample 0 is 2.5; pass whole lengths from 1"),
        (lambda: pack([2, 0], 4), "lengths at sample 1 is 0; pass whole lengths from 1"),
        (lambda: pack([2, 3], 4.0), "capacity is 4.0, not a whole number"),
        (lambda: pack([2, 3], 4, max_per_pack=0), "max_per_pack is 0, the least is 1"),
        (lambda: pack([2, 3], 4, solver="best"), "solver is 'best'"),
    ],
)
def test_refused_with_the_fact_and_what_to_pass(build, said):
    with pytest.raises(bw.Infeasible, match=said) as refusal:
        build()
    assert refusal.value.way_out.startswith("pass ")


def test_what_is_unusual_and_right_is_taken():
    assert bw.budgeted(L, float("inf"), max_samples=2).epoch_length() == 2
    assert bw.budgeted(L, np.float32(40), round_length=np.array([8, 16])).cutter.cost(np.arange(4)) == 32
    assert bw.packed(L, np.int64(13), packs=np.int64(2), max_per_pack=np.int64(2)).epoch_length() == 1
    assert len(bw.bucketed(SHAPES, 2, buckets=np.int64(2)).buckets) == 2
    assert bw.grouped(torch.tensor(L), np.int64(2), window=np.int64(4)).epoch_length() == 2
    assert len(pack(torch.tensor([4, 6, 5, 3, 2]), 10)) == 2


TOGETHER = {
    "per_class": lambda runs: bw.balanced(np.arange(60) % 6, 12, per_class=runs),
    "per_source": lambda runs: bw.mixed(dict.fromkeys("abcd", 15), 12, per_source=runs),
    "per": lambda runs: bw.hierarchical([np.arange(60) % 6], [3, runs]),
    "drawn cohorts": lambda runs: bw.rotating(np.arange(60) % 6, 2, per_class=runs),
    "a source": lambda runs: bw.mixed(
        {"a": 30, "b": bw.balanced(np.arange(30) % 6, 6, per_class=runs)}, 12, target="uniform"
    ),
}


@pytest.mark.parametrize("kind", TOGETHER)
def test_an_order_that_keeps_samples_together_is_not_torn_apart(kind):
    lengths = np.arange(60) % 9 + 1
    cuts = [
        lambda order: bw.budgeted(lengths, 40, order=order),
        lambda order: bw.grouped(lengths, 8, order=order),
        lambda order: bw.packed(lengths, 40, order=order),
        lambda order: bw.bucketed(lengths[:, None], 8, buckets=2, order=order),
    ]
    for cut in cuts:
        with pytest.raises(bw.Infeasible, match=r"keeps 3 samples of a group together .* build the order with 1 "):
            cut(TOGETHER[kind](3))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bw.PoorWarning)
            assert cut(TOGETHER[kind](1)).epoch_length() > 0  # the way out
