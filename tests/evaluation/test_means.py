"""Means and loss scales of an evaluation: any number of ranks gives what one gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.correct import LossScale, Means

from .. import processes
from ..examples import examples
from ..laws import LENGTHS

N = 101
VALUES = np.random.default_rng(3).normal(size=900) ** 3
PLANS = {
    "by number": lambda: bw.evaluation(N, 4),
    "shuffled": lambda: bw.evaluation(N, 4, order="shuffled"),
    "in tokens": lambda: bw.evaluation(LENGTHS[:N], max_tokens=900),
    "packs": lambda: bw.evaluation(LENGTHS[:N], capacity=512, order="length"),
}
every_plan = pytest.mark.parametrize("kind", PLANS)


def summed_by_one(kind, world):
    """As if one process were all ranks."""
    plan, found = PLANS[kind](), []
    for rank in range(world):
        sampler = plan.sampler(rank=rank, world_size=world)
        means = Means(sampler)
        add_all(means, sampler)
        found.append(means)
    return sum(np.array([part for pair in means._sums.values() for part in pair]) for means in found)


def add_all(means, sampler):
    for step, samples in enumerate(sampler):
        means.add(
            step,
            loss=torch.tensor(VALUES[samples]),
            correct=torch.tensor(VALUES[samples] > 0),
            token_loss=(VALUES[samples] * LENGTHS[samples], torch.tensor(LENGTHS[samples])),
        )


@every_plan
@pytest.mark.parametrize("world", [1, 2, 3, 7, 64, 200])
def test_sums_over_any_number_of_ranks_are_those_of_one(kind, world):
    loss, count, correct, _, token_loss, tokens = summed_by_one(kind, world).tolist()
    assert (count, correct, tokens) == (N, int((VALUES[:N] > 0).sum()), int(LENGTHS[:N].sum()))  # to the last bit
    scale = np.abs(VALUES[:N]).sum()
    assert abs(loss - VALUES[:N].sum()) < 1e-12 * scale
    assert abs(token_loss - (VALUES * LENGTHS)[:N].sum()) < 1e-12 * (np.abs(VALUES) * LENGTHS)[:N].sum()


@given(
    samples=st.integers(1, 30), size=st.integers(1, 8), world=st.integers(1, 4), accumulate=st.integers(1, 2),
    rows=st.integers(0, 60), paired=st.booleans(),
)  # fmt: skip
def test_there_is_one_value_for_each_sample_of_a_batch_with_its_fillers_or_without(
    samples, size, world, accumulate, rows, paired
):
    plan = bw.evaluation(samples, size)
    for rank in range(world):
        sampler = plan.sampler(rank=rank, world_size=world, accumulate=accumulate)
        means = Means(sampler)
        for number, batch in enumerate(sampler):
            real, value = sampler.real(number), torch.arange(float(rows))
            if rows in (real, len(batch)):
                means.add(number, loss=value)
                over, under = means._sums["loss"]
                assert (over, under) == (value[:real].sum(), real)
                means = Means(sampler)
            else:
                with pytest.raises(bw.Infeasible, match=rf"'loss' has shape \({rows},\), the batch has {real} samples"):
                    means.add(number, loss=(torch.zeros(real), value) if paired else value)


def test_nothing_is_added_where_one_of_the_values_is_refused():
    means = Means(bw.evaluation(4, 2).sampler())
    for number in range(2):
        with pytest.raises(bw.Infeasible, match="'wrong' has shape"):
            means.add(number, number=[number] * 2, wrong=[0] * 3)
        means.add(number, number=[number] * 2, wrong=[0] * 2)
    assert means.result() == {"number": 0.5, "wrong": 0}


def gather_means(rank, world_size, kind):
    sampler = PLANS[kind]().sampler()
    means = Means(sampler)
    add_all(means, sampler)
    return means.result()


@every_plan
@pytest.mark.parametrize("world", [1, 2, 4])
def test_processes_agree_with_one(kind, world):
    ranks = processes.run(gather_means, world, kind)
    assert all(other == ranks[0] for other in ranks)
    expected = {
        "loss": VALUES[:N].mean(),
        "correct": (VALUES[:N] > 0).mean(),
        "token_loss": (VALUES * LENGTHS)[:N].sum() / LENGTHS[:N].sum(),
    }
    assert ranks[0] == pytest.approx(expected, rel=1e-12)
    assert ranks[0]["correct"] == expected["correct"]


def lacking_a_step(rank, world_size):
    """The refusal of every rank where the last one leaves out a step, and the means of the next evaluation."""
    sampler = bw.evaluation(N, 4).sampler()
    means = Means(sampler)
    for step, samples in enumerate(sampler):
        if step < len(sampler) - (rank == world_size - 1):
            means.add(step, number=samples)
    with pytest.raises(bw.Infeasible) as refusal:
        means.result()
    part = means.result(whole=False)
    for step, samples in enumerate(sampler):
        means.add(step, number=samples)
    if rank == 0:  # alone
        add_all(own := Means(PLANS["by number"]().sampler(rank=0, world_size=1)), own.sampler)
        assert own.result()["loss"] == pytest.approx(VALUES[:N].mean(), rel=1e-12)
    one_rank_twice = Means(bw.evaluation(N, 4).sampler(rank=0, world_size=2))
    add_all(one_rank_twice, one_rank_twice.sampler)
    with pytest.raises(
        bw.Infeasible, match=f"of 102 samples, and there are {N}; this rank, 0 of 2, added 13 of its 13 batches"
    ):
        one_rank_twice.result()
    return refusal.value.fact, part, means.result()


def test_means_of_a_part_are_refused_on_every_rank_and_the_next_evaluation_is_whole():
    first, second = processes.run(lacking_a_step, 2)
    for rank, (fact, part, whole) in enumerate((first, second)):
        assert fact.startswith(
            f"the means would be of 99 samples, and there are {N}; this rank, {rank} of 2, added {13 - rank} of its 13 "
        )
        assert part == first[1] != whole == {"number": (N - 1) / 2}


@given(epochs=st.lists(st.lists(st.integers(0, 25), unique=True, min_size=1), min_size=1, max_size=4))
def test_means_are_of_the_steps_since_the_last_result(epochs):
    plan = bw.evaluation(N, 4)
    means = Means(plan.sampler())
    for epoch, steps in enumerate(epochs):
        for step in steps:
            means.add(step, epoch=epoch, number=plan[step])
        with pytest.raises(bw.Infeasible, match="was added before"):
            means.add(steps[0], epoch=epoch, number=plan[steps[0]])
        samples = np.concatenate([plan[step] for step in steps])
        if len(steps) == 26:
            assert means.result() == {"number": (N - 1) / 2}
        else:
            with pytest.raises(bw.Infeasible, match=f"of {samples.size} samples, and there are {N}"):
                means.result()
            assert means.result(whole=False) == pytest.approx({"number": samples.mean()})


def test_one_rank_of_several_without_the_others_is_a_part():
    sampler = bw.evaluation(32, 4).sampler(rank=2, world_size=8)
    means = Means(sampler)
    for step, samples in enumerate(sampler):
        means.add(step, number=samples)
    with pytest.raises(
        bw.Infeasible, match="of 4 samples, and there are 32; this rank, 2 of 8, added 1 of its 1 batches"
    ):
        means.result()


@every_plan
@examples(20)
@given(world=st.integers(1, 9), accumulate=st.integers(1, 3))
def test_the_loss_scale_makes_a_sum_over_what_counts_the_mean_over_the_step(kind, world, accumulate):
    plan = PLANS[kind]()
    for counts in (None, LENGTHS[:N], lambda numbers: LENGTHS[numbers]):
        for step in range(0, len(plan.sampler(rank=0, world_size=world, accumulate=accumulate)), accumulate):
            total = counted = 0.0
            for rank in range(world):
                sampler = plan.sampler(rank=rank, world_size=world, accumulate=accumulate)
                lists, scale = list(sampler), LossScale(sampler, counts)
                for number in range(step, step + accumulate):
                    samples = lists[number][: sampler.real(number, epoch=0)]
                    amounts = np.ones(len(samples)) if counts is None else LENGTHS[samples]
                    total += (VALUES[samples] * amounts).sum() * scale.at(number, epoch=0) / world
                    counted += amounts.sum()
                    kept = scale.at(number, epoch=0)
            assert kept == (world / counted if counted else 0)
            seen = plan.sequence.samples(0, N)
            if step == 0 and len(plan.sampler(rank=0, world_size=world, accumulate=accumulate)) == accumulate:
                amounts = np.ones(N) if counts is None else LENGTHS[seen]
                assert total == pytest.approx(np.average(VALUES[seen], weights=amounts))


def test_batches_know_how_many_of_their_samples_count():
    dataset = [{"x": torch.tensor(float(i))} for i in range(5)]
    sampler = bw.evaluation(5, 4).sampler(rank=1, world_size=2)
    loader = torch.utils.data.DataLoader(dataset, batch_sampler=sampler, collate_fn=bw.Collate({"x": bw.scalar()}))
    ((batch, scale),) = LossScale(sampler).over(loader)
    assert (len(batch["x"]), batch.aside.real, scale) == (3, 2, 2 / 5)
    assert batch.to("cpu").aside.real == 2
    training = bw.shuffled(5, 4).sampler()
    loader = torch.utils.data.DataLoader(dataset, batch_sampler=training, collate_fn=bw.Collate({"x": bw.scalar()}))
    assert [batch.aside.real for batch, _ in LossScale(training).over(loader)] == [None, None]


def test_of_other_plans_every_sample_counts():
    sampler = bw.shuffled(10, 4).sampler(rank=0, world_size=2, accumulate=2, fetch="step")
    assert [sampler.real(step) for step in range(len(sampler))] == [8]


@pytest.mark.parametrize("read", [list, torch.tensor, np.array, lambda values: (values, [1] * len(values))])
def test_values_may_have_any_name(read):
    plan = bw.evaluation(3, 2)
    for name in ("epoch", "number", "self", "values"):
        means = Means(plan.sampler())
        for step in range(2):
            means.add(step, **{name: read([float(sample) for sample in plan[step]]), "other": plan[step]})
        assert means.result() == {name: 1.0, "other": 1.0}
    with pytest.raises(bw.Infeasible, match="epoch is 'a'"):
        means.add(0, epoch="a", loss=[1.0, 2.0])
