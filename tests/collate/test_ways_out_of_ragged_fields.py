"""The way out that a refusal of ragged fields, their indices and their padding names is followed, and it passes."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import batchwright as bw

from ..refusals import cases, told_and_followed

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it calls torch.jit.script when it is imported
    from torch_geometric.data import Data

ONES = torch.ones
ROWS = [{"x": ONES(n)} for n in (2, 3)]
EDGES = torch.tensor([[0, 1], [1, 0]])
POINTED = bw.Collate(x=bw.ragged(), e=bw.ragged(shift_by="x"))
EDGE = bw.ragged(dim=1, shift_by=("x", "y"))
NESTED = torch.nested.as_nested_tensor([ONES(2, 3), ONES(1, 3)], layout=torch.jagged)
DESCRIPTIONS = "lengths, first, offsets, cu_seqlens, max_length, segments, positions, mask"
PAD = "pass a pad value that the field's dtype has, or form='packed' and no pad"


def pointing(dtype: torch.dtype, count: int = 100) -> list[Any]:
    return [{"x": ONES(count), "e": torch.tensor([count - 1], dtype=dtype)}] * 2


def graphs(dtype: torch.dtype) -> list[Any]:
    return [Data(x_index=torch.arange(n, dtype=dtype), num_nodes=n) for n in (200, 57)]


def field(*, dim: Any = 0, **options: Any) -> Any:
    """The field of two samples that differ in length along `dim`."""
    samples = [ONES(2, 2), ONES(2, 3)]
    return bw.Collate(x=bw.ragged(dim, **options))([{"x": x if dim else x.T} for x in samples]).fields["x"]


def padded(pad: Any, dtype: torch.dtype) -> Any:
    return bw.Collate(x=bw.ragged(pad=pad))([{"x": row["x"].to(dtype)} for row in ROWS])["x"]


def unpadded(dtype: torch.dtype) -> Any:
    return bw.Collate(x=bw.ragged(form="packed"))([{"x": row["x"].to(dtype)} for row in ROWS])["x"]


TABLE = {
    "shifted by what is ragged along two": (
        lambda: bw.Collate(x=bw.ragged((0, 1)), e=bw.ragged(shift_by="x"))([{"x": ONES(2, 3), "e": EDGES}]),
        "shift by a field that is ragged along one, or by a field of whole numbers",
        lambda: (
            POINTED([{"x": ONES(2, 3), "e": EDGES}]),
            bw.Collate(x=bw.ragged((0, 1)), e=bw.ragged(shift_by="n"))([{"x": ONES(2, 3), "n": 2, "e": EDGES}]),
        ),
    ),
    "a negative count": (
        lambda: bw.Collate(e=bw.ragged(shift_by="n"))([{"n": n, "e": EDGES} for n in (2, -3)]),
        "give counts of 0 or more",
        lambda: bw.Collate(e=bw.ragged(shift_by="n"))([{"n": 2, "e": EDGES}, {"n": 0, "e": EDGES[:0]}]),
    ),
    "three rows for two fields": (
        lambda: bw.Collate(x=bw.ragged(), y=bw.ragged(), e=EDGE)(
            [{"x": ONES(2), "y": ONES(2), "e": ONES(3, 2).long()}]
        ),
        "give one field for each row of dim 0, and let dim 1 be the ragged one",
        lambda: bw.Collate(x=bw.ragged(), y=bw.ragged(), e=EDGE)([{"x": ONES(2), "y": ONES(2), "e": EDGES}]),
    ),
    "rows that are ragged themselves": (
        lambda: bw.Collate(x=bw.ragged(), y=bw.ragged(), e=bw.ragged(shift_by=("x", "y")))(
            [{"x": ONES(2), "y": ONES(2), "e": EDGES}]
        ),
        "give one field for each row of dim 0, and let dim 1 be the ragged one",
        lambda: bw.Collate(x=bw.ragged(), y=bw.ragged(), e=EDGE)([{"x": ONES(2), "y": ONES(2), "e": EDGES}]),
    ),
    "indices past the range of their dtype": (
        lambda: POINTED(pointing(torch.int8)),
        "convert it to a wider integer in the dataset",
        lambda: POINTED(pointing(torch.int16)),
    ),
    "indices of a graph past the range of their dtype": (
        lambda: bw.Collate()(graphs(torch.uint8)),
        "convert it to a wider integer in the dataset",
        lambda: bw.Collate()(graphs(torch.int16)),
    ),
    "an index counted from 1": (
        lambda: POINTED([{"x": ONES(2), "e": EDGES + 1}]),
        "index within the sample, from 0",
        lambda: POINTED([{"x": ONES(2), "e": EDGES}]),
    ),
    "a negative length": (
        lambda: bw.Layout([2, -1]),
        "pass lengths of 0 or more",
        lambda: bw.Layout([2, 0]),
    ),
    "lengths without end": (
        lambda: bw.Layout(itertools.count()),
        "pass one for each sample of a batch",
        lambda: bw.Layout(range(3)),
    ),
    "a padded length below 0": (
        lambda: bw.Layout([2, 1]).mask(-1),
        "pass a length of 0 or more",
        lambda: bw.Layout([2, 1]).mask(1),
    ),
    "a padded length below the longest sample": (
        lambda: bw.Layout([2, 1]).padded_to_packed(1),
        "pass at least that length",
        lambda: bw.Layout([2, 1]).padded_to_packed(2),
    ),
    "too many values to repeat": (
        lambda: bw.Layout([2, 1]).repeated([7, 8, 9]),
        "pass one integer a sample",
        lambda: bw.Layout([2, 1]).repeated([7, 8]),
    ),
    "one number as lengths": (
        lambda: bw.Ragged.from_packed(ONES(5), 5),
        "pass a list of whole numbers, one a sample",
        lambda: bw.Ragged.from_packed(ONES(5), [5]),
    ),
    "offsets past 32 bits": (
        lambda: bw.Layout([2**31]).cu_seqlens,
        "use `offsets`, or pack fewer samples",
        lambda: (bw.Layout([2**31]).offsets, bw.Layout([2**30]).cu_seqlens),
    ),
    "a tensor that is not nested": (
        lambda: bw.Ragged.from_jagged(ONES(2, 3)),
        "use Ragged.from_list(pieces)",
        lambda: bw.Ragged.from_list([ONES(2, 3)[0], ONES(2, 3)[1, :2]]),
    ),
    "a strided nested tensor": (
        lambda: bw.Ragged.from_jagged(strided()),
        "use Ragged.from_list(nested.unbind())",
        lambda: bw.Ragged.from_list(strided().unbind()),
    ),
    "a list as a nested tensor": (
        lambda: bw.Ragged.from_jagged([ONES(2), ONES(1)]),
        "use Ragged.from_list(pieces)",
        lambda: bw.Ragged.from_list([ONES(2), ONES(1)]),
    ),
    "a nested tensor ragged along another": (
        lambda: bw.Ragged.from_jagged(NESTED, dim=1),
        "leave dim and lengths out, or name several dimensions of which 0 is the first",
        lambda: (
            bw.Ragged.from_jagged(NESTED),
            bw.Ragged.from_jagged(NESTED, ([1, 1], [2, 1]), dim=(0, 1)),
        ),
    ),
    "lengths of other values": (
        lambda: bw.Ragged.from_packed(ONES(6), [2, 3]),
        "pass the lengths that belong to these values",
        lambda: bw.Ragged.from_packed(ONES(6), [3, 3]),
    ),
    "lengths of another padded tensor": (
        lambda: bw.Ragged.from_padded(ONES(2, 3), [2, 4]),
        "pass one length a sample, none longer than the padded dimension",
        lambda: bw.Ragged.from_padded(ONES(2, 3), [2, 3]),
    ),
    "fewer lengths than padded samples": (
        lambda: bw.Ragged.from_padded(ONES(2, 3), [2]),
        "pass one length a sample, none longer than the padded dimension",
        lambda: bw.Ragged.from_padded(ONES(2, 3), [2, 3]),
    ),
    "a sequence of empty samples": (
        lambda: bw.Ragged.from_list([ONES(2), ONES(0)]).sequence(),
        "leave empty samples out",
        lambda: bw.Ragged.from_list([ONES(2)]).sequence(),
    ),
    "a sequence along dim 1": (
        lambda: field(dim=1).sequence(),
        "make the sequence of a field declared bw.ragged(), whose samples differ in length along dim 0",
        lambda: field().sequence(),
    ),
    "a map of a field along dim 1": (
        lambda: field(dim=1).packed_to_padded,
        "use `mask`",
        lambda: field(dim=1).mask,
    ),
    "a map back of a field along two dimensions": (
        lambda: field(dim=(0, 1)).padded_to_packed,
        "use `mask`",
        lambda: field(dim=(0, 1)).mask,
    ),
    "a description that a ragged field lacks": (
        lambda: field().also("ends"),
        f"ask for one of {DESCRIPTIONS}",
        lambda: [field().also(what) for what in DESCRIPTIONS.split(", ")],
    ),
    "a menu beside a multiple": (
        lambda: bw.ragged(pad=0, multiple=8, menu=[64, 100]),
        "leave multiple out, or give a menu of its multiples",
        lambda: (bw.ragged(pad=0, menu=[64, 100]), bw.ragged(pad=0, multiple=8, menu=[64, 104])),
    ),
    "a pad value as text": (
        lambda: bw.ragged(pad="0"),
        "pass a number",
        lambda: bw.Collate(x=bw.ragged(pad=0))(ROWS),
    ),
    "a pad value below the dtype's": (
        lambda: padded(-1, torch.uint8),
        PAD,
        lambda: (padded(255, torch.uint8), unpadded(torch.uint8)),
    ),
    "a pad value too long to be written": (
        lambda: padded(10**5000, torch.float32),
        PAD,
        lambda: (padded(10**30, torch.float32), unpadded(torch.float32)),
    ),
    "a complex pad value of numpy": (
        lambda: padded(np.complex64(1j), torch.float32),
        PAD,
        lambda: (padded(np.complex64(1j), torch.complex64), unpadded(torch.float32)),
    ),
    "a complex pad value of numpy for integers": (
        lambda: padded(np.complex64(1), torch.int64),
        PAD,
        lambda: (padded(np.int8(1), torch.int64), unpadded(torch.int64)),
    ),
}
CASES = cases("refuse way_out follow", TABLE)


def strided() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch calls the layout a prototype
        return torch.nested.nested_tensor([ONES(2), ONES(3)])


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_of_ragged_fields_works(name):
    told_and_followed(CASES[name])
