"""Bad input is refused by name: the sample, the field, both shapes; nothing is cast."""

from __future__ import annotations

import dataclasses
import pickle
from collections import Counter, defaultdict, namedtuple

import pytest
import torch

import batchwright as bw

from .refused import Text, refused

Two, Three = namedtuple("Two", "x y"), namedtuple("Three", "x y z")


def named(*samples: dict) -> list:
    """The samples with ids 40, 41, ... beside them."""
    dataset = bw.identified({40 + number: sample for number, sample in enumerate(samples)})
    return [dataset[40 + number] for number in range(len(samples))]


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
    assert "'verts', a field of type Stacked" in refused(collate, {**faces, "verts": torch.ones(3)})
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
        (Text(1), Longer(2), "is of type Longer with the fields ids, more"),
        (Longer(2), Text(1), "is of type Text with the fields ids"),
        (Text(1), {"ids": 1}, "is of type dict with the fields ids"),
        (Two(1, 2), Three(1, 2, 3), "is of type Three with the fields x, y, z"),
        (Two(1, 2), (1, 2), "is of type tuple with the fields 0, 1"),
        (Two(1, 2), None, "is None"),
    ],
)
def test_records_of_another_type_are_refused_and_no_field_is_dropped(first, other, said, nest):
    message = refused(bw.Collate(), nest(first), nest(first), nest(other))
    assert f"sample 2 of the batch {said}" in message
    assert f"sample 0 of the batch is of type {type(first).__name__} with the fields" in message


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
    assert "is of type Tensor, which has no fields" in refused(bw.Collate(), torch.ones(3))


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


@pytest.mark.parametrize("samples", [3, {"x": 1}, iter([{"x": 1}]), torch.ones(3)])
def test_what_is_no_list_of_samples_is_refused(samples):
    of_type = f"is needed, this is of type {type(samples).__name__}; let the DataLoader make batches"
    with pytest.raises(bw.Infeasible, match=f"a list of samples {of_type}"):
        bw.Collate()(samples)
    with pytest.raises(bw.Infeasible, match=f"a list of packs or of samples {of_type}"):
        bw.Collate(x=bw.ragged()).packs()(samples)


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
