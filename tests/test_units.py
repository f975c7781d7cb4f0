"""Shares in units: what is mixed as asked is tokens, not samples."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright import targets

from . import laws
from .examples import examples

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
    cutting = {
        "budgeted": lambda: bw.budgeted(TOKENS, 8192, order=source),
        "packed": lambda: bw.packed(TOKENS, 4096, order=source),
    }
    plan = laws.quietly(cutting[cut])  # a window draws more of the long ones than there are
    tokens = np.zeros(3)
    epoch = plan.epoch(0)
    for number in range(len(epoch)):
        samples = epoch[number]
        tokens += np.bincount(source.groups.group_of(samples), weights=TOKENS[samples], minlength=3)
    assert np.abs(tokens / tokens.sum() - list(WANTED.values())).max() < 0.005


@examples(50)
@given(data=st.data(), sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_expected_units_are_exactly_the_inner_target_of_unit_totals(data, sizes):
    lengths = np.array(data.draw(st.lists(st.integers(1, 1000), min_size=sum(sizes), max_size=sum(sizes))))
    inner = data.draw(
        st.sampled_from([targets.natural(), targets.uniform(), targets.temperature(3), targets.power(0.5)])
    )
    groups = bw.Groups.from_sizes(dict(enumerate(sizes)))
    bound = targets.in_units(inner, lengths).bound_to(groups)
    starts = groups.starts[:-1]
    totals = np.add.reduceat(lengths, starts)
    units = bound.shares(sizes) * totals / sizes
    assert units / units.sum() == pytest.approx(inner.shares(totals), abs=1e-12)


@given(
    sizes=st.lists(st.integers(1, 200), min_size=1, max_size=6),
    means=st.lists(st.integers(1, 500), min_size=6, max_size=6),
    passes=st.fractions(1, 20, max_denominator=100),
    budget=st.none() | st.integers(1, 300),
)
def test_caps_in_units_are_passes_over_samples_and_all_others_have_as_many_tokens(sizes, means, passes, budget):
    groups = bw.Groups.from_sizes(dict(enumerate(sizes)))
    means = np.array(means[: len(sizes)])
    draws = sum(sizes) if budget is None else min(budget, int(passes * sum(sizes)))
    target = targets.in_units(targets.capped(passes, budget=None if budget is None else draws), np.repeat(means, sizes))
    drawn = target.bound_to(groups).shares(sizes) * draws
    caps = float(passes) * np.array(sizes)
    assert (drawn <= caps * (1 + 1e-9)).all()
    tokens, free = drawn * means, drawn < caps * (1 - 1e-9)
    if free.any():
        assert tokens[free] == pytest.approx(tokens[free].max())
        assert tokens.max() <= tokens[free].max() * (1 + 1e-9)
    plain = targets.capped(passes, budget=None if budget is None else draws)
    assert targets.in_units(plain, [7] * sum(sizes)).bound_to(groups).shares(sizes) == pytest.approx(
        plain.shares(sizes)
    )


def test_weights_of_tokens_are_kept_by_all_sources_that_do_not_reach_their_cap():
    sizes, means, weights = np.array([9000, 800, 30]), np.array([100, 400, 2000]), [0.5, 0.3, 0.2]
    groups = bw.Groups.from_sizes(dict(enumerate(sizes.tolist())))
    target = targets.in_units(targets.capped(3, weights), np.repeat(means, sizes))
    drawn = target.bound_to(groups).shares(sizes) * sizes.sum()
    assert drawn[2] == pytest.approx(3 * 30)
    tokens = (drawn * means)[:2]
    assert tokens / tokens.sum() == pytest.approx([5 / 8, 3 / 8], rel=1e-9)


def test_a_cap_holds_in_an_epoch_that_is_mixed_in_tokens():
    sizes, tokens = {"web": 9000, "books": 120, "rare": 30}, np.repeat([100, 400, 2000], [9000, 120, 30])
    for target in ("capped", "scheduled", "moving"):
        capped = targets.capped(3)
        inner = targets.schedule(capped, capped, epochs=2) if target == "scheduled" else capped
        units = targets.in_units(inner, tokens)
        plan = bw.mixed(sizes, 64, target=targets.moving(units) if target == "moving" else units)
        drawn = np.bincount(plan.groups.group_of(np.concatenate(list(plan.epoch(0)))))
        assert drawn[1:] == pytest.approx([3 * 120, 3 * 30], abs=2)
        sampler = bw.mixed(sizes, 64, target=targets.moving(targets.in_units("natural", tokens))).sampler()
        sampler.retarget(capped)
        assert sampler.plan.shares() == pytest.approx(plan.shares(), abs=1e-9)
    with pytest.raises(bw.Infeasible, match=r"0\.5 passes through 9150 samples give 4575, the budget is 9150"):
        bw.mixed(sizes, 64, target=targets.in_units(targets.capped(0.5), tokens))


EVEN = dict.fromkeys(SOURCES, 1 / 3)


@pytest.mark.parametrize(
    ("shares", "options", "of_tokens"),
    [
        (WANTED, {}, WANTED),
        (np.array(list(WANTED.values())), {}, WANTED),
        ("uniform", {}, EVEN),
        (targets.blend(0.0), {}, None),  # natural: as many tokens as each has
        (targets.in_units("uniform", TOKENS), {}, EVEN),
        (WANTED, {"in_samples": True}, None),
    ],
)
def test_shares_that_are_set_are_in_the_unit_of_the_plan(shares, options, of_tokens):
    sampler = bw.mixed(SOURCES, 64, target=targets.moving(targets.in_units(EVEN, TOKENS)), epoch=500).sampler()
    first = sampler.retarget(WANTED)  # nor does it matter what was set before
    sampler.seek(100)
    first = sampler.retarget(shares, **options)
    assert first == 178
    drawn = np.concatenate([sampler.plan[batch] for batch in range(first, first + 20 * 89)])
    source = sampler.plan.groups.group_of(drawn)
    found = np.bincount(source, weights=TOKENS[drawn])
    if of_tokens is None:
        found = np.bincount(source)
        of_tokens = WANTED if options else SOURCES
    wanted = np.array(list(of_tokens.values()), float)
    assert np.abs(found / found.sum() - wanted / wanted.sum()).max() < 0.01
    other = bw.mixed(SOURCES, 64, target=targets.moving("uniform"), epoch=500).sampler()
    if not isinstance(shares, targets.Target):  # of a plan in samples they are shares of samples
        other.retarget(shares)
        assert other.plan.shares() == pytest.approx(list((EVEN if isinstance(shares, str) else WANTED).values()))


def test_feedback_sets_shares_of_samples_of_a_plan_in_tokens_too():
    sampler = bw.mixed(SOURCES, 64, target=targets.moving(targets.in_units(EVEN, TOKENS)), epoch=500).sampler()
    feedback = bw.feedback.Feedback(sampler, bw.feedback.by_signal(), most_change=0.1)
    feedback.observe(np.arange(1.0, 4.0), labels=list(SOURCES))
    assert feedback.update() == pytest.approx(sampler.plan.shares())


def test_limits_are_of_samples():
    plan = bw.mixed(SOURCES, 64, target=targets.moving(targets.in_units(EVEN, TOKENS), floor=0.05, ceiling=0.7))
    with pytest.raises(
        bw.Infeasible, match=r"group 'short' is given the share of samples 0\.9\d*, the plan is laid out"
    ):
        plan.sampler().retarget({"short": 0.8, "middle": 0.1, "long": 0.1})


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
    [
        ([1] * 9, "9 lengths for 10 samples"),
        ([0] * 5 + [1] * 5, "'a' has 5 samples of length 0"),
        ([-1] * 10, "sample 0 has length -1"),
    ],
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


LONGS = {"web": 3000, "books": 300}
OF_EACH = np.concatenate([RANDOM.integers(50, 800, 3000), RANDOM.integers(200, 6000, 300)])
TENTH = {"web": 0.9, "books": 0.1}


def delivered_shares(plan, lengths, groups, epochs=2):
    """The share of all units that each group gave in some epochs."""
    drawn = np.concatenate([batch for epoch in range(epochs) for batch in plan.epoch(epoch)])
    given = np.bincount(groups.group_of(drawn), weights=lengths[drawn], minlength=groups.group_count)
    return given / given.sum()


@pytest.mark.parametrize("too_long", ["truncate", "skip"])
@pytest.mark.parametrize("cut", [bw.budgeted, bw.packed])
@pytest.mark.parametrize("nested", [False, True])
def test_shares_in_units_hold_for_what_is_delivered(too_long, cut, nested):
    """Books, asked for a tenth of all tokens, gave 7 % where they were truncated and 3.5 % where they were skipped."""
    books = bw.balanced((OF_EACH[3000:] > 1500).astype(int), 8) if nested else 300
    order = bw.mixed({"web": 3000, "books": books}, 32, target=targets.in_units(TENTH, OF_EACH), epoch=1000)
    plan = laws.quietly(lambda: cut(OF_EACH, 2048, order=order, too_long=too_long))
    left = np.minimum(OF_EACH, 2048)
    assert delivered_shares(plan, left, order.groups) == pytest.approx([0.9, 0.1], abs=0.004)
    summary = plan.summary()
    assert [line.name for line in summary.sources] == ["web", "books"]
    assert [line.asked for line in summary.sources] == pytest.approx([0.9, 0.1])
    assert [line.delivered for line in summary.sources] == pytest.approx([0.9, 0.1])
    drawn = plan.order_plan.order.take(0, 30_000)
    drawn = drawn[drawn >= 3000]
    kept = np.where(OF_EACH > 2048, 0, OF_EACH) if too_long == "skip" else left
    assert summary.sources[1].lost == pytest.approx(1 - kept[drawn].sum() / OF_EACH[drawn].sum(), abs=0.03)
    assert summary.sources[0].lost == 0
    assert any("weighed again" in note for note in summary.notes)
    assert "lost" in str(summary)


@pytest.mark.parametrize("too_long", ["truncate", "skip"])
@pytest.mark.parametrize("nested", [False, True])
def test_what_is_delivered_of_many_samples_is_counted_as_if_at_once(too_long, nested):
    """Lengths are read in blocks of 131,072 samples; here are two of them, and of books two too."""
    sizes = {"web": 100_000, "books": 140_001}
    lengths = RANDOM.integers(1, 3000, sum(sizes.values()))
    books = bw.balanced(np.arange(140_001) % 3, 8, target={0: 0.5, 1: 0.3, 2: 0.2}) if nested else sizes["books"]
    order = laws.quietly(lambda: bw.mixed({"web": 100_000, "books": books}, 32))
    plan = laws.quietly(lambda: bw.packed(lengths, 2048, packs=4, order=order, window=16, too_long=too_long))
    kept = np.where(lengths > 2048, 0, lengths) if too_long == "skip" else np.minimum(lengths, 2048)
    rates = plan.order_plan.rates(np.arange(lengths.size))
    drawn, left = (np.add.reduceat(rates * column, [0, 100_000]) for column in (lengths, kept))
    lines = {line.name: line for line in plan.delivery.lines}
    assert [lines[name].delivered for name in sizes] == pytest.approx((left / left.sum()).tolist(), rel=1e-9)
    assert [lines[name].lost for name in sizes] == pytest.approx((1 - left / drawn).tolist(), rel=1e-9)


@pytest.mark.parametrize("target", ["uniform", {0: 0.7, 1: 0.3}, targets.schedule("natural", "uniform", epochs=1)])
def test_shares_of_samples_hold_for_those_that_are_not_skipped(target):
    labels = (OF_EACH > 1500).astype(int)
    order = laws.quietly(lambda: bw.balanced(labels, 16, target=target, epoch=1000))
    plan = laws.quietly(lambda: bw.budgeted(OF_EACH, 2048, order=order, too_long="skip"))
    settled = plan.epoch(2)
    drawn = np.concatenate([settled[number] for number in range(len(settled))])
    wanted = [0.7, 0.3] if isinstance(target, dict) else [0.5, 0.5]
    assert np.bincount(labels[drawn]) / drawn.size == pytest.approx(wanted, abs=0.01)


def test_what_is_natural_or_whole_is_left_as_it_was():
    for target in ("natural", targets.in_units("natural", OF_EACH)):
        order = bw.mixed(LONGS, 32, target=target)
        assert laws.quietly(lambda order=order: bw.budgeted(OF_EACH, 6000, order=order)).order_plan is order
    order = bw.mixed(LONGS, 32)
    assert laws.quietly(lambda: bw.budgeted(OF_EACH, 2048, order=order, too_long="skip")).order_plan is order


@pytest.mark.filterwarnings("ignore:samples repeat:batchwright.PoorWarning")
def test_a_target_in_another_unit_than_what_is_cut_is_told():
    order = bw.mixed(LONGS, 32, target=targets.in_units(TENTH, OF_EACH * 7.5))
    with pytest.warns(bw.PoorWarning, match=r"units other than the lengths .* \d+ samples are truncated or skipped"):
        plan = bw.budgeted(OF_EACH, 2048, order=order, too_long="truncate")
    assert any("units other than" in note for note in plan.summary().notes)


def test_a_source_of_which_nothing_is_left_is_refused_by_name():
    lengths = np.repeat([10, 5000], [100, 10])
    for target in ("uniform", targets.in_units("uniform", lengths)):
        order = laws.quietly(lambda target=target: bw.mixed({"web": 100, "books": 10}, 8, target=target))
        with pytest.raises(bw.Infeasible, match=r"'books' is to have a share, and all of its 10 samples are too long"):
            bw.budgeted(lengths, 100, order=order, too_long="skip")
    none = laws.quietly(lambda: bw.mixed({"web": 100, "books": 10}, 8, target={"web": 1.0, "books": 0.0}))
    assert laws.quietly(lambda: bw.budgeted(lengths, 100, order=none, too_long="skip")).epoch_length() > 0


def test_tokens_are_mixed_as_asked_where_a_source_has_shares_of_its_own():
    """The mean length of what a balanced source draws is not that of its samples."""
    books = bw.balanced((OF_EACH[3000:] > 1500).astype(int), 8, target={0: 0.9, 1: 0.1})
    plan = laws.quietly(
        lambda: bw.mixed({"web": 3000, "books": books}, 32, target=targets.in_units(TENTH, OF_EACH), epoch=1000)
    )
    drawn = plan.order.take(0, 64_000)
    tokens = np.bincount(plan.groups.group_of(drawn), weights=OF_EACH[drawn])
    assert tokens / tokens.sum() == pytest.approx([0.9, 0.1], abs=0.003)
