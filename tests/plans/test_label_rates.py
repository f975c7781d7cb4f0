"""What micro-batches of samples with several labels hold of each label: summary, audit and report beside plain counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.inputs.label_sets import LabelRates, label_sets

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")


@given(
    tags=st.lists(st.sets(st.sampled_from("abcd")).map(sorted), min_size=1, max_size=30),
    batches=st.integers(1, 4),
    size=st.integers(1, 9),
    data=st.data(),
)
def test_counts_are_those_of_a_loop(tags, batches, size, data):
    names, starts, numbers = label_sets([*tags, list("abcd")])
    drawn = data.draw(st.lists(st.integers(0, len(tags)), min_size=batches * size, max_size=batches * size))
    drawn = np.array(drawn).reshape(batches, size)
    found = LabelRates(names, starts, numbers, *np.zeros((3, 4))).counts(drawn)
    lists = [*tags, list("abcd")]
    assert found.tolist() == [[sum(name in lists[sample] for sample in batch) for name in names] for batch in drawn]


def test_summary_audit_and_report_say_what_each_label_has():
    generator = np.random.default_rng(0)
    tags = [
        [t for t, p in zip("abcde", (0.6, 0.3, 0.1, 0.05, 0.01), strict=True) if generator.random() < p]
        for _ in range(2000)
    ]
    plan = bw.multilabel(tags, 16)
    counts = np.array([[sum(t in tags[i] for i in plan[n]) for t in "abcde"] for n in range(plan.epoch_batches)])
    lines = {line.name: line for line in plan.summary().labels}
    rates = bw.multilabel_weights(tags)
    assert [lines[t].size for t in "abcde"] == [sum(t in one for one in tags) for t in "abcde"]
    assert [lines[t].reached_rate for t in "abcde"] == rates.reached.tolist()
    assert [lines[t].per_batch for t in "abcde"] == pytest.approx(counts.mean(axis=0), abs=0.1)
    assert "label" in str(plan.summary()).splitlines()[1]
    table = plan.report().tables["labels"].to_pandas().set_index("label").loc[list("abcde")]
    assert table["drawn"].tolist() == pytest.approx(counts.mean(axis=0) / 16)
    assert table["fewest"].tolist() == counts.min(axis=0).tolist()
    assert table["most"].tolist() == counts.max(axis=0).tolist()
    assert table["batches without"].tolist() == pytest.approx((counts == 0).mean(axis=0))
    finding = plan.audit(batches=plan.epoch_batches)["label rate"]
    assert finding.worst == pytest.approx(np.abs(counts.mean(axis=0) / 16 - rates.reached).max())
    assert not finding.promised


def test_other_plans_have_no_labels():
    plan = bw.balanced([0, 1] * 50, 4)
    assert plan.summary().labels == []
    assert "labels" not in plan.report().tables
    assert "label rate" not in str(plan.audit(batches=5))
