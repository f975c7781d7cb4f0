"""The numbers of a report are those of the plan's micro-batches, of its audit and of its summary."""

from __future__ import annotations

import json
import pickle
import re
from collections import Counter

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.audit import Audit, Finding

from .. import laws
from ..examples import examples
from . import small


def drawn(plan, report, world_size=1, accumulate=1):
    in_steps = plan.stepped(world_size * accumulate)
    return [in_steps[report.walk.first + number] for number in range(report.walk.batches)]


@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
@pytest.mark.parametrize("kind", laws.EVERY_PLAN)
def test_every_kind_of_plan_has_a_report_of_numbers_and_a_page(kind):
    plan = laws.EVERY_PLAN[kind](3)
    report = plan.report(world_size=2, accumulate=2)
    batches = [batch[: plan.stepped(4).real(number)] for number, batch in enumerate(drawn(plan, report, 2, 2))]
    assert report.audit.kept
    assert report.walk.samples == sum(batch.size for batch in batches)
    assert report.shares.drawn.sum() == pytest.approx(1)
    assert report.shares.target.sum() == pytest.approx(1)
    assert report.composition.counts.sum(axis=0).tolist() == [
        batches[at].size for at in report.composition.micro_batches
    ]
    times = np.bincount(np.concatenate(batches), minlength=plan.groups.sample_count)
    assert report.passes.samples[1] == (times == 1).sum()
    assert report.passes.repeated == sum(batch.size - np.unique(batch).size for batch in batches)
    held = json.loads(json.dumps(report.to_dict()))
    assert held["composition"]["counts"] == report.composition.counts.tolist()
    assert 'id="numbers"' in report.html()


def test_shares_presence_passes_and_drift_are_counted_from_what_the_plan_yields():
    plan = small.animals()
    report = plan.report()
    batches = drawn(plan, report)
    names = np.array(report.shares.names)
    assert names.tolist() == ["cat", "dog", "eel", "yak"]
    labels = np.array(plan.groups.names)[plan.groups.group_of(np.concatenate(batches))]
    counts = Counter(labels.tolist())
    for row, name in enumerate(names.tolist()):
        members = plan.groups.samples(name)
        times = np.bincount(np.concatenate(batches), minlength=5000)[members]
        assert report.shares.drawn[row] == counts[name] / labels.size
        assert report.shares.natural[row] == small.SIZES[name] / 5000
        assert report.shares.target[row] == plan.shares()[plan.groups.names.index(name)]
        assert report.presence.drawn[row] == np.mean([np.isin(batch, members).any() for batch in batches])
        assert (report.passes.fewest[row], report.passes.most[row]) == (times.min(), times.max())
        assert report.passes.expected[row] == pytest.approx(report.shares.target[row] * labels.size / times.size)
    held = np.array([np.bincount(plan.groups.group_of(batch), minlength=4) for batch in batches])
    far = np.abs(held.cumsum(axis=0) - plan.shares() * 16 * np.arange(1, len(batches) + 1)[:, None])
    assert report.drift.worst.tolist() == pytest.approx(far.max(axis=1)[report.drift.micro_batches - 1].tolist())


def test_a_shuffle_holds_a_group_as_often_as_is_expected_of_it():
    sizes, batch_size = np.array([900, 70, 29, 1]), 20
    report = bw.balanced(bw.Groups.from_sizes(dict(enumerate(sizes.tolist()))), batch_size, target="natural").report()
    random = np.random.default_rng(0)
    seen = np.array([random.multivariate_hypergeometric(sizes, batch_size) > 0 for _ in range(20_000)]).mean(axis=0)
    assert report.presence.shuffled == pytest.approx(seen, abs=0.01)


