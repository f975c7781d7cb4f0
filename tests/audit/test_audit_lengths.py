"""The audit of plans that cut by cost keeps what is kept; `test_broken_plans` is about what is broken."""

from __future__ import annotations

import numpy as np
import pytest

import batchwright as bw
from batchwright.audit import audit_lengths

from .. import laws

LENGTH_PLANS = [kind for kind, make in laws.EVERY_PLAN.items() if isinstance(make(0), laws.LengthPlan)]


@pytest.mark.parametrize("kind", LENGTH_PLANS)
@pytest.mark.parametrize("step_size", [1, 6])
def test_every_plan_is_kept(kind, step_size):
    audit = laws.EVERY_PLAN[kind](1).audit(step_size=step_size, epochs=2, first=3)
    assert audit.kept, str(audit)
    names = [finding.guarantee for finding in audit.findings]
    assert ("G8 open" in names) == ("shards" in kind)
    names = [name for name in names if name != "G8 open"]
    assert names[:4] == ["G1 budget", "G4 coverage", "G8 steps", "balance"]
    assert ("copies" in names) == (not laws.EVERY_PLAN[kind](1).same_samples)
    assert [name for name in names[4:] if name != "copies"] == ([] if kind == "bucketed" else ["padding"])
    assert (audit["balance"].worst == 0) == (step_size == 1)


@pytest.mark.parametrize("kind", LENGTH_PLANS)
def test_audit_summary_and_report_say_the_same_of_padding(kind):
    plan = laws.EVERY_PLAN[kind](1)
    summary, report, audit = plan.summary(), plan.report(), plan.audit()
    measured = [finding.worst for finding in audit.findings if finding.guarantee == "padding"]
    if kind == "bucketed":  # no shape says how much of it is padding
        assert (summary.padding, report.padding, measured) == (None, None, [])
        return
    exact = None if plan.same_samples else 0.1  # with an order, an audit measures complete windows
    assert report.padding.overall == pytest.approx(measured[0], rel=exact)
    if summary.measured == summary.windows:
        assert summary.padding == pytest.approx(measured[0], rel=exact)


def test_pairs_that_stay_together_are_kept():
    audit = bw.packed(laws.LENGTHS, 1024, together=np.arange(900) // 2).audit(step_size=2)
    assert audit.kept
    assert audit["G4 together"].worst == 0


def test_copies_in_a_micro_batch_of_two_passes_are_counted():
    with pytest.warns(bw.PoorWarning, match="samples repeat within a micro-batch"):
        plan = bw.grouped(laws.LENGTHS, 8, order=bw.shuffled(900, 8))
    audit = plan.audit(epochs=4)
    batches = [plan[batch] for batch in range(audit.first, audit.first + audit.batches)]
    most = max(batch.size - np.unique(batch).size for batch in batches)
    assert audit["copies"].worst == most > 0
    assert audit["copies"].bound == np.inf
    assert audit.kept


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(bw.Infeasible, match="epochs is 0"):
        audit_lengths(laws.EVERY_PLAN["budgeted"](0), epochs=0)


@pytest.mark.parametrize("plan", [bw.budgeted([5, 3, 8, 2], 16), bw.evaluation(9, batch_size=4)])
def test_an_audit_of_whole_epochs_says_so_where_batches_are_asked_for(plan):
    with pytest.raises(TypeError, match="'batches'; pass epochs=, of this plan complete epochs are measured"):
        plan.audit(batches=20)
    with pytest.raises(TypeError, match="'epochs'; pass batches=, the number of micro-batches"):
        bw.shuffled(9, 2).audit(epochs=1)
