"""What keys give: values of any library name the same groups as Python's own."""

from __future__ import annotations

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from batchwright import Infeasible, online

pytestmark = pytest.mark.filterwarnings(
    "ignore:group .* slots due to it|samples repeat within|.* gave no batch:batchwright.PoorWarning"
)

MAKERS = {
    "numpy scalar": np.int16,
    "numpy text": lambda label: np.str_(label),
    "array without dimensions": lambda label: np.array(label, np.uint8),
    "tensor": torch.tensor,
    "tensors in a tuple": lambda label: (torch.tensor(label), "same"),
}


@given(
    st.sampled_from(sorted(MAKERS)),
    st.lists(st.integers(0, 4), min_size=9, max_size=300),
    st.booleans(),
    st.integers(1, 9),
)
def test_labels_of_any_kind_group_as_plain_ones(kind, labels, weighed, batch_size):
    def batches(make):
        arguments = {"buffer_bytes": 10_000, "size": lambda sample: 8} if weighed else {}
        samples = [(number, make(label)) for number, label in enumerate(labels)]
        stream = online.balanced(
            samples, key=1, batch_size=batch_size, buffer=200, when_short="redistribute", **arguments
        )
        return [[number for number, _ in batch] for batch in stream], stream.report()

    (composed, report), (plain, plain_report) = batches(MAKERS[kind]), batches(int)
    assert composed == plain
    assert list(report.seen.values()) == list(plain_report.seen.values())
    assert all(type(label) in (int, str, tuple) for label in report.seen)


@pytest.mark.parametrize(
    "source",
    [
        TensorDataset(torch.arange(600.0), torch.arange(600) % 3),
        datasets.Dataset.from_dict({"label": [n % 3 for n in range(600)]}).with_format("torch"),
        datasets.Dataset.from_dict({"label": [n % 3 for n in range(600)]}).with_format("numpy").to_iterable_dataset(),
    ],
    ids=["TensorDataset", "datasets", "streaming datasets"],
)
def test_datasets_of_tensors_are_balanced(source):
    key = 1 if isinstance(source, TensorDataset) else "label"
    batches = list(online.balanced(source, key=key, batch_size=6))
    assert len(batches) == 100
    assert all(sorted(batch.groups) == [0, 0, 1, 1, 2, 2] for batch in batches)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (torch.tensor([1, 2]), r"key gives a Tensor of shape \(2,\), and a group is named by one value"),
        (np.zeros((2, 3)), r"key gives a ndarray of shape \(2, 3\)"),
        (torch.tensor(float("nan")), "key gives nan, which is not equal to itself"),
        ([1], "key gives a list, which cannot be hashed and so names no group"),
    ],
)
def test_what_names_no_group_is_refused_or_skipped(label, said):
    samples = [0, 1, label, 0, 1]
    with pytest.raises(Infeasible, match=rf"sample 2 of source 'source': {said}"):
        list(online.balanced(samples, key=lambda sample: sample, batch_size=2))
    stream = online.balanced(samples, key=lambda sample: sample, batch_size=2, on_error="skip")
    assert len(list(stream)) == 2
    assert stream.report().skipped == 1


class Unhashed:
    def __hash__(self):
        raise RuntimeError("no hash")


class Unequal:
    def __hash__(self):
        return 0

    def __eq__(self, other):
        raise RuntimeError("no comparison")


@pytest.mark.parametrize(
    ("label", "said"), [(Unhashed(), "which cannot be hashed"), (Unequal(), "which is not equal to it")]
)
def test_the_group_of_a_shard_may_raise_anything(label, said):
    with pytest.raises(
        Infeasible, match=f"source 'shards': groups names .*, {said}.*; pass the group of each shard by its"
    ):
        online.Sharded([1, 2], range, groups=[0, label])


@pytest.mark.parametrize("argument", ["target", "natural"])
def test_shares_by_labels_of_any_library_are_those_of_the_plain_ones(argument):
    shares = {0: 0.5, 1: 0.25, 2: 0.25}

    def batches(shares):
        source = [(number, number % 3) for number in range(300)]
        target = shares if argument == "target" else "sqrt"
        natural = shares if argument == "natural" else None
        return list(online.balanced(source, key=1, batch_size=8, buffer=60, target=target, natural=natural))

    for make in (torch.tensor, np.int8):
        assert batches({make(label): share for label, share in shares.items()}) == batches(shares)
    assert batches(pd.Series(shares)) == batches(shares)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"natural": [0.5, 0.25, 0.25]}, "natural is of type list; pass natural by name, as a dictionary"),
        ({"natural": {0: 0.5}}, "the shares sum to 0.5, not to 1"),
        ({"target": {torch.ones(2): 1}}, r"target names a Tensor of shape \(2,\), and a group is named by one value"),
        ({"target": {float("nan"): 1}}, "target names nan, which is not equal to itself"),
    ],
)
def test_shares_that_name_no_group_are_refused_when_the_stream_is_built(arguments, said):
    with pytest.raises(Infeasible, match=said):
        online.balanced([0, 1, 2], key=int, batch_size=2, **arguments)
