"""A rank's audit of itself keeps what is kept, for every plan, and finds a rank that is handed something else."""

from __future__ import annotations

import numpy as np
import pytest

import batchwright as bw
from batchwright.orders import Dealt
from batchwright.plans import FixedPlan

from .. import laws


@pytest.mark.filterwarnings("ignore:the shards are divided among:batchwright.PoorWarning")
@pytest.mark.parametrize(("rank", "world", "accumulate", "fetch"), [(0, 1, 1, 1), (1, 2, 3, 2), (3, 4, 2, "step")])
@pytest.mark.parametrize("kind", laws.EVERY_PLAN)
def test_every_plan_is_kept(kind, rank, world, accumulate, fetch):
    sampler = laws.EVERY_PLAN[kind](7).sampler(rank=rank, world_size=world, accumulate=accumulate, fetch=fetch)
    audit = sampler.audit(epochs=2, first=1)
    assert audit.kept, str(audit)
    assert [finding.guarantee for finding in audit.findings] == ["G8 share", "G8 steps", "composition"]


def test_lists_of_pairs_are_kept():
    plan = bw.alternating({"a": bw.shuffled(9, 3), "b": bw.shuffled(4, 2)}, named=True)
    assert plan.sampler(rank=1, world_size=2).audit().kept


def test_one_rank_of_one_is_composed_as_the_plan_and_the_position_is_left_alone():
    sampler = laws.EVERY_PLAN["balanced"](7).sampler()
    sampler.seek(5, epoch=3)
    before = sampler.state_dict()
    assert sampler.audit(epochs=3)["composition"].worst < 0.01
    assert sampler.state_dict() == before


class AsItLikes(Dealt):
    """An order that hands out one thing when asked for much, another when asked for a micro-batch alone."""

    def batches_at(self, numbers):
        samples = super().batches_at(numbers)
        return samples[::-1] if len(numbers) > 2 else samples


def test_a_rank_that_is_handed_something_else_is_found_out():
    plan = bw.balanced(np.repeat([0, 1], [60, 40]), 4)
    broken = AsItLikes(plan.order.groups, plan.order.shares, batch_size=4, seed=0)
    audit = FixedPlan(broken, epoch_batches=25).sampler(rank=0, world_size=2).audit()
    assert not audit["G8"].kept
    assert "epoch 0, step" in str(audit)


def test_no_epochs_are_refused():
    with pytest.raises(bw.Infeasible, match="epochs is 0, the least is 1"):
        bw.shuffled(6, 2).sampler().audit(epochs=0)
