"""Shares in units: what is mixed as asked is tokens, not samples."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batchwright as bw
from batchwright import targets

RANDOM = np.random.default_rng(0)
SHORT, MIDDLE, LONG = (
    RANDOM.lognormal(np.log(mean), 0.4, count) for mean, count in ((40, 9000), (120, 4000), (400, 2500))
)
TOKENS = np.concatenate([SHORT, MIDDLE, LONG]).astype(int) + 1
SOURCES = {"short": SHORT.size, "middle": MIDDLE.size, "long": LONG.size}


@pytest.mark.parametrize("wanted", [{"short": 0.2, "middle": 0.3, "long": 0.5}, dict.fromkeys(SOURCES, Fraction(1, 3))])
@pytest.mark.parametrize("epoch", [0, 3])
def test_tokens_are_mixed_as_asked_over_an_epoch_where_sources_differ_tenfold(wanted, epoch):
    plan = bw.mixed(SOURCES, 64, target=targets.in_units(wanted, TOKENS), epoch=2000)
    drawn = np.concatenate(list(plan.epoch(epoch)))
    by_source = np.bincount(plan.groups.group_of(drawn), weights=TOKENS[drawn])
    assert np.abs(by_source / by_source.sum() - np.array([float(share) for share in wanted.values()])).max() < 0.005


WANTED = {"short": 0.2, "middle": 0.3, "long": 0.5}


@pytest.mark.parametrize("cut", ["budgeted", "packed"])
def test_tokens_are_mixed_as_asked_under_token_budgets_and_packing(cut):
    source = bw.mixed(SOURCES, 64, target=targets.in_units(WANTED, TOKENS), epoch=1500)
    plan = bw.budgeted(TOKENS, 8192, order=source) if cut == "budgeted" else bw.packed(TOKENS, 4096, order=source)
    tokens = np.zeros(3)
    epoch = plan.epoch(0)
    for number in range(len(epoch)):
        samples = epoch[number]
        tokens += np.bincount(source.groups.group_of(samples), weights=TOKENS[samples], minlength=3)
    assert np.abs(tokens / tokens.sum() - list(WANTED.values())).max() < 0.005


@settings(max_examples=50)
@given(data=st.data(), sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_expected_units_are_exactly_the_inner_target_of_unit_totals(data, sizes):
    lengths = np.array(data.draw(st.lists(st.integers(1, 1000), min_size=sum(sizes), max_size=sum(sizes))))
    inner = data.draw(
        st.sampled_from([targets.natural(), targets.uniform(), targets.temperature(3), targets.capped(2)])
    )
    groups = bw.Groups.from_sizes(dict(enumerate(sizes)))
    bound = targets.in_units(inner, lengths).bound_to(groups)
    starts = groups.starts[:-1]
    totals = np.add.reduceat(lengths, starts)
    units = bound.shares(sizes) * totals / sizes
    assert units / units.sum() == pytest.approx(inner.shares(totals), abs=1e-12)


def test_natural_in_units_is_natural_in_samples():
    plan = bw.mixed(SOURCES, 64, target=targets.in_units("natural", TOKENS))
    assert plan.shares() == pytest.approx(plan.natural_prior)


def test_seconds_and_a_schedule_work_too():
    seconds = np.repeat([0.5, 5.0], [300, 100])
    target = targets.schedule(targets.in_units("natural", seconds), targets.in_units("uniform", seconds), epochs=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = bw.balanced(["clip"] * 300 + ["talk"] * 100, 22, target=target)
    assert plan.shares(0) == pytest.approx([0.75, 0.25])
    assert plan.shares(2) == pytest.approx([10 / 11, 1 / 11])


def test_other_lengths_are_another_plan():
    labels = ["a"] * 50 + ["b"] * 50
    one = bw.balanced(labels, 10, target=targets.in_units("uniform", [1] * 50 + [4] * 50))
    other = bw.balanced(labels, 10, target=targets.in_units("uniform", [1] * 50 + [3] * 50))
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("lengths", "fact"),
    [([1] * 9, "9 lengths for 10 samples"), ([0] * 5 + [1] * 5, "'a' has 5 samples of length 0"), ([-1] * 10, "is -1")],
)
def test_lengths_that_do_not_fit_are_refused(lengths, fact):
    with pytest.raises(bw.Infeasible, match=fact):
        bw.balanced(["a"] * 5 + ["b"] * 5, 4, target=targets.in_units("uniform", lengths))


def test_a_target_in_units_that_is_not_bound_says_so():
    with pytest.raises(bw.Infeasible, match="bound_to"):
        targets.in_units("uniform", [1, 2]).shares([1, 1])


@given(lengths=st.lists(st.integers(1, 2**64 - 1), min_size=3, max_size=30))
def test_whole_lengths_are_summed_exactly_however_large(lengths):
    column = np.array(lengths, np.uint64)
    labels = [0, 1, *(number % 2 for number in range(len(lengths) - 2))]
    plan = bw.balanced(labels, 1, target=bw.targets.in_units("natural", column))
    sizes = [labels.count(0), labels.count(1)]
    assert np.allclose(
        plan.shares(), np.array(sizes) / sum(sizes), rtol=1e-12
    )  # natural by units is natural by samples
    sums = bw.targets.in_units("natural", column).bound_to(bw.Groups.from_labels(labels)).arguments[1]
    assert [int(total) for total in sums] == [
        sum(length for length, label in zip(lengths, labels, strict=True) if label == group) for group in (0, 1)
    ]
