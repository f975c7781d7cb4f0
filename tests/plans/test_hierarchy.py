"""Hierarchies: exact at each level, and everything present in turn."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.orders import Hierarchical

from ..examples import examples

SEEDS = st.integers(0, 2**64 - 1)


@st.composite
def hierarchies(draw):
    """Up to three levels with random numbers of branches, no fewer than a batch takes."""
    depth = draw(st.integers(1, 3))
    per = [draw(st.integers(1, 4)) for _ in range(depth + 1)]
    paths = [()]
    for level in range(depth):
        paths = [(*path, branch) for path in paths for branch in range(draw(st.integers(per[level], per[level] + 3)))]
        paths = paths[:60] if level == 0 else paths
    sizes = [draw(st.integers(1, 12)) for _ in paths[:200]] + [5] * max(0, len(paths) - 200)
    rows = np.repeat(np.array(paths), sizes, axis=0)
    rows = rows[np.random.default_rng(draw(st.integers(0, 99))).permutation(len(rows))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        return bw.hierarchical([rows[:, level] for level in range(depth)], per, seed=draw(SEEDS))


@examples(60)
@given(plan=hierarchies(), first=st.integers(0, 10**9))
def test_every_level_is_exact_and_present_in_turn(plan, first):
    for begin in (0, first):
        audit = plan.audit(batches=60, first=begin)
        assert audit.kept, f"{plan!r}\n{audit}"


class Swapped(Hierarchical):
    """A hierarchical order that is broken on purpose."""

    def batches_at(self, numbers):
        return np.where(super().batches_at(numbers) == 3, 5, super().batches_at(numbers))


def test_an_audit_finds_a_broken_hierarchy():
    plan = bw.hierarchical([np.arange(60) % 4, np.arange(60) % 12], per=[2, 2, 2])
    assert plan.audit(batches=200).kept
    plan.order.__class__ = Swapped
    audit = plan.audit(batches=200)
    assert not audit["G2"].kept
    assert not audit["G4"].kept


def test_classes_are_present_within_one_appearance_of_any_other():
    classes = np.repeat(np.arange(23), np.arange(5, 28))
    plan = bw.hierarchical([classes], per=[4, 3])
    present = np.zeros(23, int)
    for t in range(300):
        found, counts = np.unique(classes[plan[t]], return_counts=True)
        assert counts.tolist() == [3] * 4
        present[found] += 1
        assert np.ptp(present) <= 1


def test_shares_of_the_outermost_level_are_dealt():
    category = np.repeat([0, 1, 2], [60, 30, 10])
    plan = bw.hierarchical([category, np.arange(100) % 5], per=[1, 2, 2], target="natural")
    drawn = category[np.concatenate([plan[t] for t in range(1000)])]
    assert np.abs(np.bincount(drawn) / drawn.size - [0.6, 0.3, 0.1]).max() < 0.003
    assert plan.sampled_prior.sum() == pytest.approx(1)
    assert plan.audit(batches=300).kept


def test_the_same_class_name_in_two_categories_is_two_classes():
    plan = bw.hierarchical([list("aabb"), [0, 1, 0, 1]], per=[2, 2, 1])
    assert sorted(plan[0].tolist()) == [0, 1, 2, 3]


def test_summary_and_prior_speak_of_the_innermost_groups():
    plan = bw.hierarchical([list("aaab"), list("xxyz")], per=[2, 1, 1])
    assert plan.shares().tolist() == [0.25, 0.25, 0.5]
    assert {line.name for line in plan.summary().groups} == {("a", "x"), ("a", "y"), ("b", "z")}
    assert "random" not in repr(plan)
    assert "hierarchical(per=[2, 1, 1], uniform())" in repr(plan)


@pytest.mark.parametrize(
    ("per", "options", "fact"),
    [
        ([2, 2], {}, "2 levels and 2 counts"),
        ([2, 0, 1], {}, r"\[2, 0, 1\]"),
        ([2, 2.5, 1], {}, r"per\[1\] is 2.5"),
        ([4, 1, 1], {}, "'the dataset' has 3"),
        ([2, 3, 1], {}, "'a' has 2"),
        ([2, 2, 3], {"distinct": True}, "'a / 0' has 2 samples"),
        ([2, 2, 1], {"target": {"a": 0.8, "b": 0.1, "c": 0.1}}, "'a' is due 1.6 times"),
    ],
)
def test_what_cannot_be_is_refused_by_name(per, options, fact):
    with pytest.raises(bw.Infeasible, match=fact):
        bw.hierarchical([list("aaaabbbbcccc"), [0, 0, 1, 1] * 3], per=per, **options)


def test_small_classes_are_warned_of():
    with pytest.warns(bw.PoorWarning, match=r"\('a', 0\) has 2, a batch takes 3.* and 1 more groups"):
        bw.hierarchical([list("aaaabbbb"), [0, 0, 1, 1] * 2], per=[2, 2, 3])


def test_shares_of_classes_are_exact_and_computed_once_for_each_node(monkeypatch):
    """A million classes of a thousand categories need a thousand divisions, and no text for each class."""
    divisions = []
    divide = Fraction.__truediv__

    def counted(one, other):
        divisions.append(other)
        return divide(one, other)

    monkeypatch.setattr(Fraction, "__truediv__", counted)
    category, class_ = np.arange(600) // 30, np.arange(600) // 3
    plan = bw.hierarchical(
        [category, class_], per=[4, 4, 2], target={number: (number + 1) / 210 for number in range(20)}
    )
    assert len(divisions) == 20
    assert plan.shares() == pytest.approx(np.repeat(np.arange(1, 21), 10) / 2100, rel=1e-12)
