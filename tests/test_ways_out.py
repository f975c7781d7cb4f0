"""Every refusal of columns, labels, groups and splits: its fact, and its way out, which is followed here and works."""

from __future__ import annotations

import tempfile
from collections import Counter, deque
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from torch.utils.data import ConcatDataset, Subset, TensorDataset

import batchwright as bw
from batchwright import Groups, targets
from batchwright.lengths.packing import pack

from .refusals import SOURCE, cases, check_that_all_are_reached, told_and_followed

pytestmark = [
    pytest.mark.filterwarnings("ignore::batchwright.PoorWarning"),  # ways out that give nearly what was asked
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning"),
]

NAMES = (
    "inputs/arrays",
    "inputs/columns",
    "inputs/tables",
    "inputs/values",
    "labels",
    "inputs/label_sets",
    "groups",
    "group_parts",
    "splitting",
    "errors",
)
FILES = [SOURCE / f"{name}.py" for name in NAMES]

LABELS = ["cat"] * 6 + ["dog"] * 4
MISSING = [*LABELS[:9], None]
TABLE = Path(tempfile.mkdtemp()) / "animals.csv"
TABLE.write_text("\n".join(["kind", *LABELS]))
FRAME = pd.DataFrame({"kind": LABELS, "x": range(10)})
MASK = np.array([True, False])
DURATIONS = np.array([1, 2], "m8[s]")
MEASURED = TensorDataset(torch.zeros(40, 1), torch.arange(40) % 2, torch.linspace(0, 0.999, 40))
PARTLY = Groups.from_indices({"a": [0, 1]}, sample_count=3)
SPARSE = torch.tensor([[1, 0], [1, 1]]).to_sparse()