@examples(15)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=60),
    batch_size=st.integers(1, 24),
    epoch=st.integers(0, 3),
    ranks=st.integers(1, 5),
)
@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
def test_the_worst_drift_is_that_of_the_audit(sizes, batch_size, epoch, ranks):
    plan = bw.balanced(bw.Groups.from_sizes(dict(enumerate(sizes))), batch_size)
    report = plan.report(epoch=epoch, world_size=ranks)
    audit = plan.audit(first=report.walk.first, batches=report.walk.batches)
    assert report.walk.first == epoch * plan.epoch_length(ranks)
    assert report.audit == plan.audit(first=report.walk.first, batches=min(1000, report.walk.batches))
    if epoch == 0 and report.walk.batches == report.walk.shown.size:
        assert report.drift.worst.max() == pytest.approx(audit["G3 drift"].worst, abs=1e-9)


def test_padding_waiting_and_the_bound_are_those_of_summary_and_audit():
    rounding = [256, 1024, 4096, 65536]
    for plan in (
        small.corpus(),
        bw.packed(small.LENGTHS, 4096, window=8),
        bw.grouped(small.LENGTHS, 32),
        bw.budgeted(small.LENGTHS, 65536, round_length=rounding),
    ):
        summary, report = plan.summary(8), plan.report(world_size=8)
        assert summary.measured == summary.windows
        assert report.padding.overall == pytest.approx(summary.padding)
        assert report.padding.overall == pytest.approx(report.audit["padding"].worst)
        assert report.cost.waiting == pytest.approx(summary.waiting)
        assert (report.padding.batches, report.padding.at_least) == (summary.batches, summary.at_least)


def test_lengths_and_costs_of_a_plan_of_a_fixed_size_are_arguments():
    plan = bw.shuffled(4000, 32)
    report = plan.report(world_size=2, lengths=small.LENGTHS)
    batches = [small.LENGTHS[batch] for batch in drawn(plan, report)]
    computed = np.array([batch.max() * batch.size for batch in batches])
    assert report.padding.overall == pytest.approx(1 - sum(batch.sum() for batch in batches) / computed.sum())
    pairs = computed.reshape(-1, 2)
    assert report.cost.waiting == pytest.approx(pairs.max(axis=1).sum() / pairs.mean(axis=1).sum())
    assert report.lengths.drawn.sum() == report.walk.samples
    assert report.lengths.data.sum() == 4000
    squares = plan.report(world_size=2, costs=small.LENGTHS**2).cost
    work = np.array([(batch**2).sum() for batch in batches]).reshape(-1, 2)
    assert squares.most.tolist() == work.max(axis=1)[squares.steps].tolist()


def test_many_groups_are_in_rows_of_several_and_none_is_left_out():
    plan = small.many_groups()
    report = plan.report()
    assert len(report.shares.names) == 40
    assert report.shares.group_counts.sum() == plan.groups.group_count == report.groups
    assert report.shares.sample_counts.sum() == 60_000
    assert report.shares.names[0].startswith("groups 1–")
    assert report.shares.sample_counts[0] == report.shares.sample_counts.max()


def test_an_epoch_that_is_too_long_is_measured_in_part_and_says_so():
    report = bw.shuffled(10**12, 15).report()
    assert str(report.walk).startswith("measured on the first 1,048,576 of 66,666,666,667 micro-batches")
    assert report.walk.shown.size == 160
    assert report.audit is None
    assert "the guarantees were not measured" in report.notes[-1]
    assert "guarantees" not in report.html().split("<script")[0].lower().split("notes")[0]


def test_the_page_is_one_file_that_names_no_other(tmp_path):
    path = tmp_path / "report.html"
    names = {"<script>alert(1)</script>": 50, "</script><img src=x>": 30, "dog & 'cat'": 20}
    report = bw.balanced(bw.Groups.from_sizes(names), 8).report(path, title="<b>")
    text = path.read_text()
    assert text == report.html()
    own = re.sub(r"<script>/\*.*?</script>|<script>\s*\n?/\*", "", text, flags=re.DOTALL)
    page, numbers = own.split('<script type="application/json" id="numbers">')
    assert "<script" not in page
    assert "<img" not in page
    assert not re.findall(r"(?:src|href)=\"(?!#)", page)
    assert "default-src 'none'" in page
    assert json.loads(numbers.split("</script>")[0])["shares"]["names"] == sorted(names, key=names.get, reverse=True)


