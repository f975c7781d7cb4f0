"""Plans by lengths over samples with several labels: their summary has the labels, as that of the order itself."""

from __future__ import annotations

import numpy as np
import pytest

import batchwright as bw

RANDOM = np.random.default_rng(0)
TAGS = [
    [name for name, part in (("sky", 0.7), ("sea", 0.3), ("owl", 0.05)) if RANDOM.random() < part] for _ in range(2000)
]
LENGTHS = RANDOM.integers(5, 120, 2000)
ORDER = bw.multilabel(TAGS, 32, target={"sky": 0.5, "sea": 0.4, "owl": 0.1})
PLANS = {
    "packed": lambda: bw.packed(LENGTHS, 512, order=ORDER, window=4),
    "budgeted": lambda: bw.budgeted(LENGTHS, 512, order=ORDER, window=4),
    "grouped": lambda: bw.grouped(LENGTHS, 8, order=ORDER, window=4),
    "bucketed": lambda: bw.bucketed(LENGTHS[:, None], 8, buckets=2, order=ORDER, window=4),
    "skipped": lambda: bw.packed(LENGTHS, 90, order=ORDER, window=4, too_long="skip"),
    "split": lambda: bw.packed(LENGTHS, 60, order=ORDER, window=4, too_long="split"),
}


@pytest.mark.parametrize("kind", PLANS)
def test_the_summary_says_what_micro_batches_hold_of_each_label(kind):
    plan = PLANS[kind]()
    summary = plan.summary()
    assert [line.name for line in summary.labels] == ["sky", "sea", "owl"]
    for line in summary.labels:
        assert f"{line.name:<5}" in str(summary)
    batches = [plan[number] for number in range(3 * plan.epoch_batches)]
    origin = plan.admission.numbers_in_order(2000)
    drawn = origin[np.concatenate(batches)]
    for line in summary.labels:
        held = np.array([line.name in tags for tags in TAGS])
        assert line.natural_rate == held.mean()
        assert line.reached_rate == pytest.approx(held[drawn].mean(), abs=0.02)
        assert line.per_batch == pytest.approx(held[drawn].sum() / len(batches), rel=0.1)


@pytest.mark.parametrize("kind", ["packed", "budgeted"])
def test_where_nothing_is_left_out_the_lines_are_those_of_the_order(kind):
    lines = zip(PLANS[kind]().summary().labels, ORDER.summary().labels, strict=True)
    for own, other in lines:
        assert (own.name, own.size, own.natural_rate, own.wanted_rate) == (
            other.name, other.size, other.natural_rate, other.wanted_rate,
        )  # fmt: skip
        assert own.reached_rate == pytest.approx(other.reached_rate, rel=1e-9)


def test_other_orders_have_no_labels():
    assert bw.packed(LENGTHS, 512, order=bw.shuffled(2000, 8), window=4).summary().labels == []
