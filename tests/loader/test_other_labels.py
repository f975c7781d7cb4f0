"""A loader compares the labels that its data set holds with the groups of its plan, also under other names."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

import batchwright as bw

from ..refusals import cases, told_and_followed
from .datasets import Numbers

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")

LABELS = [0] * 8 + [1] * 4
MANY_LABELS = [*np.random.default_rng(0).integers(0, 2, 70_000).tolist(), 0, 1]  # of these only a part is compared
BALANCED = bw.balanced(LABELS, batch_size=4)
CATS = bw.balanced(["cat"] * 8 + ["dog"] * 4, 4)


class Labelled(Numbers):
    """A data set that holds its labels, as torchvision's do."""

    def __init__(self, targets: Any) -> None:
        super().__init__(len(targets))
        self.targets = targets


class Classes(Labelled):
    """One that holds numbers of classes, and their names."""

    class_to_idx: ClassVar = {"cat": 0, "dog": 1}


def made(dataset: Any, plan: Any = BALANCED, **options: Any) -> Any:
    return plan.loader(dataset, num_workers=0, **options)


def looped(dataset: Any, plan: Any = BALANCED, **options: Any) -> Any:
    return list(made(dataset, plan, **options))


WAY_OUT = "make the plan from the labels of this data set, in its order, or pass check_data=False"
LETTERS = bw.balanced(["b"] * 8 + ["a"] * 4, 4)
CASES = cases("refuse message way_out follow", {
    "labels in another order": (
        lambda: made(Labelled(LABELS[::-1]), plan=BALANCED),
        "sample 0 is labelled 1 in the data set and 0 in the plan; 8 of 12 labels that were compared differ",
        WAY_OUT,
        lambda: (
            looped(Labelled(LABELS[::-1]), plan=bw.balanced(Labelled(LABELS[::-1]), 4)),
            looped(Labelled(LABELS[::-1]), plan=BALANCED, check_data=False),
        ),
    ),
    "the labels of another split": (
        lambda: made(Labelled([0] * 6 + [1] * 6), plan=BALANCED),
        "sample 6 is labelled 1 in the data set and 0 in the plan; 2 of 12 labels that were compared differ",
        WAY_OUT,
        lambda: (
            looped(Labelled([0] * 6 + [1] * 6), plan=bw.balanced(Labelled([0] * 6 + [1] * 6), 4)),
            looped(Labelled([0] * 6 + [1] * 6), plan=BALANCED, check_data=False),
        ),
    ),
    "names of classes and their numbers": (
        lambda: made(Classes(LABELS[::-1]), plan=CATS),
        "sample 0 is labelled 1 in the data set and 'cat' in the plan; 8 of 12 labels that were compared differ",
        WAY_OUT,
        lambda: looped(Classes(LABELS), plan=CATS),
    ),
    "names of another split": (
        lambda: made(Labelled(["cat"] * 6 + ["dog"] * 6), plan=CATS),
        "sample 6 is labelled 'dog' in the data set and 'cat' in the plan; 2 of 12 labels that were compared differ",
        WAY_OUT,
        lambda: looped(Labelled(["cat"] * 8 + ["dog"] * 4), plan=CATS),
    ),
    "numbers of classes and their names": (
        lambda: made(Labelled(["dog"] * 4 + ["cat"] * 8), plan=bw.balanced(Classes(LABELS), 4)),
        "sample 0 is labelled 'dog' in the data set and 0 in the plan; 8 of 12 labels that were compared differ",
        WAY_OUT,
        lambda: looped(Labelled(["cat"] * 8 + ["dog"] * 4), plan=bw.balanced(Classes(LABELS), 4)),
    ),
    "more labels than are compared, in another order": (
        lambda: made(Labelled(MANY_LABELS[::-1]), plan=bw.balanced(MANY_LABELS, 4)),
        "labels that were compared differ",
        WAY_OUT,
        lambda: made(Labelled(MANY_LABELS), plan=bw.balanced(MANY_LABELS, 4)),
    ),
    "labels by other names, in another order": (
        lambda: made(Labelled(LABELS[::-1]), plan=LETTERS),
        "samples 4 and 8 are both labelled 0 in the data set, and are in the groups 'b' and 'a' of the plan; both have 2 "
        "classes of the same sizes, from 4 to 8 samples, so they are in another order",
        WAY_OUT,
        lambda: (
            looped(Labelled(LABELS[::-1]), plan=bw.balanced(Labelled(LABELS[::-1]), 4)),
            looped(Labelled(LABELS[::-1]), plan=LETTERS, check_data=False),
        ),
    ),
    "more labels than are compared, by other names": (
        lambda: made(Labelled(sorted(MANY_LABELS)), plan=bw.balanced(["ab"[label] for label in MANY_LABELS], 4)),
        "so they are in another order",
        WAY_OUT,
        lambda: made(Labelled(MANY_LABELS), plan=bw.balanced(["ab"[label] for label in MANY_LABELS], 4)),
    ),
})  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_refusal_is_told_and_its_way_out_works(case):
    told_and_followed(case)


@pytest.mark.parametrize(
    "dataset",
    [
        Labelled(LABELS),
        Labelled(np.array(LABELS)),
        Labelled(["a", "b"] * 6),  # other names: the plan's groups are something else
        Labelled([0.5] * 12),
        TensorDataset(torch.arange(12), torch.tensor(LABELS)),
        list(zip(range(12), LABELS, strict=True)),
    ],
)
def test_labels_that_fit_or_say_nothing_are_taken(dataset):
    assert len(looped(dataset, plan=BALANCED)) == len(BALANCED.epoch(0))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_labels_by_other_names_are_refused_where_no_renaming_makes_groups_of_the_same_sizes_of_them(labels, random):
    plan = bw.balanced(["abcd"[label] for label in labels], 1)
    assert made(Labelled(labels), plan) is not None
    random.shuffle(other := list(labels))
    renamed = len({*zip(labels, other, strict=True)}) == len({*labels})
    alike = len({*Counter(labels).values()}) == 1
    if renamed or alike:
        made(Labelled(other), plan)
        return
    with pytest.raises(bw.Infeasible, match="so they are in another order"):
        made(Labelled(other), plan)
