"""What looks like a column of labels: read rightly, or refused in words.

A case is what is passed and what comes of it: the labels read, or what the refusal says.
"""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
from collections import UserList, deque

import datasets
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch
from pyarrow.dataset import dataset as arrow_dataset
from torch.utils.data import ConcatDataset, DataLoader, Subset

import batchwright as bw

from .odd_inputs import Colour, Detachable, Labelled, Thing, objects, refused_in_words

DAYS = [dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 2), dt.datetime(2020, 1, 1)]
DAYS_READ = {dt.datetime(2020, 1, 1): 2, dt.datetime(2020, 1, 2): 1}
ABA, OOZ = {"a": 2, "b": 1}, {1: 2, 0: 1}


def strings(*values, absent):
    return np.array(values, np.dtypes.StringDType(na_object=absent))


CLASSES = datasets.Dataset.from_dict(
    {"label": [1, 0, -1, 1]},
    features=datasets.Features({"label": datasets.ClassLabel(names=["n", "p"])}),
)
NOT_A_CLASS = r"no value at sample 2 \(-1, ClassLabel's mark for no label\)"

READ = {
    "classes of which none is missing": (CLASSES.select([0, 1, 3]), OOZ),
    "subset of classes": (Subset(CLASSES, [0, 1, 3]), OOZ),
    "numbers of classes by themselves": (np.array(CLASSES["label"]), {1: 2, 0: 1, -1: 1}),
    "objects that are tensors": (objects(torch.tensor(1), torch.tensor(0), torch.tensor(1)), OOZ),
    "tensors in a list": ([torch.tensor(1), torch.tensor(0), torch.tensor(1)], OOZ),
    "series of tensors": (pd.Series([torch.tensor(1), torch.tensor(0), torch.tensor(1)]), OOZ),
    "arrays without dimensions": ([np.array("a"), np.array("b"), np.array("a")], ABA),
    "text of numpy": ([np.str_("a"), "b", np.str_("a")], ABA),
    "tuples of scalars": ([(np.int64(1), "a"), (torch.tensor(1), "a"), (0, "a")], {(1, "a"): 2, (0, "a"): 1}),
    "datetimes": (DAYS, DAYS_READ),
    "datetimes of numpy": (np.array(DAYS, "M8[ns]"), DAYS_READ),
    "datetimes of pandas": (pd.Series(DAYS), DAYS_READ),
    "datetimes of polars": (pl.Series(DAYS), DAYS_READ),
    "datetimes of arrow": (pa.array(DAYS), DAYS_READ),
    "scalars of numpy's time": ([np.datetime64(day) for day in DAYS], DAYS_READ),
    "times that Python lacks": (
        np.array([1, 2, 1], "M8[ns]"),
        {np.datetime64(1, "ns"): 2, np.datetime64(2, "ns"): 1},
    ),
    "durations": (np.array([1, 2, 1], "m8[s]"), {dt.timedelta(seconds=1): 2, dt.timedelta(seconds=2): 1}),
    "members of an enum": ([Colour.RED, Colour.BLUE, Colour.RED], {Colour.RED: 2, Colour.BLUE: 1}),
    "classes": ([int, str, int], {int: 2, str: 1}),
    "decimals": ([decimal.Decimal("1.5"), 0, 1.5], {1.5: 2, 0: 1}),
    "fractions": ([fractions.Fraction(1, 2), 0.5, 0], {0.5: 2, 0: 1}),
    "True and 1": ([True, 1, 0], OOZ),
    "0.0 and -0.0": ([0.0, -0.0, 1.0], {0.0: 2, 1.0: 1}),
    "text and number": (["1", 1, "1"], {"1": 2, 1: 1}),
    "whole numbers beyond floats": ([2**53 + 1, 2**53, 2**53 + 1.0, 1.5], {2**53 + 1: 1, 2**53: 2, 1.5: 1}),
    "whole numbers beyond 64 bits": ([2**70, -1, 2**70], {2**70: 2, -1: 1}),
    "bytes": ([b"a", b"b", b"a"], {b"a": 2, b"b": 1}),
    "deque": (deque("aba"), ABA),
    "sequence of its own": (UserList("aba"), ABA),
    "Int64": (pd.Series([1, 0, 1], dtype="Int64"), OOZ),
    "boolean": (pd.Series([True, False, True], dtype="boolean"), OOZ),
    "string": (pd.Series(list("aba"), dtype="string"), ABA),
    "categorical": (pd.Categorical(list("aba")), ABA),
    "sparse pandas": (pd.Series(pd.arrays.SparseArray([1, 0, 1])), OOZ),
    "arrow within pandas": (pd.Series([1, 0, 1], dtype="int64[pyarrow]"), OOZ),
    "arrow dictionary": (pa.array(list("aba")).dictionary_encode(), ABA),
    "arrow chunks of dictionaries": (
        pa.chunked_array([pa.array(["a", "b"]).dictionary_encode(), pa.array(["a"]).dictionary_encode()]),
        ABA,
    ),
    "arrow scalars": (list(pa.array([1, 0, 1])), OOZ),
    "arrow dictionary that says a value twice": (
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(["a", "b", "a"])),
        ABA,
    ),
    "categories that do not come": (pd.Series(list("aba")).astype(pd.CategoricalDtype(["z", "b", "a"])), ABA),
    "categories of two types": (pd.Categorical(["1", 1, "1"]), {"1": 2, 1: 1}),
    "categories of days": (pd.Series(DAYS, dtype="category"), DAYS_READ),
    "category column": (pd.DataFrame({"label": pd.Categorical(list("aba"))}), ABA),
    "lazy frame": (pl.LazyFrame({"x": [0, 0, 0], "label": list("aba")}), ABA),
    "lazy frame of categories": (pl.LazyFrame({"label": list("aba")}).cast(pl.Categorical), ABA),
    "lazy frame without a schema yet": (pl.LazyFrame({"y": [1, 0, 1]}).with_columns(label=pl.col("y") * 1), OOZ),
    "arrow dataset": (arrow_dataset(pa.table({"x": [0, 0, 0], "label": list("aba")})), ABA),
    "polars categorical": (pl.Series(list("aba"), dtype=pl.Categorical), ABA),
    "polars enum": (pl.Series(list("aba"), dtype=pl.Enum(["b", "a"])), ABA),
    "masked, of which nothing is": (np.ma.array([1, 0, 1]), OOZ),
    "column of one": (np.array([[1], [0], [1]]), OOZ),
    "gradient": (torch.tensor([1.0, 0, 1], requires_grad=True), OOZ),
    "bfloat16": (torch.tensor([1.0, 0, 1]).bfloat16(), OOZ),
    "negated view": (torch._neg_view(torch.tensor([-1.0, 0, -1])), OOZ),
    "conjugate": (torch.tensor([-1j, 0, -1j]).conj(), {1j: 2, 0: 1}),
    "long double": (np.array([1, 0, 1], np.longdouble), OOZ),
    "big-endian": (np.array([1, 0, 1], ">i4"), OOZ),
    "groups": (bw.Groups.from_labels([1, 0, 1]), OOZ),
    "subset": (Subset(Labelled(targets=["c", "a", "b", "a"]), [1, 2, -1]), ABA),
    "subset of what is missing elsewhere": (Subset(Labelled(targets=["a", None, "b", "a"]), [0, 2, 3]), ABA),
    "subset of a masked column": (
        Subset(Labelled(targets=np.ma.array([1, 0, 1, 9], mask=[0, 0, 0, 1])), [0, 1, 2]),
        OOZ,
    ),
    "subset of a nullable column": (
        Subset(pd.DataFrame({"label": pd.array([1, 0, None, 1], "Int64")}), [0, 1, 3]),
        OOZ,
    ),
    "parts of several kinds": (ConcatDataset([Labelled(targets=[1, 0]), Labelled(labels=["a"])]), {1: 1, 0: 1, "a": 1}),
}


