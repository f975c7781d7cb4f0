"""Cohorts: given ones in strict rotation, drawn ones so that all classes meet equally often."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from ..examples import examples

LABELS = np.repeat(np.arange(6), [50, 40, 30, 20, 10, 8])


def counts(plan, t):
    return np.bincount(LABELS[plan[t]], minlength=6).tolist()


def test_given_cohorts_rotate_strictly():
    one, other = [5, 5, 5, 0, 0, 0], [0, 0, 0, 5, 5, 5]
    plan = bw.rotating(LABELS, [[0, 1, 2], [3, 4, 5]], per_class=5, unit="step")
    assert [counts(plan, t) for t in range(200)] == [one, other] * 100
    assert plan.task_of(7) == (3, 4, 5)
    plan = bw.rotating(LABELS, [[0, 1, 2], [3, 4, 5]], per_class=5)
    rounds = [(counts(plan, t), counts(plan, t + 1)) for t in range(0, 200, 2)]
    assert all(found in ((one, other), (other, one)) for found in rounds)
    assert 30 < rounds.count((one, other)) < 70  # in an order of chance
    assert plan.audit(batches=100).kept


def test_every_sample_of_a_class_has_its_turn():
    plan = bw.rotating(LABELS, [[0, 1, 2], [3, 4, 5]], per_class=5)
    seen = np.bincount(np.concatenate([plan[t] for t in range(140)]), minlength=LABELS.size)
    for of_class in np.split(seen, np.flatnonzero(np.diff(LABELS)) + 1):
        assert np.ptp(of_class) <= 1


def test_a_class_in_several_cohorts_is_drawn_by_each_of_them_independently():
    labels = np.repeat(np.arange(4), [200, 20, 20, 20])
    cohorts = bw.rotating(labels, [[0, 1], [0, 2], [3, 0]], per_class=5, unit="step")
    for one, other in itertools.combinations(range(3), 2):
        pairs = ((set(cohorts[3 * t + one]), set(cohorts[3 * t + other])) for t in range(40))
        assert sum(len(mine & theirs) for mine, theirs in pairs) < 25  # of 200; 5 are expected


def test_cohorts_of_different_sizes_make_batches_of_different_sizes():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        plan = bw.rotating(LABELS, [[0], [1, 2]], per_class=3)
    assert [sorted(plan[2 * t + k].size for k in range(2)) for t in range(20)] == [[3, 6]] * 20


@examples(20)
@given(classes=st.integers(2, 14), number=st.integers(1, 5), seed=st.integers(0, 2**64 - 1))
def test_drawn_cohorts_split_all_classes_every_cycle(classes, number, seed):
    number = min(number, classes)
    labels = np.repeat(np.arange(classes), 7)
    plan = bw.rotating(labels, number, per_class=2, seed=seed)
    size = classes // number
    present = np.zeros(classes, int)
    for t in range(60):
        found, each = np.unique(labels[plan[t]], return_counts=True)
        assert each.tolist() == [2] * size
        present[found] += 1
        assert np.ptp(present) <= 1
    assert plan.audit(batches=60, first=10**6).kept


@pytest.mark.parametrize(("classes", "number"), [(6, 2), (6, 3), (10, 3), (5, 2), (7, 2), (12, 4)])
def test_all_pairs_of_classes_meet_equally_often_over_time(classes, number):
    labels = np.repeat(np.arange(classes), 4)
    plan = bw.rotating(labels, number, per_class=1, seed=11)
    batches = 6000
    met = np.zeros((classes, classes))
    for batch in plan.order.batches_at(np.arange(batches)):
        for one, other in itertools.combinations(sorted(labels[batch].tolist()), 2):
            met[one, other] += 1
    met = met[np.triu_indices(classes, 1)]
    assert met.size == classes * (classes - 1) // 2
    # pairs are alike by symmetry, and their meetings are about as variable as independent draws
    assert np.abs(met - met.mean()).max() < 5 * np.sqrt(met.mean() * 1.4)


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ({"per_class": 2.5}, "per_class is 2.5"),
        ({"per_class": 0}, "per_class is 0"),
        ({"per_class": 2, "unit": "epoch"}, "unit is 'epoch'"),
        ({"per_class": 2, "epoch": 0}, "epoch is 0 micro-batches"),
        ({"per_class": 2, "epoch": "largest"}, "epoch is 'largest'"),
    ],
)
def test_other_wrong_arguments_are_refused(options, fact):
    with pytest.raises(bw.Infeasible, match=fact):
        bw.rotating(LABELS, [[0, 1, 2], [3, 4, 5]], **options)


@pytest.mark.parametrize(
    ("cohorts", "fact"),
    [
        ([], "the cohorts are"),
        ([[]], "the cohorts are"),
        ([0, 1], "a cohort is 0"),
        ("ab", "a cohort is 'a'"),
        (2.5, "cohorts is 2.5"),
        ([[0, 9]], "no group is called 9"),
        ([[0, 0]], "names class 0 2 times"),
        ([[0], [0]], r"cohort \(0,\) is given 2 times"),
        (7, "6 classes cannot be split into 7"),
        (0, "into 0"),
    ],
)
def test_what_cannot_rotate_is_refused(cohorts, fact):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        with pytest.raises(bw.Infeasible, match=fact):
            bw.rotating(LABELS, cohorts, per_class=2)


def test_classes_in_no_cohort_are_told():
    with pytest.warns(bw.PoorWarning, match="2 of 6 classes are in no cohort"):
        bw.rotating(LABELS, [[0, 1], [2, 3]], per_class=5)