def test_the_tables_of_the_page_have_the_numbers_of_the_report():
    report = small.corpus().report(world_size=4)
    page = report.html()
    tables = [
        re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL) for table in re.findall(r"<table.*?</table>", page, re.DOTALL)
    ]
    shares, *_, audit = [[re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table] for table in tables]
    assert [row[0] for row in audit[1:]] == [finding.guarantee for finding in report.audit.findings]
    worst = [finding.worst for finding in report.audit.findings]
    assert [float(row[2]) for row in audit[1:]] == pytest.approx(worst, rel=1e-3)
    assert [float(row[-1]) for row in shares[1:]] == pytest.approx(report.shares.drawn.tolist(), rel=1e-3)


@pytest.mark.parametrize(
    "name", ["shares", "composition", "presence", "passes", "repeats", "drift", "lengths", "padding", "cost"]
)
def test_every_table_goes_to_pandas_polars_and_arrow(name):
    table = small.corpus().report().tables[name]
    frame = table.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert pl.DataFrame(table).equals(table.to_polars())
    assert pa.table(table).equals(table.to_arrow())
    assert frame.to_dict("list") == table.columns() == table.to_arrow().to_pydict()
    assert len(frame) == len(table) == len(table[frame.columns[0]])


def test_a_report_is_shown_in_a_few_lines_and_in_a_notebook():
    report = small.corpus().report(world_size=4)
    assert str(report).splitlines()[1].startswith("measured on all")
    assert "\n" not in repr(report)
    assert report._repr_html_().startswith("<iframe srcdoc=")


def test_a_broken_guarantee_is_named_in_the_page_and_in_the_text():
    plan = small.animals()
    audit = Audit(0, 9, (Finding("G2 quota", 0.0, 1.0, "micro-batch 3, group 'cat'"),))
    report = plan.report(audit=audit)
    assert "a guarantee is BROKEN" in str(report)
    assert '<span class="broken">BROKEN</span>' in report.html()
    assert "BROKEN" not in plan.report().html().split("<section")[-1]


def test_a_plan_that_was_plotted_is_pickled_and_stepped_without_what_was_measured():
    plan = small.corpus()
    plan.plot.report.html()
    assert b"batchwright.report" not in pickle.dumps(plan)
    assert plan.stepped(2).plot.report is not plan.plot.report


@pytest.mark.parametrize("world", [1, 3, 4])
@pytest.mark.parametrize(
    "limits", [{"max_tokens": 4096}, {"max_tokens": 4096, "order": "length"}, {"capacity": 4096, "order": "length"}]
)
def test_an_evaluation_by_lengths_knows_its_padding_and_costs(limits, world):
    plan = bw.evaluation(small.LENGTHS, **limits)
    summary, report = plan.summary(world), plan.report(world_size=world)
    in_steps = plan.stepped(world)
    held = [small.LENGTHS[batch[: in_steps.real(number)]] for number, batch in enumerate(drawn(plan, report, world))]
    work = [batch.sum() if "capacity" in limits else batch.max(initial=0) * batch.size for batch in held]
    assert report.padding.overall == pytest.approx(summary.padding)
    assert report.padding.overall == pytest.approx(1 - sum(map(np.sum, held)) / sum(work))
    steps = np.array(work, float).reshape(-1, world)
    assert report.cost.waiting == pytest.approx(steps.max(axis=1).sum() / steps.mean(axis=1).sum())
    assert report.cost.most.tolist() == steps.max(axis=1)[report.cost.steps].tolist()
    assert report.lengths.data.sum() == report.lengths.drawn.sum() == 4000
    told = plan.report(world_size=world, lengths=small.LENGTHS)
    assert (told.padding.overall, told.cost.waiting) == (report.padding.overall, report.cost.waiting)


def test_lengths_that_float64_cannot_tell_apart_have_a_picture():
    report = bw.shuffled(8, 4).report(lengths=np.full(8, 2**62))
    assert report.lengths.data.sum() == report.lengths.drawn.sum() == 8
