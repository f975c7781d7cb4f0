"""What looks like label sets, class names, an order or a grouping column: read rightly, or refused in words.

A case is what is passed and what comes of it.
"""

from __future__ import annotations

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset

import batchwright as bw

from .odd_inputs import Labelled, Thing, objects, refused_in_words

MATRIX = np.array([[1, 0], [1, 1], [0, 1]])


LABEL_SETS = {
    "matrix": MATRIX,
    "booleans": MATRIX == 1,
    "floats": torch.tensor(MATRIX).float(),
    "frame": pd.DataFrame(MATRIX),
    "nullable frame": pd.DataFrame(MATRIX).astype("boolean"),
    "scipy": scipy.sparse.csr_array(MATRIX),
    "sparse tensor": torch.tensor(MATRIX).to_sparse(),
    "lists": [[0], [0, 1], [1]],
    "tensors": [torch.tensor([0]), torch.tensor([0, 1]), torch.tensor([1])],
    "sets": [{0}, {1, 0}, {1}],
    "scalars in tuples": [(np.int64(0),), (torch.tensor(1), 0), (1,)],
    "arrow lists": pa.array([[0], [0, 1], [1]]),
    "polars lists": pl.Series([[0], [0, 1], [1]]),
    "object array": objects([0], [0, 1], [1]),
}


NO_LABEL_SETS = {
    "unknown": (np.array([[1, -1], [0, 1]]), r"labels is -1.* at sample 0, label 1: 1 says .* \(1 such entries\)"),
    "probabilities": (torch.tensor([[0.0, 1], [0.25, 1]]), "labels is 0.25 at sample 1, label 0"),
    "counts": (scipy.sparse.csr_matrix([[0, 2], [1, 0]]), "labels is 2 at sample 0, label 1"),
    "sparse unknown": (torch.tensor([[1.0, -1], [0, 1]]).to_sparse(), "labels is -1.0 at sample 0, label 1"),
    "NaN": (np.array([[np.nan, 1]]), "labels is nan at sample 0, label 0"),
    "NA": (pd.DataFrame({"a": pd.array([1, None], "Int64")}), "labels is nan at sample 1, label 0"),
    "masked": (np.ma.array([[1, 0]], mask=[[0, 1]]), "labels is nan at sample 0, label 1"),
    "unknown in lists": ([[1, -1], [0, -1]], "each of them from -1 to 1: these are no names"),
    "probabilities in lists": ([[0.5, 1.0], [0.25, 0.0]], "each of them from 0.0 to 1.0: these are no names"),
    "annotations": ([{"boxes": [1], "labels": [2]}], "the labels of sample 0 are .* of type dict; .* record"),
    "one text a sample": (["cat", "dog"], "the labels of sample 0 are 'cat', of type str"),
    "one label a sample": ([1, 2], "the labels of sample 0 are 1, of type int"),
    "column": (np.array([1, 0]), r"labels is of type ndarray of shape \(2,\)"),
    "missing": ([["a"], None], "the labels of sample 1 are None"),
    "missing within": ([["a"], ["b", None]], "a label of sample 1 is missing"),
    "by identity": ([["a"], [Thing()]], "a label of sample 1 is of type Thing, equal to nothing but itself"),
    "iterators": ([iter(["a"])], "the labels of sample 0 are .* of type list_iterator"),
    "generator": ((row for row in [["a"]]), "the labels are of type generator"),
    "set of tuples": ({("a",), ("b",)}, "the labels are of type set"),
    "mapping": ({0: ["a"]}, "the labels are of type dict"),
    "nothing": (None, "the labels are None"),
    "dataset": (TensorDataset(torch.zeros(2, 3), torch.ones(2)), "the labels are of type TensorDataset"),
    "loader": (DataLoader([1, 2]), "the labels are of type DataLoader"),
    "sampler": (bw.shuffled(4, 2).sampler(), "the labels are of type BatchSampler"),
    "same names": (pd.DataFrame([[1, 0]], columns=["a", "a"]), "two of the 2 columns of labels have one name"),
    "sparse column": (torch.tensor([0, 1]).to_sparse(), "a sparse tensor of 1 dimensions"),
}


@pytest.mark.parametrize("case", LABEL_SETS)
def test_label_sets_are_read(case):
    rates = bw.multilabel_weights(LABEL_SETS[case], target="natural")
    assert rates.names == [0, 1]
    assert rates.natural.tolist() == [2 / 3, 2 / 3]


@pytest.mark.parametrize("case", NO_LABEL_SETS)
def test_what_are_no_label_sets_is_refused(case):
    refused_in_words(bw.multilabel, *NO_LABEL_SETS[case])


def hugging_face():
    features = datasets.Features({"label": datasets.ClassLabel(names=["neg", "pos"])})
    return datasets.Dataset.from_dict({"label": [0, 1, 1, 0]}, features=features)


