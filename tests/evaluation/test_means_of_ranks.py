"""Means over real ranks: by name, exact, and refused alike on all of them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import batchwright as bw
from batchwright.correct import Means

from .. import processes

N = 21
VALUES = {"loss": 1, "accuracy": 2, "f1": 3, "recall": 2**62 + 1}


def measured(rank, world_size, names_of_rank):
    """The means of this rank, by its names in their order; or the refusal. And those of an evaluation after it."""
    sampler = bw.evaluation(N, 4).sampler()
    means = Means(sampler)
    found = []
    for names in (names_of_rank[rank], list(VALUES)):
        for number, batch in enumerate(sampler):
            if names:
                means.add(number, **{name: [VALUES[name]] * len(batch) for name in names})
        for whole in True, False:
            try:
                found.append(list(means.result(whole=whole).items()))
            except bw.Infeasible as refusal:
                found.append(str(refusal))
    return found


ORDERS = [
    ["loss", "accuracy", "f1", "recall"],
    ["recall", "f1", "loss", "accuracy"],
    ["f1", "recall", "accuracy", "loss"],
]


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_may_add_their_values_in_any_order(world):
    for found in processes.run(measured, world, ORDERS):
        assert found == [[(name, float(VALUES[name])) for name in ORDERS[0]]] * 4  # in one order on all ranks


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        ([["loss"], ["f1"]], "'loss' is missing on rank 1, 'f1' is missing on rank 0"),
        ([["loss"], ["loss", "f1"]], "'f1' is missing on rank 0"),
        ([["loss", "f1"], ["loss"], ["f1", "loss"]], "'f1' is missing on rank 1"),
        ([["loss", "f1"], ["loss"], []], "'f1' is missing on rank 1"),
        ([["loss"], ["loss"], ["recall", "f1"]],
         "'loss' is missing on rank 2, 'recall' is missing on rank 0, 'recall' is missing on rank 1, 'f1' is missing on"),
    ],
)  # fmt: skip
def test_different_names_are_refused_alike_on_every_rank(names, missing):
    ranks = processes.run(measured, len(names), names)
    for whole, part, *later in ranks:
        assert whole == part == ranks[0][0]
        assert whole.startswith(f"the values of {len(names)} ranks have different names: {missing}")
        assert later == [[(name, float(value)) for name, value in VALUES.items()]] * 2


def test_a_rank_without_a_batch_takes_part():
    ranks = processes.run(measured, 2, [["loss"], []])
    for rank, (whole, part, *_) in enumerate(ranks):
        assert whole.startswith(
            f"the means would be of 11 samples, and there are {N}; this rank, {rank} of 2, added {3 * (1 - rank)} of its 3 b"
        )
        assert part == [("loss", 1)]
    for found in processes.run(measured, 2, [[], []]):
        assert all(said.startswith("there are means of 0 values") for said in found[:2])


def of_what_counts(rank, world_size):
    """The means where a rank with fillers alone adds nothing."""
    sampler = bw.evaluation(1, 4).sampler()
    means = Means(sampler)
    for number, batch in enumerate(sampler):
        if sampler.real(number):
            means.add(number, number=batch)
    return means.result()


def test_a_rank_of_fillers_alone_need_not_add_them():
    assert processes.run(of_what_counts, 3) == [{"number": 0}] * 3


def of_another_epoch(rank, world_size):
    """The refusal where rank 0 is an epoch ahead."""
    sampler = bw.evaluation(N, 4).sampler()
    means = Means(sampler)
    for number, batch in enumerate(sampler):
        means.add(number, epoch=1 - rank, number=batch)
    with pytest.raises(bw.Infeasible) as refusal:
        means.result()
    return refusal.value.fact


def test_values_of_different_epochs_are_refused_on_every_rank():
    assert processes.run(of_another_epoch, 2) == ["rank 0 added values of epoch 1, and rank 1 of epoch 0"] * 2


WHOLE = st.one_of(
    st.tuples(st.just(np.int64), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(np.uint64), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(np.int8), st.integers(-128, 127)),
)


@settings(deadline=None)
@given(batches=st.lists(st.lists(WHOLE, min_size=3, max_size=3), min_size=1, max_size=6))
def test_sums_of_whole_numbers_are_exact_however_large(batches):
    means = Means(bw.evaluation(3 * len(batches), 3).sampler())
    total = amount = 0
    for number, samples in enumerate(batches):
        dtype = samples[0][0]
        values = [value if kind is dtype else 1 for kind, value in samples]
        array = np.array(values, dtype)
        means.add(number, mean=array, pair=(torch.from_numpy(array), torch.from_numpy(array)), one=(array, [1, 0, 0]))
        total, amount = total + sum(values), amount + 1
    found = means.result()
    assert found["mean"] == float(Fraction(total, 3 * len(batches)))
    assert found["one"] == float(Fraction(total, amount))
    assert found["pair"] == 1 if total else math.isnan(found["pair"])


def of_times(rank, world_size):
    sampler = bw.evaluation(N, 4).sampler()
    means = Means(sampler)
    for number, batch in enumerate(sampler):
        means.add(number, time=[1_764_524_237_000_000_000 + sample for sample in batch])
    return means.result()


@pytest.mark.parametrize("world", [1, 2, 3])
def test_times_in_nanoseconds_have_a_mean(world):
    assert processes.run(of_times, world) == [{"time": float(1_764_524_237_000_000_010)}] * world


def test_numbers_of_a_list_are_summed_in_float64():
    means = Means(bw.evaluation(2, 2).sampler())
    means.add(0, value=[0.1, 1e300], weighed=([0.1, 0.2], [np.float32(1), 1.0]))
    assert means.result() == {"value": (0.1 + 1e300) / 2, "weighed": (0.1 + 0.2) / 2}