REFUSED = {
    "nothing": (None, "labels is None, one value a sample"),
    "text": ("aba", "labels is of type str"),
    "bytes": (b"aba", "labels is of type bytes"),
    "bytearray": (bytearray(b"aba"), "labels is of type bytearray"),
    "set": ({"a", "b"}, "labels is of type set, .* this has no order"),
    "generator": ((x for x in "aba"), r"read only once; pass list\(labels\)"),
    "keys": ({"a": 1}.keys(), "labels is of type dict_keys"),
    "values": ({"a": 1}.values(), "labels is of type dict_values"),
    "mapping": (
        {"x": [1]},
        r"labels is of type dict and holds 'x', none of which is called label.*such as labels\['x'\]",
    ),
    "lazy frame": (
        pl.LazyFrame({"x": [1], "z": [1]}),
        r"type LazyFrame and holds 'x', 'z', none of which is called label",
    ),
    "arrow dataset": (
        arrow_dataset(pa.table({"x": [1], "z": [1]})),
        r"type InMemoryDataset and holds 'x', 'z', none of",
    ),
    "expression": (pl.col("label"), "labels is of type Expr"),
    "grouped frame": (pd.DataFrame({"label": [1]}).groupby("label"), "of type SeriesGroupBy"),
    "detachable": (Detachable(), "labels is of type Detachable"),
    "by identity": ([Thing(), Thing()], "the label of sample 0 is of type Thing, equal to nothing but itself"),
    "by identity, of one": ([Detachable()], "the label of sample 0 is of type Detachable"),
    "functions": (
        [len, print, len, lambda: 0],
        "the label of sample 3 is of type function, equal to nothing but itself",
    ),
    "dictionaries": ([{"label": 1}], "the label of sample 0 is of type dict, which cannot be hashed"),
    "samples": (objects((torch.zeros(3), 1)), r"sample 0 is a tuple with a part a Tensor of shape \(3,\)"),
    "boxes": (objects(1, torch.zeros(4)), r"the label of sample 1 is a Tensor of shape \(4,\)"),
    "NaN": ([1.0, float("nan")], r"no value at sample 1 \(nan\)"),
    "NaN in a tuple of text": ([("a", "b"), ("a", float("nan"))], "no value at sample 1"),
    "list in a tuple": ([("a", 1), ("a", [1])], "sample 1 is a tuple with a part of type list, which cannot be hashed"),
    "list in a tuple in a tuple": ([("a", (1,)), ("a", ([1],))], "sample 1 is a tuple with a part"),
    "NaN in a tuple": ([(1, 2.0), (1, float("nan"))], "no value at sample 1"),
    "decimal NaN": ([decimal.Decimal(1), decimal.Decimal("NaN")], "no value at sample 1"),
    "signalling NaN": ([decimal.Decimal(1), decimal.Decimal("sNaN")], "no value at sample 1"),
    "masked in a list": ([1, np.ma.masked], r"no value at sample 1 \(None\)"),
    "masked": (np.ma.array([1, 2], mask=[0, 1]), r"no value at sample 1 \(None\)"),
    "Int64 with NA": (pd.Series([1, None], dtype="Int64"), "no value at sample 1"),
    "boolean with NA": (pd.Series([True, None], dtype="boolean"), "no value at sample 1"),
    "string with NA": (pd.Series(["a", None], dtype="string"), "no value at sample 1"),
    "categorical with NA": (pd.Series(["a", None], dtype="category"), "no value at sample 1"),
    "no class": (CLASSES, NOT_A_CLASS),
    "no class in a column": (CLASSES["label"], NOT_A_CLASS),
    "no class in tensors": (CLASSES.with_format("torch"), NOT_A_CLASS),
    "no class in a part": (ConcatDataset([CLASSES, CLASSES]), NOT_A_CLASS),
    "no class in a subset": (Subset(CLASSES, [0, 1, 2]), NOT_A_CLASS),
    "NaT": (pd.Series([dt.datetime(2020, 1, 1), None]), "no value at sample 1"),
    "arrow null": (pa.array(["a", None]).dictionary_encode(), r"no value at sample 1 \(None\)"),
    "polars null": (pl.Series([1, None]), "no value at sample 1"),
    "meta": (torch.zeros(3, device="meta"), "on the meta device"),
    "sparse": (torch.tensor([0, 1]).to_sparse(), r"pass its to_dense\(\)"),
    "jagged": (
        torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
        "labels is a nested tensor",
    ),
    "single value": (np.array(3), "labels is a single value, 3,"),
    "row": (torch.ones(1, 3), "labels has shape 1 x 3"),
    "loader": (DataLoader(Labelled(targets=[0, 1])), "labels is of type DataLoader"),
    "plan": (bw.shuffled(4, 2), "no labels found in FixedPlan"),
    "sampler": (bw.shuffled(4, 2).sampler(), "labels is of type BatchSampler"),
    "sparse matrix": (scipy.sparse.eye(3).tocsr(), "no labels found in csr_matrix"),
    "subset outside": (Subset(Labelled(targets=[0, 1]), [0, 2]), "the Subset's indices hold 2, its dataset has 2"),
    "missing in a subset": (Subset(Labelled(targets=[0, None, 2]), [2, 1]), "no value at sample 1"),
    "table of other columns": (
        pa.table({"a": [1], "b": [2]}),
        r"labels is of type Table and holds 'a', 'b'.*such as labels\['a'\]",
    ),
    "dataset of one column": (datasets.Dataset.from_dict({"text": ["a"]}), r"such as labels\['text'\]"),
    "splits": (datasets.DatasetDict(train=datasets.Dataset.from_dict({"label": [1]})), r"such as labels\['train'\]"),
}

