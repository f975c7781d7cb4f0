"""Plain columns are joined at once, all others step by step: both ways give the same batch, or the same refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields as fields_of
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import batchwright as bw
from batchwright.collate.fields import Field, ScalarField, StackField
from batchwright.collate.ragged_field import RaggedField

DTYPES = (torch.float32, torch.int64, torch.uint8, torch.bool, torch.bfloat16, torch.float64, torch.complex64)


class _StackStepByStep(StackField):
    def at_once(self, values: list[Any], context: Any) -> None:
        return None


class _ScalarStepByStep(ScalarField):
    def at_once(self, values: list[Any], context: Any) -> None:
        return None


class _RaggedStepByStep(RaggedField):
    def at_once(self, values: list[Any], context: Any) -> None:
        return None

    def _end_to_end(self, values: list[Any]) -> None:
        return None


_STEP_BY_STEP = {StackField: _StackStepByStep, ScalarField: _ScalarStepByStep, RaggedField: _RaggedStepByStep}


def step_by_step(field: Field) -> Field:
    return _STEP_BY_STEP[type(field)](**{own.name: getattr(field, own.name) for own in fields_of(field)})


def outcome(make: Callable[[], bw.Batch]) -> Any:
    """The batch in comparable form: bits, dtypes and types of what the model gets and of each sample; or the refusal."""
    try:
        batch = make()
        described = {name: one.layout.counts for name, one in batch.fields.items() if hasattr(one, "layout")}
        return [{name: bits(value) for name, value in batch.items()}, list(map(bits, batch.unbatch())), described]
    except bw.Infeasible as error:
        return str(error)


def bits(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if value.is_nested:
            return ["jagged", *map(bits, value.unbind())]
        plain = value.detach().resolve_conj().contiguous()
        bytes_of = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
        return type(value), value.dtype, tuple(value.shape), value.requires_grad, bytes_of
    if isinstance(value, dict):
        return {name: bits(one) for name, one in value.items()}
    return [*map(bits, value)] if isinstance(value, (list, tuple)) else (type(value), repr(value))


@st.composite
def tensors(draw: st.DrawFn, ndim: int, dtype: torch.dtype, sizes: list[int]) -> torch.Tensor:
    """A tensor that may be empty, need a gradient, or lie in memory in any way; seldom one that does not fit the others."""
    sizes = [draw(st.sampled_from([0, 1, 2, 5])) if size < 0 else size for size in sizes]
    if draw(st.integers(0, 30)) == 0:
        dtype = draw(st.sampled_from(DTYPES))
    if draw(st.integers(0, 30)) == 0:
        sizes = draw(st.lists(st.integers(0, 3), max_size=3))
    values = torch.randint(-3, 200, sizes, generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))).to(dtype)
    how = draw(st.sampled_from(["plain", "plain", "plain", "strided", "transposed", "array", "gradient", "list"]))
    if how == "strided" and values.ndim:
        return values.repeat_interleave(2, 0)[::2]
    if how == "transposed":
        return values.mT.contiguous().mT if values.ndim > 1 else values
    if how == "array" and dtype is not torch.bfloat16:
        return values.numpy()
    if how == "list" and dtype in (torch.int64, torch.bool):
        return values.tolist()
    return values.requires_grad_() if how == "gradient" and dtype.is_floating_point else values


@st.composite
def columns(draw: st.DrawFn, ragged: tuple[int, ...] = ()) -> list[Any]:
    """Values of one field; sizes along the dimensions in `ragged` differ."""
    ndim, dtype = draw(st.integers(0, 3)), draw(st.sampled_from(DTYPES))
    sizes = draw(st.lists(st.integers(0, 3), min_size=ndim, max_size=ndim))
    sizes = [-1 if dim in ragged or dim - ndim in ragged else size for dim, size in enumerate(sizes)]
    column = draw(st.lists(tensors(ndim, dtype, sizes), min_size=1, max_size=5))
    if draw(st.integers(0, 20)) == 0:
        column.append(draw(st.sampled_from([None, "text", 3, 2.5, np.float32(1), torch.eye(2).to_sparse()])))
    return column


numbers = st.one_of(
    st.lists(kind, min_size=1, max_size=70)
    for kind in (
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.booleans(),
        st.one_of(st.integers(0, 3), st.booleans()),
        st.one_of(st.integers(0, 2**70), st.floats(0, 1)),
        st.sampled_from([np.int32(3), torch.tensor(2), 5]),
    )
)


def same(field: Field, column: list[Any]) -> None:
    samples = [{"x": value} for value in column]
    assert outcome(lambda: bw.Collate(x=field)(samples)) == outcome(lambda: bw.Collate(x=step_by_step(field))(samples))


@given(columns())
def test_stacked(column: list[Any]) -> None:
    same(bw.stack(), column)


@given(numbers)
def test_scalars(column: list[Any]) -> None:
    same(bw.scalar(), column)


@given(st.data(), st.sampled_from([0, 1, -1]), st.sampled_from(["packed", "padded", "padded", "jagged", "list"]))
def test_ragged(data: st.DataObject, dim: int, form: Any) -> None:
    field = bw.ragged(
        dim,
        form=form,
        pad=data.draw(st.sampled_from([None, 0, -0.0, 1, 2.5, float("nan"), 300, 1j])),
        side=data.draw(st.sampled_from(["right", "left"])),
        multiple=data.draw(st.sampled_from([1, 1, 4])),
        menu=data.draw(st.sampled_from([(), (), (4, 8), (4,)])),
    )
    same(field, data.draw(columns(ragged=(dim,))))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=5),
    st.sampled_from([0, -1]),
    st.data(),
)
def test_indices(sizes: list[tuple[int, int]], dim: int, data: st.DataObject) -> None:
    """Also those that are outside of their sample, below 0 or past its end."""
    dtype = data.draw(st.sampled_from([torch.int64, torch.int8, torch.uint8]))
    rows = [] if dim == 0 else [2]
    samples = []
    for nodes, count in sizes:
        indices = torch.zeros((*rows, count), dtype=dtype)
        if nodes:
            indices.random_(0, nodes)
        if data.draw(st.integers(0, 15)) == 0 and indices.numel():
            indices.reshape(-1)[-1] = data.draw(st.sampled_from([nodes, 100] if dtype is torch.uint8 else [nodes, -1]))
        samples.append({"x": torch.rand(nodes, 2), "i": indices})
    form = data.draw(st.sampled_from(["packed", "padded", "jagged", "list"]))
    quick, slow = (
        bw.Collate(x=way(bw.ragged()), i=way(bw.ragged(dim, shift_by="x", form=form)))
        for way in (lambda f: f, step_by_step)
    )
    assert outcome(lambda: quick(samples)) == outcome(lambda: slow(samples))


SAMPLES = [
    {
        "image": torch.full((3, 2), float(n)),
        "label": n,
        "weight": n / 7,
        "ids": torch.arange(n % 4 + 1),
        "more": (n, "a"),
    }
    | {"path": f"{n}.png", "scores": np.arange(3) / (n + 1), "edges": torch.zeros(2, n % 3 + 1, dtype=torch.int64)}
    for n in range(6)
]


@pytest.mark.parametrize("workers", [0, 1])
def test_nested_samples_of_all_kinds(workers: int) -> None:
    """In a worker, batches are made in shared memory. Undeclared fields have the types that `default_collate` gives them."""
    declared = {
        "image": bw.stack(),
        "label": bw.scalar(),
        "scores": bw.ragged(pad=-1),
        "ids": bw.ragged(),
        "edges": bw.ragged(1, shift_by="ids"),
    }
    slow = {name: step_by_step(field) for name, field in declared.items()}
    expected = [outcome(lambda part=part: bw.Collate(slow)(part)) for part in (SAMPLES[:4], SAMPLES[4:])]
    batches = DataLoader(SAMPLES, 4, collate_fn=bw.Collate(declared), num_workers=workers)
    assert [outcome(lambda batch=batch: batch) for batch in batches] == expected
    plain = [{name: sample[name] for name in ("image", "label", "weight", "scores")} for sample in SAMPLES]
    whole = torch.utils.data.default_collate(plain)
    (batch,) = DataLoader(plain, 6, collate_fn=bw.Collate(), num_workers=workers)
    assert {name: bits(value) for name, value in batch.items()} == {name: bits(value) for name, value in whole.items()}


@pytest.mark.parametrize("count", [4096, 4097, 9000])
def test_more_numbers_than_are_written_at_once(count: int) -> None:
    for numbers in ([*range(-5, count - 5)], [n / 7 for n in range(count)], [n % 3 == 0 for n in range(count)]):
        batch = bw.Collate(x=bw.scalar())([{"x": number} for number in numbers])
        assert batch["x"].tolist() == numbers
        batch = bw.Collate(x=bw.ragged())([{"x": numbers}, {"x": numbers[:1]}])
        assert batch["x"].tolist() == [*numbers, numbers[0]]
