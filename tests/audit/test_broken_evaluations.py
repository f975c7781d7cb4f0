"""Plans for evaluation that somebody broke on purpose: the audit names what is broken, and every finding can be."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import batchwright as bw
from batchwright.plans.evaluation import EvaluationPlan

from ..laws import EVERY_PLAN, LENGTHS
from .breaking import at, broken, changed

RANKS = 3
EVEN = bw.evaluation(100, 4)
TOKENS = bw.evaluation(LENGTHS[:100], max_tokens=2048)
FEW = bw.evaluation(LENGTHS[:2], capacity=2048)  # fewer samples than ranks


def exchanged(plan, batch):
    """Two micro-batches of a step are exchanged."""
    return plan[7 - batch] if batch in (3, 4) else plan[batch]


def two_in_one(plan, batch):
    """A micro-batch has the samples of another too, which has none."""
    if batch == 4:
        return np.concatenate([plan[4], plan[5]])
    return plan[batch][:0] if batch == 5 else plan[batch]


FAULTS = {
    "a sample too many": (EVEN, at(4, lambda samples: np.append(samples, 7)), {"G1 limit", "G8 even", "G8 fillers"}),
    "a sample too few": (EVEN, at(4, lambda samples: samples[:-1]), {"G4 coverage", "G4 order", "G8 even"}),
    "a sample for another": (EVEN, at(4, lambda samples: changed(samples, 0, 7)), {"G4 coverage", "G4 order"}),
    "a number of no sample": (EVEN, at(4, lambda samples: changed(samples, 0, -1)), {"G4 coverage", "G4 order"}),
    "a number past the last sample": (
        EVEN,
        at(4, lambda samples: changed(samples, 0, 100)),
        {"G4 coverage", "G4 order"},
    ),
    "samples in another order": (EVEN, at(4, lambda samples: samples[::-1]), {"G4 order"}),
    "micro-batches in another order": (EVEN, exchanged, {"G4 order"}),
    "fillers too many": (EVEN, at(25, lambda samples: np.append(samples, [7, 7])), {"G8 even", "G8 fillers"}),
    "a micro-batch over the budget": (
        TOKENS,
        at(4, lambda samples: np.append(samples, np.arange(90, 99))),
        {"G1 limit", "G8 fillers"},
    ),
    "two micro-batches in one": (TOKENS, two_in_one, {"G1 limit", "G4 coverage", "G4 order", "G8 steps", "G8 fillers"}),
    "a rank without work": (FEW, at(2, lambda samples: samples[:0]), {"G8 steps"}),
    "two fillers for one": (FEW, at(2, lambda samples: np.repeat(samples, 2)), {"G8 fillers"}),
}


def names_of(audit, *, kept=None):
    return {found.guarantee for found in audit.findings if found.promised and (kept is None or found.kept is kept)}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_audit_names_what_is_broken(fault):
    plan, breaks, expected = FAULTS[fault]
    assert plan.audit(step_size=RANKS).kept
    assert names_of(broken(plan, breaks).audit(step_size=RANKS), kept=False) == expected


class CountsFillers(EvaluationPlan):
    """A plan that says fillers count."""

    def real(self, batch):
        return len(self[batch])


class FillsFirst(EvaluationPlan):
    """A plan that says the first list of the last step has the filler."""

    def real(self, batch):
        return super().real(batch) - (batch == 24) + (batch == 26)


class Odd(EvaluationPlan):
    """A plan whose epochs do not end with a step."""

    def stepped(self, step):
        return copy.copy(self)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (CountsFillers, {"G4 coverage", "G4 order"}),
        (FillsFirst, {"G4 coverage", "G4 order", "G8 fillers"}),
        (Odd, {"G8 even", "G8 steps", "G8 fillers"}),
    ],
)
def test_an_audit_sees_that_a_plan_says_what_is_not_so(kind, expected):
    plan = bw.evaluation(98, 4)  # one sample for the last of three lists, and a filler
    plan.__class__ = kind
    assert names_of(plan.audit(step_size=3), kept=False) <= expected
    assert names_of(plan.audit(step_size=3), kept=False)


def test_every_finding_is_failed_by_a_broken_plan():
    """A finding that no broken plan fails would be a check that cannot fail."""
    plans = [plan for make in EVERY_PLAN.values() if isinstance(plan := make(1), EvaluationPlan)]
    assert len(plans) > 4
    promised = set().union(*(names_of(plan.audit(step_size=2)) for plan in plans))
    assert promised == set().union(*(expected for *_, expected in FAULTS.values()))


def test_balance_is_told():
    whole, skewed = TOKENS.audit(step_size=RANKS), broken(TOKENS, two_in_one).audit(step_size=RANKS)
    assert not whole["balance"].promised
    assert whole["balance"].worst < 0.5 < skewed["balance"].worst


def test_a_summary_is_what_the_plan_does():
    for plan in (EVEN, TOKENS, FEW):
        found, in_steps = plan.summary(RANKS), plan.stepped(RANKS)
        sizes = [len(in_steps[batch]) for batch in range(in_steps.epoch_batches)]
        real = [in_steps.real(batch) for batch in range(in_steps.epoch_batches)]
        assert (found.steps * RANKS, found.samples) == (len(sizes), sum(real))
        assert (found.fillers, found.idle) == (sum(sizes) - sum(real), real.count(0))
    longest = [LENGTHS[TOKENS[batch]].max() * len(TOKENS[batch]) for batch in range(TOKENS.epoch_batches)]
    assert TOKENS.summary(1).padding == pytest.approx(1 - LENGTHS[:100].sum() / sum(longest))
    assert "100 samples once each" in str(EVEN.summary(RANKS))
    assert str(EVEN.audit(step_size=RANKS)).count("kept") == 6


def test_an_audit_of_more_samples_than_it_can_count_is_refused():
    with pytest.raises(bw.Infeasible, match="an audit counts every sample"):
        bw.evaluation(10**9, 4).audit()
    assert bw.evaluation(10**3, 4).audit().kept
