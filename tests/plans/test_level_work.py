"""Level work: ranks wait for each other no longer than without `cost=`, and hardly at all where the data allow it."""

from itertools import pairwise

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
        "about half": draw.integers(CAPACITY // 2 - 200, CAPACITY // 2 + 200, n),
        "many long": np.where(draw.random(n) < 0.3, draw.integers(4096, CAPACITY + 1, n), draw.integers(10, 90, n)),
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
    for more in ({}, {"packs": 4}):
        without = waiting(bw.packed(lengths, CAPACITY, **more), ranks, accumulate, costs)
        assert waiting(bw.packed(lengths, CAPACITY, cost=work_of_short, **more), ranks, accumulate, costs) <= without
    padded = accumulate == 2
    without = waiting(bw.budgeted(lengths, CAPACITY, padded=padded), ranks, accumulate, costs)
    budget = work_of_short(float(CAPACITY))
    with_cost = bw.budgeted(lengths, budget, padded=padded, cost=work_of_short)
    assert waiting(with_cost, ranks, accumulate, costs) <= without


@pytest.mark.parametrize(("ranks", "accumulate", "most", "most_off"), [(8, 4, 1.0014, 0.01), (64, 1, 1.0095, 0.0159)])
def test_long_sequences_are_level_in_work_and_in_tokens(ranks, accumulate, most, most_off):
    """At 64 ranks, a step of samples as long as a pack has 1.59 % more tokens than the mean, however others are packed."""
    plan = bw.packed(LONG, 131_072, cost=work)
    assert waiting(plan, ranks, accumulate, work(LONG.astype(float))) <= most
    together = ranks * accumulate
    tokens = [LONG[batch].sum() for batch in plan.epoch(0, together)]
    assert max(tokens) <= 131_072
    steps = np.array(tokens).reshape(-1, together).sum(axis=1)
    assert np.abs(steps / steps.mean() - 1).max() <= most_off
    assert sorted(np.concatenate(plan.epoch(0, together)[:])) == list(range(LONG.size))


def test_a_window_that_was_asked_for_is_kept():
    """64 steps are a default; a window that is passed has as many micro-batches as it says."""
    lengths = LONG[:20_000]
    plans = [bw.packed(lengths, 16_384, too_long="skip", cost=work, **more) for more in ({}, {"window": 64})]
    assert [plan.stepped(16).windows.layout.batches > 200 for plan in plans] == [True, False]
    assert plans[0].fingerprint != bw.packed(lengths, 16_384, too_long="skip", cost=work, window=1024).fingerprint


def test_lists_of_whole_steps_are_level():
    """Pipelines take the micro-batches of a step at once and give them to their stages one after the other."""
    plan, costs = bw.packed(LONG, 131_072, cost=work), work(LONG.astype(float))
    found = [list(plan.sampler(rank=rank, world_size=4, accumulate=8, fetch="step")) for rank in range(4)]
    assert len({len(lists) for lists in found}) == 1
    whole = np.array([[costs[one].sum() for one in lists] for lists in found])  # rank, step
    assert whole.max(axis=0).sum() / whole.mean(axis=0).sum() <= 1.001


def test_several_capacities_are_level_in_a_cost():
    """Tokens and images: the work is that of the tokens, and no pack has more of either than its capacity."""
    lengths = np.minimum(LONG[:6000], 16_384)
    images = np.random.default_rng(2).integers(0, 4, lengths.size)
    both, most = {"tokens": lengths, "images": images}, {"tokens": 16_384, "images": 24}
    costs = work_of_short(lengths.astype(float))
    plan = bw.packed(both, most, cost=work_of_short)
    assert waiting(plan, 8, 2, costs) <= 1.01
    assert waiting(bw.packed(both, most), 8, 2, costs) > 1.3
    for batch in plan.epoch(0, 16):
        assert lengths[batch].sum() <= 16_384
        assert images[batch].sum() <= 24
    assert plan.audit(step_size=16).kept


def test_budgets_in_work_and_packs_of_several_are_level_too():
    costs = work(LONG.astype(float))
    assert waiting(bw.budgeted(LONG, work(131_072.0), cost=work), 8, 4, costs) <= 1.01
    assert waiting(bw.budgeted(LONG, work(131_072.0), cost=work, padded=False), 8, 4, costs) <= 1.005
    assert waiting(bw.budgeted(LONG, 131_072, padded=False, balance=costs), 8, 4, costs) <= 1.006
    assert waiting(bw.packed(LONG, 131_072, packs=4, cost=work), 8, 4, costs) <= 1.001


def test_very_long_samples_come_at_random_over_the_epoch():
    """The one step of long samples is at each place of an epoch about equally often: chi-squared, at odds of 1 to 10^6."""
    lengths = np.concatenate([np.full(8, 1000), np.full(32, 500), np.tile([100, 200], 90)])
    plan = bw.packed(lengths, 1000, cost=np.square, window="epoch").stepped(8)
    steps, epochs = plan.epoch_batches // 8, 300
    where = [[max(lengths[batch]) for batch in plan.epoch(epoch, 8)].index(1000) // 8 for epoch in range(epochs)]
    counts = np.bincount(where, minlength=steps)
    assert counts.size == steps
    expected = epochs / steps
    # Wilson and Hilferty: the cube root of chi-squared over its degrees of freedom is near to normal.
    freedom = steps - 1
    normal = ((((counts - expected) ** 2 / expected).sum() / freedom) ** (1 / 3) - 1 + 2 / (9 * freedom)) * (
        9 * freedom / 2
    ) ** 0.5
    assert normal < 4.75
    follows = np.mean([one + 1 == two for one, two in pairwise(where)])
    assert follows < 1 / steps + 4.75 * (1 / steps / epochs) ** 0.5


def test_every_divisor_of_a_step_has_neighbours_alike():
    """A run may divide a step between ranks and accumulation in any way, and hand out whole steps."""
    plan, costs = bw.packed(LONG, 131_072, cost=work).stepped(32), work(LONG.astype(float))
    found = np.array([costs[plan[t]].sum() for t in range(plan.epoch_batches)]).reshape(-1, 32)
    descending = np.all(np.diff(found, axis=1) <= 0, axis=1)
    ascending = np.all(np.diff(found, axis=1) >= 0, axis=1)
    assert np.all(descending | ascending)
    assert descending.any()
    assert ascending.any()
    lists = list(plan.sampler(rank=3, world_size=8, accumulate=4, fetch="step"))
    own = [plan[32 * step + 8 * micro + 3] for step in range(2) for micro in range(4)]
    assert lists[0] + lists[1] == np.concatenate(own).tolist()


@pytest.mark.parametrize("together", [None, np.arange(900) // 2])
def test_every_sample_comes_once_within_all_limits(together):
    lengths = np.clip(np.random.default_rng(1).lognormal(4, 1, 900), 4, 400).astype(int)
    plan = bw.packed(lengths, 900, packs=2, max_per_pack=9, cost=np.square, together=together, window=16).stepped(4)
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
    """One very long sample and little else: all wait for its rank, however the rest is cut."""
    lengths = np.array([1000, *[10] * 320])
    for least, plan in (
        (2, bw.packed(lengths, 1000, cost=np.square)),
        (2, bw.budgeted(lengths, 1e6, cost=np.square)),
        (1, bw.grouped(lengths, 40)),  # 40 samples are padded to the long one: that costs far more than it alone
        (1, bw.bucketed(np.stack([lengths, lengths], 1), 40, buckets=[(10, 10), (1000, 1000)])),
    ):
        summary = plan.summary(4)
        assert least <= summary.waiting_at_least <= summary.waiting
