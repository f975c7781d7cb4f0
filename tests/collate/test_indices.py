"""Fields that index others are shifted by what the others hold, or refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import batchwright as bw

INDEX = torch.tensor([[0], [1]])
SHIFTED = bw.ragged(dim=1, shift_by="x")


def refused(fields: dict[str, Any], *samples: dict[str, Any]) -> str:
    dataset = bw.identified({40 + number: sample for number, sample in enumerate(samples)})
    with pytest.raises(bw.Infeasible) as caught:
        bw.Collate(fields)([dataset[40 + number] for number in range(len(samples))])
    return str(caught.value)


@pytest.mark.parametrize(
    "dtype", [torch.uint16, torch.uint32, torch.uint64, torch.bool, torch.float32, torch.complex64]
)
def test_indices_that_torch_cannot_add_are_refused(dtype):
    sample = {"x": torch.ones(2), "e": INDEX.to(dtype)}
    message = refused({"x": bw.ragged(), "e": SHIFTED}, sample, sample)
    assert f"field 'e' of sample 40 (number 0 of the batch) holds {dtype}, an index holds integers" in message


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_counts_of_every_integer_dtype_shift(dtype):
    samples = [{"x": torch.tensor(count).to(dtype), "e": INDEX} for count in (2, 3)]
    assert bw.Collate(e=SHIFTED)(samples)["e"].tolist() == [[0, 2], [1, 3]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (bw.ragged(dim=1, shift_by=("x", "x")), torch.tensor([[0], [1], [1]])),
        (bw.ragged(dim=1, shift_by=("x", "x")), torch.zeros(3, 0, dtype=torch.int64)),
        (bw.ragged(dim=0, shift_by=("x", "x")), torch.tensor([[0, 1]])),
        (bw.ragged(dim=0, shift_by=("x", "x")), [0, 1]),
    ],
)
def test_another_number_of_rows_than_fields_is_refused(field, value):
    message = refused({"x": bw.ragged(), "e": field}, {"x": torch.ones(2), "e": value})
    assert f"field 'e' of sample 40 (number 0 of the batch) has shape {tuple(np.shape(value))}" in message
    assert "shifted by 2 fields" in message


def test_a_negative_count_is_refused_by_name():
    samples = [{"x": count, "e": INDEX} for count in (2, -3)]
    assert "field 'x' of sample 41 (number 1 of the batch) is -3" in refused({"e": SHIFTED}, *samples)


def test_what_is_ragged_along_two_dimensions_is_packed_flat_and_shifts_nothing():
    message = refused({"x": bw.ragged(dim=(0, 1)), "e": SHIFTED}, {"x": torch.ones(2, 3), "e": INDEX})
    assert "field 'e' is shifted by 'x', which is ragged along the dimensions (0, 1)" in message
