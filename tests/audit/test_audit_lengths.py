"""The audit of plans that cut by cost keeps what is kept and finds what is broken."""

from __future__ import annotations

import numpy as np
import pytest

import batchwright as bw
from batchwright.audit import audit_lengths
from batchwright.lengths.admission import Admission

from .. import laws

LENGTH_PLANS = [kind for kind, make in laws.EVERY_PLAN.items() if isinstance(make(0), laws.LengthPlan)]


class Tampered(Admission):
    """An admission that somebody broke: what is handed out is not what was cut."""

    def emitted(self, items):
        return self.breaks(super().emitted(items))


def broken(plan, breaks):
    tampered = Tampered(**vars(plan.admission))
    object.__setattr__(tampered, "breaks", breaks)
    plan.admission = tampered
    return plan


@pytest.mark.parametrize("kind", LENGTH_PLANS)
@pytest.mark.parametrize("multiple", [1, 6])
def test_every_plan_is_kept(kind, multiple):
    audit = laws.EVERY_PLAN[kind](1).audit(multiple=multiple, epochs=2, first=3)
    assert audit.kept, str(audit)
    assert [finding.guarantee for finding in audit.findings] == [
        "G1 budget",
        "G4 coverage",
        "G8 steps",
        "balance",
        "padding",
    ]
    assert 0 <= audit["padding"].worst < 1
    assert (audit["balance"].worst == 0) == (multiple == 1)


def test_pairs_that_stay_together_are_kept():
    assert bw.packed(laws.LENGTHS, 1024, together=np.arange(900) // 2).audit(multiple=2).kept


@pytest.mark.parametrize(
    ("breaks", "guarantee"),
    [
        (lambda batch: batch[1:] if batch.size > 1 else batch, "G4"),
        (lambda batch: np.where(batch == 7, 8, batch), "G4"),
        (lambda batch: np.concatenate([batch, batch, batch]), "G1"),
    ],
)
@pytest.mark.parametrize("kind", ["budgeted", "two budgets", "budgeted epoch", "grouped", "bucketed", "packed"])
def test_a_broken_plan_is_found_out(kind, breaks, guarantee):
    audit = broken(laws.EVERY_PLAN[kind](1), breaks).audit()
    assert not audit[guarantee].kept
    assert audit[guarantee].where.startswith("epoch 0")
    assert "BROKEN" in str(audit)


def test_an_epoch_of_another_length_is_found_out():
    plan = laws.EVERY_PLAN["budgeted"](1)
    whole = plan.epoch(0, 2)

    class Longer(list):
        sections = whole.sections

    class Lengthened(type(plan)):
        def epoch_at(self, position):
            return Longer([*whole, whole[0]])

        def moved(self, position, epoch):
            return self.started(epoch, position.multiple)

    plan.__class__ = Lengthened
    assert plan.audit(multiple=2)["G8"].worst == 2  # one too many, and no whole step
    assert not plan.audit(multiple=2)["G8"].kept


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(bw.Infeasible, match="epochs is 0"):
        audit_lengths(laws.EVERY_PLAN["budgeted"](0), epochs=0)
