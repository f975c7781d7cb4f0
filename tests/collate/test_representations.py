"""Every form of a ragged field is every other form, for all shapes and dtypes, with and without gradients."""

from __future__ import annotations

import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import pad_packed_sequence

import batchwright as bw
from batchwright.collate.padding import Padding

from ..examples import examples

INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool]
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128]
UNUSUAL = [torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn]


@st.composite
def ragged_pieces(draw: st.DrawFn, dtypes: list[torch.dtype] | None = None) -> tuple[list[Tensor], tuple[int, ...]]:
    """One to six tensors of one dtype and rank that differ in length along one to three of their dimensions."""
    ndim = draw(st.integers(1, 4))
    dims = tuple(sorted(draw(st.sets(st.integers(0, ndim - 1), min_size=1, max_size=3))))
    common = [draw(st.integers(0, 3)) for _ in range(ndim)]
    dtype = draw(st.sampled_from(dtypes or INTEGERS + FLOATS + UNUSUAL))
    pieces = []
    for number in range(draw(st.integers(1, 6))):
        shape = [draw(st.integers(0, 5)) if dim in dims else size for dim, size in enumerate(common)]
        count = torch.Size(shape).numel()
        values = (torch.arange(count, dtype=torch.int64) + 7 * number) % 120 + 1
        pieces.append(values.to(torch.float32).to(dtype).reshape(shape))
    return pieces, dims


def same(left: Tensor, right: Tensor) -> bool:
    if left.shape != right.shape or left.dtype is not right.dtype:
        return False
    bits = [tensor.reshape(-1).clone().view(torch.uint8) for tensor in (left, right)]
    return not left.numel() or bits[0].equal(bits[1])


@settings(deadline=None)
@given(
    drawn=ragged_pieces(),
    side=st.sampled_from(["right", "left"]),
    multiple=st.integers(1, 4),
)
def test_list_padded_packed_jagged_list_is_the_identity(drawn, side, multiple):
    pieces, dims = drawn
    padding = Padding(value=1, side=side, multiple=multiple)
    first = bw.Ragged.from_list(pieces, dim=dims, padding=padding)
    padded = bw.Ragged.from_padded(first.padded, first.axes, dim=dims, padding=padding)
    packed = bw.Ragged.from_packed(padded.packed, padded.axes, dim=dims, padding=padding)
    jagged = bw.Ragged.from_jagged(packed.jagged, packed.axes, dim=dims)
    assert len(jagged.list) == len(pieces)
    assert all(same(after, before) for after, before in zip(jagged.list, pieces, strict=True))
    assert same(packed.padded, first.padded)  # and from the other side
    assert same(padded.packed, first.packed)