if hasattr(np.dtypes, "StringDType"):  # numpy 2 brought it
    READ |= {
        "strings of numpy": (np.array(list("aba"), np.dtypes.StringDType()), ABA),
        "strings of which none is missing": (strings("a", "b", "a", absent=None), ABA),
        "strings that are marked, without a mark": (strings("a", "b", "a", absent="NA"), ABA),
    }
    REFUSED |= {
        "strings with NaN": (strings("a", np.nan, "a", absent=np.nan), r"no value at sample 1 \(nan\)"),
        "strings with None": (strings("a", None, "a", absent=None), r"no value at sample 1 \(None\)"),
        "strings with NA": (strings("a", pd.NA, "a", absent=pd.NA), r"no value at sample 1 \(<NA>\)"),
        "strings with a mark": (strings("a", "NA", "a", absent="NA"), r"no value at sample 1 \(None\)"),
        "strings in a frame": ({"label": strings("a", np.nan, absent=np.nan)}, "no value at sample 1"),
    }


@pytest.mark.parametrize("case", READ)
def test_labels_are_read_as_the_values_they_are(case):
    given, wanted = READ[case]
    groups = bw.Groups.from_labels(given)
    assert dict(zip(groups.names, groups.sizes.tolist(), strict=True)) == wanted
    for name in wanted:
        assert groups.samples(name).size == wanted[name]
    shares = {name: fractions.Fraction(1, len(wanted)) for name in wanted}
    assert np.allclose(bw.balanced(given, len(wanted), target=shares).shares(), 1 / len(wanted))


