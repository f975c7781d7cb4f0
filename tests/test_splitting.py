"""Splits: floor or ceil of every group, whole units on one side, the same for every process."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

import batchwright as bw

from .examples import examples

FRACTIONS = {"train": 0.8, "val": 0.1, "test": 0.1}


@examples(80)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=20),
    cuts=st.lists(st.integers(0, 100), min_size=0, max_size=4),
    seed=st.integers(0, 2**64 - 1),
)
def test_every_part_gets_floor_or_ceil_of_every_group(sizes, cuts, seed):
    edges = [0, *sorted(cuts), 100]
    fractions = {f"part {n}": (b - a) / 100 for n, (a, b) in enumerate(itertools.pairwise(edges))}
    labels = np.repeat(np.arange(len(sizes)), sizes)[np.random.default_rng(0).permutation(sum(sizes))]
    found = bw.split(labels, fractions, seed=seed)
    together = np.concatenate(list(found.parts.values()))
    assert sorted(together.tolist()) == list(range(sum(sizes)))
    for (name, numbers), share in zip(found.parts.items(), fractions.values(), strict=True):
        counts = np.bincount(labels[numbers], minlength=len(sizes))
        assert (np.abs(counts - share * np.array(sizes)) < 1).all()
        assert abs(numbers.size - share * sum(sizes)) < 2, name
        assert np.array_equal(numbers, np.sort(numbers))


def test_another_seed_is_another_split_and_the_same_seed_the_same():
    labels = np.arange(400) % 4
    one, same, other = (bw.split(labels, FRACTIONS, seed=seed)["test"] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_no_stratification_keeps_only_the_totals():
    labels = np.repeat([0, 1], [90, 10])
    found = bw.split(labels, {"a": 0.5, "b": 0.5}, stratify=False)
    assert [found[name].size for name in "ab"] == [50, 50]
    assert found.labels("a") == labels[found["a"]].tolist()
    assert found.counts.sum(axis=0).tolist() == [90, 10]


@examples(30)
@given(seed=st.integers(0, 10**6))
def test_whole_units_stay_on_one_side_and_shares_come_close(seed):
    random = np.random.default_rng(seed)
    patients = random.integers(0, 120, 1500)
    labels = (random.random(1500) < random.random(120)[patients]).astype(int)
    found = bw.split(labels, FRACTIONS, together=patients, seed=seed)
    owners = [set(patients[numbers].tolist()) for numbers in found.parts.values()]
    assert sum(map(len, owners)) == len(set(patients.tolist()))
    largest = np.bincount(patients).max()
    assert found.off <= largest
    assert f"{found.off:.3g} samples off" in str(found)


def test_one_large_unit_is_told_not_hidden():
    found = bw.split([0] * 10, {"a": 0.5, "b": 0.5}, together=["x"] * 9 + ["y"])
    assert found.off == 4


def test_a_unit_without_samples_changes_nothing():
    units = bw.Groups.from_indices({"x": [0, 3], "empty": [], "y": [1, 2]})
    found = bw.split([0] * 4, {"a": 0.5, "b": 0.5}, together=units)
    assert sorted(part.tolist() for part in found.parts.values()) == [[0, 3], [1, 2]]


def test_parts_are_understood_by_every_plan():
    labels = torch.arange(300) % 3
    dataset = TensorDataset(torch.arange(300), labels)
    found = bw.split(dataset, FRACTIONS)
    subset = found.subset(dataset, "train")
    plan = bw.balanced(subset, 12)
    assert plan.groups.sample_count == 240
    assert [int(subset[i][1]) for i in plan[0]].count(1) == 4
    assert plan.groups.digest == bw.balanced(found.labels("train"), 12).groups.digest


def test_the_same_in_another_process():
    code = "import batchwright as bw; print(bw.split([0, 1] * 50, {'a': 0.3, 'b': 0.7}, seed=9)['a'].tolist())"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert seen == {f"{bw.split([0, 1] * 50, {'a': 0.3, 'b': 0.7}, seed=9)['a'].tolist()}\n"}


@pytest.mark.parametrize(
    ("fractions", "options", "fact"),
    [
        ({"a": 0.5}, {}, "sum to 0.5"),
        ({"a": 1.5, "b": -0.5}, {}, "sum to 1"),
        ({}, {}, "fractions has 0 entries"),
        ([0.5, 0.5], {}, "fractions is of type list"),
        ({"a": float("nan"), "b": 0.5}, {}, "the fraction of 'a' is nan"),
        ({"a": "x", "b": 0.5}, {}, "the fraction of 'a' is 'x'"),
        ({"a": 1.0}, {"seed": -1}, "seed is -1"),
        ({"a": 1.0}, {"together": [1, 2, 3]}, "3 samples, there are 4"),
    ],
)
def test_splits_that_make_no_sense_are_refused(fractions, options, fact):
    with pytest.raises(bw.Infeasible, match=fact):
        bw.split([0, 0, 1, 1], fractions, **options)
