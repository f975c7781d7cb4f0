"""Each kind of field, in containers of any type, and what is not declared as torch's own default collates it."""

from __future__ import annotations

import collections
import dataclasses
import enum
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import default_collate
from torch.utils.data._utils.collate import default_collate_fn_map

import batchwright as bw


@dataclasses.dataclass(frozen=True)
class Computed:
    ids: Tensor
    count: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", len(self.ids))


class Pair(NamedTuple):
    left: Tensor
    right: int


@dataclasses.dataclass
class Record:
    ids: Tensor
    pair: Pair


def equal(left: object, right: object) -> bool:
    """Whether two nests of containers are the same, types included."""
    if type(left) is not type(right):
        return False
    if isinstance(left, Tensor):
        return left.dtype is right.dtype and left.equal(right)
    if dataclasses.is_dataclass(left):
        return equal(vars(left), vars(right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(equal, left, right))
    return left == right


def test_undeclared_fields_follow_default_collate():
    samples = [
        {
            "tensor": torch.full((2, 3), float(n)),
            "array": np.full(4, n, dtype=np.int16),
            "whole": n,
            "real": n / 2,
            "flag": n > 0,
            "text": f"sample {n}",
            "bytes": b"x",
            "numpy": np.float32(n),
            "nested": {"a": n, "pair": Pair(torch.ones(2), n)},
            "list": [n, 2.0],
        }
        for n in range(3)
    ]
    batch, expected = bw.Collate()(samples), default_collate(samples)
    assert set(batch) == set(expected)
    for name in expected:
        assert equal(batch[name], expected[name]), name


def test_numbers_come_back_as_what_they_were():
    samples = [{"python": n, "numpy": np.float32(n), "tensor": torch.tensor(n, dtype=torch.int16)} for n in range(3)]
    for fields in ({}, dict.fromkeys(samples[0], bw.scalar())):
        batch = bw.Collate(fields)(samples)
        assert [batch[name].dtype for name in batch] == [torch.int64, torch.float32, torch.int16]
        back = batch.unbatch()[2]
        assert (type(back["python"]), back["python"]) == (int, 2)
        assert equal(back["numpy"], torch.tensor(2.0))
        assert equal(back["tensor"], torch.tensor(2, dtype=torch.int16))


def test_counts_of_any_kind_of_whole_number_shift():
    for one in (int, np.int64, torch.tensor):
        collate = bw.Collate(edges=bw.ragged(dim=1, shift_by="count"))
        batch = collate([{"count": one(3), "edges": torch.tensor([[0], [2]])}] * 2)
        assert batch["edges"].tolist() == [[0, 3], [2, 5]]


def test_extension_table_of_default_collate_is_followed():
    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

    default_collate_fn_map[Point] = lambda points, *, collate_fn_map: torch.tensor([point.x for point in points])
    try:
        assert bw.Collate()([{"point": Point(3)}, {"point": Point(5)}])["point"].tolist() == [3, 5]
    finally:
        del default_collate_fn_map[Point]


def test_containers_keep_their_types_both_ways():
    samples = [
        {
            "record": Record(torch.arange(n), Pair(torch.ones(2) * n, n)),
            "tuple": (torch.ones(1), {"deep": n}),
            "ordered": collections.OrderedDict(b=1.5, a=2),
        }
        for n in (2, 0, 3)
    ]
    collate = bw.Collate(record={"ids": bw.ragged(form="list")}, tuple=[bw.stack()])
    batch = collate(samples)
    assert isinstance(batch["record"], Record)
    assert isinstance(batch["record"].pair, Pair)
    assert isinstance(batch["tuple"], tuple)
    assert isinstance(batch["ordered"], collections.OrderedDict)
    assert all(equal(after, before) for after, before in zip(batch.unbatch(), samples, strict=True))
    assert list(batch.fields) == [
        "record.ids", "record.pair.left", "record.pair.right", "tuple.0", "tuple.1.deep", "ordered.b", "ordered.a",
    ]  # fmt: skip


def test_tuples_named_tuples_and_dataclasses_are_samples():
    image, label = bw.Collate([bw.stack()])([(torch.ones(2), 0), (torch.zeros(2), 1)]).data
    assert image.tolist() == [[1, 1], [0, 0]]
    assert label.tolist() == [0, 1]
    pairs = [Pair(torch.ones(2), 3), Pair(torch.ones(2), 4)]
    batch = bw.Collate()(pairs)
    assert batch["right"].tolist() == [3, 4]
    assert isinstance(batch.data, Pair)
    assert equal(batch.unbatch(), pairs)
    records = [Record(torch.arange(n), pairs[0]) for n in (1, 2)]
    assert equal(bw.Collate(ids=bw.ragged())(records).unbatch(), records)
    computed = [Computed(torch.arange(n)) for n in (3, 1)]
    assert equal(bw.Collate(ids=bw.ragged())(computed).unbatch(), computed)


@settings(deadline=None)
@given(rows=st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5), min_size=1, max_size=5))
def test_lists_and_arrays_of_numbers_collate_as_tensors_do(rows):
    collate = bw.Collate(ids=bw.ragged(pad=7))
    tensors = collate([{"ids": torch.tensor(row, dtype=torch.int64)} for row in rows])
    arrays = collate([{"ids": np.array(row, dtype=np.int64)} for row in rows])
    lists = collate([{"ids": row} for row in rows])
    assert tensors["ids"].equal(lists["ids"])
    assert tensors["ids"].equal(arrays["ids"])
    assert [after["ids"].tolist() for after in lists.unbatch()] == rows