@pytest.mark.parametrize("case", REFUSED)
def test_what_are_no_labels_is_refused_in_words(case):
    refused_in_words(bw.balanced, *REFUSED[case])


FRAMES = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "polars, lazy": pl.LazyFrame,
    "duckdb": lambda columns: duckdb.from_arrow(pa.table(columns)),
    "arrow": pa.table,
    "arrow batch": pa.record_batch,
    "arrow dataset": lambda columns: arrow_dataset(pa.table(columns)),
    "hugging face": datasets.Dataset.from_dict,
    "dictionary": dict,
}
NUMBERS = [3, 1, 3]
SAME = bw.balanced(NUMBERS, 2).fingerprint, bw.budgeted(NUMBERS, 4).fingerprint


@pytest.mark.parametrize("kind", list(FRAMES)[:-2])
def test_a_frame_of_one_column_is_that_column(kind):
    frame = FRAMES[kind]({"n": NUMBERS})
    assert (bw.balanced(frame, 2).fingerprint, bw.budgeted(frame, 4).fingerprint) == SAME
    assert bw.weighted(frame, 1).fingerprint == bw.weighted(NUMBERS, 1).fingerprint


@pytest.mark.parametrize("name", ["n", "n n", 'a"b', "it's", "select", "é", "1"])
@pytest.mark.parametrize("kind", FRAMES)
def test_how_to_pass_one_column_of_a_table_works_when_it_is_done(kind, name):
    table = FRAMES[kind]({name: NUMBERS, "z": [1, 2, 3]})
    with pytest.raises(bw.Infeasible) as refused:
        bw.balanced(table, 2)
    column = eval(refused.value.way_out.partition("such as ")[2], {"labels": table})
    assert (bw.balanced(column, 2).fingerprint, bw.budgeted(column, 4).fingerprint) == SAME
    if kind in ("polars, lazy", "duckdb", "arrow", "arrow batch", "arrow dataset"):
        with pytest.raises(bw.Infeasible, match="one is needed; pass one of them") as refused:
            bw.budgeted(table, 4)
        column = eval(refused.value.way_out.partition("such as ")[2], {"lengths": table})
        assert bw.budgeted(column, 4).fingerprint == SAME[1]
