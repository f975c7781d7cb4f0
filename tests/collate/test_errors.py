"""Bad input is refused by name: the sample, the field, both shapes; nothing is cast."""

from __future__ import annotations

import dataclasses
import pickle
import warnings
from collections import Counter, defaultdict, namedtuple

import numpy as np
import pytest
import torch

import batchwright as bw

Two, Three = namedtuple("Two", "x y"), namedtuple("Three", "x y z")


def refused(collate: bw.Collate, *samples: object) -> str:
    with pytest.raises(bw.Infeasible) as caught:
        collate(list(samples))
    return str(caught.value)


def said(message: str) -> bw.Collate:
    """The collate function that a refusal says to write: its words are under test."""
    words = message.rpartition("declare it: ")[2].removesuffix(".")
    return eval(words if words.startswith("bw.Collate(") else f"bw.Collate({words})")


def named(*samples: dict) -> list:
    """The samples with ids 40, 41, ... beside them."""
    dataset = bw.identified({40 + number: sample for number, sample in enumerate(samples)})
    return [dataset[40 + number] for number in range(len(samples))]


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


@dataclasses.dataclass
class Text:
    ids: object


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


def test_messages_name_samples_by_their_ids():
    message = refused(bw.Collate(), *named({"ids": torch.ones(3)}, {"ids": torch.ones(5)}))
    assert "field 'ids' of sample 41 (number 1 of the batch) has shape (5,)" in message
    aside = bw.Collate(sample_id=bw.aside())
    samples = [{"sample_id": name, "ids": torch.ones(n)} for name, n in (("a", 2), ("b", 3))]
    assert "sample 'b' (number 1" in refused(aside, *samples)


@pytest.mark.parametrize("field", [None, bw.stack(), bw.ragged()])
def test_other_dtype_is_refused_and_never_cast(field):
    collate = bw.Collate({} if field is None else {"x": field})
    for odd in (torch.ones(3, dtype=torch.float64), torch.ones(3, dtype=torch.int64), torch.ones(3, dtype=torch.half)):
        message = refused(collate, {"x": torch.ones(3)}, {"x": odd})
        assert f"dtype {str(odd.dtype)[6:]}" in message
        assert "dtype float32" in message


@pytest.mark.parametrize("field", [bw.stack(), bw.ragged()])
def test_other_rank_is_refused(field):
    message = refused(bw.Collate(x=field), {"x": torch.ones(3)}, {"x": torch.ones(3, 1)})
    assert "shape (3, 1)" in message
    assert "shape (3,)" in message
    assert "one rank" in message


@pytest.mark.parametrize("form", ["list", "padded", "packed", "jagged"])
def test_other_size_elsewhere_is_refused_in_every_form(form):
    message = refused(bw.Collate(x=bw.ragged(form=form)), {"x": torch.ones(3, 2)}, {"x": torch.ones(4, 5)})
    assert "shape (4, 5)" in message
    assert "except along dim 0" in message


def test_nothing_is_broadcast_to_fit():
    samples = [{"x": torch.ones(3, 4)}, {"x": torch.ones(2, 1)}]
    assert "shape (2, 1)" in refused(bw.Collate(x=bw.ragged(pad=0.0)), *samples)
    for other in (torch.ones(2, 1), torch.ones(2), torch.ones(2, 4, dtype=torch.float64)):
        with pytest.raises(bw.Infeasible, match="differ in size along dim 0 alone"):
            bw.Ragged.from_list([torch.ones(3, 4), other])


def test_index_outside_its_own_sample_is_refused():
    collate = bw.Collate(verts=bw.ragged(), faces=bw.ragged(shift_by="verts"))
    good = {"verts": torch.ones(4, 3), "faces": torch.tensor([[0, 1, 3]])}
    for bad in (4, -1):
        message = refused(collate, *named(good, {**good, "faces": torch.tensor([[0, 1, bad]])}, good))
        assert "field 'faces' of sample 41" in message
        assert "shape (1, 3)" in message
        assert f"{min(0, bad)} to {max(1, bad)}" in message
        assert "4 of 'verts'" in message
    assert "an index holds integers" in refused(collate, {**good, "faces": torch.ones(1, 3)})


