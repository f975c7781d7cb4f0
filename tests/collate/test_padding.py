"""What padding holds and how long it is: a number that the dtype has, a length that the declaration allows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.collate.padding import Padding

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
FLOATS += [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz]


def padded(value: float | complex, dtype: torch.dtype, dims: tuple[int, ...] = (0,)) -> torch.Tensor:
    """What stands in the padding of two samples of unequal sizes."""
    pieces = [torch.ones([size] * len(dims)).to(dtype) for size in (2, 1)]
    return bw.Ragged.from_list(pieces, dim=dims, padding=Padding(value=value)).padded[(1, *[-1] * len(dims))]


@pytest.mark.parametrize("dims", [(0,), (0, 1)])
@pytest.mark.parametrize("dtype", FLOATS)
@given(value=st.floats() | st.integers(-(2**70), 2**70))
def test_padding_of_a_floating_field_is_the_nearest_number_or_refused(dims, dtype, value):
    most = torch.finfo(dtype).max
    if (
        abs(value) <= most
        or math.isnan(value)
        or (math.isinf(value) and torch.tensor(value).to(dtype).double().isinf())
    ):
        held = padded(value, dtype, dims)
        assert torch.equal(held.double(), torch.tensor(float(value), dtype=torch.float64).to(dtype).double()) or (
            math.isnan(value) and held.double().isnan()
        )
    else:
        with pytest.raises(bw.Infeasible, match=f"the pad value .* does not exist in {dtype}"):
            padded(value, dtype, dims)


@pytest.mark.parametrize("value", [1e39, 1e39j, complex(0, -1e300), 10**400])
def test_padding_of_a_complex_field_stays_finite(value):
    with pytest.raises(bw.Infeasible, match="does not exist in torch"):
        padded(value, torch.complex64)
    assert padded(complex(1, -math.inf), torch.complex64) == complex(1, -math.inf)


def test_padding_of_lazy_conjugates_and_negatives_is_that_of_what_they_stand_for():
    lazy = torch.tensor([1 + 1j, 2 + 2j]).conj()
    assert bw.Ragged.from_list([lazy, lazy[:1]]).padded.tolist() == [[1 - 1j, 2 - 2j], [1 - 1j, 0]]
    assert bw.Ragged.from_list([lazy.imag, lazy.imag[:1]]).padded.tolist() == [[-1, -2], [-1, 0]]


@given(
    multiple=st.integers(1, 8),
    menu=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    count=st.integers(0, 40),
)
def test_padded_lengths_are_multiples_and_of_the_menu(multiple, menu, count):
    declared = Padding(multiple=multiple, menu=tuple(multiple * entry for entry in menu))
    fitting = [multiple * entry for entry in menu if multiple * entry >= count]
    if fitting:
        assert declared.extents([count]) == (min(fitting),)
    else:
        with pytest.raises(bw.Infeasible, match=rf"needs \({count},\), the menu offers"):
            declared.extents([count])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"multiple": 8, "menu": [64, 100]}, "menu has the length 100 and multiple is 8"),
        ({"menu": [-4]}, "a length of menu is -4, the least is 0"),
        ({"menu": [True]}, "a length of menu is True, not a whole number"),
        ({"menu": 64}, "menu is 64; pass a list of lengths"),
        ({"menu": [64], "dim": (0, 1)}, "menu has 64 and dim is"),
        ({"menu": [(64, 64)]}, "menu has .* and dim is 0"),
        ({"multiple": True}, "multiple is True, not a whole number"),
    ],
)
def test_paddings_that_contradict_themselves_are_refused(arguments, said):
    with pytest.raises(bw.Infeasible, match=said):
        bw.ragged(pad=0, **arguments)
    assert bw.ragged(pad=0, multiple=8, menu=np.array([64, 104])).padding.menu == (64, 104)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (bw.ragged(pad=0, menu=[1, 2]), r"of sample 41 .*: the longest sample needs \(3,\), the menu offers"),
        (bw.ragged(pad=0.5), "of sample 41 .*: the pad value 0.5 does not exist in torch.int64"),
        (bw.ragged(dim=1), "of sample 40 .*: dim=1 does not name distinct dimensions of samples of 1 dimensions"),
        (bw.media(bw.ragged(pad=0, menu=[1, 2])), "of sample 41 .*: the longest sample needs"),
    ],
)
def test_refusals_of_padding_name_the_field_and_the_sample(field, said):
    dataset = bw.identified({40: {"x": torch.arange(1)}, 41: {"x": torch.arange(3)}, 42: {"x": torch.arange(2)}})
    with pytest.raises(bw.Infeasible, match="field 'x' " + said):
        bw.Collate(x=field)([dataset[number] for number in (40, 41, 42)])


@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=5),
    rest=st.sampled_from(
        [(), (1,), (3,), (2, 3), (9000,), (30, 20, 40)]
    ),  # a few bytes, and more than numpy's calls take
    dtype=st.sampled_from([torch.float32, torch.int64, torch.bool, torch.float16, torch.uint8]),
    value=st.sampled_from([0, 1]),
    strided=st.booleans(),
)
def test_padded_rows_are_those_of_a_loop(counts, rest, dtype, value, strided):
    pieces = [torch.randint(2, (count, *rest)).to(dtype) for count in counts]
    if strided:
        pieces = [piece.mT.contiguous().mT if piece.ndim > 1 else piece for piece in pieces]
    expected = torch.full((len(pieces), max(counts), *rest), value, dtype=dtype)
    for row, piece in zip(expected, pieces, strict=True):
        row[: len(piece)] = piece
    found = bw.Collate(x=bw.ragged(pad=value))([{"x": piece} for piece in pieces])["x"]
    assert found.dtype == dtype
    assert found.is_contiguous()
    assert found.equal(expected)


@given(
    counts=st.lists(st.integers(0, 9) | st.sampled_from([4000, 5000, 9000]), min_size=1, max_size=4),
    rest=st.sampled_from([(), (3,)]),
    dtype=st.sampled_from([torch.float64, torch.float16, torch.bfloat16, torch.complex64]),
    value=st.sampled_from([0.0, -0.0, 1.0, math.inf, math.nan]),
    side=st.sampled_from(["right", "left"]),
    gradient=st.booleans(),
)
def test_short_pieces_are_padded_by_any_length_with_the_bits_of_the_value(counts, rest, dtype, value, side, gradient):
    pieces = [torch.ones(count, *rest, dtype=dtype, requires_grad=gradient) for count in counts]
    expected = torch.full((len(pieces), max(counts), *rest), value, dtype=dtype)
    for row, count in zip(expected, counts, strict=True):
        row[slice(count) if side == "right" else slice(max(counts) - count, None)] = 1
    found = bw.Collate(x=bw.ragged(pad=value, side=side))([{"x": piece} for piece in pieces])["x"]
    assert found.requires_grad is gradient
    assert found.detach().contiguous().view(torch.uint8).equal(expected.view(torch.uint8))
    if gradient and sum(counts):
        found.real.nan_to_num().sum().backward()
        assert all(piece.grad.equal(torch.ones_like(piece)) for piece in pieces)


@pytest.mark.parametrize("length", [3, 300])
@pytest.mark.parametrize("odd", [(1, -1, 80), (-1, 1), (80, 1), (-1,), (), (-1, 81), (-1, 40, 2)])
def test_an_odd_sample_among_wide_ones_is_refused_however_numpy_would_broadcast_it(length, odd):
    other = torch.ones([length if size < 0 else size for size in odd])
    with pytest.raises(bw.Infeasible, match=r"sample 1"):
        bw.Collate(x=bw.ragged(pad=0))([{"x": torch.ones(length, 80)}, {"x": other}])