def torchvision_like():
    return Labelled(targets=[0, 1, 1, 0], class_to_idx={"neg": 0, "pos": 1})


@pytest.mark.parametrize("make", [hugging_face, torchvision_like])
@pytest.mark.parametrize("view", [lambda data: data, lambda data: Subset(data, [0, 1, 2])], ids=["whole", "subset"])
def test_classes_are_known_by_their_names_too(make, view):
    data = view(make())
    for target in ({"neg": 0.25, "pos": 0.75}, {0: 0.25, "pos": 0.75}, {np.int64(0): 0.25, torch.tensor(1): 0.75}):
        assert bw.balanced(data, 2, target=target).shares().tolist() == [0.25, 0.75]
    moving = bw.targets.schedule({"neg": 1, "pos": 0}, {"neg": 0, "pos": 1}, epochs=2)
    assert bw.balanced(data, 1, target=moving).shares(2).tolist() == [0, 1]
    assert bw.Groups.from_labels(data).samples("pos").tolist() == [1, 2]
    assert bw.rotating(data, [["neg"], ["pos"]], per_class=1).names == [(0,), (1,)]
    with pytest.raises(bw.Infeasible, match="label 0 is given two shares"):
        bw.balanced(data, 4, target={"neg": 0.25, 0: 0.75})
    classes = "but the labels are 0, 1, of the classes 'neg', 'pos'; use the labels of the data"
    with pytest.raises(bw.Infeasible, match=f"a share is given to 'neutral' {classes}"):
        bw.balanced(data, 4, target={"neg": 0.25, "neutral": 0.75})
    with pytest.raises(bw.Infeasible, match=rf"a share is given to 'poss' {classes} \(did you mean 'pos'\?\)"):
        bw.balanced(data, 4, target={"neg": 0.25, "poss": 0.75})


def test_classes_of_a_concatenation_are_known_by_name_if_its_parts_agree():
    both = ConcatDataset([hugging_face(), Subset(torchvision_like(), [1, 2])])
    assert bw.balanced(both, 2, target={"neg": 0.25, "pos": 0.75}).shares().tolist() == [0.25, 0.75]
    for names in ({"neg": 1, "pos": 0}, {"cat": 0, "dog": 1}):
        other = ConcatDataset([hugging_face(), Labelled(targets=[0, 1], class_to_idx=names)])
        with pytest.raises(bw.Infeasible, match="a share is given to 'neg' but the labels are 0, 1"):
            bw.balanced(other, 2, target={"neg": 0.25, "pos": 0.75})


def test_a_hugging_face_column_knows_its_classes():
    assert bw.balanced(hugging_face()["label"], 2, target={"neg": 0.25, "pos": 0.75}).shares().tolist() == [0.25, 0.75]


NO_ORDERS = [range(4), np.arange(4), bw.Groups.from_labels([0, 1, 1, 0]), bw.shuffled(4, 2).sampler(), "shuffled", True]


@pytest.mark.parametrize("order", NO_ORDERS, ids=lambda order: type(order).__name__)
def test_what_is_no_plan_is_no_order(order):
    for build in (bw.budgeted, bw.packed, bw.grouped):
        with pytest.raises(bw.Infeasible, match="order is"):
            build([1, 2, 3, 4], 10, order=order)


SINGLES = {
    "floats": (np.arange(30) / 7, "probably measurements; group them first"),
    "files": ([f"images/{i:03}.jpg" for i in range(30)], "such as 'images/000.jpg', are probably file names"),
    "texts": ([f"user{i}" for i in range(30)], "probably ids or texts"),
    "numbers": (range(30), "30 of 30 groups have one sample each, of 30 samples in all: .* probably ids"),
    "nearly all": ([*range(28), 0, 0], "27 of 28 groups have one sample each, of 30 samples"),
    "times": (np.arange(30).astype("M8[D]"), "probably times"),
}


@pytest.mark.parametrize("case", SINGLES)
def test_a_column_of_single_samples_is_named_as_such(case):
    column, said = SINGLES[case]
    with pytest.warns(bw.PoorWarning, match=said):
        bw.balanced(column, 2)


@pytest.mark.parametrize(
    "labels", [range(19), [*range(10), *range(10)], [*range(25), *[99] * 30], [*range(30), *range(20)] * 2], ids=str
)
def test_a_long_tail_is_no_column_of_single_samples(labels):
    bw.Groups.from_labels(labels)


def test_units_of_one_sample_are_nothing_unusual():
    bw.split(["a", "b"] * 15, {"train": 0.5, "test": 0.5}, together=list(range(30)))
    bw.packed([3] * 30, 10, together=[f"document {i}" for i in range(30)])
    with pytest.raises(bw.Infeasible, match="the label of sample 0 is of type Thing"):
        bw.packed([3], 10, together=[Thing()])
