"""Batches that a trainer makes again of a plain mapping."""

from __future__ import annotations

import gc
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from .test_mutable_batch import COLLATE as WITH_MASK
from .test_mutable_batch import NAMES, SAMPLES, STEPS, VALUES, changed
from .test_pytrees import keeps, made


def test_a_mapping_with_single_numbers_is_a_batch_of_as_many_samples_as_its_first_tensor_is_long():
    loss = torch.tensor(3.0)
    batch = bw.Batch({"loss": loss, "step": 7, "run": "a", "x": torch.arange(2), "names": ["b", "c"], "none": None})
    assert batch.sample_count == 2
    assert repr(batch).startswith("Batch(2 samples; loss: scalar float32, step: int")
    assert batch["loss"] is loss
    assert batch[1] == {"loss": loss, "step": 7, "run": "a", "x": torch.tensor(1), "names": "c", "none": None}
    assert batch.select([1, 0, 1])[2]["names"] == "c"
    assert batch.select([1, 0, 1]).sample_count == 3
    assert batch.to("meta")["loss"].device.type == "meta"


@pytest.mark.parametrize("mapping", [{}, {"loss": torch.tensor(3.0)}, {"loss": 3.0}])
def test_a_mapping_without_samples_has_none(mapping):
    batch = bw.Batch(mapping)
    assert batch.sample_count == 0
    assert repr(batch).startswith("Batch(0 samples; ")
    assert batch.unbatch() == []
    assert dict(batch) == mapping
    with pytest.raises(IndexError, match="sample 0 of a batch of 0"):
        batch[0]


def test_a_packed_tensor_without_its_lengths_gives_no_samples():
    batch = bw.Collate(x=bw.stack(), ids=bw.ragged())([{"x": torch.ones(2), "ids": [1, 2]}] * 3)
    rebuilt = type(batch)(dict(batch))
    assert rebuilt["ids"].equal(batch["ids"])
    assert rebuilt.sample_count == 3
    with pytest.raises(bw.Infeasible, match="all 3 samples of a field together; take samples of the batch that"):
        rebuilt[0]


@given(
    steps=st.lists(STEPS, max_size=4),
    others=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES), max_size=3),
)
def test_a_batch_of_a_batchs_items_is_that_batch_with_other_entries(steps, others):
    batch = WITH_MASK(SAMPLES).scaled(0.5)
    for step in steps:
        changed(batch, step)
    mapping = {name: value for name, value in batch.items() if name not in others} | others
    same = {name for name, value in batch.items() if mapping.get(name) is value}
    rows = all(
        bw.collate.entries.same_rows(value, mapping.get(name)) for name, value in batch.items() if name in mapping
    )
    rebuilt = type(batch)(mapping)
    assert rebuilt == mapping
    assert list(rebuilt) == list(mapping)
    assert all(rebuilt[name] is value for name, value in mapping.items())
    if rows and any(isinstance(batch[name], torch.Tensor) and batch[name].ndim for name in same):
        assert rebuilt.aside == batch.aside
        assert rebuilt.aside.loss_scale == 0.5
        expected = batch.copy()
        for name in batch:
            if name not in mapping:
                del expected[name]
        expected |= others
        assert bw.collate.entries.equal(rebuilt.unbatch(), expected.unbatch())
        assert rebuilt.select([2, 0]) == {name: expected.select([2, 0])[name] for name in mapping}
    else:
        assert rebuilt.aside.columns == {}


def test_only_the_batch_whose_items_were_asked_for_last_and_that_lives_still_is_known():
    batch = made()
    items = dict(batch.items())
    keeps(bw.Batch(items))
    made().items()
    assert bw.Batch(items).aside.columns == {}
    batch.items()
    elsewhere = []
    thread = threading.Thread(target=lambda: elsewhere.append(bw.Batch(items)))
    thread.start()
    thread.join()
    assert elsewhere[0].aside.columns == {}
    keeps(bw.Batch(items))
    del batch
    gc.collect()
    assert bw.Batch(items).aside.columns == {}


@pytest.mark.parametrize(
    "change", [lambda rows: rows[:2], lambda rows: torch.cat([rows, rows]), lambda rows: rows.sum()]
)
def test_other_rows_are_no_samples_of_the_batch_it_was(change):
    batch = bw.Collate(x=bw.stack(), split=bw.aside())([{"x": torch.ones(2), "y": 1.0, "split": "a"}] * 3)
    rebuilt = type(batch)({name: change(value) if name == "x" else value for name, value in batch.items()})
    assert rebuilt.aside.columns == {}
    assert rebuilt["y"] is batch["y"]
