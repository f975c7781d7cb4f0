"""Batches that a trainer makes again of a plain mapping."""

from __future__ import annotations

import pytest
import torch

import batchwright as bw


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
