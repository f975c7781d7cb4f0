from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import batchwright as bw
from batchwright.correct import Weighted, Weights
from batchwright.plans import FixedPlan

from .. import laws
from ..examples import examples

SIZES = {"cat": 16, "dog": 8, "owl": 4}
GROUPS = bw.Groups.from_sizes(SIZES)
TARGETS = {  # target, a batch size of whole quotas, and how many such batches are whole passes of every group
    "uniform": ("uniform", 6, 8),
    "mostly owls": ({"cat": 0.25, "dog": 0.25, "owl": 0.5}, 4, 16),
    "natural": ("natural", 7, 4),
}


def values_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=28) + np.repeat([1.0, 5.0, -20.0], list(SIZES.values()))


def full_period(name: str) -> tuple[FixedPlan, np.ndarray]:
    target, batch_size, batches = TARGETS[name]
    plan = bw.balanced(GROUPS, batch_size=batch_size, target=target)
    return plan, np.concatenate([plan[t] for t in range(batches)])


@examples(20)
@given(st.sampled_from(sorted(TARGETS)), st.integers(0, 1000))
def test_over_a_full_period_the_weighted_mean_is_the_natural_mean(name: str, seed: int) -> None:
    plan, drawn = full_period(name)
    values, weights = values_of(seed), Weights(plan)
    assert np.mean(weights(drawn) * values[drawn]) == pytest.approx(values.mean(), abs=1e-9)
    assert np.mean(weights(drawn)) == pytest.approx(1, abs=1e-9)
    if name != "natural":
        assert abs(values[drawn].mean() - values.mean()) > 0.5


@pytest.mark.parametrize("name", sorted(TARGETS))
@pytest.mark.parametrize("clip", [0.25, 1.0, 1.5, 100.0, None])
def test_clipping_is_biased_by_exactly_what_the_report_says(name: str, clip: float | None) -> None:
    plan, drawn = full_period(name)
    values, weights = values_of(0), Weights(plan, clip=clip)
    means = dict(zip(SIZES, np.split(values, [16, 24]), strict=True))
    told = weights.report().bias({group: part.mean() for group, part in means.items()})
    assert np.mean(weights(drawn) * values[drawn]) - values.mean() == pytest.approx(told, abs=1e-9)
    assert 1 - np.mean(weights(drawn)) == pytest.approx(weights.report().lost, abs=1e-9)
    squares = np.mean(weights(drawn) ** 2)
    assert weights.report().efficiency == pytest.approx(np.mean(weights(drawn)) ** 2 / squares)


