"""What plans say of what they draw, against what they draw."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import batchwright as bw

from .. import laws

SIZES = {"cat": 16, "dog": 8, "owl": 4}
GROUPS = bw.Groups.from_sizes(SIZES)
LABELS = np.repeat(list(SIZES), list(SIZES.values()))
LENGTHS = np.arange(28) * 5 % 7 + 1


def balanced(size: int, **options: Any) -> Any:
    return bw.balanced(GROUPS, size, **options)


FULL_PERIODS: dict[str, tuple[Callable[[], Any], int]] = {  # a plan, and the micro-batches after which all passes end
    "balanced": (lambda: balanced(6), 8),
    "by shares": (lambda: balanced(4, target={"cat": 0.25, "dog": 0.25, "owl": 0.5}), 16),
    "weighted": (lambda: laws.quietly(lambda: bw.weighted([1, 2, 3, 4], 5)), 2),
    "mixture of a balanced source": (lambda: bw.mixed({"a": 6, "b": balanced(6)}, 8, target={"a": 0.25, "b": 0.75}), 24),
    "mixture in a mixture": (
        lambda: bw.mixed(
            {"in": bw.mixed({"a": 3, "b": balanced(3)}, 4, target={"a": 0.25, "b": 0.75}), "c": 2}, 6,
            target={"in": 2 / 3, "c": 1 / 3},
        ),
        48,
    ),
    "hierarchical": (lambda: bw.hierarchical([LABELS == "cat", LABELS], [1, 1, 4]), 16),
    "overlapping cohorts": (lambda: bw.rotating(GROUPS, [["cat", "dog"], ["dog", "owl"]], per_class=4), 8),
    "tasks": (
        lambda: bw.alternating({"x": balanced(6), "y": bw.shuffled(6, 2)}, target={"x": 2 / 3, "y": 1 / 3}), 36,
    ),
    "tasks of one dataset": (
        lambda: bw.alternating({"x": balanced(6), "y": bw.shuffled(28, 7)}, target="uniform", same_dataset=True), 16,
    ),
    "budgeted": (lambda: laws.quietly(lambda: bw.budgeted(LENGTHS, 40, order=balanced(6, epoch=8))), -1),
    "packed, some too long": (  # 12, 11 and 11 of each in a batch deliver as many of each
        lambda: laws.quietly(lambda: bw.packed(LENGTHS, 5, order=balanced(34, epoch=24), too_long="skip")), -1,
    ),
    "packed in pieces": (lambda: bw.packed(LENGTHS, 3, order=balanced(6, epoch=8), too_long="split"), -1),
    "packed, some together": (
        lambda: laws.quietly(
            lambda: bw.packed(np.resize(LENGTHS, 42), 40, together=np.arange(42) % 28, order=balanced(6, epoch=8))
        ), -1,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "period"), FULL_PERIODS.values(), ids=FULL_PERIODS)
def test_over_a_full_period_counts_are_rates_and_the_weighted_mean_is_the_natural_one(
    make: Callable[[], Any], period: int
) -> None:
    plan = make()
    batches = 3 * plan.windows.batches_between_boundaries if period < 0 else period
    drawn = np.concatenate([plan[t] for t in range(batches)])
    samples = drawn.size
    if period < 0:  # windows are filled: what is then left of an epoch of the order comes in the next one
        place, skipped = plan.windows.start(3)
        rest = plan.order_plan.order.take(place, -(-place // plan.epoch_samples) * plan.epoch_samples)
        drawn = np.append(drawn, plan.admission.emitted(plan.admission.items(rest)[skipped:]))
    everyone = np.arange(plan.groups.sample_count)
    rates = plan.rates(everyone)
    assert plan.rates(0) == rates[0]
    assert plan.rates([[0], [1]]).tolist() == [[rates[0]], [rates[1]]]
    assert np.bincount(drawn, minlength=everyone.size) / drawn.size == pytest.approx(rates, abs=1e-9)
    assert plan.inclusion_rates(0, 1).rates(everyone) == pytest.approx(rates, abs=1e-9)
    assert samples / batches == pytest.approx(plan.mean_batch_size, rel=1e-6 if period > 0 else 0.1)
    values = np.random.default_rng(0).normal(size=everyone.size)
    natural = values[rates > 0].sum() / everyone.size
    assert np.mean(plan.weights(drawn) * values[drawn]) == pytest.approx(natural, abs=1e-9)
    classes = bw.Groups.from_labels(everyone % 3)
    for groups in (plan.groups, classes):
        counts = np.bincount(groups.group_of(drawn), minlength=groups.group_count)
        assert counts / drawn.size == pytest.approx(plan.prior_between(0, batches, groups), abs=1e-9)
    assert plan.sampled_prior == pytest.approx(plan.prior_between(0, 1), abs=1e-12)


def test_on_schedule_every_epoch_has_weights_of_its_own() -> None:
    target = bw.targets.schedule("natural", "uniform", epochs=1)
    plan = laws.quietly(lambda: balanced(21, target=target, epoch=16))
    values = np.random.default_rng(0).normal(size=28)
    for epoch in range(3):
        drawn = np.concatenate([plan[16 * epoch + t] for t in range(16)])
        assert np.mean(plan.weights(drawn, epoch=epoch) * values[drawn]) == pytest.approx(values.mean(), abs=1e-9)


FOR_EVER = {"function of the epoch", "moving", "moved"}


@pytest.mark.parametrize("kind", laws.EVERY_PLAN)
def test_every_plan_draws_what_it_says(kind: str) -> None:
    """Within the error of as many independent draws; those of exact plans err by less."""
    plan = laws.EVERY_PLAN[kind](11)
    length = plan.epoch_length()
    batches = length * math.ceil(20_000 / (length * plan.mean_batch_size))
    per_epoch = [[epoch[t] for t in range(length)] for epoch in map(plan.epoch, range(batches // length))]
    drawn = np.concatenate([batch for epoch in per_epoch for batch in epoch])
    assert drawn.size / batches == pytest.approx(plan.mean_batch_size, rel=0.02)
    everyone = np.arange(plan.groups.sample_count)
    error = 5 * math.sqrt(0.25 / drawn.size)
    for groups in (plan.groups, bw.Groups.from_labels(everyone // 7 % 4)):
        counts = np.bincount(groups.group_of(drawn), minlength=groups.group_count)
        assert np.abs(counts / drawn.size - plan.prior_between(0, batches, groups)).max() < error

    values = np.random.default_rng(1).normal(size=everyone.size) + everyone // 7 % 4
    if kind != "moved":  # its weights are those of its last shares
        by_epoch = enumerate(map(np.concatenate, per_epoch))
        weights = np.concatenate([plan.weights(samples, epoch=number) for number, samples in by_epoch])
        once = plan.rates(everyone) > 0
        for terms, natural in ((weights * values[drawn], values[once].sum()), (weights, once.sum())):
            assert abs(terms.mean() - natural / everyone.size) <= 5 * terms.std() / math.sqrt(drawn.size) + 1e-9

    assert plan.rates_change == (kind in FOR_EVER or kind in {"schedule", "nested mixture"} or plan.shards_change_rates)
    assert plan.shards_change_rates == (kind in {"balanced in shards", "weighted in shards"})
    if kind in FOR_EVER:
        with pytest.raises(bw.Infeasible, match=r"may move without end.*from_sampler"):
            _ = plan.sampled_prior
    else:
        assert plan.sampled_prior == pytest.approx(plan.prior_between(0, plan.horizon()), abs=1e-12)


@pytest.mark.filterwarnings("ignore:the run goes on in steps:batchwright.PoorWarning")
@pytest.mark.filterwarnings("ignore:the shards are divided among:batchwright.PoorWarning")
@pytest.mark.parametrize("kind", laws.EVERY_PLAN)
def test_a_sampler_counts_the_epochs_it_has_given(kind: str) -> None:
    plan = laws.EVERY_PLAN[kind](3)
    sampler = plan.sampler(rank=1, world_size=2)
    assert sampler.epochs_done == 0
    first = iter(sampler)
    next(first)
    length = plan.stepped(2).epoch_batches  # of an epoch of the plan, which a run rounds up
    over_an_order = plan.cutter is not None and not plan.same_samples  # its windows take what they hold
    near = 0.05 if over_an_order else 1e-6
    assert sampler.epochs_done == pytest.approx(2 / length, rel=near)
    list(first)
    list(sampler)
    assert sampler.epochs_done == pytest.approx(2 * plan.epoch_length(2) / length, rel=near)
    elsewhere = laws.EVERY_PLAN[kind](3).sampler(rank=0, world_size=3, accumulate=2)
    elsewhere.load_state_dict(sampler.state_dict())
    assert elsewhere.epochs_done == pytest.approx(sampler.epochs_done, rel=near)


def test_shares_that_are_forgotten_are_asked_for_in_vain() -> None:
    plan = balanced(4, target=bw.targets.moving("uniform"), epoch=100)
    sampler = plan.sampler()
    for number in range(10):  # of which eight are kept
        sampler.retarget([0.2 + 0.05 * number, 0.3, 0.5 - 0.05 * number])
        list(sampler)
    first = sampler.plan.share_changes[0].first
    for start, stop in ((0, first - 1), (5, first + 10)):
        with pytest.raises(bw.Infeasible, match=f"before micro-batch {first} are not known any more"):
            sampler.plan.prior_between(start, stop)
    counted = sum(np.bincount(GROUPS.group_of(sampler.plan[t]), minlength=3) for t in range(first, first + 89))
    assert sampler.plan.prior_between(first, first + 89) == pytest.approx(counted / counted.sum(), abs=6 / 356)
