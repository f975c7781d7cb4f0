"""What looks like a column, a label set, a length, a weight or a target: read rightly, or refused in words.

One table a role. A case is what is passed and what comes of it: the labels read, or what the refusal says.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
from collections import UserList, deque

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset

import batchwright as bw


class Colour(enum.Enum):
    """Members are equal to themselves alone, and each exists once."""

    RED = 1
    BLUE = 2


class Thing:
    """Compares by identity, as most classes do."""


class Detachable:
    """Has the method by which tensors were once recognised."""

    def detach(self):
        return self


class Labelled(Dataset):
    def __init__(self, **columns):
        vars(self).update(columns)
        self._length = len(next(iter(columns.values())))

    def __len__(self):
        return self._length

    def __getitem__(self, index):
        return index


def objects(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


DAYS = [dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 2), dt.datetime(2020, 1, 1)]
DAYS_READ = {dt.datetime(2020, 1, 1): 2, dt.datetime(2020, 1, 2): 1}
ABA, OOZ = {"a": 2, "b": 1}, {1: 2, 0: 1}

READ = {
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
    "mapping": ({"x": [1]}, r"labels is of type dict with 'x', none of which is called label.*such as labels\['x'\]"),
    "lazy frame": (pl.LazyFrame({"label": [1]}), r"holds none before it is collected; pass labels.collect\(\)"),
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
    "NaN in a tuple": ([(1, 2.0), (1, float("nan"))], "no value at sample 1"),
    "decimal NaN": ([decimal.Decimal(1), decimal.Decimal("NaN")], "no value at sample 1"),
    "signalling NaN": ([decimal.Decimal(1), decimal.Decimal("sNaN")], "no value at sample 1"),
    "masked in a list": ([1, np.ma.masked], r"no value at sample 1 \(None\)"),
    "masked": (np.ma.array([1, 2], mask=[0, 1]), r"no value at sample 1 \(None\)"),
    "Int64 with NA": (pd.Series([1, None], dtype="Int64"), "no value at sample 1"),
    "boolean with NA": (pd.Series([True, None], dtype="boolean"), "no value at sample 1"),
    "string with NA": (pd.Series(["a", None], dtype="string"), "no value at sample 1"),
    "categorical with NA": (pd.Series(["a", None], dtype="category"), "no value at sample 1"),
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
    "table of other columns": (pa.table({"a": [1]}), r"labels is of type Table with 'a'.*such as labels\['a'\]"),
    "splits": (datasets.DatasetDict(train=datasets.Dataset.from_dict({"label": [1]})), r"such as labels\['train'\]"),
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
    given, said = REFUSED[case]
    with pytest.raises(bw.Infeasible, match=said) as caught:
        bw.balanced(given, 2)
    assert len(str(caught.value)) < 600


NUMBERS = {
    "decimals": [decimal.Decimal("0.5"), 1, 2],
    "fractions": [fractions.Fraction(1, 2), 1, 2],
    "tensors": [torch.tensor(0.5), torch.tensor(1), torch.tensor(2)],
    "object array": objects(0.5, np.int8(1), torch.tensor(2)),
    "Float64": pd.Series([0.5, 1, 2], dtype="Float64"),
    "arrow": pa.array([0.5, 1, 2]),
    "long double": np.array([0.5, 1, 2], np.longdouble),
    "float16": np.array([0.5, 1, 2], np.float16),
    "frame of one column": pd.DataFrame({"w": [0.5, 1, 2]}),
    "gradient": torch.tensor([0.5, 1, 2], requires_grad=True),
}
NO_NUMBERS = {
    "durations": (np.array([1, 2], "m8[s]"), "holds values of type timedelta64"),
    "durations of Python": ([dt.timedelta(1)], "at sample 0 is datetime.timedelta"),
    "durations of pandas": (pd.Series(pd.to_timedelta([1, 2], "s")), "holds values of type timedelta64"),
    "days": (np.array(["2020-01-01"], "M8[D]"), "holds values of type datetime64"),
    "digits": (["1", "2"], "at sample 0 is '1', of type str"),
    "digits of numpy": (np.array(["1", "2"]), "holds values of type <U1"),
    "digits among numbers": ([1, "2"], "at sample 1 is '2', of type str"),
    "complex": (np.array([1j]), "holds values of type complex128"),
    "members of an enum": ([Colour.RED], "at sample 0 is <Colour.RED: 1>"),
    "nothing among numbers": ([1, None], "has no value at sample 1"),
    "masked": ([1, np.ma.masked], "has no value at sample 1"),
    "beyond floats": ([1, 10**400], "at sample 1 is 1000"),
    "beyond float64": (np.array([1, np.longdouble("1e4000")]), "at sample 1 is inf"),
    "set": ({1, 2}, "this has no order"),
    "generator": ((n for n in [1, 2]), "read only once"),
    "dataset": (TensorDataset(torch.ones(2)), "is of type TensorDataset"),
    "lazy frame": (pl.LazyFrame({"a": [1]}), "before it is collected"),
    "nothing": (None, "is None, one value a sample"),
}


@pytest.mark.filterwarnings("ignore:samples repeat within a batch:batchwright.PoorWarning")
@pytest.mark.parametrize("case", NUMBERS)
def test_numbers_are_read_from_whatever_holds_them(case):
    assert bw.weighted(NUMBERS[case], 7).shares().tolist() == [1 / 7, 2 / 7, 4 / 7]
    assert bw.budgeted(NUMBERS[case], 7).epoch(0)[0].size == 3


@pytest.mark.parametrize("case", NO_NUMBERS)
@pytest.mark.parametrize("role", ["weights", "lengths", "costs"])
def test_what_are_no_numbers_is_refused_by_its_role(case, role):
    given, said = NO_NUMBERS[case]
    builders = {
        "weights": lambda: bw.weighted(given, 2),
        "lengths": lambda: bw.budgeted(given, 10),
        "costs": lambda: bw.targets.in_units("natural", given),
    }
    with pytest.raises(bw.Infeasible, match=said) as caught:
        builders[role]()
    assert caught.value.fact.startswith({"weights": "weights", "lengths": "lengths", "costs": "lengths"}[role])


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
    given, said = NO_LABEL_SETS[case]
    with pytest.raises(bw.Infeasible, match=said) as caught:
        bw.multilabel(given, 2)
    assert len(str(caught.value)) < 600


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
    with pytest.raises(bw.Infeasible, match="a share is given to 'neutral' but the labels are 0, 1"):
        bw.balanced(data, 4, target={"neg": 0.25, "neutral": 0.75})


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


COUNTS = {
    "batch_size": lambda: bw.grouped([1, 2], 2**70),
    "max_samples": lambda: bw.budgeted([1, 2], 10, max_samples=2**70),
    "round_count": lambda: bw.budgeted([1, 2], 10, round_count=2**70),
    "round_length": lambda: bw.budgeted([1, 2], 10, round_length=2**70),
    "parts": lambda: bw.partition([1, 2], 2**70),
    "world_size": lambda: bw.shuffled(4, 2).sampler(rank=0, world_size=2**70),
    "accumulate": lambda: bw.shuffled(4, 2).sampler(accumulate=2**70),
    "per": lambda: bw.hierarchical([[0, 1]], [2**70, 1]),
    "sample_count": lambda: bw.Groups.singletons(2**70),
    "the sizes": lambda: bw.mixed({"a": 2**60, "b": 2**61}, 4),
}


@pytest.mark.parametrize("argument", COUNTS)
def test_a_count_beyond_64_bits_is_refused_by_its_name(argument):
    with pytest.raises(bw.Infeasible, match=f"^{argument} .*the most is"):
        COUNTS[argument]()


def test_products_and_sums_do_not_wrap_around():
    with pytest.raises(bw.Infeasible, match="a batch would have 18446744073709551616 samples, the most is"):
        bw.hierarchical([[0, 1]], [2**32, 2**32])
    with pytest.raises(bw.Infeasible, match="the product of the sides of a bucket is above"):
        bw.bucketed([(1e300, 1e300)] * 4, 2, buckets=1)
    with pytest.raises(bw.Infeasible, match="the costs sum to more than"):
        bw.partition([1e308] * 4, 2)
    with pytest.raises(bw.Infeasible, match="the lengths of group 0 sum to more than"):
        bw.balanced([0, 0, 1], 1, target=bw.targets.in_units("natural", [1e308] * 3))
    assert sorted(bw.weighted([1e308] * 3, 3)[0].tolist()) == [0, 1, 2]
    assert sorted(bw.weighted(np.full(3, 65504, np.float16), 3)[0].tolist()) == [0, 1, 2]
    assert sorted(bw.weighted(np.full(3, 2**64 - 1, np.uint64), 3)[0].tolist()) == [0, 1, 2]
    composition = bw.Composition(bw.balanced([0, 1] * 9, 2).sampler(), lengths=[2**63 - 1] * 18)
    assert composition.measured(0, 2, epoch=0)["padding"] == 0
