"""Level work: ranks wait for each other no longer than without `cost=`, and hardly at all where the data allow it."""

import numpy as np
import pytest

import batchwright as bw

from ..lengths.small import ends


def work(n):
    """The matrices of a layer, and attention."""
    return 24576.0 * n + n**2


def work_of_short(n):
    return 1536.0 * n + n**2


CAPACITY = 8192
LONG = np.clip(np.random.default_rng(0).lognormal(7.0, 1.6, 100_000), 16, 131_072).astype(np.int64)


def columns():
    draw, n = np.random.default_rng(5), 3000
    return {
        "lognormal": draw.lognormal(5, 1.6, n),
        "heavy tail": 16 + 50 * draw.pareto(0.9, n),
        "uniform": draw.integers(1, CAPACITY + 1, n // 2),
        "short": draw.integers(100, 200, 3 * n),
        "all alike": np.full(n, 700),
        "two lengths": np.where(draw.random(n) < 0.02, CAPACITY, 300),
        "about half": draw.integers(CAPACITY // 2 - 200, CAPACITY // 2 + 200, n // 4),
        "many giants": np.where(draw.random(n) < 0.3, draw.integers(4096, CAPACITY + 1, n), draw.integers(10, 90, n)),
        "exponential": draw.exponential(900, n),
        "two humps": np.where(draw.random(n) < 0.1, draw.normal(5000, 400, n), draw.normal(250, 60, n)),
        "normal": draw.normal(2000, 300, n),
    }


def waiting(plan, ranks, accumulate, costs):
    """Micro-step by micro-step, the work of the most expensive rank over the mean of all ranks."""
    batches = plan.epoch(0, ranks * accumulate)
    rows = np.array([costs[batch].sum() for batch in batches]).reshape(-1, ranks)
    return rows.max(axis=1).sum() / rows.mean(axis=1).sum()


@pytest.mark.parametrize("name", columns())
@pytest.mark.parametrize(("ranks", "accumulate"), [(8, 4), (4, 2), (64, 1)])
def test_a_cost_never_makes_ranks_wait_longer(name, ranks, accumulate):
    lengths = np.clip(columns()[name], 16, CAPACITY).astype(np.int64)
    costs = work_of_short(lengths.astype(float))
    without = waiting(bw.packed(lengths, CAPACITY, window=256), ranks, accumulate, costs)
    assert waiting(bw.packed(lengths, CAPACITY, cost=work_of_short, window=256), ranks, accumulate, costs) <= without


@pytest.mark.parametrize(
    ("ranks", "accumulate", "window", "most"), [(8, 4, 1024, 1.005), (8, 4, "epoch", 1.003), (64, 1, "epoch", 1.02)]
)
def test_long_sequences_are_level_in_work_and_in_tokens(ranks, accumulate, window, most):
    plan = bw.packed(LONG, 131_072, cost=work, window=window)
    assert waiting(plan, ranks, accumulate, work(LONG.astype(float))) <= most
    together = ranks * accumulate
    tokens = [LONG[batch].sum() for batch in plan.epoch(0, together)]
    assert max(tokens) <= 131_072
    steps = np.array(tokens).reshape(-1, together).sum(axis=1)
    # Steps of samples as long as a pack are full; all others are as full as the rounding up to whole steps leaves them.
    assert np.abs(steps / steps.mean() - 1).max() <= 131_072 * together / steps.mean() - 1 + 1e-9


def test_budgets_in_work_and_packs_of_several_are_level_too():
    costs = work(LONG.astype(float))
    assert waiting(bw.budgeted(LONG, work(131_072.0), cost=work), 8, 4, costs) <= 1.01
    assert waiting(bw.budgeted(LONG, work(131_072.0), cost=work, padded=False), 8, 4, costs) <= 1.005
    assert waiting(bw.budgeted(LONG, 131_072, padded=False, balance=costs), 8, 4, costs) <= 1.006
    assert waiting(bw.packed(LONG, 131_072, packs=4, cost=work), 8, 4, costs) <= 1.001


def test_giants_come_at_random_over_the_epoch():
    plan = bw.packed(LONG, 131_072, cost=work, window="epoch").with_step_size(32)
    giants = np.array([LONG[plan[t]].max() == LONG.max() for t in range(plan.epoch_batches)])
    steps = np.flatnonzero(giants.reshape(-1, 32).any(axis=1))
    assert steps.size <= giants.sum() // 32 + 2  # together with their like
    assert np.ptp(steps) > plan.epoch_batches // 32 / 3  # and not one after the other
    firsts = [
        np.flatnonzero([LONG[batch].max() == LONG.max() for batch in plan.epoch(epoch, 32)])[0] for epoch in (0, 1)
    ]
    assert firsts[0] // 32 != firsts[1] // 32


def test_every_divisor_of_a_step_has_neighbours_alike():
    """A run may divide a step between ranks and accumulation in any way, and hand out whole steps."""
    plan, costs = bw.packed(LONG, 131_072, cost=work).with_step_size(32), work(LONG.astype(float))
    found = np.array([costs[plan[t]].sum() for t in range(plan.epoch_batches)]).reshape(-1, 32)
    falling = np.all(np.diff(found, axis=1) <= 0, axis=1)
    rising = np.all(np.diff(found, axis=1) >= 0, axis=1)
    assert np.all(falling | rising)
    assert falling.any()
    assert rising.any()
    lists = list(plan.sampler(rank=3, world_size=8, accumulate=4, fetch="step"))
    own = [plan[32 * step + 8 * micro + 3] for step in range(2) for micro in range(4)]
    assert lists[0] + lists[1] == np.concatenate(own).tolist()


@pytest.mark.parametrize("together", [None, np.arange(900) // 2])
def test_every_sample_comes_once_within_all_limits(together):
    lengths = np.clip(np.random.default_rng(1).lognormal(4, 1, 900), 4, 400).astype(int)
    plan = bw.packed(
        lengths, 900, packs=2, max_per_pack=9, cost=np.square, together=together, window=16
    ).with_step_size(4)
    ends(plan)
    assert plan.audit(step_size=4, epochs=2).kept


@pytest.mark.parametrize(("ranks", "accumulate"), [(8, 4), (32, 1), (4, 8)])
def test_the_summary_says_how_long_ranks_wait(ranks, accumulate):
    lengths, costs = LONG[:9000], work(LONG[:9000].astype(float))
    plan = bw.packed(lengths, 131_072, cost=work)
    summary = plan.summary(ranks * accumulate, accumulate=accumulate)
    assert summary.waiting == pytest.approx(waiting(plan, ranks, accumulate, costs), rel=1e-12)
    assert 1 <= summary.waiting_at_least <= summary.waiting
    assert f"{ranks} ranks: the most expensive one costs {summary.waiting:.5f} of the mean" in str(summary)


def test_no_plan_is_below_the_bound_of_waiting():
    """One giant and little else: its rank is waited for, however the rest is cut."""
    lengths = np.array([1000, *[10] * 320])
    for least, plan in (
        (2, bw.packed(lengths, 1000, cost=np.square)),
        (2, bw.budgeted(lengths, 1e6, cost=np.square)),
        (1, bw.grouped(lengths, 40)),  # 40 samples are padded to the giant: that costs far more than the giant alone
        (1, bw.bucketed(np.stack([lengths, lengths], 1), 40, buckets=[(10, 10), (1000, 1000)])),
    ):
        summary = plan.summary(4)
        assert least <= summary.waiting_at_least <= summary.waiting
