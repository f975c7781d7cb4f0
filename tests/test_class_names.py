"""Where a dataset names its classes, what people read has the names; what programs read has the labels."""

from __future__ import annotations

from typing import ClassVar

import datasets
import numpy as np
import pandas as pd
import pytest
import torch.utils.data

import batchwright as bw

CLASSES = ["cat", "dog", "emu"]
LABELS = np.random.default_rng(0).choice(3, 600, p=[0.8, 0.15, 0.05]).tolist()
LENGTHS = np.random.default_rng(1).integers(10, 100, 600)


class Images(torch.utils.data.Dataset):
    """As those of torchvision: some have `class_to_idx` too, some only `classes`."""

    classes = CLASSES
    targets = LABELS

    def __len__(self):
        return len(LABELS)

    def __getitem__(self, number):
        return number, LABELS[number]


class Folder(Images):
    class_to_idx: ClassVar = {name: number for number, name in enumerate(CLASSES)}


def hugging_face():
    features = datasets.Features({"x": datasets.Value("int64"), "label": datasets.ClassLabel(names=CLASSES)})
    return datasets.Dataset.from_dict({"x": range(600), "label": LABELS}, features=features)


SOURCES = {
    "classes": Images,
    "class_to_idx": Folder,
    "a subset": lambda: torch.utils.data.Subset(Folder(), range(600)),
    "a concatenation": lambda: torch.utils.data.ConcatDataset([torch.utils.data.Subset(Folder(), range(600))]),
    "hugging face": hugging_face,
    "a column of hugging face": lambda: hugging_face()["label"],
    "pandas": lambda: pd.Series(pd.Categorical.from_codes(LABELS, CLASSES)),
    "polars": lambda: pd.DataFrame({"label": pd.Categorical.from_codes(LABELS, CLASSES)}),
}


def first_column(text):
    return {line.split()[0] for line in str(text).split("\n") if line[:3] in CLASSES}


@pytest.mark.parametrize("source", SOURCES)
def test_summaries_reports_audits_and_metrics_have_the_names(source):
    plan = bw.balanced(SOURCES[source](), 15)
    assert first_column(plan.summary()) == set(CLASSES) == {line.name for line in plan.summary().groups}
    assert all(f"'{name}' " in repr(plan.groups) for name in CLASSES)
    assert plan.report().shares.names == ["cat", "dog", "emu"]
    with pytest.warns(bw.PoorWarning, match="'emu' has"):
        bw.balanced(SOURCES[source](), 150)
    with pytest.warns(bw.PoorWarning, match="sample twice"):
        packed = bw.packed(LENGTHS, 512, order=plan)
    assert first_column(packed.summary()) == set(CLASSES)
    measured = bw.Composition(plan.sampler()).measured(0, 10, epoch=0)
    assert [name for name in measured if name.startswith("share/")] == ["share/cat", "share/dog", "share/emu"]


@pytest.mark.parametrize("source", ["classes", "class_to_idx", "a subset", "hugging face"])
def test_labels_stay_numbers_for_programs_and_targets_take_either(source):
    given = SOURCES[source]()
    plan = bw.balanced(given, 16, target={"cat": 0.5, "dog": 0.25, "emu": 0.25})
    same = bw.balanced(LABELS, 16, target={0: 0.5, 1: 0.25, 2: 0.25})
    assert plan.groups.names == [0, 1, 2]
    assert plan.fingerprint == same.fingerprint
    same.sampler().load_state_dict(plan.sampler().state_dict())
    assert plan.sampler().passes_done.keys() == {0, 1, 2}


def test_classes_that_are_no_list_of_names_are_none():
    class Other(Images):
        classes = None

    for classes in (None, 3, "cat", [1, 2], {"cat": 0}, lambda: CLASSES):
        Other.classes = classes
        assert bw.balanced(Other(), 15).groups.called == [0, 1, 2]


def test_names_outlive_pieces_and_combinations():
    pieces = bw.packed(LENGTHS, 64, too_long="split", order=bw.balanced(Folder(), 15))
    assert pieces.groups.called == CLASSES
    sites = np.arange(600) % 2
    cells = bw.Groups.combine(Folder(), sites)
    assert cells.names[0] == (0, 0)
    assert cells.called[0] == ("cat", 0)
    shares = {("cat", 0): 0.5, **dict.fromkeys(cells.called[1:], 0.1)}
    assert bw.balanced(cells, 20, target=shares).shares()[0] == 0.5
    raked = bw.raked({"class": Folder(), "site": sites}, {"class": "uniform", "site": "uniform"}, 12)
    assert first_column("\n".join(str(line.name[0]) for line in raked.summary().groups)) == set(CLASSES)
