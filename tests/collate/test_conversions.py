"""What a ragged field is made from is taken for what it is, or refused; what it keeps may be used in any grad mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.collate.padding import Padding

WINDOWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=4)


@given(windows=WINDOWS)
def test_a_nested_tensor_with_holes_gives_the_samples_that_it_shows(windows):
    starts, lengths = (torch.tensor(each) for each in zip(*windows, strict=True))
    rows = torch.arange(6.0 * len(windows)).view(len(windows), 6).requires_grad_()
    nested = torch.nested.narrow(rows, 1, starts, lengths, layout=torch.jagged)
    ragged = bw.Ragged.from_jagged(nested)
    assert [piece.tolist() for piece in ragged.list] == [piece.tolist() for piece in nested.unbind()]
    ragged.packed.sum().backward()
    assert rows.grad.sum() == len(ragged.packed)


@given(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=4), swap=st.booleans())
def test_a_nested_tensor_is_ragged_where_it_is_itself(sizes, swap):
    pieces = [torch.rand(size, 3) for size in sizes]
    nested = torch.nested.as_nested_tensor(pieces, layout=torch.jagged)
    if swap:
        pieces, nested = [piece.T for piece in pieces], nested.transpose(1, 2)
    ragged = bw.Ragged.from_jagged(nested)
    assert ragged.dims == ((1,) if swap else (0,))
    assert all(after.equal(before) for after, before in zip(ragged.list, pieces, strict=True))
    with pytest.raises(bw.Infeasible, match=f"ragged along dim {ragged.dims[0]} with the lengths"):
        bw.Ragged.from_jagged(nested, dim=1 - ragged.dims[0])


JAGGED = torch.nested.as_nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: bw.Ragged.from_jagged(JAGGED, ([3, 2],)),
            r"ragged along dim 0 with the lengths \(2, 3\), asked for is dim 0 with \(3, 2\)",
        ),
        (
            lambda: bw.Ragged.from_jagged(JAGGED, ([2, 3], [1, 1])),
            "dim names 1 ragged dimensions, and there are lengths along 2",
        ),
        (lambda: bw.Ragged.from_jagged(torch.ones(2, 3)), "a tensor of layout torch.strided is no nested tensor"),
        (lambda: bw.Ragged.from_jagged([torch.ones(2)]), "a list is no nested tensor"),
        (lambda: bw.Ragged.from_packed(torch.ones(5), ([2, 3], [1])), "lengths of 2 and 1 samples"),
        (lambda: bw.Ragged.from_packed(torch.ones(5), ([2, 3], [1, 1])), "dim names 1 ragged dimensions"),
        (lambda: bw.Ragged.from_padded(torch.ones(2, 3, 3), [1, 2], dim=(0, 1)), "dim names 2 ragged dimensions"),
        (lambda: bw.Ragged.from_padded(torch.ones(2, 3), torch.ones(2, 3).bool()), "lengths are"),
        (lambda: bw.Ragged.from_packed(torch.ones(3), 3), "lengths are 3; pass a list of whole numbers"),
        (lambda: bw.Ragged.from_packed(torch.ones(3), torch.tensor(3)), "lengths are 3"),
        (lambda: bw.Ragged.from_packed(torch.ones(3), "3"), "lengths are '3'"),
    ],
)
def test_lengths_that_do_not_belong_are_refused(make, said):
    with pytest.raises(bw.Infeasible, match=said):
        make()


@pytest.mark.parametrize("lengths", [(2, 3), tuple(np.array([2, 3])), np.array([2, 3]), tuple(torch.tensor([2, 3]))])
def test_lengths_are_any_whole_numbers(lengths):
    assert [len(piece) for piece in bw.Ragged.from_packed(torch.ones(5), lengths).list] == [2, 3]


FORMS = ["list", "packed", "padded", "jagged"]


def summed(shown: Any) -> torch.Tensor:
    parts = shown if isinstance(shown, tuple) else [shown.values() if shown.is_nested else shown]
    return sum(part.sum() for part in parts)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_what_was_first_seen_without_gradients_has_them_later(form, side, which, mode):
    pieces = [torch.ones(2), torch.ones(3)]
    pieces[which].requires_grad_()
    batch = bw.Collate(x=bw.ragged(form="list", side=side))([{"x": piece} for piece in pieces])
    ragged = batch.fields["x"]
    with mode():
        getattr(ragged, form)
    summed(getattr(ragged, form)).backward()
    assert pieces[which].grad.tolist() == [1.0] * (which + 2)


def test_a_jagged_field_first_seen_without_gradients_has_them_later():
    leaf = torch.ones(2, requires_grad=True)
    batch = bw.Collate(x=bw.ragged(form="jagged"))([{"x": leaf}, {"x": torch.ones(3)}])
    with torch.no_grad():
        _ = batch["x"]
    batch["x"].values().sum().backward()
    assert leaf.grad.tolist() == [1, 1]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dims", [(0,), (0, 1)])
def test_what_was_first_seen_in_inference_mode_may_be_trained_on(form, dims):
    pieces = [torch.ones([size] * len(dims)) for size in (2, 3)]
    ragged = bw.Ragged.from_list(pieces, dim=dims, padding=Padding(value=1))
    also = ("lengths", "offsets", "cu_seqlens", "segments", "positions")
    with torch.inference_mode():
        for seen in (form, *also):
            getattr(ragged, seen)
    weight = torch.ones((), requires_grad=True)
    shown = getattr(ragged, form)
    parts = shown if form == "list" else [shown.values() if form == "jagged" else shown]
    sum((part * weight).sum() for part in parts).backward()
    for index in also:
        assert not getattr(ragged, index).is_inference()
    assert weight.grad == sum(part.numel() for part in parts)


def test_keys_that_describe_a_field_are_kept_without_gradients_too():
    batch = bw.Collate(x=bw.ragged(pad=0, also={"mask": "mask"}))([{"x": torch.ones(2)}, {"x": torch.ones(1)}])
    with torch.inference_mode():
        assert batch["mask"].is_inference()
    with torch.no_grad():
        mask = batch["mask"]
        assert batch["mask"] is mask
    assert batch["mask"] is mask
    assert not mask.is_inference()


@given(before=st.integers(0, 2), sizes=st.lists(st.integers(0, 3), min_size=1, max_size=4), after=st.integers(0, 2))
def test_a_nested_tensor_over_more_than_its_samples_gives_those_alone(before, sizes, after):
    ends = np.cumsum([before, *sizes])
    values = torch.arange(float(ends[-1]) + after)
    nested = torch.nested.nested_tensor_from_jagged(values, torch.tensor(ends))
    ragged = bw.Ragged.from_jagged(nested)
    assert [piece.tolist() for piece in ragged.list] == [
        piece.tolist() for piece in values[before:].split([*sizes, after])
    ][:-1]
    assert ragged.layout.counts == tuple(sizes)


def test_numbers_of_samples_are_on_the_cpu_whatever_the_default_device():
    dataset = bw.identified([{"ids": torch.arange(3 - n)} for n in range(2)], task=[5, 6])
    with torch.device("meta"):
        batch = bw.Collate(ids=bw.ragged())([dataset[1], dataset[0]]).sorted_by("ids")
        aside = batch.aside
        assert aside.sample_ids.tolist() == [0, 1]
        assert aside.tasks.tolist() == [5, 6]
        assert aside.repeats.tolist() == [False, False]
        assert batch.order.tolist() == [1, 0]
        assert batch.restore().aside.sample_ids.tolist() == [1, 0]
        packed = bw.Collate(ids=bw.ragged()).packs()([dataset[0], dataset[1]])
        assert packed.aside.columns["pack"].tolist() == [0, 0]
        assert packed["ids"].tolist() == [[0, 1, 2, 0, 1]]
        assert bw.Ragged.from_list([torch.zeros(2, device="cpu")]).sequence().batch_sizes.tolist() == [1, 1]
