"""The way out of a refusal is followed, and works."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from torch.utils.data import Subset

import batchwright as bw
from batchwright.lengths.packing import pack

LABELS = ["cat"] * 6 + ["dog"] * 4
LENGTHS = [3, 5, 8]
FRAME = pd.DataFrame({"kind": LABELS, "x": range(10)})
MISSING = [*LABELS[:9], None]


class Pairs:
    """A dataset of (x, y) that does not tell its labels."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        if index >= 10:
            raise IndexError
        return torch.zeros(2), LABELS[index]


# what is refused; a part of the way out that is told; the same with the way out followed
FOLLOWED = {
    "missing label": (lambda: bw.balanced(MISSING, 2), "Subset", lambda: bw.balanced(Subset(MISSING, range(9)), 2)),
    "frame without labels": (lambda: bw.balanced(FRAME, 2), "labels['kind']", lambda: bw.balanced(FRAME["kind"], 2)),
    "mapping without labels": (
        lambda: bw.balanced({"kind": LABELS}, 2),
        "labels['kind']",
        lambda: bw.balanced({"kind": LABELS}["kind"], 2),
    ),
    "dataset without labels": (
        lambda: bw.balanced(Pairs(), 2),
        "[y for _, y in dataset]",
        lambda: bw.balanced([y for _, y in Pairs()], 2),
    ),
    "lazy frame": (
        lambda: bw.weighted(pl.LazyFrame({"w": [1, 2]}), 2),
        "weights.collect()",
        lambda: bw.weighted(pl.LazyFrame({"w": [1, 2]}).collect(), 2),
    ),
    "generator": (
        lambda: bw.balanced((y for y in LABELS), 2),
        "list(labels)",
        lambda: bw.balanced(list(y for y in LABELS), 2),  # noqa: C400
    ),
    "sparse": (
        lambda: bw.weighted(torch.tensor([1, 2]).to_sparse(), 2),
        "to_dense()",
        lambda: bw.weighted(torch.tensor([1, 2]).to_sparse().to_dense(), 2),
    ),
    "one-hot": (lambda: bw.balanced(np.eye(3), 2), "argmax", lambda: bw.balanced(np.eye(3).argmax(axis=1), 2)),
    "durations": (
        lambda: bw.weighted(np.array([1, 2], "m8[s]"), 2),
        "weights / np.timedelta64(1, 's')",
        lambda: bw.weighted(np.array([1, 2], "m8[s]") / np.timedelta64(1, "s"), 2),
    ),
    "mask of samples": (
        lambda: bw.balanced(LABELS, 2).weights(np.array([True, False])),
        "np.flatnonzero(mask)",
        lambda: bw.balanced(LABELS, 2).weights(np.flatnonzero(np.array([True, False]))),
    ),
    "unknown in a matrix": (
        lambda: bw.multilabel_weights(np.array([[1, -1], [1, 1]]), target="natural"),
        "labels == 1",
        lambda: bw.multilabel_weights(np.array([[1, -1], [1, 1]]) == 1, target="natural"),
    ),
    "counts in a matrix": (
        lambda: bw.multilabel_weights(np.array([[1, 2], [0, 1]]), target="natural"),
        "labels > 0",
        lambda: bw.multilabel_weights(np.array([[1, 2], [0, 1]]) > 0, target="natural"),
    ),
    "one-hot lists": (
        lambda: bw.multilabel_weights([[1, 0], [1, 1]], target="natural"),
        "np.array(labels)",
        lambda: bw.multilabel_weights(np.array([[1, 0], [1, 1]]), target="natural"),
    ),
    "records": (
        lambda: bw.multilabel_weights([{"labels": ["a"]}], target="natural"),
        "[record['labels'] for record in labels]",
        lambda: bw.multilabel_weights([record["labels"] for record in [{"labels": ["a"]}]], target="natural"),
    ),
    "shares off 1": (
        lambda: bw.balanced(LABELS, 2, target={"cat": 3, "dog": 1}),
        "divide each by their sum",
        lambda: bw.balanced(LABELS, 2, target={"cat": 3 / 4, "dog": 1 / 4}),
    ),
    "batch size": (lambda: bw.balanced(LABELS, 0), "batch_size=1", lambda: bw.balanced(LABELS, 1)),
    "per class": (
        lambda: bw.balanced(LABELS, 5, per_class=2),
        "batch_size=4",
        lambda: bw.balanced(LABELS, 4, per_class=2),
    ),
    "seed": (lambda: bw.balanced(LABELS, 2, seed=-1), "seed=0", lambda: bw.balanced(LABELS, 2, seed=0)),
    "capped": (
        lambda: bw.targets.capped(1, budget=7).shares([2, 1]),
        "max_passes=2.333334",
        lambda: bw.targets.capped(2.333334, budget=7).shares([2, 1]),
    ),
    "item above the cost": (
        lambda: bw.partition([1234567.89, 1], 2, max_cost=5),
        "max_cost=1234567.89",
        lambda: bw.partition([1234567.89, 1], 2, max_cost=1234567.89),
    ),
    "pack too small": (
        lambda: pack([3, 1234567], 5),
        "capacity=1234567",
        lambda: pack([3, 1234567], 1234567),
    ),
    "too long": (
        lambda: bw.budgeted(LENGTHS, 7),
        "too_long='alone'",
        lambda: bw.budgeted(LENGTHS, 7, too_long="alone"),
    ),
    "level due too often": (
        lambda: bw.hierarchical([LABELS], [2, 2], target={"cat": 0.75, "dog": 0.25}),
        "1 / 2",
        lambda: bw.hierarchical([LABELS], [2, 2], target={"cat": 1 / 2, "dog": 1 / 2}),
    ),
    "index unsorted": (
        lambda: bw.Groups(["a"], np.array([0, 2]), np.array([1, 0]), 2),
        "Groups.from_indices",
        lambda: bw.Groups.from_indices({"a": [1, 0]}),
    ),
    "sample beyond the count": (
        lambda: bw.Groups.from_indices([[5]], sample_count=3),
        "sample_count=6",
        lambda: bw.Groups.from_indices([[5]], sample_count=6),
    ),
}


