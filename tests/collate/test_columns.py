"""What samples hold becomes tensors bit for bit, or is refused: lists and arrays of any numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

DTYPES = {bool: torch.bool, int: torch.int64, float: torch.float64}
EXACT = {
    bool: st.booleans(),
    int: st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1),
    float: st.floats(),
}
OTHER = st.sampled_from([np.int8(1), np.float32(0.1), np.float64(0.1), np.True_, torch.tensor(1)])


def rows_of(numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[list[list[Any]]]:
    return st.lists(st.lists(numbers, max_size=4), min_size=1, max_size=4)


@pytest.mark.parametrize("kind", DTYPES)
@given(data=st.data())
def test_lists_of_one_type_are_taken_bit_for_bit(kind, data):
    rows = data.draw(rows_of(EXACT[kind]))
    flat = [number for row in rows for number in row]
    packed = bw.Collate(x=bw.ragged())([{"x": row} for row in rows])["x"]
    expected = torch.tensor(flat, dtype=DTYPES[kind] if flat else torch.int64)
    assert packed.dtype is expected.dtype
    assert packed.numpy().tobytes() == expected.numpy().tobytes()


@given(rows=rows_of(st.one_of(*EXACT.values(), OTHER)))
def test_lists_of_several_types_are_refused_and_never_cast(rows):
    kinds = {type(number) for row in rows for number in row}
    if len(kinds) < 2:
        return
    for field in (bw.ragged(), bw.ragged(pad=0), bw.ragged(form="list")):
        with pytest.raises(bw.Infeasible, match=r"numbers of one type|needs one dtype"):
            bw.Collate(x=field)([{"x": row} for row in rows])


@pytest.mark.parametrize("other", [torch.ones(2), np.ones(2, np.float16), [True], [[1]], [[[2.5]]]])
@pytest.mark.parametrize("first", [True, False])
def test_an_empty_list_takes_the_dtype_of_the_others(other, first):
    whole = torch.as_tensor(other)
    empty = [[[]], [[[]]]][whole.ndim - 2] if whole.ndim > 1 else []
    values = [empty, other] if first else [other, empty]
    batch = bw.Collate(x=bw.ragged(dim=-1))([{"x": value} for value in values])
    assert batch["x"].dtype is (torch.float64 if whole.ndim == 3 else whole.dtype)
    assert batch["x"].tolist() == whole.tolist()


@pytest.mark.parametrize("values", [(5, []), ([], 5), ([[1], 2], [3]), ([], None), ([], "text")])
def test_empty_and_uneven_lists_beside_other_things_are_refused(values):
    with pytest.raises(bw.Infeasible, match="field 'x' of sample"):
        bw.Collate(x=bw.ragged())([{"x": value} for value in values])


RECORDS = np.zeros(3, dtype=[("flag", "i1"), ("value", "<f4")])
RECORDS["value"] = [1, 2, 3]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(3, dtype=">i4"),
        np.arange(6, dtype=">f8").reshape(2, 3).T,
        np.array(3, dtype=">f4"),
        RECORDS["value"],
        RECORDS["value"][::-1],
        np.uint64(2**63 + 5),
    ],
)
def test_arrays_of_any_memory_are_taken_as_they_are(array):
    stacked = bw.Collate()([{"x": array}, {"x": array}])["x"]
    assert stacked.dtype is torch.from_numpy(np.zeros(1, array.dtype.newbyteorder("="))).dtype
    assert stacked.tolist() == [array.tolist()] * 2


@pytest.mark.parametrize("field", [bw.stack(), bw.ragged(), bw.scalar()])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.ones(2, np.longdouble), "of type ndarray and makes no tensor"),
        (np.longdouble(1), "of type longdouble and makes no tensor"),
        (np.ones(2, np.clongdouble), "of type ndarray and makes no tensor"),
        (np.ma.masked_array([1.0, 2.0], [True, False]), "a MaskedArray, and a tensor has no mask"),
    ],
)
def test_arrays_that_no_tensor_can_hold_are_refused(field, value, said):
    with pytest.raises(bw.Infeasible, match=f"field 'x' of sample 0 of the batch is {said}"):
        bw.Collate(x=field)([{"x": value}])