class Pairs:
    """A dataset of (x, y) that does not tell its labels."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        if index >= 10:
            raise IndexError
        return torch.zeros(2), LABELS[index]


class Labelled(Pairs):
    def __init__(self, labels):
        self.targets = labels


class Unreadable:
    def __array__(self, *arguments, **named):
        raise OSError("disk gone")


class Thing:
    pass


def balanced(labels=LABELS, batch_size=2, **more):
    return bw.balanced(labels, batch_size, **more)


def aimed(target, labels=LABELS):
    return balanced(labels, target=target)


def weighted(weights):
    return bw.weighted(weights, 2)


def sets(labels):
    return bw.multilabel_weights(labels, target="natural")


def split(fractions=None, labels=LABELS, **more):
    return bw.split(labels, {"train": 0.5, "val": 0.5} if fractions is None else fractions, **more)


CASES = cases("refuse message follow", {  # what is refused, what is said of it, and what its way out says to do
    # columns
    "a length below 0": (lambda: bw.grouped([3, -1], 2), "sample 1 has length -1; pass lengths of 0 or more",
        lambda: bw.grouped([3, 0], 2)),
    "a shard without a size": (lambda: bw.Shards([3, float("nan")]),
        "sizes has no value at shard 1 (nan); give every shard a value", lambda: bw.Shards([3, 0])),
    "no such column": (lambda: balanced(bw.Column(TABLE, "knd")),
        "has no column 'knd', it has kind; pass one of these names (did you mean 'kind'?)",
        lambda: balanced(bw.Column(TABLE, "kind"))),
    "a list without end": (lambda: balanced(range(10**12)),
        "labels has 1000000000000 items; pass labels of at most 4294967296 items", lambda: balanced(range(3))),
    "names without end": (lambda: bw.Padding(menu=range(1 << 21)),
        "menu has more than 1048576 items; pass menu of at most as many", lambda: bw.Padding(menu=(8, 16))),
    "one too few for a plan": (lambda: bw.Composition(bw.shuffled(3, batch_size=1).sampler(), costs=[1, 2]),
        "there are 2 costs, the plan yields 3 numbers; pass one for each of them",
        lambda: bw.Composition(bw.shuffled(3, batch_size=1).sampler(), costs=[1, 2, 3])),
    "single value": (lambda: weighted(3.0), "weights is a single value, 3.0, one value a sample is needed; pass a list",
        lambda: weighted([3.0])),
    "one-hot": (lambda: balanced(np.eye(3)),
        "labels has shape 3 x 3, one value a sample is needed; pass a one-dimensional column (for one-hot "
        "rows their argmax", lambda: balanced(np.eye(3).argmax(axis=1))),
    "missing weight": (lambda: weighted([1, None]),
        "weights has no value at sample 1 (None); give every sample a value", lambda: weighted([1, 2])),
    "missing label": (lambda: balanced(MISSING),
        "labels has no value at sample 9 (None); give every sample a label, or leave such samples out with "
        "torch.utils.data.Subset", lambda: (balanced([*LABELS[:9], "dog"]), balanced(Subset(MISSING, range(9))))),
    "infinite": (lambda: weighted([1.0, np.inf]), "weights at sample 1 is inf; pass weights that are finite numbers",
        lambda: weighted([1.0, 2.0])),
    "half": (lambda: pack([3, 2.5], 5), "lengths at sample 1 is 2.5; pass whole lengths from 1 to 9007199254740992",
        lambda: pack([3, 2], 5)),
    "durations": (lambda: weighted(DURATIONS),
        "weights holds values of type timedelta64[s], numbers are needed; pass weights / np.timedelta64(1, "
        "'s') as numbers", lambda: weighted(DURATIONS / np.timedelta64(1, "s"))),
    "texts": (lambda: weighted(np.array(["1", "2"])),
        "weights holds values of type <U1, numbers are needed; pass weights",
        lambda: weighted(np.array(["1", "2"]).astype(float))),
    "beyond float64": (lambda: weighted([1, 10**400]), ", which float64 does not hold; pass weights that float64 holds",
        lambda: weighted([1, 10**300])),
    "signalling": (lambda: aimed([Decimal("sNaN"), 1]),
        "the target at position 0 is Decimal('sNaN'), which float64 does not", lambda: aimed([Decimal("0.5"), 0.5])),
    "no number": (lambda: weighted([1, "2"]),
        "weights at sample 1 is '2', of type str, numbers are needed; pass weights as", lambda: weighted([1, 2])),
    "text": (lambda: bw.shuffled("12", 2), "samples is the text '12'; pass a dataset, or the number of its samples",
        lambda: (bw.shuffled(12, 2), bw.shuffled(Pairs(), 2))),
    "splits": (lambda: bw.shuffled({"train": LABELS}, 2), "samples is of type dict, its 1 entries are no samples; pass",
        lambda: bw.shuffled({"train": LABELS}["train"], 2)),
    "negative samples": (lambda: bw.shuffled(-1, 2), "samples is -1, the least is 0; pass a dataset, or the number of",
        lambda: bw.shuffled(10, 2)),
    "samples None": (lambda: bw.shuffled(None, 2),
        "samples is None, neither a dataset with a length nor a whole number", lambda: bw.shuffled(10, 2)),
    "samples in part": (lambda: bw.shuffled(1.5, 2),
        "samples is 1.5, neither a dataset with a length nor a whole number", lambda: bw.shuffled(1, 2)),
    "set of samples": (lambda: bw.shuffled({1, 2}, 2),
        "samples is of type set, which has no sample 0: a length alone may", lambda: bw.shuffled([1, 2], 2)),
    "sparse samples": (lambda: bw.shuffled(scipy.sparse.csr_matrix(np.eye(3)), 2), "matrix, which has no length (",
        lambda: bw.shuffled(3, 2)),
    "a number past every index": (lambda: balanced().weights(np.array([2**64 - 1], np.uint64)),
        "samples hold 18446744073709551615; pass the numbers of samples, below 2^63", lambda: balanced().weights([1])),
    "masked numbers": (lambda: balanced().weights(np.ma.masked_array([1, 2], [True, False])),
        "samples hold masked values; leave out what is masked: values.compressed()",
        lambda: balanced().weights(np.ma.masked_array([1, 2], [True, False]).compressed())),
    "mask": (lambda: balanced().weights(MASK),
        "samples are given by values of type bool; pass their numbers, which are whole; for a mask "
        "np.flatnonzero(mask)", lambda: balanced().weights(np.flatnonzero(MASK))),
    "no array": (lambda: weighted(Unreadable()),
        "of type Unreadable (OSError: disk gone); pass a list, an array or a tensor",
        lambda: (weighted([1, 2]), weighted(np.array([1, 2])), weighted(torch.tensor([1, 2])))),
    "generator": (lambda: balanced(iter(LABELS)), "and this can be read only once; pass list(labels)",
        lambda: balanced(list(iter(LABELS)))),
    "a path": (lambda: balanced(TABLE), f"of a table in that file, pass bw.Column(PosixPath('{TABLE}'), 'the name of",
        lambda: balanced(bw.Column(TABLE, "kind"))),
    "set": (lambda: weighted({1, 2}),
        "weights is of type set, one value a sample is needed, and this has no order; pass a",
        lambda: weighted([1, 2])),
    "counter": (lambda: weighted(Counter("ab")),
        "weights is of type Counter, one value a sample is needed; pass the values",
        lambda: weighted(list(Counter("ab").values()))),
    "lazy frame": (lambda: weighted(pl.LazyFrame({"x": [0, 0], "w": [1, 2]})),
        "weights is of type LazyFrame and holds the columns ['x', 'w'], one is needed; pass one of them, such as "
        "weights.select('x')",
        lambda: weighted(pl.LazyFrame({"x": [0, 0], "w": [1, 2]}).select("w"))),
    "weights None": (lambda: weighted(None),
        "weights is None, one value a sample is needed; pass a list, an array or a", lambda: weighted([1, 2])),
    "no sequence": (lambda: weighted(Thing()),
        "weights is of type Thing, one value a sample is needed; pass a list, an", lambda: weighted(deque([1, 2]))),
    "nested": (lambda: weighted(torch.nested.as_nested_tensor([torch.ones(1), torch.ones(2)])),
        "weights is a nested tensor, its rows have lengths of their own; pass one value a sample",
        lambda: weighted(torch.ones(2))),
    "meta": (lambda: weighted(torch.ones(2, device="meta")),
        "weights is a tensor on the meta device, it holds no values; pass", lambda: weighted(torch.ones(2))),
    "sparse": (lambda: weighted(torch.tensor([1, 2]).to_sparse()),
        "weights is a tensor of layout torch.sparse_coo; pass its to_dense()",
        lambda: weighted(torch.tensor([1, 2]).to_sparse().to_dense())),
    "bits": (lambda: weighted(torch.empty(2, dtype=torch.bits8)), "weights is a tensor whose values cannot be read (",
        lambda: (weighted(np.ones(2)), weighted([1, 1]))),
    "ragged": (lambda: weighted([[1], [1, 2]]),
        "weights holds 2 values of type list that make no array; pass weights as one", lambda: weighted([1, 2])),
    # labels
    "subset": (lambda: balanced(Subset(LABELS, [3, 10])),
        "the Subset's indices hold 10, its dataset has 10 samples; make the", lambda: balanced(Subset(LABELS, [3, 9]))),
    "few labels": (lambda: balanced(Labelled([0, 1])),
        "Labelled has 10 samples but 2 labels; pass one label a sample, in",
        lambda: (balanced(Labelled(LABELS)), balanced(ConcatDataset([Labelled(LABELS)])))),
    "measured": (lambda: balanced(MEASURED),
        "the labels found in TensorDataset are 40 different numbers for 40 samples, such as 0.0: most",
        lambda: balanced(MEASURED.tensors[1])),
    "empty frame": (lambda: balanced(pd.DataFrame(index=range(3))),
        "labels is of type DataFrame and has no columns; pass a", lambda: balanced(["a", "b", "a"])),
    "frame": (lambda: balanced(FRAME),
        "labels is of type DataFrame and holds 'kind', 'x', none of which is called label, labels, target, "
        "targets, class, y; pass the one that holds the labels, such as labels['kind']",
        lambda: balanced(FRAME["kind"])),
    "mapping": (lambda: balanced({"kind": LABELS}), "such as labels['kind']",
        lambda: balanced({"kind": LABELS}["kind"])),
    "dataset": (lambda: balanced(Pairs()),
        "no labels found in Pairs: looked for .targets, .labels, .label, .target, .y, .tensors",
        lambda: balanced([y for _, y in Pairs()], batch_size=2)),
    # label sets
    "tensor of three": (lambda: sets(torch.ones(2, 2, 1)),
        "labels is of type Tensor of shape (2, 2, 1), samples x labels are needed; pass a matrix",
        lambda: sets(torch.ones(2, 2))),
    "one label a sample": (lambda: sets(np.array([0, 1])),
        "labels is of type ndarray of shape (2,), samples x labels are", lambda: balanced(np.array([0, 1]))),
    "sparse tensor": (lambda: sets(torch.tensor([1, 0]).to_sparse()),
        "labels is a sparse tensor of 1 dimensions on device cpu; pass one of two dimensions", lambda: sets(SPARSE)),
    "sparse array": (lambda: sets(scipy.sparse.coo_array([1, 0])),
        "labels is a sparse array of shape (2,); pass one of two",
        lambda: sets(scipy.sparse.coo_array([[1, 0], [1, 1]]))),
    "two columns of one name": (lambda: sets(pd.DataFrame([[1, 0], [1, 1]], columns=["a", "a"])),
        "two of the 2 columns of labels have one name; give",
        lambda: sets(pd.DataFrame([[1, 0], [1, 1]], columns=["a", "b"]))),
    "unknown": (lambda: sets(np.array([[1, -1], [1, 1]])),
        "labels is -1.0 at sample 0, label 1: 1 says that a label holds, 0 that not (1 such entries); pass "
        "labels == 1 where", lambda: sets(np.array([[1, -1], [1, 1]]) == 1)),
    "counts": (lambda: sets(np.array([[1, 2], [0, 1]])), "labels > 0 for counts",
        lambda: sets(np.array([[1, 2], [0, 1]]) > 0)),
    "probabilities": (lambda: sets(np.array([[0.9, 0.2], [0, 1]])),
        "labels is 0.9 at sample 0, label 0: 1 says that a label holds, 0 that not (2 such entries)",
        lambda: sets(np.array([[0.9, 0.2], [0, 1]]) > 0.5)),
    "labels of no sample": (lambda: sets("ab"), "the labels are of type str; pass a list of labels for each sample",
        lambda: sets([["a"], ["b"]])),
    "labels None": (lambda: sets(None), "the labels are None; pass a list of labels", lambda: sets([["a"], ["b"]])),
    "one-hot lists": (lambda: sets([[1, 0], [1, 1]]),
        "all 2 samples have 2 labels, each of them from 0 to 1: these are no names, they tell which labels "
        "hold; pass np.array(labels)", lambda: sets(np.array([[1, 0], [1, 1]]))),
    "row of text": (lambda: sets([["a"], "b"]),
        "the labels of sample 1 are 'b', of type str; pass a list of labels for each", lambda: sets([["a"], ["b"]])),
    "row None": (lambda: sets([["a"], None]), "the labels of sample 1 are None; pass a list of labels for each",
        lambda: sets([["a"], []])),
    "records": (lambda: sets([{"labels": ["a"]}]),
        "of a record the entry that holds them, such as [record['labels'] for",
        lambda: sets([record["labels"] for record in [{"labels": ["a"]}]])),
    "row with none": (lambda: sets([["a", None]]),
        "a label of sample 0 is missing (None); pass numbers, strings or tuples", lambda: sets([["a", "b"]])),
    # groups
    "no labels": (lambda: balanced([]), "the dataset is empty: 0 labels; pass at least one sample",
        lambda: balanced(["a"], 1)),
    "no units": (lambda: split(together=[]), "the dataset is empty: together has 0 values; pass at least one sample",
        lambda: split(together=range(10))),
    "all sizes 0": (lambda: Groups.from_sizes({"a": 0}),
        "the dataset is empty: all group sizes are 0; pass at least one", lambda: Groups.from_sizes({"a": 1})),
    "large sizes": (lambda: Groups.from_sizes({"a": 1 << 61, "b": 1}),
        "the sizes sum to 2305843009213693953, the most is 2305843009213693952; pass smaller sizes",
        lambda: Groups.from_sizes({"a": (1 << 61) - 1, "b": 1})),
    "no sample": (lambda: Groups.from_indices({"a": []}),
        "the dataset is empty: no group has a sample; pass at least one", lambda: Groups.from_indices({"a": [0]})),
    "beyond the count": (lambda: Groups.from_indices([[5]], sample_count=3),
        "sample 5 is named but the dataset has 3; pass sample_count=6",
        lambda: Groups.from_indices([[5]], sample_count=6)),
    "listed twice": (lambda: Groups.from_indices({"a": [0, 1], "b": [1]}),
        "sample 1 is listed twice, in group 'a' and 'b'; list each sample once; a sample with several labels "
        "belongs to a cell of them",
        lambda: (Groups.from_indices({"a": [0], "b": [1]}), Groups.from_indices({"a": [0], ("a", "b"): [1]}))),
    "no attributes": (lambda: Groups.combine(), "there are 0 attributes to combine; pass a column of labels for each",
        lambda: Groups.combine(LABELS)),
    "other sizes": (lambda: Groups.combine(LABELS, [1]),
        "groupings of [10, 1] samples cannot be combined; pass one label a", lambda: Groups.combine(LABELS, range(10))),
    "combined in part": (lambda: Groups.combine(PARTLY),
        "1 of 3 samples are in no group; combine groupings that hold every",
        lambda: Groups.combine(Groups.from_indices({"a": [0, 1], "b": [2]}))),
    "group of sample": (lambda: Groups.from_labels(LABELS).group_of([2, 10]),
        "samples 2 to 10 asked for, the dataset has 10; pass numbers from 0 to 9",
        lambda: Groups.from_labels(LABELS).group_of([0, 9])),
    "a table of samples": (lambda: PARTLY.locate([[0, 1]]), "samples have 2 dimensions; pass their numbers as a list",
        lambda: PARTLY.locate([0, 1])),
    "in no group": (lambda: PARTLY.locate([0, 2]), "sample 2 is in no group; ask for samples that a group holds",
        lambda: PARTLY.locate([0, 1])),
    "name of a group": (lambda: Groups.from_labels(LABELS).samples(["cat"]),
        "a group is named by a value of type list, which cannot be hashed; use the labels of the data",
        lambda: Groups.from_labels(LABELS).samples("cat")),
    "unknown group": (lambda: Groups.from_labels(LABELS).samples("cow"),
        "no group is called 'cow', there are 'cat', 'dog'; pass one of these labels",
        lambda: Groups.from_labels(LABELS).samples("dog")),
    # group parts
    "size": (lambda: Groups.from_sizes({"a": 2.5}), "group 'a' has size 2.5; pass whole numbers of samples, 0 or more",
        lambda: Groups.from_sizes({"a": 2, "b": 0})),
    "size None": (lambda: Groups.from_sizes({"a": None}), "group 'a' has size None; pass",
        lambda: Groups.from_sizes({"a": 1})),
    "no samples": (lambda: Groups.singletons(-1), "the dataset is empty: sample_count is -1; pass at least one sample",
        lambda: Groups.singletons(1)),
    "many samples": (lambda: Groups.singletons(1 << 62),
        "sample_count is 4611686018427387904, the most is 2305843009213693952; pass 2305843009213693952 or " "fewer",
        lambda: Groups.singletons(2305843009213693952)),
    "names in text": (lambda: Groups("ab", [0, 1, 2], None, 2),
        "names is of type str; pass a list of labels, one a group", lambda: Groups(["a", "b"], [0, 1, 2], None, 2)),
    "names None": (lambda: Groups(None, [0, 1], None, 1), "names is None; pass",
        lambda: Groups(["a"], [0, 1], None, 1)),
    "name": (lambda: Groups([["a"]], [0, 1], None, 1),
        "a name of a group is of type list, which cannot be hashed; pass numbers",
        lambda: (Groups(["a"], [0, 1], None, 1), Groups([("a",)], [0, 1], None, 1), Groups([1], [0, 1], None, 1))),
    "name twice": (lambda: Groups(["a", "a"], [0, 1, 2], None, 2),
        "two groups are called 'a'; give each group a name of its", lambda: Groups(["a", "b"], [0, 1, 2], None, 2)),
    "starts": (lambda: Groups(["a", "b"], [0, 2, 1], None, 2),
        "starts are [0, 2, 1] for 2 groups; pass where each group", lambda: Groups(["a", "b"], [0, 1, 2], None, 2)),
    "starts of nothing": (lambda: Groups(["a"], [0, 0], None, 2),
        "the dataset is empty: no group has a sample; pass at least", lambda: Groups(["a"], [0, 1], None, 1)),
    "no index": (lambda: Groups(["a"], [0, 2], None, 3),
        "without an index the groups hold 2 samples one after the other, there are 3; pass sample_count=2, or"
        " an index", lambda: (Groups(["a"], [0, 2], None, sample_count=2), Groups(["a"], [0, 2], [0, 1], 3))),
    "short index": (lambda: Groups(["a"], [0, 2], [0], 3),
        "the index has 1 entries, starts end at 2; pass one for each sample", lambda: Groups(["a"], [0, 2], [0, 1], 3)),
    "index": (lambda: Groups(["a"], [0, 2], [0, 3], 3), "the index names sample 3 of 3; pass numbers from 0 to 2",
        lambda: Groups(["a"], [0, 2], [0, 2], 3)),
    "unsorted": (lambda: Groups(["a"], [0, 2], [1, 0], 2),
        "the samples of a group are not in ascending order; pass the lists of samples to Groups.from_indices",
        lambda: Groups.from_indices({"a": [1, 0]})),
    "lists": (lambda: Groups.from_indices(None),
        "the lists are None; pass a list of lists of sample numbers, one list a group",
        lambda: Groups.from_indices([[0], [1]])),
    "negative number": (lambda: Groups.from_indices({"a": [0, -2]}),
        "the list of group 'a' holds -2; pass sample numbers", lambda: Groups.from_indices({"a": [0, 2]})),
    "number in part": (lambda: Groups.from_indices({"a": [0.5]}),
        "the list of group 'a' holds values of type float64; pass", lambda: Groups.from_indices({"a": [0]})),
    "label": (lambda: balanced(["a", Thing()]),
        "the label of sample 1 is of type Thing, equal to nothing but itself; pass",
        lambda: balanced(["a", ("thing", 1)])),
    # a part of the arguments
    "stage": (lambda: aimed(targets.stages({0: "uniform", 8: {"cow": 1}})),
        "from micro-batch 8 on: a share is given to 'cow'",
        lambda: aimed(targets.stages({0: "uniform", 8: {"cat": 0.5, "dog": 0.5}}))),
    # splits
    "no name of a part": (lambda: split()[["val"]], "the part is ['val'], of type list (TypeError: ",
        lambda: split()["val"]),
    "part": (lambda: split()["test"], "no part is called 'test'; pass one of 'train', 'val'", lambda: split()["val"]),
    "split in part": (lambda: split(labels=PARTLY),
        "1 of 3 samples are in no group; split groups that hold every sample",
        lambda: split(labels=Groups.from_indices({"a": [0, 1], "b": [2]}))),
    "fractions": (lambda: split({"train": 0.5, "val": 0.500002}),
        "{'train': 0.5, 'val': 0.500002}, they sum to 1.000002; give", lambda: split({"train": 0.5, "val": 0.5})),
    "negative fraction": (lambda: split({"train": 1.2, "val": -0.2}),
        "they sum to 1; give fractions of 0 or more that sum to 1", lambda: split({"train": 1, "val": 0})),
    "units": (lambda: split(together=[1]), "together names the unit of 1 samples, there are 10; pass one unit a sample",
        lambda: split(together=range(10))),
    "no unit": (lambda: split(labels=[0, 0, 1], together=PARTLY),
        "1 of 3 samples are in no unit of `together`; pass units that hold every sample",
        lambda: split(labels=[0, 0, 1], together=Groups.from_indices({"a": [0, 1], "b": [2]}))),
    # single values
    "batch size": (lambda: balanced(LABELS, 0), "batch_size is 0, the least is 1; pass batch_size=1 or more",
        lambda: balanced(LABELS, 1)),
    "batch size None": (lambda: balanced(LABELS, None),
        "batch_size is None, not a whole number; pass batch_size as an integer", lambda: balanced(LABELS, 1)),
    "seed": (lambda: balanced(seed=-1), "seed is -1, the least is 0; pass seed=0 or more", lambda: balanced(seed=0)),
    "large seed": (lambda: balanced(seed=2**64),
        "seed is 18446744073709551616, the most is 18446744073709551615; pass seed=18446744073709551615 or " "less",
        lambda: balanced(seed=18446744073709551615)),
    "nan": (lambda: targets.blend(float("nan")), "alpha is nan, not a finite number; pass alpha as a finite number",
        lambda: targets.blend(0.5)),
    "yes or no": (lambda: balanced(distinct="no"),
        "distinct is 'no', neither True nor False; pass distinct=True or distinct=False",
        lambda: (balanced(distinct=True), balanced(distinct=False))),
    "one of": (lambda: balanced(draw=np.array(["exact", "random"])),
        "draw is array(['exact', 'random'], dtype='<U6'); pass 'exact' or 'random'",
        lambda: (balanced(draw="exact"), balanced(draw="random"))),
    "by name": (lambda: bw.mixed([10], 2), "sources is of type list; pass sources by name, as a dictionary",
        lambda: bw.mixed({"a": 10}, 2)),
    "nothing by name": (lambda: bw.mixed({}, 2), "sources has 0 entries; pass one at least",
        lambda: bw.mixed({"a": 10}, 2)),
    # other builders
    "per class": (lambda: balanced(LABELS, 5, per_class=2), "batch_size=4", lambda: balanced(LABELS, 4, per_class=2)),
    "item above the cost": (lambda: bw.partition([1234567.89, 1], 2, max_cost=5), "pass max_cost=1234567.89 or more",
        lambda: bw.partition([1234567.89, 1], 2, max_cost=1234567.89)),
    "pack too small": (lambda: pack([3, 1234567], 5), "capacity=1234567", lambda: pack([3, 1234567], 1234567)),
    "too long": (lambda: bw.budgeted([3, 5, 8], 7), "too_long='alone'",
        lambda: bw.budgeted([3, 5, 8], 7, too_long="alone")),
    "level due too often": (lambda: bw.hierarchical([LABELS], [2, 2], target={"cat": 0.75, "dog": 0.25}), "1 / 2",
        lambda: bw.hierarchical([LABELS], [2, 2], target={"cat": 1 / 2, "dog": 1 / 2})),
})  # fmt: skip


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    told_and_followed(CASES[case])


def test_every_refusal_in_these_files_is_among_these():
    check_that_all_are_reached(FILES, 70, [CASES])
