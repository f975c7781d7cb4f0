"""What plans by lengths say that micro-batches cost: one by one, several at once, and by the costs of samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import batchwright as bw

LENGTHS = np.random.default_rng(0).integers(1, 200, 600)
PAIRS = np.arange(600) // 2


def padded(batch):
    return LENGTHS[batch].max() * len(batch)


def squares(batch):
    return (LENGTHS[batch].astype(float) ** 2).sum()


PLANS = {  # the plan, and what a micro-batch costs
    "budgeted": (bw.budgeted(LENGTHS, 2000), padded),
    "budgeted, sums": (bw.budgeted(LENGTHS, 2000, padded=False), lambda batch: LENGTHS[batch].sum()),
    "budgeted, balance": (bw.budgeted(LENGTHS, 2000, balance=LENGTHS[::-1]), lambda batch: LENGTHS[::-1][batch].sum()),
    "budgeted, two budgets": (
        bw.budgeted({"text": LENGTHS, "image": LENGTHS[::-1]}, {"text": 2000, "image": 4000}),
        lambda batch: padded(batch) / 2000 + LENGTHS[::-1][batch].max() * len(batch) / 4000,
    ),
    "grouped": (bw.grouped(LENGTHS, 8), padded),
    "bucketed": (
        bw.bucketed(np.stack([LENGTHS, LENGTHS], axis=1), 8, buckets=[(100, 100), (200, 200)]),
        lambda batch: len(batch) * PLANS["bucketed"][0].bucket(batch).prod(),
    ),
    "packed": (bw.packed(LENGTHS, 2000, packs=2), lambda batch: LENGTHS[batch].sum()),
    "packed, cost": (bw.packed(LENGTHS, 2000, cost=lambda n: n**2), squares),
    "packed, together": (
        bw.packed(LENGTHS, 2000, together=PAIRS, cost=lambda n: n**2),  # the length of an item is that of the pair
        lambda batch: (np.bincount(PAIRS[batch], weights=LENGTHS[batch]) ** 2).sum(),
    ),
    "packed from an order": (
        bw.packed(LENGTHS, 2000, order=bw.balanced(PAIRS % 5, 4), window=5),
        lambda batch: LENGTHS[batch].sum(),
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_several_cost_what_each_costs_and_what_its_samples_cost(name):
    plan, expected = PLANS[name]
    batches = plan.epoch(0)
    costs = plan.cost(batches)
    assert costs.dtype == np.float64
    assert costs.tolist() == [plan.cost(batch) for batch in batches]
    np.testing.assert_allclose(costs, [expected(batch) for batch in batches], rtol=1e-12)


def test_lists_tensors_and_empty_micro_batches_cost_the_same():
    plan = PLANS["packed, together"][0]
    batches = [plan[0], plan[1]]
    costs = plan.cost(batches).tolist()
    assert plan.cost([batch.tolist() for batch in batches]).tolist() == costs
    assert plan.cost([torch.from_numpy(batch) for batch in batches]).tolist() == costs
    assert plan.cost([batches[0], [], batches[1], []]).tolist() == [costs[0], 0, costs[1], 0]
    assert plan.cost([]) == 0
    assert plan.cost(np.empty((0,), np.int64)) == 0
    assert plan.cost(np.stack([batches[0][:4], batches[1][:4]])).shape == (2,)
    assert isinstance(plan.cost(plan[0]), float)
