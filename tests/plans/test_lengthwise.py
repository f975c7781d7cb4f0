"""Laws of the plans that cut by cost: limits, whole epochs, equal work, policies, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from ..examples import examples
from ..laws import quietly

few = examples(25)
COLUMNS = st.lists(st.integers(1, 40), min_size=40, max_size=400)
WINDOWS = st.sampled_from(["epoch", 4, 16])
STEP_SIZES = st.integers(1, 6)
DRAW = np.random.default_rng(0)
LENGTHS = np.clip(DRAW.lognormal(5, 1, 20_000), 16, 1024).astype(int)
LABELS = np.repeat([0, 1], [18_000, 2_000])


def whole_epochs(plan, count, step_size):
    """The micro-batches of two epochs; every sample once in each, the same number in both, and not the same ones."""
    epochs = [plan.epoch(number, step_size)[:] for number in (0, 7)]
    for batches in epochs:
        assert sorted(np.concatenate(batches)) == list(range(count))
        assert min(map(len, batches)) >= 1
    assert len(epochs[0]) == len(epochs[1]) == plan.epoch_length(step_size)
    assert len(epochs[0]) % step_size == 0
    return epochs[0] + epochs[1]


@few
@given(COLUMNS, st.integers(80, 300), WINDOWS, STEP_SIZES, st.booleans(), st.none() | st.integers(2, 9))
def test_no_micro_batch_is_over_its_budget(lengths, budget, window, step_size, padded, most):
    plan = bw.budgeted(lengths, budget, window=window, padded=padded, max_samples=most)
    lengths = np.array(lengths)
    for batch in whole_epochs(plan, lengths.size, step_size):
        inside = lengths[batch]
        assert (inside.max() * inside.size if padded else inside.sum()) <= budget
        assert batch.size <= (most or batch.size)


@few
@given(COLUMNS, COLUMNS, WINDOWS, STEP_SIZES)
def test_no_micro_batch_is_over_any_of_several_budgets(text, image, window, step_size):
    count = min(len(text), len(image))
    table = {"text": np.array(text[:count]), "image": np.array(image[:count])}
    plan = bw.budgeted(table, {"text": 90, "image": 130}, padded={"text": True, "image": False}, window=window)
    for batch in whole_epochs(plan, count, step_size):
        assert table["text"][batch].max() * batch.size <= 90
        assert table["image"][batch].sum() <= 130


@few
@given(COLUMNS, st.integers(80, 120), WINDOWS, STEP_SIZES, st.integers(1, 3), st.none() | st.integers(2, 5))
def test_no_pack_is_over_its_capacity(lengths, capacity, window, step_size, packs, most):
    plan = bw.packed(lengths, capacity, packs=packs, window=window, max_per_pack=most)
    lengths = np.array(lengths)
    for batch in whole_epochs(plan, lengths.size, step_size):
        parts = plan.packs(batch)
        assert np.concatenate(parts).tolist() == batch.tolist()
        assert 1 <= len(parts) <= packs
        assert all(lengths[part].sum() <= capacity and 1 <= part.size <= (most or 999) for part in parts)


@few
@given(COLUMNS, COLUMNS, st.integers(1, 3), STEP_SIZES)
def test_no_pack_is_over_any_of_several_capacities(text, image, packs, step_size):
    count = min(len(text), len(image))
    table = {"text": np.array(text[:count]), "image": np.array(image[:count])}
    plan = bw.packed(table, {"text": 60, "image": 90}, packs=packs, window=8)
    for batch in whole_epochs(plan, count, step_size):
        parts = plan.packs(batch)
        assert len(parts) <= packs
        assert all(table["text"][part].sum() <= 60 and table["image"][part].sum() <= 90 for part in parts)


@few
@given(st.lists(st.integers(1, 20), min_size=50, max_size=200), st.integers(1, 3), STEP_SIZES)
def test_what_belongs_together_stays_in_one_pack(lengths, packs, step_size):
    pairs = np.arange(len(lengths)) // 2
    plan = bw.packed(lengths, 64, packs=packs, together=pairs, window=8)
    for batch in whole_epochs(plan, len(lengths), step_size):
        parts = plan.packs(batch)
        assert len(parts) <= packs
        for part in parts:
            assert sum(lengths[i] for i in part) <= 64
            inside = pairs[part]
            assert all((inside == pair).sum() == (pairs == pair).sum() for pair in inside)


@few
@given(COLUMNS, st.integers(2, 9), WINDOWS, STEP_SIZES, st.booleans())
def test_grouped_micro_batches_have_their_size(lengths, size, window, step_size, level):
    plan = bw.grouped(lengths, size, window=window, level=level)
    batches = whole_epochs(plan, len(lengths), step_size)
    if not level:
        assert max(map(len, batches)) <= size
    for step in range(0, len(batches), step_size):
        assert sum(map(len, batches[step : step + step_size])) <= size * step_size


def test_grouped_micro_batches_are_all_full_where_they_can_be():
    assert {batch.size for batch in bw.grouped(LENGTHS[:19_200], 16, window=60).epoch(3, 4)} == {16}


@few
@given(st.lists(st.sampled_from([(1, 1), (2, 1), (1, 2), (4, 1), (8, 4)]), min_size=60, max_size=300), STEP_SIZES)
def test_a_bucketed_micro_batch_is_of_one_bucket_and_so_is_a_step_of_large_buckets(shapes, step_size):
    plan = bw.bucketed(shapes, 7, buckets=[(1, 1), (2, 1), (1, 2), (4, 1)])
    nearest = {(1, 1): 0, (2, 1): 1, (1, 2): 2, (4, 1): 3, (8, 4): 1}
    bucket_of = np.array([nearest[shape] for shape in shapes])
    held = np.bincount(bucket_of, minlength=4)
    batches = whole_epochs(plan, len(shapes), step_size)
    assert max(map(len, batches)) <= 7
    for batch in batches:
        assert len(set(bucket_of[batch])) == 1
        assert plan.bucket(batch).tolist() == plan.buckets[bucket_of[batch[0]]].tolist()
    if ((held == 0) | (held >= step_size)).all():
        for step in range(0, len(batches), step_size):
            assert len({int(bucket_of[batch[0]]) for batch in batches[step : step + step_size]}) == 1


def test_buckets_from_the_data_hold_equal_masses():
    shapes = np.column_stack([np.full(8000, 512), DRAW.integers(128, 2048, 8000)])
    plan = bw.bucketed(shapes, 16, buckets=8)
    held = np.bincount(plan.cutter.bucket_of[:])
    assert held.size == 8
    assert held.max() <= 1.02 * held.min()


LEVEL_COLUMN = np.clip(np.random.default_rng(0).lognormal(5, 1, 60_000), 16, 1024).astype(int)


@pytest.mark.parametrize(
    ("plan", "most"),
    [
        (lambda: bw.budgeted(LEVEL_COLUMN, 16384, window="epoch"), 1.005),
        (lambda: bw.budgeted(LEVEL_COLUMN, 16384, window=200), 1.005),
        (lambda: bw.budgeted(LEVEL_COLUMN, 16384, padded=False), 1.005),
        (lambda: bw.packed(LEVEL_COLUMN, 16384, window="epoch"), 1.001),
        (lambda: bw.packed(LEVEL_COLUMN, 16384, window=200), 1.001),
        (lambda: bw.packed(LEVEL_COLUMN, 4096, packs=4, window=200), 1.001),
        (lambda: bw.grouped(LEVEL_COLUMN, 16, window="epoch", level=True), 1.05),
    ],
)
def test_the_ranks_of_every_step_carry_near_equal_cost(plan, most):
    plan = plan()
    costs = np.array([plan.cutter.cost(batch) for epoch in range(2) for batch in plan.epoch(epoch, 32)])
    steps = costs.reshape(-1, 32)
    assert (steps.max(1) / steps.mean(1)).max() <= most
    assert plan.audit(step_size=32).kept


OTHER_COLUMN = np.where(DRAW.random(60_000) < 0.4, 0, np.clip(DRAW.lognormal(5.5, 0.7, 60_000), 64, 2048)).astype(int)
SUPERVISED = (LEVEL_COLUMN * DRAW.beta(2, 2, 60_000)).astype(int)
TWO_COLUMNS, TWO_LIMITS = {"text": LEVEL_COLUMN, "vision": OTHER_COLUMN}, {"text": 16_384, "vision": 24_000}


@pytest.mark.parametrize("window", [100, 1024])
@pytest.mark.parametrize(
    ("make", "columns"),
    [
        (
            lambda window: bw.budgeted(TWO_COLUMNS, TWO_LIMITS, padded=False, window=window),
            [LEVEL_COLUMN, OTHER_COLUMN],
        ),
        (lambda window: bw.packed(TWO_COLUMNS, TWO_LIMITS, window=window), [LEVEL_COLUMN, OTHER_COLUMN]),
        (
            lambda window: bw.budgeted(LEVEL_COLUMN, 16_384, padded=False, balance=SUPERVISED, window=window),
            [LEVEL_COLUMN, SUPERVISED],
        ),
        (lambda window: bw.packed(LEVEL_COLUMN, 4096, packs=4, balance=SUPERVISED, window=window), [SUPERVISED]),
        (
            lambda window: bw.packed(LEVEL_COLUMN, 4096, packs=4, cost=lambda n: n + n**2 / 1024, window=window),
            [LEVEL_COLUMN + LEVEL_COLUMN**2 / 1024],
        ),
    ],
)
def test_the_ranks_of_every_step_carry_near_equal_parts_of_every_kind(make, columns, window):
    plan = make(window)
    batches = plan.epoch(0, 32)[:]
    for column in columns:
        steps = np.array([column[batch].sum() for batch in batches]).reshape(-1, 32)
        assert (steps.max(1) / steps.mean(1)).max() <= 1.006
    assert plan.audit(step_size=32).kept
    assert plan.summary(32).worst_step <= 1.006


def test_a_step_is_level_in_what_belongs_together_and_in_padded_batches_by_their_balance():
    pairs = np.arange(60_000) // 2
    plan = bw.packed(LEVEL_COLUMN, 4096, packs=4, balance=SUPERVISED, together=pairs, window=100)
    costs = np.array([SUPERVISED[batch].sum() for batch in plan.epoch(0, 32)]).reshape(-1, 32)
    assert (costs.max(1) / costs.mean(1)).max() <= 1.006
    padded = bw.budgeted(LEVEL_COLUMN, 16_384, balance=SUPERVISED, window=1024)
    assert padded.cutter.cost(padded[3]) == SUPERVISED[padded[3]].sum()
    assert padded.fingerprint != bw.budgeted(LEVEL_COLUMN, 16_384, window=1024).fingerprint
    assert (
        padded.summary(32).step_balance < bw.budgeted(LEVEL_COLUMN, 16_384, window=100).summary(32).step_balance + 0.02
    )


@pytest.mark.parametrize("order", ["balanced", "mixed"])
def test_packs_over_an_order_pad_little_more_than_packs_of_a_shuffle(order):
    """At most 1.3 times as much and one pack, though an epoch over an order does not end with its samples."""
    labels, half = np.arange(LENGTHS.size) % 7, LENGTHS.size // 2
    orders = {
        "balanced": bw.balanced(labels, 64),
        "mixed": bw.mixed({"a": half, "b": bw.balanced(labels[half:], 16)}, 64),
    }
    for step_size in (1, 8):
        plain, over = bw.packed(LENGTHS, 4096), quietly(lambda: bw.packed(LENGTHS, 4096, order=orders[order]))
        one_pack = 1 / over.epoch_length(step_size)
        assert over.summary(step_size).padding <= 1.3 * plain.summary(step_size).padding + one_pack


def test_padding_falls_as_the_window_grows():
    padding = [bw.budgeted(LENGTHS, 8192, window=window).summary().padding for window in (8, 32, 128, "epoch")]
    assert padding == sorted(padding, reverse=True)
    assert padding[-1] < 0.004


def test_a_cost_function_is_the_budgets_unit():
    plan = bw.budgeted(LENGTHS, 40_000, padded=False, cost=lambda n: n + n**2 / 512)
    costs = LENGTHS + LENGTHS**2 / 512
    assert max(costs[batch].sum() for batch in plan.epoch(0)) <= 40_000 * (1 + 1e-12)


def test_shapes_come_from_the_menu():
    menu = [64, 256, 1024]
    plan = bw.budgeted(LENGTHS, 8192, round_length=menu, round_count=8, window="epoch")
    counts = set()
    for batch in plan.epoch(0):
        longest = menu[np.searchsorted(menu, LENGTHS[batch].max())]
        assert longest * batch.size <= 8192
        counts.add((longest, batch.size))
    assert sum(count % 8 != 0 for _, count in counts) <= 3  # what is left over at the end, and its halves
    assert len(counts) <= 8


@pytest.mark.parametrize("window", [16, "epoch"])
def test_samples_that_are_too_long(window):
    lengths = np.where(np.arange(400) % 100 == 7, 99, 10)
    alone = bw.budgeted(lengths, 50, too_long="alone", window=window)
    sizes = {sample: batch.size for batch in alone.epoch(0, 2) for sample in batch.tolist()}
    assert all(sizes[sample] == 1 for sample in range(7, 400, 100))
    skipped = bw.budgeted(lengths, 50, too_long="skip", window=window)
    assert sorted(np.concatenate(skipped.epoch(0, 2)[:])) == np.flatnonzero(lengths < 50).tolist()
    assert skipped.summary().too_long_count == 4
    cut = bw.budgeted(lengths, 50, too_long="truncate", window=window)
    assert cut.admission.truncate_to == 50
    assert all(np.minimum(lengths[batch], 50).max() * batch.size <= 50 for batch in cut.epoch(0, 2))
    packed = bw.packed(lengths, 50, too_long="skip", window=window)
    assert sorted(np.concatenate(packed.epoch(1, 3)[:])) == np.flatnonzero(lengths < 50).tolist()


def test_balanced_and_ragged_at_once():
    plan = quietly(lambda: bw.budgeted(LENGTHS, 16_384, order=bw.balanced(LABELS, 64), window=32))
    period, length = plan.stepped(4).windows.batches_between_boundaries, plan.epoch_length(4)
    drawn = np.concatenate(plan.epoch(0, 4)[: length // period * period])  # in whole windows: an epoch ends within one
    assert np.ptp(np.bincount(LABELS[drawn])) <= 8
    assert plan.sampled_prior.tolist() == [0.5, 0.5]
    assert plan.weights([0]).tolist() == bw.balanced(LABELS, 64).weights([0]).tolist()
    summary = plan.summary(4)
    assert summary.composition > 0
    assert "share of the window" in str(summary)


def test_the_summary_is_of_the_whole_first_epoch():
    labels = np.repeat([0, 1, 2], [12_000, 7_000, 1_000])
    plan = bw.budgeted(LENGTHS, 4096, order=bw.balanced(labels, 60), window=32)
    summary, in_steps = plan.summary(4), plan.stepped(4)
    period, length = in_steps.windows.batches_between_boundaries, in_steps.epoch_batches
    assert summary.measured == -(-length // period) > 5  # the last is measured whole
    assert summary.epoch_batches == length
    assert summary.batches == summary.measured * period
    farthest = 0.0
    for first in range(0, length, period):
        batches = [in_steps[number] for number in range(first, first + period)]
        share = np.bincount(labels[np.concatenate(batches)], minlength=3) / sum(map(len, batches))
        for batch in batches:
            farthest = max(farthest, np.abs(np.bincount(labels[batch], minlength=3) - share * batch.size).max())
    assert summary.composition == pytest.approx(farthest)
    audit = plan.audit(step_size=4)
    assert summary.worst_step - 1 == pytest.approx(audit["balance"].worst)
    assert summary.padding == pytest.approx(audit["padding"].worst)


@pytest.mark.parametrize(
    ("build", "facts"),
    [
        (lambda: bw.budgeted([5, 900, 7], 100), ["sample 1", "900", "100"]),
        (lambda: bw.budgeted([5, 9], 100, cost=lambda n: n**3), ["sample 0", "5", "125", "100"]),
        (lambda: bw.budgeted({"a": [5], "b": [7]}, {"a": 5, "b": 6}), ["sample 0", "b 7", "6"]),
        (lambda: bw.budgeted([5, 900], 100, round_length=[10, 64]), ["sample 1", "900", "64"]),
        (lambda: bw.budgeted([5], 9, too_long="split"), ["'split'"]),
        (lambda: bw.budgeted({"a": [5]}, 9), ["dict", "int"]),
        (lambda: bw.budgeted({"a": [5]}, {"b": 9}), ["'a'", "'b'"]),
        (lambda: bw.budgeted([5], 9, window=0), ["window is 0"]),
        (lambda: bw.budgeted([], 9), ["0 lengths"]),
        (lambda: bw.budgeted([1, 2], 9, order=bw.shuffled(3, 1)), ["3 samples", "2 lengths"]),
        (lambda: bw.budgeted([1, 2], 9).epoch(0, 4), ["2 samples", "multiple of 4"]),
        (lambda: bw.packed([5, 900, 7], 100), ["sample 1", "900", "100"]),
        (lambda: bw.packed([5, 0], 100), ["sample 1", "0"]),
        (lambda: bw.packed([60, 50], 100, together=["x", "x"]), ["samples 0, 1", "110", "100"]),
        (lambda: bw.packed([5], 9, packs=0), ["packs is 0"]),
        (lambda: bw.packed([5, 6], 9, balance=[1]), ["1 numbers", "2 lengths"]),
        (lambda: bw.packed([5], 9, balance=[1], cost=lambda n: n), ["balance", "cost"]),
        (lambda: bw.budgeted([5, 6], 9, balance=[3, -1]), ["sample 1", "-1"]),
        (lambda: bw.packed([5], 9, too_long="alone"), ["'alone'"]),
        (lambda: bw.grouped([5], 0), ["batch_size is 0"]),
        (lambda: bw.bucketed([(1, 0)], 2), ["side 1 of sample 0", "is 0", "above 0"]),
        (lambda: bw.bucketed([(1, 1)], 2, buckets=0), ["buckets is 0"]),
    ],
)
def test_refusals_name_the_fact_and_the_way_out(build, facts):
    with pytest.raises(bw.Infeasible) as refusal:
        build()
    assert all(fact in refusal.value.fact for fact in facts), refusal.value.fact
    assert refusal.value.way_out.startswith("pass ")


def test_a_length_in_another_unit_than_elements_is_no_truncation_of_elements():
    seconds = np.arange(1, 60) / 2 + 0.25
    with pytest.warns(bw.PoorWarning, match="plan.truncate_to=20 is in their unit, such as seconds, and bw.ragged"):
        assert bw.budgeted(seconds, 20.0, too_long="truncate").truncate_to == 20
    assert bw.budgeted(seconds, 40.0, too_long="truncate").truncate_to is None
    frames = bw.budgeted(seconds * 100, 2000, too_long="truncate")
    assert frames.truncate_to == 2000


def test_buckets_do_not_claim_to_know_their_padding():
    seconds = np.array([3.0, 7.0, 9.0, 30.0] * 10)
    plan = bw.bucketed(seconds[:, None], 4, buckets=[(5,), (10,), (42,)])
    assert plan.summary().padding is None
    assert "padding is not known" in str(plan.summary())
    assert bw.budgeted(seconds, 90.0).summary().padding is not None


@given(
    rounding=st.sampled_from([1, 8, [16, 32, 64], [40]]),
    padded=st.booleans(),
    too_long=st.sampled_from(["refuse", "truncate", "skip", "alone"]),
    cost=st.sampled_from([None, lambda lengths: lengths + lengths**2 / 64]),
    world=st.integers(1, 3),
)
def test_padding_is_what_batches_rounded_up_have_beyond_their_tokens(rounding, padded, too_long, cost, world):
    lengths = np.random.default_rng(0).integers(1, 60, 300)
    if (too_long == "refuse" and rounding == [40]) or (too_long == "truncate" and cost is not None):
        return
    options = {"round_length": rounding, "padded": padded, "too_long": too_long, "cost": cost}
    plan = bw.budgeted(lengths, 256, window="epoch", **options)
    left = lengths if plan.truncate_to is None else np.minimum(lengths, plan.truncate_to)
    steps = np.atleast_1d(rounding)
    rounded = left if rounding == 1 else -(-left // 8) * 8 if rounding == 8 else steps[
        np.minimum(np.searchsorted(steps, left), steps.size - 1)]  # fmt: skip
    rounded = np.maximum(rounded, left)  # those above the last of a list are alone, as they are
    epoch = list(plan.epoch(0, world))
    computed = sum(rounded[one].max() * one.size if padded else rounded[one].sum() for one in epoch)
    wanted = 1 - sum(left[one].sum() for one in epoch) / computed
    assert plan.summary(world).padding == pytest.approx(wanted)
    assert plan.audit(step_size=world)["padding"].worst == pytest.approx(wanted)
    assert plan.report(world_size=world).padding.overall == pytest.approx(wanted)