def test_independent_draws_estimate_it_within_their_confidence_bounds() -> None:
    values, estimates, draws = values_of(0), [], 4000
    for seed in range(20):
        plan = laws.quietly(lambda seed=seed: bw.balanced(GROUPS, batch_size=40, draw="random", seed=seed))
        drawn = np.concatenate([plan[t] for t in range(draws // 40)])
        estimates.append(np.mean(Weights(plan)(drawn) * values[drawn]))
    plan = laws.quietly(lambda: bw.balanced(GROUPS, batch_size=40, draw="random"))
    chance = plan.shares()[plan.groups.codes] / plan.groups.sizes[plan.groups.codes]
    variance = np.sum(chance * (Weights(plan)(np.arange(28)) * values) ** 2) - values.mean() ** 2
    errors = (np.array(estimates) - values.mean()) / math.sqrt(variance / draws)
    assert np.abs(errors).max() < 4.5
    assert abs(errors.mean()) * math.sqrt(20) < 4.5
    assert 0.4 < errors.std() < 1.8


def test_every_sample_its_own_group() -> None:
    plan = laws.quietly(lambda: bw.weighted([1, 2, 3, 4], batch_size=10))
    drawn = plan[0]
    values = np.array([3.0, -1.0, 4.0, 1.5])
    assert np.mean(Weights(plan)(drawn) * values[drawn]) == pytest.approx(values.mean())


def test_a_moving_target_has_weights_by_epoch() -> None:
    target = bw.targets.schedule("natural", "uniform", epochs=2)
    plan = bw.balanced(GROUPS, batch_size=4, target=target, epoch=10)
    weights = Weights(plan, clip=1.6)
    for epoch in range(3):
        expected = np.minimum(plan.natural_prior / plan.shares(epoch), 1.6)
        assert weights([0, 16, 24], epoch=epoch).tolist() == pytest.approx(expected.tolist())
    with pytest.raises(bw.Infeasible, match="shares move"):
        Weighted([0] * 28, weights)
    told = weights.report(batches=20).groups
    assert [group.sampled for group in told] == pytest.approx(plan.prior_between(0, 20).tolist())


def test_on_schedule_the_report_is_the_mean_of_what_epochs_cost() -> None:
    target = bw.targets.schedule("natural", "uniform", epochs=2)
    plan = bw.balanced(GROUPS, batch_size=4, target=target, epoch=10)
    weights, means = Weights(plan, clip=1.3), {"cat": 1.0, "dog": 5.0, "owl": -20.0}
    values = np.array(list(means.values()))
    shares = np.array([plan.shares(epoch) for epoch in (0, 0, 1, 1, 2)])  # in fives of micro-batches
    estimated = (shares * np.minimum(plan.natural_prior / shares, 1.3)).mean(0)
    told = weights.report(batches=25)
    assert told.bias(means) == pytest.approx(float((estimated - plan.natural_prior) @ values))
    assert told.lost == pytest.approx(1 - estimated.sum())
    whole = weights.report().bias(means)
    assert whole == pytest.approx(weights.report(batches=20).bias(means))
    with pytest.raises(bw.Infeasible, match="may move without end"):
        Weights(bw.balanced(GROUPS, 4, target=bw.targets.moving("natural"))).report()


def test_samples_of_a_group_that_come_unequally_are_clipped_one_by_one() -> None:
    plan = bw.mixed({"a": 6, "b": bw.balanced(GROUPS, 6)}, 8, target={"a": 0.25, "b": 0.75})
    drawn = np.concatenate([plan[t] for t in range(24)])
    classes = ["a"] * 6 + ["cat"] * 16 + ["dog"] * 8 + ["owl"] * 4
    values = np.repeat([1.0, 2.0, 3.0, 4.0], [6, 16, 8, 4])
    weights = Weights(plan, clip=1.2)
    told = weights.report(classes=classes)
    off = float(np.mean(weights(drawn) * values[drawn]) - values.mean())
    assert told.bias({"a": 1.0, "cat": 2.0, "dog": 3.0, "owl": 4.0}) == pytest.approx(off, abs=1e-9)
    assert weights.report().lost == pytest.approx(told.lost, abs=1e-9)
    assert told.lost == pytest.approx(1 - np.mean(weights(drawn)), abs=1e-9)
    squares = np.mean(weights(drawn) ** 2)
    assert told.efficiency == pytest.approx(np.mean(weights(drawn)) ** 2 / squares)


class Pair(NamedTuple):
    x: float
    y: int


class InBulk(list):
    asked: int = 0

    def __getitems__(self, indices: list[int]) -> list[object]:
        self.asked += 1
        return [self[index] for index in indices]


@pytest.mark.parametrize(
    ("sample", "weight_of"),
    [
        (lambda i: (float(i), i), lambda batch: batch[2]),
        (lambda i: [float(i), i], lambda batch: batch[2]),
        (lambda i: {"x": float(i)}, lambda batch: batch["weight"]),
        (lambda i: Pair(float(i), i), lambda batch: batch[1]),
        (lambda i: torch.tensor(i), lambda batch: batch[1]),
    ],
)
@pytest.mark.parametrize("container", [list, InBulk])
def test_weights_come_with_the_batch(sample: object, weight_of: object, container: type) -> None:
    plan = bw.balanced(GROUPS, batch_size=4)
    dataset = container(sample(index) for index in range(28))
    loader = DataLoader(Weighted(dataset, Weights(plan)), batch_sampler=plan.sampler())
    batches = list(loader)
    assert len(batches) == len(loader)
    for number, batch in enumerate(batches):
        found = weight_of(batch)
        assert found.dtype is torch.float32
        assert found.tolist() == plan.weights(plan[number]).astype(np.float32).tolist()
    if container is InBulk:
        assert dataset.asked == len(batches)
    one = Weighted(dataset, Weights(plan))
    assert len(one) == 28
    assert float(weight_of(one[27])) == pytest.approx(plan.weights([27])[0])


def test_the_report_prints_a_line_a_group_and_what_is_lost() -> None:
    plan = bw.balanced(GROUPS, batch_size=4)
    lines = str(Weights(plan, clip=1).report()).splitlines()
    assert [line.split()[0] for line in lines] == ["group", "cat", "dog", "owl", "lost:"]
    assert lines[1].split()[1:] == ["0.571", "0.333", "1.71", "1", "0.333"]
    assert lines[-1].startswith("lost: 0.238 of the natural stream")


def test_refusals() -> None:
    plan = bw.balanced(GROUPS, batch_size=4)
    with pytest.raises(bw.Infeasible, match="clip is 0"):
        Weights(plan, clip=0)
    with pytest.raises(bw.Infeasible, match="lacks 2 of 3 groups: 'dog', 'owl'"):
        Weights(plan).report().bias({"cat": 1.0})
    with pytest.raises(bw.Infeasible, match="the dataset has 27 samples, the plan of the weights yields 28 numbers"):
        Weighted(range(27), Weights(plan))
    with pytest.raises(bw.Infeasible, match="a plan is needed, this is of type list"):
        Weights([1, 2])
    without_owls = bw.balanced(GROUPS, batch_size=4, target={"cat": 0.5, "dog": 0.5, "owl": 0})
    with pytest.raises(bw.Infeasible, match="'owl' is never drawn"):
        Weights(without_owls)([27])
    only_cats = bw.balanced(bw.Groups.from_indices({"cat": range(16)}, sample_count=28), 4)
    with pytest.raises(bw.Infeasible, match="sample 27 of no group is never drawn"):
        Weights(only_cats)([0, 27])
    assert Weights(without_owls).report().lost == pytest.approx(4 / 28)