@settings(deadline=None)
@given(drawn=ragged_pieces(), side=st.sampled_from(["right", "left"]), multiple=st.integers(1, 4))
def test_padded_form_and_mask_match_a_loop(drawn, side, multiple):
    pieces, dims = drawn
    ragged = bw.Ragged.from_list(pieces, dim=dims, padding=Padding(value=1, side=side, multiple=multiple))
    extents = [-(-max(piece.shape[d] for piece in pieces) // multiple) * multiple for d in dims]
    for number, piece in enumerate(pieces):
        row, mask = ragged.padded[number], ragged.mask[number]
        assert [row.shape[d] for d in dims] == extents
        assert list(mask.shape) == extents
        window = [slice(None)] * piece.ndim
        for d, extent in zip(dims, extents, strict=True):
            window[d] = slice(0, piece.shape[d]) if side == "right" else slice(extent - piece.shape[d], extent)
        assert same(row[tuple(window)], piece)
        inside = torch.zeros(extents, dtype=torch.bool)
        inside[tuple(window[d] for d in dims)] = True
        assert mask.equal(inside)
        outside = row.movedim(dims, tuple(range(len(dims))))[~inside]
        assert same(outside, torch.ones_like(outside, dtype=torch.float32).to(outside.dtype))


@settings(deadline=None)
@given(counts=st.lists(st.integers(0, 5), min_size=1, max_size=8), side=st.sampled_from(["right", "left"]))
def test_every_index_matches_a_loop(counts, side):
    layout = bw.Layout(counts)
    offsets = [sum(counts[:number]) for number in range(len(counts) + 1)]
    length = max(counts)
    pairs = [(number, place) for number, count in enumerate(counts) for place in range(count)]
    shift = [length - count if side == "left" else 0 for count in counts]
    assert layout.lengths.tolist() == counts
    assert layout.offsets.tolist() == offsets
    assert layout.cu_seqlens.tolist() == offsets
    assert layout.cu_seqlens.dtype is torch.int32
    assert layout.first.tolist() == offsets[:-1]
    assert type(layout.max_length) is int
    assert (layout.max_length, layout.min_length, layout.total) == (length, min(counts), len(pairs))
    assert layout.segments.tolist() == [number for number, _ in pairs]
    assert layout.positions.tolist() == [place for _, place in pairs]
    flat = [number * length + shift[number] + place for number, place in pairs]
    assert layout.packed_to_padded(length, side).tolist() == flat
    table = layout.padded_to_packed(length, side)
    assert table[table >= 0].tolist() == list(range(len(pairs)))
    assert (table >= 0).equal(layout.mask(length, side))


@examples(30)
@given(drawn=ragged_pieces(dtypes=[torch.float64]), seed=st.integers(0, 99))
@pytest.mark.parametrize("form", ["list", "padded", "packed", "jagged"])
@pytest.mark.parametrize("start", ["list", "padded", "packed", "jagged"])
def test_gradients_flow_through_each_conversion(start, form, drawn, seed):
    """The sum of squares has gradient 2x whatever form it is taken in, and wherever the values came from."""
    pieces, dims = drawn
    plain = bw.Ragged.from_list(pieces, dim=dims)
    if start == "list":
        leaves = [piece.clone().requires_grad_() for piece in pieces]
        ragged = bw.Ragged.from_list(leaves, dim=dims)
    elif start == "padded":
        leaves = [plain.padded.clone().requires_grad_()]
        ragged = bw.Ragged.from_padded(leaves[0], plain.axes, dim=dims)
    else:
        leaves = [plain.packed.clone().requires_grad_()]
        ragged = bw.Ragged.from_packed(leaves[0], plain.axes, dim=dims)
        if start == "jagged":
            ragged = bw.Ragged.from_jagged(ragged.jagged, plain.axes, dim=dims)
    shown = getattr(ragged, form)
    parts = shown if form == "list" else [shown.values() if form == "jagged" else shown]
    sum((part**2).sum() for part in parts).backward()
    for leaf in leaves:
        assert leaf.grad is not None
        assert leaf.grad.equal(2 * leaf.detach())


def test_form_made_without_gradients_is_not_kept_for_later():
    leaf = torch.ones(3, requires_grad=True)
    ragged = bw.Ragged.from_list([leaf, leaf[:2]])
    with torch.no_grad():
        assert not ragged.packed.requires_grad
    assert ragged.packed.requires_grad
    assert ragged.packed is ragged.packed


@given(counts=st.lists(st.integers(1, 5), min_size=1, max_size=6), side=st.sampled_from(["right", "left"]))
def test_packed_sequence_goes_through_a_recurrent_module_as_single_samples_do(counts, side):
    torch.manual_seed(0)
    module = torch.nn.GRU(3, 4, batch_first=True)
    pieces = [torch.randn(count, 3) for count in counts]
    ragged = bw.Ragged.from_list(pieces, padding=Padding(side=side))
    outputs, lengths = pad_packed_sequence(module(ragged.sequence())[0], batch_first=True)
    assert lengths.tolist() == counts
    for piece, output in zip(pieces, outputs, strict=True):
        torch.testing.assert_close(output[: len(piece)], module(piece[None])[0][0])


def test_sequence_refuses_empty_samples():
    ragged = bw.Ragged.from_list([torch.ones(2), torch.ones(0)])
    with pytest.raises(bw.Infeasible, match="shortest length is 0"):
        ragged.sequence()


@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_menu_gives_the_smallest_length_that_fits(counts):
    ragged = bw.Ragged.from_list([torch.ones(count) for count in counts], padding=Padding(menu=(9, 4, 6)))
    assert ragged.padded.shape[1] == next(length for length in (4, 6, 9) if length >= max(counts))


def test_menu_without_a_fitting_length_is_refused():
    ragged = bw.Ragged.from_list([torch.ones(10)], padding=Padding(menu=(4, 8)))
    with pytest.raises(bw.Infeasible, match=r"needs \(10,\), the menu offers \[\(4,\), \(8,\)\]"):
        _ = ragged.padded


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(-1, torch.uint8), (0.5, torch.int64), (2, torch.bool), (300, torch.uint8), (1j, torch.float32)],
)
def test_pad_value_that_the_dtype_does_not_have_is_refused(value, dtype):
    ragged = bw.Ragged.from_list([torch.ones(2, dtype=dtype), torch.ones(1, dtype=dtype)], padding=Padding(value=value))
    with pytest.raises(bw.Infeasible, match="does not exist in"):
        _ = ragged.padded


def test_wrong_lengths_are_refused():
    with pytest.raises(bw.Infeasible, match="holds 5 elements, the lengths sum to 4"):
        bw.Ragged.from_packed(torch.ones(5), [1, 3])
    with pytest.raises(bw.Infeasible, match="lengths of up to 4 do not fit"):
        bw.Ragged.from_padded(torch.ones(2, 3), [1, 4])
    with pytest.raises(bw.Infeasible, match="does not name distinct dimensions"):
        bw.Ragged.from_list([torch.ones(2)], dim=1)
    with pytest.raises(bw.Infeasible, match="0 pieces"):
        bw.Ragged.from_list([])


@pytest.mark.parametrize(
    "changed",
    [
        lambda batch: batch,
        lambda batch: batch.to("cpu"),
        lambda batch: pickle.loads(pickle.dumps(batch)),
        lambda batch: batch.select([2, 0, 1]),
        lambda batch: batch.sorted_by("tokens").restore(),
    ],
)
def test_fields_of_equal_lengths_share_offsets_so_their_jagged_forms_combine(changed):
    collate = bw.Collate(tokens=bw.ragged(form="jagged"), weights=bw.ragged(form="jagged"))
    samples = [{"tokens": torch.ones(n, 2), "weights": torch.full((n, 2), 3.0)} for n in (2, 0, 3)]
    batch = changed(collate(samples))
    assert (batch["tokens"] * batch["weights"]).values().equal(torch.full((5, 2), 3.0))