def test_read_only_and_reversed_arrays_are_taken_without_a_warning():
    array = np.arange(6)
    array.flags.writeable = False
    batch = bw.Collate(x=bw.ragged())([{"x": array}, {"x": array[::-1]}, {"x": array[:2]}])
    assert batch["x"].tolist() == [0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0, 0, 1]


@given(
    counts=st.lists(st.one_of(st.none(), st.just(-1), st.integers(0, 3)), min_size=1, max_size=5),
    order=st.randoms(use_true_random=False),
)
def test_media_gives_every_sample_its_items_back(counts, order):
    """None: no item; -1: one item by itself; otherwise a list of so many."""
    number = iter(range(100))

    def item() -> Tensor:
        return torch.full((2, 2), float(next(number)))

    samples = [
        {"images": None if count is None else item() if count < 0 else [item() for _ in range(count)]}
        for count in counts
    ]
    collate = bw.Collate(images=bw.media(also={"counts": "counts", "owner": "segments"}))
    batch = collate(samples)
    own = [0 if count is None else abs(count) for count in counts]
    assert batch["counts"].tolist() == own
    assert batch["owner"].tolist() == [n for n, count in enumerate(own) for _ in range(count)]
    assert (batch["images"] is None) == (sum(own) == 0)
    if sum(own):
        assert batch["images"][:, 0, 0].tolist() == list(range(sum(own)))
    assert equal(batch.unbatch(), samples)
    numbers = list(range(len(samples)))
    order.shuffle(numbers)
    assert equal(batch.select(numbers).unbatch(), [samples[n] for n in numbers])


def test_media_of_unequal_sizes_are_resized_and_keep_their_sizes():
    collate = bw.Collate(images=bw.media(bw.resized(multiple=4, how="pad"), also={"sizes": "sizes"}))
    batch = collate([{"images": [torch.ones(3, 2, 5), torch.ones(3, 7, 3)]}, {"images": None}])
    assert batch["images"].shape == (2, 3, 8, 8)
    assert batch["sizes"].tolist() == [[2, 5], [7, 3]]


sizes = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4)