@pytest.mark.filterwarnings("ignore:samples repeat within a batch:batchwright.PoorWarning")
@pytest.mark.parametrize("case", FOLLOWED)
def test_the_way_out_that_is_told_works(case):
    refused, told, followed = FOLLOWED[case]
    with pytest.raises(bw.Infeasible) as caught:
        refused()
    assert told in caught.value.way_out
    followed()


LONG = {f"label {number:06}": 1 / 4000 for number in range(4000)}


@pytest.mark.parametrize(
    "refused",
    [
        lambda: bw.balanced(list(LONG), 2, target={**LONG, "x" * 10_000: 0.0}),
        lambda: bw.balanced(bw.Groups.from_sizes({**dict.fromkeys(LONG, 2), "label 000007": 0}), 2, target=LONG),
        lambda: bw.split(["a"], dict.fromkeys(LONG, 1.0)),
        lambda: bw.balanced(["a"], list(LONG)),
        lambda: bw.balanced(["a"], 2, seed=list(LONG)),
        lambda: bw.balanced(["a"], 2, target="x" * 50_000),
        lambda: bw.balanced(["a"], 2, draw="x" * 50_000),
        lambda: bw.shuffled("x" * 50_000, 2),
        lambda: bw.multilabel(["x" * 50_000], 2),
        lambda: bw.rotating(["a", "b"], [["a"] * 9000, ["a"] * 9000], per_class=1),
        lambda: bw.raked({name: ["a"] * number for number, name in enumerate(LONG, 1)}, LONG, 2),
        lambda: bw.targets.formula([bw.targets.Fixed("x" * 50_000, -1)], 3),
        lambda: bw.budgeted({name: [1] for name in LONG}, dict.fromkeys(list(LONG)[1:], 1)),
        lambda: bw.balanced(["a"], 2).sampler().load_state_dict({"version": "x" * 50_000}),
    ],
)
@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
def test_messages_have_bounded_length(refused):
    with pytest.raises(bw.Infeasible) as caught:
        refused()
    assert len(str(caught.value)) <= 1300
    assert caught.value.way_out


def test_warnings_have_bounded_length():
    with pytest.warns(bw.PoorWarning) as caught:
        bw.balanced(["x" * 50_000, "y"], 4)
    assert all(len(str(warning.message)) <= 600 for warning in caught)


def test_a_value_that_cannot_be_shown_is_named_by_its_type():
    class Silent:
        def __repr__(self):
            raise RuntimeError("no")

    with pytest.raises(bw.Infeasible, match="batch_size is a Silent, not a whole number"):
        bw.balanced(["a"], Silent())


def broken(*arguments):
    raise KeyError("mine")


class Broken:
    def __len__(self):
        return 4

    @property
    def targets(self):
        raise KeyError("mine")

    def __getitem__(self, index):
        raise KeyError("mine")


@pytest.mark.parametrize(
    ("call", "note"),
    [
        (lambda: bw.balanced(["a"], 2, target=lambda counts: broken()), "shares of epoch 0"),
        (lambda: bw.balanced(["a"], 2, target=lambda counts, epoch: broken()), "shares of epoch 0"),
        (
            lambda: bw.balanced(["a"], 1, target=bw.targets.schedule(0, 1, epochs=2, shape=broken)),
            "shape of a schedule was asked for epoch 0",
        ),
        (lambda: bw.balanced(Broken(), 2), "while .targets of the Broken was looked at for labels"),
        (lambda: bw.budgeted([1, 2], 9, cost=broken), "while cost was asked for 2 lengths"),
        (lambda: bw.correct.Weighted(Broken(), bw.correct.Weights(bw.balanced(list("aabb"), 2)))[3], "sample 3"),
    ],
)
def test_what_a_users_own_code_raises_goes_on_with_a_note(call, note):
    with pytest.raises(KeyError, match="mine") as caught:
        call()
    assert any(note in told for told in caught.value.__notes__)
