"""Labels and numbers from whatever the user has."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections import deque
from collections.abc import Sequence

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from torch.utils.data import ConcatDataset, Subset, TensorDataset

import batchwright as bw
from batchwright.inputs import columns
from batchwright.labels import label_fn_map, labels

from . import laws
from .odd_inputs import Labelled

VALUES = [3, 1, 2, 1, 3, 3]
WORDS = ["cat", "ant", "bee", "ant", "cat", "cat"]

SOURCES = {
    "list": list,
    "tuple": tuple,
    "numpy": np.array,
    "numpy strided": lambda values: np.repeat(np.array(values), 2)[::2],
    "pandas series": pd.Series,
    "pandas series, own index": lambda values: pd.Series(values, index=list("uvwxyz")),
    "pandas index": pd.Index,
    "pandas categorical": lambda values: pd.Series(values, dtype="category"),
    "polars": pl.Series,
    "arrow": pa.array,
    "arrow chunks": lambda values: pa.chunked_array([values[:2], values[2:]]),
    "arrow dictionary": lambda values: pa.array(values).dictionary_encode(),
    "data frame": lambda values: pd.DataFrame({"label": values, "x": range(len(values))}),
    "polars frame": lambda values: pl.DataFrame({"label": values, "x": list(range(len(values)))}),
    "arrow table": lambda values: pa.table({"label": values, "x": range(len(values))}),
    "mapping": lambda values: {"label": values},
    ".targets": lambda values: Labelled(targets=values),
    ".labels": lambda values: Labelled(labels=values),
    "subset": lambda values: Subset(Labelled(targets=[9, *values]), range(1, 7)),
    "subset of a subset": lambda values: Subset(
        Subset(Labelled(targets=[9, *values, 9]), range(7)), torch.arange(1, 7)
    ),
    "concatenation": lambda values: ConcatDataset([Labelled(targets=values[:4]), Labelled(labels=values[4:])]),
    "sequence of its own": lambda values: Own(values),
}
NUMBERS_ONLY = {
    "torch": torch.tensor,
    "torch column": lambda values: torch.tensor(values)[:, None],
    "tensor dataset": lambda values: TensorDataset(torch.zeros(6, 2), torch.tensor(values)),
    "subset of a tensor dataset": lambda values: Subset(
        TensorDataset(torch.zeros(7, 2), torch.tensor([9, *values])), [1, 2, 3, 4, 5, 6]
    ),
    "range": lambda values: range(6),
}


class Own(Sequence):
    """A user's own column type: a length and items, nothing else (as Hugging Face's `Column`)."""

    def __init__(self, values):
        self._values = values

    def __len__(self):
        return len(self._values)

    def __getitem__(self, index):
        return self._values[index]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("values", [VALUES, WORDS], ids=["numbers", "words"])
def test_labels_are_found(source, values):
    wanted = [9 if value == 9 else value for value in values]
    assert labels(SOURCES[source](values)).tolist() == wanted
    groups = bw.Groups.from_labels(SOURCES[source](values))
    assert groups.names == sorted(set(wanted))
    assert groups.samples(wanted[0]).tolist() == [0, 4, 5]


@pytest.mark.parametrize("source", NUMBERS_ONLY)
def test_labels_that_are_numbers_are_found(source):
    found = labels(NUMBERS_ONLY[source](VALUES)).tolist()
    assert found == (list(range(6)) if source == "range" else VALUES)


def test_hugging_face_columns_and_datasets():
    dataset = datasets.Dataset.from_dict({"text": WORDS, "label": VALUES})
    assert labels(dataset["label"]).tolist() == VALUES
    assert labels(dataset["text"]).tolist() == WORDS
    assert labels(dataset).tolist() == VALUES
    assert labels(Subset(dataset, [1, 3])).tolist() == [1, 1]


def test_nothing_is_imported_to_find_labels():
    code = (
        "import sys, batchwright.labels as c; c.labels([1, 2]); c.labels({'label': ['a']});"
        "print([m for m in ('torch', 'pandas', 'polars', 'pyarrow', 'datasets', 'numba', 'narwhals') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Labelled(images=[1, 2]), r"no labels found in Labelled: looked for \.targets, \.labels"),
        (
            pd.DataFrame({"a": [1], "b": [1]}),
            "labels is of type DataFrame and holds 'a', 'b', none of which is called label",
        ),
        (np.zeros((3, 2)), "labels has shape 3 x 2"),
        ([1.0, float("nan")], r"labels has no value at sample 1 \(.*nan.*\)"),
        (["a", None], "labels has no value at sample 1"),
        (pd.Series(["a", pd.NA], dtype="string"), "labels has no value at sample 1"),
        (pa.array([1, None]), "labels has no value at sample 1"),
        ("aab", "labels is of type str, one value a sample"),
        (object(), "labels is of type object, one value"),
        (np.array(3), "labels is a single value, 3,"),
        (3, "labels is a single value, 3,"),
        (torch.zeros(3, device="meta"), "labels is a tensor on the meta device"),
        (torch.tensor([0, 1]).to_sparse(), "labels is a tensor of layout torch.sparse_coo; pass its to_dense"),
        ([[1], [1, 2]], "labels holds 2 values of type list that make no array"),
        (np.ma.array([0, 1, 2], mask=[0, 1, 0]), r"labels has no value at sample 1 \(None\)"),
        (TensorDataset(torch.zeros(20, 2), torch.rand(20)), "are 20 different numbers for 20 samples"),
        (Subset(pd.DataFrame({"target": np.arange(30) / 7}), range(30)), "found in Subset are 30 different numbers"),
        (Subset(Labelled(targets=[1, 2]), ["a"]), "the Subset's indices are given by values of type object"),
        (Subset(Labelled(targets=[1, 2]), torch.tensor([True, False])), "the Subset's indices are given by .* bool"),
    ],
)
def test_what_has_no_labels_is_refused(source, said):
    with pytest.raises(bw.Infeasible, match=said):
        labels(source)


def test_numbers_in_the_place_of_labels_are_labels_where_samples_share_them():
    shared = TensorDataset(torch.zeros(6, 2), torch.tensor([0.5, 1.5, 0.5, 1.5, 0.5, 1.5]))
    whole = TensorDataset(torch.zeros(3, 2), torch.tensor([0.0, 1.0, 2.0]))
    assert bw.Groups.from_labels(shared).sizes.tolist() == [3, 3]
    assert bw.Groups.from_labels(whole).sizes.tolist() == [1, 1, 1]
    few = TensorDataset(torch.zeros(4, 2), torch.tensor([0.5, 1, 1.5, 2]))
    assert bw.Groups.from_labels(few).sizes.tolist() == [1, 1, 1, 1]
    assert bw.Groups.from_labels(torch.tensor([0.1, 0.2])).group_count == 2  # a column is what the user passed


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float8_e4m3fn])
def test_types_that_numpy_lacks_are_read_exactly(kind):
    values = torch.tensor([1, 0.5, 2]).to(kind)
    assert columns.column(values).tolist() == [1, 0.5, 2]
    plan = laws.quietly(lambda: bw.weighted(values, 7))  # a batch holds the samples several times
    assert plan.shares().tolist() == [2 / 7, 1 / 7, 4 / 7]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            (weight for weight in [1, 2]),
            "weights is of type generator, one value a sample is needed, and this can be read only once",
        ),
        ({0: 1}, "weights is of type dict"),
        (np.array([1j, 1]), "weights holds values of type complex128, numbers are needed"),
        ([[1], [1, 2]], "weights holds 2 values of type list that make no array"),
        (np.ma.array([1.0, 2.0], mask=[1, 0]), "weights has no value at sample 0"),
        (torch.ones(3, device="meta"), "weights is a tensor on the meta device"),
    ],
)
def test_what_is_no_column_of_numbers_is_refused_by_its_own_name(values, said):
    with pytest.raises(bw.Infeasible, match=said):
        bw.weighted(values, 2)


def test_labels_of_another_length_than_the_dataset_are_refused():
    dataset = Labelled(images=[0] * 5)
    dataset.targets = [0, 1]
    with pytest.raises(bw.Infeasible, match="Labelled has 5 samples but 2 labels"):
        bw.balanced(dataset, 2)


def test_inputs_are_not_copied_and_not_changed():
    given = np.array([1, 0, 1])
    assert labels(given) is given
    given.flags.writeable = False
    bw.balanced(given, 2)[0]


def test_mixed_labels_keep_their_types():
    groups = bw.Groups.from_labels(["1", 1, "1"])
    assert groups.names == ["1", 1]
    assert groups.sizes.tolist() == [2, 1]


def test_numbers_are_finite_numbers():
    assert columns.numbers(pl.Series([1, 2]), called="lengths").tolist() == [1, 2]
    with pytest.raises(bw.Infeasible, match="weights at sample 1 is inf"):
        columns.numbers([1.0, float("inf")], called="weights")
    with pytest.raises(bw.Infeasible, match="numbers are needed"):
        columns.numbers(["a", "b"], called="weights")


@pytest.mark.parametrize(
    "numbers",
    [deque([0, 3]), np.array([0, 3], object), (0, 3), pd.Series([0, 3])],
    ids=["deque", "objects", "tuple", "series"],
)
def test_samples_are_asked_for_by_whatever_holds_whole_numbers(numbers):
    plan = bw.balanced([0] * 3 + [1], 2)
    assert plan.weights(numbers).tolist() == [1.5, 0.5]
    assert plan.weights([(0, 3), (3, 3)]).tolist() == [[1.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize("ragged", [[(0, 1), (2,)], ["a"], [True, False], [0.5]], ids=str)
def test_samples_are_not_asked_for_by_what_is_no_whole_number(ragged):
    with pytest.raises(bw.Infeasible, match="samples are given by values of type"):
        bw.balanced([0] * 3 + [1], 2).weights(ragged)


def test_a_data_frame_may_have_a_column_called_type():
    rates = bw.multilabel_weights(pd.DataFrame({"type": [0, 1, 1], "b": [1, 0, 1]}))
    assert rates.names == ["type", "b"]


CODES = np.arange(3_000_000, dtype=np.int8) % 5
CODED = {
    "pandas": lambda: pd.Categorical.from_codes(CODES, list("edcba")),
    "pandas column": lambda: pd.DataFrame({"label": pd.Categorical.from_codes(CODES, list("edcba"))}),
    "arrow": lambda: pa.DictionaryArray.from_arrays(CODES, list("edcba")),
    "arrow column": lambda: pa.table({"label": pa.DictionaryArray.from_arrays(CODES, list("edcba"))}),
    "polars": lambda: pl.Series(list("edcba"), dtype=pl.Enum(list("edcba"))).gather(CODES.astype(np.uint32)),
}


@pytest.mark.parametrize("source", CODED)
def test_a_column_that_is_held_as_codes_costs_what_codes_cost(source):
    held = CODED[source]()
    bw.Groups.from_labels(pd.Categorical(["a"]))  # compiles
    tracemalloc.start()
    groups = bw.Groups.from_labels(held)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert groups.names == list("abcde")
    assert groups.samples("a").tolist()[:2] == [4, 9]
    assert peak < 12 * CODES.size  # 4 a sample are the index; a list of the values alone would be 8


class Annotated:
    """A dataset that looks like no other: its labels are in an unusual place."""

    def __init__(self, classes):
        self.annotations = {"class": classes}

    def __len__(self):
        return len(self.annotations["class"])

    def __getitem__(self, index):
        return index


class Derived(Annotated):
    """One of a derived type."""


@pytest.fixture
def registered():
    label_fn_map[Annotated] = lambda dataset: dataset.annotations["class"]
    yield
    del label_fn_map[Annotated]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("kind", [Annotated, Derived])
def test_datasets_of_types_that_users_register_are_asked_by_their_functions(kind):
    dataset = kind(list("aab"))
    assert labels(dataset).tolist() == list("aab")
    assert labels(Subset(dataset, [2, 0])).tolist() == ["b", "a"]
    assert labels(ConcatDataset([dataset, Labelled(targets=["c"])])).tolist() == list("aabc")
    assert bw.balanced(dataset, 2).groups.names == ["a", "b"]
    dataset.annotations["class"] = ["a", None]
    with pytest.raises(bw.Infeasible, match=f"labels of {kind.__name__} has no value at sample 1"):
        labels(dataset)


def test_datasets_of_no_registered_type_are_not_asked():
    with pytest.raises(bw.Infeasible, match="no labels found in Annotated"):
        labels(Annotated([1]))


def test_codes_of_ids_are_warned_of_as_the_ids_are():
    with pytest.warns(bw.PoorWarning, match="30 of 30 groups have one sample each.*probably ids or texts"):
        bw.Groups.from_labels(pd.Categorical([f"id {n:02}" for n in range(30)]))
