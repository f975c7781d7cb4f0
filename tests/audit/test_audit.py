"""The audit finds every kind of broken promise, and says where."""

from __future__ import annotations

import numpy as np
import pytest

import batchwright as bw
from batchwright.orders import Dealt
from batchwright.plans import FixedPlan


class Tampered(Dealt):
    """A dealt order that is broken on purpose."""

    def batches_at(self, numbers):
        return self.breaks(super().batches_at(numbers), int(numbers[0]))


@pytest.fixture
def audited():
    def run(breaks, sizes=(40, 40, 20), batch_size=12):
        plan = bw.balanced(bw.Groups.from_sizes(dict(enumerate(sizes))), batch_size)
        order = plan.order
        broken = Tampered(order.groups, order.shares, batch_size=order.batch_size, seed=0)
        broken.breaks = breaks
        return FixedPlan(broken, epoch_batches=plan.epoch_batches).audit(batches=200)

    return run


def test_an_untouched_plan_is_kept_and_every_guarantee_is_listed(audited):
    audit = audited(lambda samples, first: samples)
    assert audit.kept
    assert [finding.guarantee.split()[0] for finding in audit.findings] == ["G1", "G2", "G3", "G4", "G5", "G6", "G6"]
    assert "BROKEN" not in str(audit)


@pytest.mark.parametrize(
    ("breaks", "guarantees"),
    [
        (lambda samples, first: samples[:, :-1], ["G1"]),
        (lambda samples, first: np.where(samples == 3, 85, samples), ["G2", "G4"]),
        (lambda samples, first: np.where(samples == 3, 4, samples), ["G4", "G5"]),
        (lambda samples, first: np.where(samples >= 80, 5, samples), ["G2", "G3", "G4", "G5", "G6"]),
    ],
)
def test_a_broken_plan_is_found_out(audited, breaks, guarantees):
    audit = audited(breaks)
    assert not audit.kept
    for guarantee in guarantees:
        assert not audit[guarantee].kept, guarantee
        assert "micro-batch" in audit[guarantee].where
    assert "BROKEN" in str(audit)


def test_drift_alone_is_found_out(audited):
    """Counts within floor and ceil in every batch, always the ceil: only the running total tells."""

    def breaks(samples, first):
        samples = samples.copy()
        for row in samples:
            low, high = row[row < 20], row[row >= 20]
            if low.size == 5:
                continue
            row[np.flatnonzero(row >= 20)[0]] = np.setdiff1d(np.arange(20), low)[0]
            assert high.size
        return samples

    audit = audited(breaks, sizes=(20, 100), batch_size=9)
    assert audit["G2"].kept
    assert not audit["G3"].kept
    assert not audit["G6"].kept


def test_a_number_of_several_findings_names_the_one_nearest_to_its_bound():
    audit = bw.balanced(["a"] * 90 + ["b"] * 10, 7).audit(batches=200)
    both = [audit["G6 window"], audit["G6 across"]]
    assert audit["G6"] == max(both, key=lambda finding: finding.worst - finding.bound)