@settings(deadline=None)
@given(drawn=sizes, multiple=st.integers(1, 4), dtype=st.sampled_from([torch.float32, torch.uint8, torch.bool]))
def test_padded_grids_come_back_exactly(drawn, multiple, dtype):
    samples = [{"image": torch.ones(2, *size).to(dtype)} for size in drawn]
    collate = bw.Collate(image=bw.resized(how="pad", multiple=multiple, also={"sizes": "sizes", "mask": "mask"}))
    batch = collate(samples)
    height, width = (-(-max(size[d] for size in drawn) // multiple) * multiple for d in (0, 1))
    assert batch["image"].shape == (len(drawn), 2, height, width)
    assert batch["sizes"].tolist() == [list(size) for size in drawn]
    assert batch["image"].to(torch.bool).equal(batch["mask"][:, None].expand(-1, 2, -1, -1))
    assert equal(batch.unbatch(), samples)


@settings(deadline=None)
@given(drawn=sizes, size=st.tuples(st.integers(1, 9), st.integers(1, 9)), mode=st.sampled_from(["bilinear", "bicubic"]))
def test_resized_images_are_those_of_torch(drawn, size, mode):
    draw = torch.Generator().manual_seed(0)
    images = [torch.rand(3, *each, generator=draw) for each in drawn]
    batch = bw.Collate(image=bw.resized(size, mode=mode))([{"image": image} for image in images])
    expected = [
        image if image.shape[1:] == size else interpolate(image[None], size=size, mode=mode, antialias=True)[0]
        for image in images
    ]
    assert batch["image"].equal(torch.stack(expected))


@settings(deadline=None)
@given(drawn=sizes, size=st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_resized_masks_are_torch_s_nearest_exact_for_every_dtype(drawn, size):
    masks = [torch.arange(height * width).reshape(height, width) for height, width in drawn]
    batch = bw.Collate(mask=bw.resized(size, mode="nearest"))([{"mask": mask} for mask in masks])
    for mask, resized in zip(masks, batch["mask"], strict=True):
        expected = interpolate(mask[None, None].double(), size=size, mode="nearest-exact")[0, 0]
        assert resized.equal(expected.long())
    assert batch["mask"].dtype is torch.int64


def test_gradients_flow_through_stacks_grids_and_media():
    leaf = torch.ones(1, 4, 4, requires_grad=True)
    fields = {"a": bw.stack(), "b": bw.resized((2, 2)), "c": bw.resized((6, 6), how="pad"), "d": bw.media()}
    batch = bw.Collate(fields)([{"a": leaf, "b": leaf, "c": leaf, "d": [leaf, leaf]}])
    sum(batch[name].sum() for name in batch).backward()
    torch.testing.assert_close(leaf.grad.sum(), torch.tensor(16.0 * 4 + 4))  # shrinking to 2 x 2 keeps 4 of the weight


class Colour(enum.IntEnum):
    RED = 3


class Count(int):
    """A whole number of a type of its own."""


@pytest.mark.parametrize("value", [Colour.RED, Count(3), type("Real", (float,), {})(0.5)])
def test_numbers_of_derived_types_follow_default_collate(value):
    samples = [{"x": value}, {"x": value}]
    for collate in (bw.Collate(), bw.Collate(x=bw.scalar())):
        batch = collate(samples)
        assert equal(batch["x"], default_collate(samples)["x"])
        assert batch[1]["x"] == value


def test_numbers_of_a_batch_without_memory_are_refused():
    batch = bw.Collate()([{"x": 1}]).to("meta")
    with pytest.raises(bw.Infeasible, match="meta device holds no numbers"):
        batch.unbatch()


class Point:
    """A type that default_collate's extension table knows."""


@pytest.mark.parametrize(
    "joined",
    [{"v": torch.ones(2)}, {"v": 1, "w": 2}, object(), torch.tensor(3.0), torch.ones(5), ["a"], "ab" * 3, ([1], [2])],
)
def test_what_the_extension_table_joins_as_it_likes_leaves_the_number_of_samples_alone(joined):
    default_collate_fn_map[Point] = lambda points, *, collate_fn_map: joined
    try:
        batch = bw.Collate()([{"point": Point(), "x": n} for n in range(2)])
    finally:
        del default_collate_fn_map[Point]
    assert batch.sample_count == len(batch.fields["point"]) == 2
    assert repr(batch).startswith("Batch(2 samples; point: ")
    assert batch["point"] is joined
    assert batch.to("cpu")["x"].tolist() == [0, 1]
    for take in (lambda: batch[1], lambda: batch.select([1]), batch.unbatch):
        with pytest.raises(bw.Infeasible, match="holds all 2 samples of a field together; declare the field"):
            take()
