"""Tensors of odd kinds, and numbers that make no tensor, are refused by name; nothing is cast."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import batchwright as bw

from .refused import refused


@pytest.mark.parametrize("values", [(np.float32(1), np.int64(2)), (np.float32(1), 2.5), (torch.ones(()), 1.0)])
def test_numbers_of_other_dtypes_are_refused_and_never_cast(values):
    for collate in (bw.Collate(), bw.Collate(x=bw.scalar())):
        message = refused(collate, *({"x": value} for value in values))
        assert "sample 1 of the batch has shape ()" in message
        assert "one dtype" in message


@pytest.mark.parametrize(
    ("field", "values"),
    [
        (None, (1, 2**70)),
        (None, ([1], [2**70])),
        (bw.scalar(), (1, 2**70)),
        (bw.ragged(), ([1], [2**70])),
        (bw.ragged(), ([[1]], [[1], [2, 3]])),
    ],
)
def test_numbers_and_lists_that_make_no_tensor_are_refused(field, values):
    message = refused(bw.Collate({"x": field} if field else {}), *({"x": value} for value in values))
    assert "of sample 1 of the batch is of type " in message
    assert "makes no tensor" in message


@pytest.mark.parametrize("field", [bw.stack(), bw.ragged(), bw.ragged(pad=0.0)])
def test_tensors_of_several_devices_are_refused(field):
    message = refused(bw.Collate(x=field), {"x": torch.ones(2)}, {"x": torch.ones(2, device="meta")})
    assert "sample 1 of the batch has shape (2,) and dtype float32 on meta" in message


@pytest.mark.parametrize("values", [([1, 2.0],), ([1, "a"],), ([1], [2.0]), ([[1], [2.5]],)])
def test_lists_of_mixed_numbers_are_refused(values):
    samples = [{"x": value} for value in values]
    assert "'x'" in refused(bw.Collate(x=bw.ragged()), *samples)


def test_numbers_of_mixed_types_are_refused():
    assert "one dtype" in refused(bw.Collate(), {"x": 1}, {"x": 2.0})
    assert "a scalar has ()" in refused(bw.Collate(x=bw.scalar()), {"x": torch.ones(2)})
    assert "no dimension to be ragged along" in refused(bw.Collate(x=bw.ragged()), {"x": 3})


def _odd_tensors() -> dict[str, torch.Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
            "quantized": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
            "quantized by channel": torch.quantize_per_channel(
                torch.ones(2, 3), torch.tensor([0.1, 0.2]), torch.tensor([0, 0]), 0, torch.qint8
            ),
            "csr": torch.eye(3).to_sparse_csr(),
            "bsr": torch.eye(4).to_sparse_bsr((2, 2)),
            "mkldnn": torch.ones(3, 3).to_mkldnn(),
        }


DENSE = [None, bw.stack(), bw.ragged(), bw.ragged(pad=0), bw.ragged(form="jagged"), bw.ragged(truncate_to=1)]


DENSE += [bw.scalar(), bw.resized(), bw.media(), bw.block_diagonal()]


@pytest.mark.parametrize("kind", _odd_tensors())
@pytest.mark.parametrize("field", DENSE)
@pytest.mark.parametrize("first", [True, False])
def test_tensors_of_kinds_that_no_dense_field_takes_are_refused_and_kept_as_opaque(kind, field, first):
    odd, dense = _odd_tensors()[kind], torch.ones(3, 3)
    samples = [{"x": odd}, {"x": odd}] if first else [{"x": dense}, {"x": odd}]
    message = refused(bw.Collate({"x": field} if field else {}), *samples)
    assert "field 'x' of sample" in message
    assert len(message) < 500
    batch = bw.Collate(x=bw.opaque())(samples)
    assert batch[1]["x"] is odd


def test_nested_and_quantized_tensors_are_described():
    for kind, words in (("nested", "has 2 pieces and dtype float32 (a nested tensor)"), ("quantized", "(quantized)")):
        assert words in refused(bw.Collate(), {"x": _odd_tensors()[kind]})


def test_masked_tensors_are_refused_as_masked_arrays_are():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masked = torch.masked.masked_tensor(torch.ones(2), torch.tensor([True, False]))
    message = refused(bw.Collate(x=bw.ragged()), {"x": masked})
    assert message.endswith("make it two fields in the dataset: tensor.get_data() and tensor.get_mask().")
    batch = bw.Collate()([{"x": masked.get_data(), "mask": masked.get_mask()}])
    assert batch["mask"].tolist() == [[True, False]]


@pytest.mark.parametrize("dtype", [torch.float8_e8m0fnu, torch.bits8])
def test_a_pad_value_that_the_dtype_does_not_have_is_refused_and_the_packed_form_is_not(dtype):
    samples = [{"x": torch.ones(n, dtype=torch.uint8).view(dtype)} for n in (1, 2)]
    message = refused(bw.Collate(x=bw.ragged(pad=0)), *samples)
    assert message.endswith("pass a pad value that the field's dtype has, or form='packed' and no pad.")
    assert bw.Collate(x=bw.ragged(form="packed"))(samples)["x"].shape == (3,)
    if dtype.is_floating_point:
        assert bw.Collate(x=bw.ragged(pad=1))(samples)["x"].shape == (2, 2)
