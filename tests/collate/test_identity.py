"""Samples that know who they are: ids and labels of any kind arrive in the side channel as what they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import ConcatDataset, DataLoader

import batchwright as bw

SAMPLES = [{"x": float(n)} for n in range(4)]
NUMBERS = {
    "list": list,
    "tuple": tuple,
    "int64": lambda ids: ids,
    "big-endian": lambda ids: ids.astype(">i8"),
    "reversed twice": lambda ids: ids[::-1].copy()[::-1],
    "read-only": lambda ids: np.broadcast_to(ids, ids.shape),
    "object array": lambda ids: ids.astype(object),
    "numpy numbers": lambda ids: [np.int32(number) for number in ids],
    "tensor": torch.from_numpy,
    "0-dim tensors": lambda ids: list(torch.from_numpy(ids)),
    "series": pd.Series,
}


@pytest.mark.parametrize("index", [int, np.int64, np.int32, torch.tensor, lambda n: n - 4])
@given(numbers=st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_ids_are_whole_numbers_however_a_sampler_counts(index, numbers):
    dataset = bw.identified(SAMPLES, task=[0, 0, 1, 1])
    aside = bw.Collate()([dataset[index(number)] for number in numbers]).aside
    assert aside.sample_ids.dtype is torch.int64
    assert aside.sample_ids.tolist() == numbers
    assert aside.tasks.tolist() == [number // 2 for number in numbers]
    assert aside.repeats.tolist() == [number in numbers[:place] for place, number in enumerate(numbers)]


def test_a_tensor_serves_as_sampler():
    loader = DataLoader(
        bw.identified(SAMPLES), sampler=torch.tensor([2, 2, 1, 0]), batch_size=4, collate_fn=bw.Collate()
    )
    (batch,) = loader
    assert batch.aside.sample_ids.tolist() == [2, 2, 1, 0]
    assert batch.aside.repeats.tolist() == [False, True, False, False]


@pytest.mark.parametrize("numbers", [[1, 2], (1, 2), np.array([1, 2]), torch.tensor([1, 2])])
def test_a_list_of_indices_gives_a_list_of_samples(numbers):
    assert [one.labels["sample_id"] for one in bw.identified(SAMPLES)[numbers]] == [1, 2]


@pytest.mark.parametrize("kind", NUMBERS.values(), ids=NUMBERS)
def test_numbers_of_any_kind_are_a_tensor_and_survive_selecting(kind):
    column = kind(np.array([5, 6, 7, 8]))
    for dataset, collate in (
        (bw.identified(SAMPLES, known=column), bw.Collate()),
        (bw.identified(SAMPLES), bw.Collate().knowing(known=lambda ids: kind(ids + 5))),
    ):
        batch = collate([dataset[n] for n in (0, 2, 1)])
        for each, expected in ((batch, [5, 7, 6]), (batch.select([2, 0]), [6, 5])):
            known = each.aside.columns["known"]
            assert isinstance(known, torch.Tensor)
            assert known.tolist() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5, 1, True], torch.tensor([0.5, 1.0, 1.0], dtype=torch.float64)),
        ([True, False, True], torch.tensor([True, False, True])),
        (np.array([0.5, 1, 2], np.float32), torch.tensor([0.5, 1.0, 2.0])),
        (np.array(["a", "b", "c"]), ["a", "b", "c"]),
        (np.array(["a", 3, None], object), ["a", 3, None]),
        (["a", "b", "c"], ["a", "b", "c"]),
        ([1, 2, 2**70], [1, 2, 2**70]),
        ([1, None, 2.0], [1, None, 2.0]),
    ],
)
def test_values_looked_up_arrive_as_numbers_or_as_a_list(values, expected):
    dataset = bw.identified(SAMPLES)
    known = bw.Collate().knowing(known=lambda ids: values)([dataset[n] for n in range(3)]).aside.columns["known"]
    assert type(known) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert known.dtype is expected.dtype
        assert known.equal(expected)
    else:
        assert known == expected


@pytest.mark.parametrize("weights", [[0.5, 1.0, 2, 3], np.array([0.5, 1, 2, 3]), torch.tensor([0.5, 1.0, 2.0, 3.0])])
def test_weights_are_float32(weights):
    dataset = bw.identified(SAMPLES, weight=weights)
    found = bw.Collate()([dataset[1], dataset[0]]).aside.weights
    assert found.dtype is torch.float32
    assert found.tolist() == [1.0, 0.5]


def collated(dataset: Any, collate: bw.Collate | None = None) -> bw.Batch:
    return (collate or bw.Collate())([dataset[0], dataset[len(SAMPLES)]])


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: bw.identified(SAMPLES, task=[1]), "'task' has 1 values, the dataset has 4 samples"),
        (lambda: bw.identified(SAMPLES, task=range(9)), "'task' has 9 values, the dataset has 4 samples"),
        (lambda: bw.identified(SAMPLES)[0:2], r"dataset\[list\(range\(start, stop\)\)\]"),
        (
            lambda: collated(ConcatDataset([bw.identified(SAMPLES, task=range(4)), bw.identified(SAMPLES)])),
            "sample 1 of the batch comes with sample_id, sample 0 with sample_id, task; wrap the whole dataset",
        ),
        (lambda: collated(ConcatDataset([bw.identified(SAMPLES), SAMPLES])), "sample 1 of the batch comes with no id"),
        (lambda: collated(ConcatDataset([SAMPLES, bw.identified(SAMPLES)])), "sample 0 with no id; wrap the whole"),
        (lambda: next(iter(DataLoader(bw.identified(SAMPLES)))), r"pass DataLoader\(..., collate_fn=bw.Collate\(\)\)"),
        (lambda: bw.Collate().knowing(n=[1, 2]), "what 'n' is looked up in is of type list, which is no function"),
        (
            lambda: collated(bw.identified(SAMPLES * 2), bw.Collate().knowing(n=lambda ids: 3)),
            "what 'n' gives for 2 samples is of type int",
        ),
        (
            lambda: bw.Collate().knowing(n=len)([bw.identified({"a": {"x": 1}})["a"]]),
            "a sample's id is 'a', not a whole number",
        ),
    ],
)
def test_what_cannot_be_known_is_refused(build, said):
    with pytest.raises(bw.Infeasible, match=said):
        build()


def test_a_whole_dataset_is_wrapped_as_the_words_say():
    dataset = bw.identified(ConcatDataset([SAMPLES, SAMPLES]))
    assert collated(dataset).aside.sample_ids.tolist() == [0, 4]


def test_numbers_are_known_by_names_that_the_oldest_numpy_has(monkeypatch):
    for name in ("bool", "long", "ulong"):  # numpy 2 brought them
        if name in vars(np):  # numpy 1 warns of who asks for these names
            monkeypatch.delattr(np, name)
    dataset = bw.identified(SAMPLES, task=[np.int64(1), np.True_, 2, 3])
    assert bw.Collate()([dataset[0], dataset[1]]).aside.tasks.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        ([1, 0.5, 2, True], torch.float64),
        ([True, 2, False, True], torch.int64),
        ([np.float32(1), 1, 2, np.True_], torch.float64),
        ([1, 0.5, 2, None], None),
        ([0, "a", 1, 2], None),
        ([0, 2**70, 1, 2], None),
        (np.array([0, None, 1, 2], object), None),
    ],
)
def test_a_column_is_of_one_kind_in_every_batch(column, dtype):
    dataset = bw.identified(SAMPLES, score=column)
    for number, value in enumerate(column):
        found = bw.Collate()([dataset[number]]).aside.columns["score"]
        assert (found == [value]) if dtype is None else (found.dtype is dtype and found.tolist() == [value])


@pytest.mark.parametrize(("names", "kind"), [([0, 0, "a", "a"], list), ([0, 0, 0.5, 0.5], torch.Tensor)])
def test_groups_are_of_one_kind_in_every_batch(names, kind):
    collate, dataset = bw.Collate().with_plan(bw.balanced(names, batch_size=2)), bw.identified(SAMPLES)
    batches = [collate([dataset[number]]).aside.groups for number in range(4)]
    assert {type(groups) for groups in batches} == {kind}
    assert [list(groups) for groups in batches] == [[name] for name in names]


def test_samples_of_a_plan_without_groups_are_their_own_groups():
    collate, dataset = bw.Collate().with_plan(bw.weighted([1, 2, 1, 3], batch_size=2)), bw.identified(SAMPLES)
    assert collate([dataset[number] for number in (3, 1)]).aside.groups.tolist() == [3, 1]


class Together:
    """A dataset that is read by the batch."""

    def __init__(self, given: int) -> None:
        self.given = given

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("read one by one")

    def __getitems__(self, indices: list[int]) -> list[Any]:
        assert all(type(index) is int for index in indices)
        return [SAMPLES[index] for index in indices][: self.given]


@pytest.mark.parametrize("numbers", [[2, 0, 3], [2, 0, -1], np.array([2, 0, 3]), torch.tensor([2, 0, 3])])
def test_samples_are_read_together_where_the_dataset_can(numbers):
    dataset = bw.identified(Together(4), task=[0, 1, 2, 3])
    (batch,) = DataLoader(dataset, batch_sampler=[numbers], collate_fn=bw.Collate())
    for found in (batch["x"], batch.aside.sample_ids, batch.aside.tasks):
        assert found.tolist() == [2, 0, 3]


def test_samples_that_are_not_all_read_are_refused():
    with pytest.raises(
        bw.Infeasible, match=r"Together\.__getitems__ gives 2 samples for 3 indices; let it return a list"
    ):
        bw.identified(Together(2))[[0, 1, 2]]