def test_shift_by_what_is_not_there_or_has_no_count():
    faces = {"faces": torch.zeros(1, 3, dtype=torch.int64)}
    assert "shifted by 'verts'" in refused(bw.Collate(faces=bw.ragged(shift_by="verts")), faces)
    collate = bw.Collate(faces=bw.ragged(shift_by="verts"), verts=bw.stack())
    assert "a Stacked field" in refused(collate, {**faces, "verts": torch.ones(3)})
    with pytest.raises(bw.Infeasible, match="itself shifted"):
        bw.Collate(a=bw.ragged(shift_by="b"), b=bw.ragged(shift_by="a"))


def test_missing_and_extra_fields_are_refused():
    x = torch.ones(2)
    assert "field 'x' is missing in sample 1" in refused(bw.Collate(), {"x": x}, {"y": x})
    assert "has the fields x, y" in refused(bw.Collate(), {"x": x}, {"x": x, "y": x})
    assert "field 'z' is missing in sample 0" in refused(bw.Collate(z=bw.stack()), {"x": x})
    assert "field 'in.y' is missing in sample 1" in refused(bw.Collate(), {"in": {"y": x}}, {"in": {"x": x}})
    assert "sample 1 of the batch" in refused(bw.Collate(), {"x": x}, 3)


@dataclasses.dataclass
class Longer(Text):
    more: int = 0


@pytest.mark.parametrize("nest", [lambda inner: inner, lambda inner: {"inner": inner}])
@pytest.mark.parametrize(
    ("first", "other", "said"),
    [
        (Text(1), Longer(2), "is a Longer with the fields ids, more"),
        (Longer(2), Text(1), "is a Text with the fields ids"),
        (Text(1), {"ids": 1}, "is a dict with the fields ids"),
        (Two(1, 2), Three(1, 2, 3), "is a Three with the fields x, y, z"),
        (Two(1, 2), (1, 2), "is a tuple with the fields 0, 1"),
        (Two(1, 2), None, "is None"),
    ],
)
def test_records_of_another_type_are_refused_and_no_field_is_dropped(first, other, said, nest):
    message = refused(bw.Collate(), nest(first), nest(first), nest(other))
    assert f"sample 2 of the batch {said}" in message
    assert f"sample 0 of the batch is a {type(first).__name__} with the fields" in message


@pytest.mark.parametrize("kind", [lambda **parts: defaultdict(int, parts), Counter])
def test_parts_that_a_mapping_would_make_up_are_missing(kind):
    samples = [kind(x=1, y=2), kind(x=1, z=2)]
    assert "field 'y' is missing in sample 1" in refused(bw.Collate(), *samples)
    assert [dict(sample) for sample in samples] == [{"x": 1, "y": 2}, {"x": 1, "z": 2}]


def test_keys_of_one_name_are_refused():
    assert "keys 1 and '1' of the samples have one name, '1'" in refused(bw.Collate(), {1: 1.0, "1": 2.0})
    assert "of the samples in 'a' have" in refused(bw.Collate(), {"a": {1: 1.0, "1": 2.0}})


def test_a_field_of_the_samples_is_not_hidden_by_a_further_key_of_another_field():
    collate = bw.Collate(tokens=bw.ragged(pad=0, also={"label": "lengths"}))
    for each in (collate, pickle.loads(pickle.dumps(collate))):
        message = refused(each, {"tokens": [1, 2], "label": 7})
        assert "two keys 'label', a field of the samples and 'lengths' of field 'tokens'" in message
        assert each([{"tokens": [1, 2], "inner": {"label": 7}}])["label"].tolist() == [2]


def test_empty_batches_and_samples_are_refused():
    assert "0 samples" in refused(bw.Collate())
    assert "sample 0 of the batch has no fields" in refused(bw.Collate(), {})
    assert "no fields in 'inner'" in refused(bw.Collate(), {"inner": {}})
    assert "sample 1 of the batch has the fields none" in refused(bw.Collate(), {"x": 1}, {})
    assert "is a Tensor, which has no fields" in refused(bw.Collate(), torch.ones(3))


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
    assert "of sample 1 of the batch is a" in message
    assert "makes no tensor" in message


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16])
def test_index_that_would_overflow_its_dtype_is_refused_and_the_last_that_fits_is_not(dtype):
    most = torch.iinfo(dtype).max
    collate = bw.Collate(verts=bw.ragged(), faces=bw.ragged(shift_by="verts"))
    first = {"verts": torch.ones(most), "faces": torch.tensor([0], dtype=dtype)}
    for count, fits in ((1, True), (2, False)):
        samples = [first, {"verts": torch.ones(count), "faces": torch.tensor([count - 1], dtype=dtype)}]
        if fits:
            assert collate(samples)["faces"].tolist() == [0, most]
        else:
            assert f"largest index is {most}, and the batch has {most + count} of 'verts'" in refused(collate, *samples)


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


