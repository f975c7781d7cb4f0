"""A refusal shows the declaration to write, and what it shows is right."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import batchwright as bw

from .refused import Text, refused


def said(message: str) -> bw.Collate:
    """The collate function that a refusal says to write: its words are under test."""
    words = message.rpartition("declare it: ")[2].removesuffix(".")
    return eval(words if words.startswith("bw.Collate(") else f"bw.Collate({words})")


def test_ragged_tensor_without_declaration_shows_the_line_to_add():
    message = refused(bw.Collate(), {"ids": torch.ones(3)}, {"ids": torch.ones(5)})
    assert "sample 1 of the batch has shape (5,)" in message
    assert "sample 0 of the batch has shape (3,)" in message
    assert message.endswith("declare it: ids = bw.ragged().")


@pytest.mark.parametrize(
    ("shapes", "line"),
    [
        (((2, 3), (2, 4)), "bw.ragged(dim=1)"),
        (((3, 2, 4), (3, 5, 6)), "bw.ragged(dim=(1, 2))"),
        (((2, 3), (5, 3)), "bw.ragged()"),
    ],
)
def test_the_line_to_add_works_when_added(shapes, line):
    samples = [{"field": torch.ones(shape)} for shape in shapes]
    message = refused(bw.Collate(), *samples)
    assert message.endswith(f"declare it: field = {line}.")
    batch = bw.Collate(field=eval(line))(samples)  # the message itself is under test
    assert all(after["field"].equal(before["field"]) for after, before in zip(batch.unbatch(), samples, strict=True))


@pytest.mark.parametrize(
    "sample",
    [
        lambda value: {"ids": value},
        lambda value: {"text": {"ids": value}},
        lambda value: {"text": {"two": {"ids": value}, "three": 3}},
        lambda value: {"text": {"two": (3, value)}},
        lambda value: {"text": Text(value)},
        lambda value: (value, 1),
        lambda value: (1, 2, (3, value)),
        lambda value: {"input-ids": value},
        lambda value: {"input.ids": value},
        lambda value: {"text": {"input.ids": value}},
        lambda value: {"class": value},
        lambda value: {12: value},
        lambda value: {"a": 1, 1: {"b": value}},
        lambda value: Text(value),
    ],
)
@pytest.mark.parametrize(
    "values",
    [
        (torch.ones(3), torch.ones(5)),
        (torch.ones(2, 3), torch.ones(2, 4)),
        ([1, 2], [3]),
        ([], [3]),
        ([torch.ones(2), torch.ones(2)], [torch.ones(2)]),
        (["a", "b"], ["c"]),
        (torch.ones(2), None),
        (object(), object()),
        (torch.eye(2).to_sparse(), torch.eye(3).to_sparse()),
    ],
)
def test_the_words_that_declare_a_field_are_right_wherever_it_stands(sample, values):
    samples = [sample(value) for value in values]
    assert said(refused(bw.Collate(), *samples))(samples).sample_count == 2


@pytest.mark.parametrize(
    ("field", "values"),
    [
        (bw.ragged(), (torch.ones(3, 2), torch.ones(5, 4))),
        (bw.ragged(), (torch.tensor(1.0), torch.tensor(2.0))),
        (bw.scalar(), (torch.ones(2), torch.ones(2))),
        ({"ids": bw.stack()}, (torch.ones(2), torch.ones(2))),
        (bw.media(), ([torch.ones(2)], [torch.ones(3), torch.ones(2)])),
        (bw.media(), ([torch.ones(2), None], None)),
        (bw.media(bw.scalar()), ([object()], [object()])),
    ],
)
@pytest.mark.parametrize("nest", [lambda inner: {"a-b": inner}, lambda inner: {"text": {"ids": inner}}])
def test_the_words_that_declare_a_field_otherwise_are_right(field, values, nest):
    samples = [nest(value) for value in values]
    collate = said(refused(bw.Collate(nest(field)), *samples))
    assert collate(samples).sample_count == 2


def test_ragged_list_without_declaration_shows_the_line_to_add():
    message = refused(bw.Collate(), {"ids": [1, 2]}, {"ids": [1, 2, 3]})
    assert message.endswith("declare it: ids = bw.ragged().")
    assert bw.Collate(ids=bw.ragged())([{"ids": [1, 2]}, {"ids": [3]}])["ids"].tolist() == [1, 2, 3]


def test_no_value_in_some_samples_shows_the_lines_to_add():
    samples = [{"x": torch.ones(2)}, {"x": None}]
    assert refused(bw.Collate(), *samples).endswith(
        "'x' of sample 1 of the batch is None (no value), not a tensor, an array or a "
        "list of numbers; declare it: x = bw.media() or bw.opaque()."
    )
    assert bw.Collate(x=bw.media())(samples).unbatch()[1] == {"x": None}


@pytest.mark.parametrize("value", [None, object(), np.array(["a", "b"])])
def test_what_default_collate_refuses_shows_the_line_to_add(value):
    assert refused(bw.Collate(), {"x": value}).endswith("declare it: x = bw.opaque().")
    assert bw.Collate(x=bw.opaque())([{"x": value}])["x"] == [value]


@pytest.mark.parametrize(
    ("tensor", "line"),
    [
        (torch.eye(2).to_sparse(), "bw.block_diagonal()"),
        (torch.nested.as_nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged), "bw.opaque()"),
    ],
)
@pytest.mark.parametrize("field", [None, bw.stack(), bw.ragged(), bw.ragged(pad=0.0)])
def test_tensors_that_are_not_dense_show_the_line_to_add(tensor, line, field):
    message = refused(bw.Collate({"x": field} if field else {}), {"x": tensor}, {"x": tensor})
    assert message.endswith(f"declare it: x = {line}.")
