"""Samples cut to their first elements, as plans that truncate count on."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import batchwright as bw

LENGTHS = np.clip(np.random.default_rng(0).lognormal(3, 1, 200), 1, 400).astype(int)


@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    most=st.integers(1, 10),
    dim=st.sampled_from([0, 1, -1, -2]),
    kind=st.sampled_from([torch.Tensor.clone, torch.Tensor.numpy, torch.Tensor.tolist]),
)
def test_samples_are_cut_to_their_first_elements(lengths, most, dim, kind):
    across = dim in (1, -1)
    rows = [torch.arange(2 * n).reshape((2, n) if across else (n, 2)) for n in lengths]
    if not across and kind is torch.Tensor.tolist:  # an empty list of pairs would be of rank 1
        rows = [row for row in rows if len(row)] or [torch.ones(1, 2, dtype=torch.int64)]
    cut = [row[:, :most] if across else row[:most] for row in rows]
    batch = bw.Collate(x=bw.ragged(dim=dim, truncate_to=most))([{"x": kind(row)} for row in rows])
    assert batch["x"].equal(torch.cat(cut, 1 if across else 0))
    assert all(after["x"].equal(before) for after, before in zip(batch.unbatch(), cut, strict=True))


@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6), most=st.integers(1, 10))
def test_flat_lists_are_cut(lengths, most):
    rows = [list(range(n)) for n in lengths]
    batch = bw.Collate(x=bw.ragged(pad=-1, truncate_to=most))([{"x": row} for row in rows])
    assert [row["x"].tolist() for row in batch.unbatch()] == [row[:most] for row in rows]
    assert [len(row) for row in rows] == lengths


def test_no_micro_batch_of_a_truncating_plan_is_over_its_budget_once_collated():
    dataset = [{"ids": torch.arange(n), "labels": list(range(n))} for n in LENGTHS]
    for plan in (
        bw.budgeted(LENGTHS, 100, too_long="truncate"),
        bw.budgeted(LENGTHS, 100, too_long="truncate", round_length=[16, 32, 64, 96], window=8),
    ):
        menu = [16, 32, 64, 96] if plan.truncate_to == 96 else []
        field = bw.ragged(pad=0, menu=menu, truncate_to=plan.truncate_to)
        collate = bw.Collate(ids=field, labels=field)
        batches = list(DataLoader(dataset, batch_sampler=plan.sampler(), collate_fn=collate))
        assert plan.truncate_to in (96, 100)
        assert max(batch["ids"].numel() for batch in batches) <= 100
        assert max(batch["ids"].shape[1] for batch in batches) == plan.truncate_to
        assert all(batch["ids"].equal(batch["labels"]) for batch in batches)


def test_no_pack_of_a_truncating_plan_is_over_its_capacity_once_collated():
    dataset = [{"ids": torch.arange(n), "labels": list(range(n))} for n in LENGTHS]
    plan = bw.packed(LENGTHS, 100, packs=2, too_long="truncate")
    field = bw.ragged(pad=-1, truncate_to=plan.truncate_to)
    collate = bw.Collate(ids=field, labels=field).packs(capacity=100, packs=2, fill="dummy", shape="packs")
    batches = list(DataLoader(dataset, batch_sampler=plan.sampler(), collate_fn=collate))
    assert {batch["ids"].shape[1] for batch in batches} == {100}
    assert sum(int((batch["ids"] >= 0).sum()) for batch in batches) == np.minimum(LENGTHS, 100).sum()


def test_where_nothing_is_cut_a_plan_says_none_which_can_be_passed_on():
    plans = (
        bw.budgeted(LENGTHS, 400),
        bw.budgeted(LENGTHS, 400, too_long="truncate"),
        bw.packed(LENGTHS, 400),
        bw.grouped(LENGTHS, 8),
    )
    for plan in plans:
        assert plan.truncate_to is None
        assert bw.ragged(truncate_to=plan.truncate_to) == bw.ragged()


def test_indices_behind_the_cut_are_refused():
    collate = bw.Collate(ids=bw.ragged(truncate_to=3), span=bw.ragged(shift_by="ids"))
    with pytest.raises(bw.Infeasible, match="holds indices from 0 to 3, and that sample has 3 of 'ids'"):
        collate([{"ids": torch.arange(5), "span": torch.tensor([0, 3])}])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"truncate_to": 0}, "truncate_to is 0, the least is 1"),
        ({"truncate_to": 2.5}, "truncate_to is 2.5, not a whole number"),
        ({"truncate_to": 4, "dim": (0, 1)}, r"cuts along one dimension, dim is \(0, 1\)"),
    ],
)
def test_lengths_that_cannot_be_are_refused(options, said):
    with pytest.raises(bw.Infeasible, match=said):
        bw.ragged(**options)


@pytest.mark.parametrize("value", [torch.tensor(3), torch.ones(4)])
def test_samples_without_the_dimension_are_refused_as_without_truncation(value):
    with pytest.raises(bw.Infeasible):
        bw.Collate(x=bw.ragged(dim=1, truncate_to=2))([{"x": value}])


def test_cut_samples_of_a_list_leave_the_rest_of_their_memory_behind():
    collate = bw.Collate(x=bw.ragged(form="list", truncate_to=3))
    batch = collate([{"x": torch.zeros(10_000)}, {"x": torch.zeros(2)}])
    assert len(pickle.dumps(batch)) < 5_000