@pytest.mark.parametrize("field", [bw.stack(), bw.ragged(), bw.ragged(pad=0.0)])
def test_tensors_of_several_devices_are_refused(field):
    message = refused(bw.Collate(x=field), {"x": torch.ones(2)}, {"x": torch.ones(2, device="meta")})
    assert "sample 1 of the batch has shape (2,) and dtype float32 on meta" in message


@pytest.mark.parametrize("samples", [3, {"x": 1}, iter([{"x": 1}]), torch.ones(3)])
def test_what_is_no_list_of_samples_is_refused(samples):
    for collate in (bw.Collate(), bw.Collate(x=bw.ragged()).packs()):
        with pytest.raises(bw.Infeasible, match=r"not of a list of .*; let the DataLoader make batches"):
            collate(samples)


@pytest.mark.parametrize("values", [([1, 2.0],), ([1, "a"],), ([1], [2.0]), ([[1], [2.5]],)])
def test_lists_of_mixed_numbers_are_refused(values):
    samples = [{"x": value} for value in values]
    assert "'x'" in refused(bw.Collate(x=bw.ragged()), *samples)


def test_numbers_of_mixed_types_are_refused():
    assert "one dtype" in refused(bw.Collate(), {"x": 1}, {"x": 2.0})
    assert "a scalar has ()" in refused(bw.Collate(x=bw.scalar()), {"x": torch.ones(2)})
    assert "no dimension to be ragged along" in refused(bw.Collate(x=bw.ragged()), {"x": 3})


def test_declarations_validate_themselves():
    for wrong in (
        lambda: bw.ragged(form="dense"),
        lambda: bw.ragged(side="top"),
        lambda: bw.ragged(multiple=0),
        lambda: bw.ragged(dim=(0, 1), shift_by="x"),
        lambda: bw.resized(how="crop"),
        lambda: bw.resized((0, 4)),
        lambda: bw.resized(multiple=0),
        lambda: bw.media(bw.ragged(shift_by="x")),
        lambda: bw.media(bw.ragged(also={"m": "lengths"})),
        lambda: bw.Collate(x=3),
        lambda: bw.Collate(bw.stack()),
        lambda: bw.Collate(bw.stack),
        lambda: bw.Collate("ids"),
        lambda: bw.Collate({1: bw.stack()}),
        lambda: bw.Collate(x=bw.ragged(also={"m": "mask"}), y=bw.ragged(also={"m": "mask"})),
        lambda: bw.Collate(inner={"x": bw.aside()}),
        lambda: bw.Collate({"x": bw.stack()}, x=bw.ragged()),
        lambda: bw.Collate(x=bw.ragged(also={"m": "masks"})),
        lambda: bw.Collate(x=bw.resized(also={"m": "lengths"})),
        lambda: bw.Collate(x=bw.media(also={"m": "sizes"})),
        lambda: bw.ragged(pad="0"),
        lambda: bw.ragged(dim=1.5),
        lambda: bw.ragged(menu=[2.5]),
        lambda: bw.resized(224),
        lambda: bw.resized("big"),
        lambda: bw.resized(None),
        lambda: bw.resized((2.5, 3)),
        lambda: bw.Layout([2.5, 1]),
        lambda: bw.Layout([-1, 1]),
        lambda: bw.Ragged.from_list([[1, 2], [3]]),
        lambda: bw.Collate(x=bw.ragged()).packs(seams=["x"]),
    ):
        with pytest.raises(bw.Infeasible):
            wrong()
    with pytest.raises(dataclasses.FrozenInstanceError):
        bw.ragged().dim = 1


def test_block_and_grid_fields_name_what_does_not_fit():
    assert "a sparse COO matrix" in refused(bw.Collate(a=bw.block_diagonal()), {"a": torch.ones(2, 2)})
    grid = bw.Collate(a=bw.resized(size=(4, 4), how="pad"))
    assert "shape (3, 5, 4)" in refused(grid, {"a": torch.ones(3, 4, 4)}, {"a": torch.ones(3, 5, 4)})
    smooth = bw.Collate(a=bw.resized(size=(4, 4)))
    assert "mode='nearest'" in refused(smooth, {"a": torch.ones(5, 5, dtype=torch.int64)})
    assert "shape (1, 4, 4)" in refused(smooth, {"a": torch.ones(3, 4, 4)}, {"a": torch.ones(1, 4, 4)})


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
