"""The way out that a refusal of a field's values names is followed: what makes no tensor, and tensors that do not fit."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

import batchwright as bw

from ..refusals import cases, told_and_followed

ONES = torch.ones
MATRIX = torch.eye(2).to_sparse_coo()
VECTOR = ONES(3).to_sparse_coo()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns that these are in beta and that quantized ones will go
    CSR = torch.eye(2).to_sparse_csr()
    QUANTIZED = torch.quantize_per_tensor(ONES(2, 2), 0.1, 0, torch.qint8)


class Unjoined(torch.Tensor):
    """Tensors that refuse to be stacked, and do not say why."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (torch.stack, torch.cat):
            raise RuntimeError
        return super().__torch_function__(function, types, args, kwargs)


def one(value: Any, field: Any = None) -> Any:
    """One sample, whose field `x` is collated as declared."""
    return many([value], field)


def many(values: Any, field: Any = None) -> Any:
    return bw.Collate({} if field is None else {"x": field})([{"x": value} for value in values])


TABLE = {
    "sparse matrices": (
        lambda: one(MATRIX, bw.stack()),
        "declare it: x = bw.block_diagonal()",
        lambda: one(MATRIX, bw.block_diagonal()),
    ),
    "sparse matrices of a part": (
        lambda: bw.Collate(a={"x": bw.ragged()})([{"a": {"x": MATRIX}}]),
        "declare it: a = {'x': bw.block_diagonal()}",
        lambda: bw.Collate(a={"x": bw.block_diagonal()})([{"a": {"x": MATRIX}}]),
    ),
    "sparse items of media": (
        lambda: one([MATRIX, MATRIX], bw.media()),
        "declare it: x = bw.media(bw.block_diagonal())",
        lambda: one([MATRIX, MATRIX], bw.media(bw.block_diagonal())),
    ),
    "a sparse vector": (
        lambda: one(VECTOR, bw.stack()),
        "declare it: x = bw.opaque()",
        lambda: one(VECTOR, bw.opaque()),
    ),
    "a sparse vector as a scalar": (
        lambda: one(VECTOR, bw.scalar()),
        "declare it: x = bw.opaque()",
        lambda: one(VECTOR, bw.opaque()),
    ),
    "a sparse matrix with dense parts": (
        lambda: one(ONES(2, 2, 2).to_sparse(2)),
        "declare it: x = bw.opaque()",
        lambda: one(ONES(2, 2, 2).to_sparse(2), bw.opaque()),
    ),
    "a dense matrix and a sparse one": (
        lambda: many([torch.eye(2), MATRIX], bw.stack()),
        "declare it: x = bw.opaque()",
        lambda: many([torch.eye(2), MATRIX], bw.opaque()),
    ),
    "compressed matrices": (
        lambda: one(CSR, bw.ragged()),
        "declare it: x = bw.opaque()",
        lambda: one(CSR, bw.opaque()),
    ),
    "compressed matrices as blocks": (
        lambda: one(CSR, bw.block_diagonal()),
        "make it one in the dataset: matrix.to_sparse_coo()",
        lambda: one(CSR.to_sparse_coo(), bw.block_diagonal()),
    ),
    "sparse vectors as blocks": (
        lambda: one(VECTOR, bw.block_diagonal()),
        "declare it: x = bw.opaque()",
        lambda: one(VECTOR, bw.opaque()),
    ),
    "quantized tensors as blocks": (
        lambda: one(QUANTIZED, bw.block_diagonal()),
        "declare it: x = bw.opaque()",
        lambda: one(QUANTIZED, bw.opaque()),
    ),
    "a list of several types": (
        lambda: one([1, 2.0], bw.ragged()),
        "make it a tensor in the dataset, or declare it: x = bw.opaque()",
        lambda: (one(torch.tensor([1, 2.0]), bw.ragged()), one([1, 2.0], bw.opaque())),
    ),
    "a list of many types": (
        lambda: one([type(f"Kind{number}", (), {})() for number in range(500)], bw.ragged()),
        "make it a tensor in the dataset, or declare it: x = bw.opaque()",
        lambda: one([type(f"Kind{number}", (), {})() for number in range(500)], bw.opaque()),
    ),
    "text": (
        lambda: one("a", bw.stack()),
        "declare it: x = bw.opaque()",
        lambda: one("a", bw.opaque()),
    ),
    "an array of text": (
        lambda: one(np.array(["a"]), bw.ragged()),
        "declare it: x = bw.opaque()",
        lambda: one(np.array(["a"]), bw.opaque()),
    ),
    "no value": (
        lambda: many([ONES(2), None], bw.stack()),
        "declare it: x = bw.media() or bw.opaque()",
        lambda: [many([ONES(2), None], field) for field in (bw.media(), bw.opaque())],
    ),
    "no value among items": (
        lambda: one([ONES(2), None], bw.media()),
        "declare it: x = bw.media(bw.opaque())",
        lambda: one([ONES(2), None], bw.media(bw.opaque())),
    ),
    "tensors that refuse to be stacked": (
        lambda: one(ONES(2).as_subclass(Unjoined), bw.stack()),
        "declare it: x = bw.opaque()",
        lambda: one(ONES(2).as_subclass(Unjoined), bw.opaque()),
    ),
    "tensors that refuse to be joined": (
        lambda: one(ONES(2).as_subclass(Unjoined), bw.ragged()),
        "declare it: x = bw.opaque()",
        lambda: one(ONES(2).as_subclass(Unjoined), bw.opaque()),
    ),
    "a number past 64 bits": (
        lambda: one(2**70, bw.scalar()),
        "make it one in the dataset, or declare it: x = bw.opaque()",
        lambda: (one(torch.tensor(float(2**70)), bw.scalar()), one(2**70, bw.opaque())),
    ),
    "lists of unequal lists": (
        lambda: one([[1], [2, 3]], bw.ragged()),
        "make it one in the dataset, or declare it: x = bw.opaque()",
        lambda: (one(torch.tensor([[1, 0], [2, 3]]), bw.ragged()), one([[1], [2, 3]], bw.opaque())),
    ),
    "scalars of one shape": (
        lambda: many([ONES(2), ONES(2)], bw.scalar()),
        "declare it: x = bw.stack()",
        lambda: many([ONES(2), ONES(2)], bw.stack()),
    ),
    "scalars of several shapes": (
        lambda: many([ONES(2), ONES(3)], bw.scalar()),
        "declare it: x = bw.ragged()",
        lambda: many([ONES(2), ONES(3)], bw.ragged()),
    ),
    "scalars of several widths": (
        lambda: many([ONES(2, 3), ONES(2, 4)], bw.scalar()),
        "declare it: x = bw.ragged(dim=1)",
        lambda: many([ONES(2, 3), ONES(2, 4)], bw.ragged(dim=1)),
    ),
    "scalars, some of them vectors": (
        lambda: many([torch.tensor(1), torch.tensor([1])], bw.scalar()),
        "give every sample the same number of dimensions",
        lambda: many([torch.tensor(1), torch.tensor(1)], bw.scalar()),
    ),
    "a ragged field of single numbers": (
        lambda: one(torch.tensor(3), bw.ragged()),
        "declare it: x = bw.scalar()",
        lambda: one(torch.tensor(3), bw.scalar()),
    ),
    "ragged items that are single numbers": (
        lambda: one(torch.tensor(3), bw.media(bw.ragged())),
        "declare it: x = bw.media(bw.scalar())",
        lambda: one(torch.tensor(3), bw.media(bw.scalar())),
    ),
    "a dimension that samples do not have": (
        lambda: one(ONES(2, 3), bw.ragged(dim=2)),
        "pass one dimension or several distinct ones, each from -2 to 1",
        lambda: [one(ONES(2, 3), bw.ragged(dim=dim)) for dim in (-2, -1, 0, 1, (0, 1))],
    ),
    "no dimension": (
        lambda: one(ONES(2, 3), bw.ragged(dim=())),
        "pass one dimension or several distinct ones, each from -2 to 1",
        lambda: one(ONES(2, 3), bw.ragged(dim=0)),
    ),
    "a dimension twice": (
        lambda: bw.Ragged.from_list([ONES(2, 3)], dim=(0, -2)),
        "pass one dimension or several distinct ones, each from -2 to 1",
        lambda: bw.Ragged.from_list([ONES(2, 3)], dim=(0, 1)),
    ),
    "pieces without dimensions": (
        lambda: bw.Ragged.from_list([torch.tensor(1)]),
        "give every sample one dimension or more",
        lambda: bw.Ragged.from_list([torch.tensor([1])]),
    ),
    "a dimension in words": (
        lambda: bw.Ragged.from_list([ONES(2, 3)], dim="a"),
        "pass dim as an integer",
        lambda: bw.Ragged.from_list([ONES(2, 3)], dim=np.int64(1)),
    ),
    "no pieces": (
        lambda: bw.Ragged.from_list([]),
        "pass at least one tensor",
        lambda: bw.Ragged.from_list([ONES(2)]),
    ),
    "one tensor as pieces": (
        lambda: bw.Ragged.from_list(ONES(2, 2)),
        "pass a list of tensors, one for each sample",
        lambda: bw.Ragged.from_list([ONES(2), ONES(2)]),
    ),
    "pieces that are None": (
        lambda: bw.Ragged.from_list([None]),
        "pass tensors: torch.as_tensor(piece) for each",
        lambda: bw.Ragged.from_list([torch.as_tensor([1])]),
    ),
    "pieces that are lists": (
        lambda: bw.Ragged.from_list([[1, 2], [3]]),
        "pass tensors: torch.as_tensor(piece) for each",
        lambda: bw.Ragged.from_list([torch.as_tensor(piece) for piece in ([1, 2], [3])]),
    ),
    "pieces of other widths": (
        lambda: bw.Ragged.from_list([ONES(2, 3), ONES(1, 4)]),
        "pass pieces of one dtype that differ in size along dim 0 alone",
        lambda: bw.Ragged.from_list([ONES(2, 3), ONES(1, 3)]),
    ),
    "pieces of other dtypes": (
        lambda: bw.Ragged.from_list([ONES(2, 3), ONES(1, 3).int()], dim=[0, 1]),
        "pass pieces of one dtype that differ in size along dim [0, 1] alone",
        lambda: bw.Ragged.from_list([ONES(2, 3), ONES(1, 4)], dim=[0, 1]),
    ),
    "lengths of several numbers of samples": (
        lambda: bw.Ragged.from_padded(ONES(2, 3, 3), ([1, 2], [3]), dim=(0, 1)),
        "pass one length for each sample along each ragged dimension",
        lambda: bw.Ragged.from_padded(ONES(2, 3, 3), ([1, 2], [3, 3]), dim=(0, 1)),
    ),
    "lengths along more dimensions than are named": (
        lambda: bw.Ragged.from_padded(ONES(2, 3, 3), ([1, 2], [3, 3])),
        "pass dim=(...) and a tuple with the lengths along each",
        lambda: bw.Ragged.from_padded(ONES(2, 3, 3), ([1, 2], [3, 3]), dim=(0, 1)),
    ),
}
CASES = cases("refuse way_out follow", TABLE)


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_is_one(name):
    told_and_followed(CASES[name])
