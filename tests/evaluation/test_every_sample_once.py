"""The law of evaluation: over any number of ranks every sample counts exactly once, in the same number of steps."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from ..examples import examples

GRID = 200, 16, 64  # samples, batch sizes, worlds


def check_ranges(n, batch_size, world):
    """Without an array: the micro-batches are the numbers 0..n-1 in turn, with fewest fillers at the very end."""
    plan = bw.evaluation(n, batch_size).stepped(world)
    assert plan.epoch_batches == world * -(-n // (world * batch_size))
    at = fillers = 0
    for begin in range(0, plan.epoch_batches, world):
        step = [plan.span(batch) for batch in range(begin, begin + world)]
        assert len({span.size for span in step}) == 1  # what a gather over ranks needs
        assert step[0].size <= batch_size
        for first, last, size in step:
            assert first == at
            assert last == first or not fillers  # nothing that counts behind a filler
            at, fillers = last, fillers + size - (last - first)
    assert at == n
    assert fillers == -n % world


def check_ranks_lists(n, batch_size, world, order="file"):
    """Through the samplers: what counts, gathered over ranks step by step, is the order."""
    plan = bw.evaluation(n, batch_size, order=order)
    samplers = [plan.sampler(rank=rank, world_size=world) for rank in range(world)]
    ranks = [list(sampler) for sampler in samplers]
    steps = len(samplers[0])
    assert {len(lists) for lists in ranks} == {len(sampler) for sampler in samplers} == {steps}
    gathered = []
    for step in range(steps):
        for sampler, lists in zip(samplers, ranks, strict=True):
            assert 1 <= len(lists[step]) <= batch_size
            assert set(lists[step]) <= set(range(n))  # fillers are samples too
            gathered += lists[step][: sampler.real(step)]
    if order == "file":
        assert gathered == list(range(n))
    assert sorted(gathered) == list(range(n))


def test_every_sample_counts_once_whatever_samples_batch_and_world():
    """A random part of the grid; the whole of it takes a minute."""
    chosen = random.Random(4)
    for _ in range(3000):
        check_ranges(*(chosen.randint(1, most) for most in GRID))
    for _ in range(40):
        sizes = [chosen.randint(1, most) for most in GRID]
        check_ranks_lists(*sizes)
        check_ranks_lists(*sizes, order="shuffled")


@pytest.mark.long
def test_every_sample_counts_once_on_the_whole_grid():
    for n in range(1, GRID[0] + 1):
        for batch_size in range(1, GRID[1] + 1):
            for world in range(1, GRID[2] + 1):
                check_ranges(n, batch_size, world)


LENGTHS = st.lists(st.integers(1, 60) | st.sampled_from([1, 60]), min_size=1, max_size=120)


def cost_of(lengths, limit):
    """What a list of these samples costs."""
    if "max_tokens" in limit:
        return lambda samples: max(lengths[sample] for sample in samples) * len(samples)
    return lambda samples: sum(lengths[sample] for sample in samples)


@examples(150)
@given(
    lengths=LENGTHS,
    world=st.integers(1, 40),
    limit=st.sampled_from(["max_tokens", "capacity"]),
    most=st.integers(30, 400),
    order=st.sampled_from(["file", "shuffled", "length"]),
)
def test_every_sample_counts_once_under_a_budget(lengths, world, limit, most, order):
    limit = {limit: most}
    plan = bw.evaluation(lengths, **limit, order=order, too_long="alone")
    cost = cost_of(lengths, limit)
    samplers = [plan.sampler(rank=rank, world_size=world) for rank in range(world)]
    ranks = [list(sampler) for sampler in samplers]
    assert len({len(lists) for lists in ranks}) == 1
    gathered, last = [], len(ranks[0]) - 1
    for step in range(last + 1):
        for sampler, lists in zip(samplers, ranks, strict=True):
            real = sampler.real(step)
            assert len(lists[step]) == max(1, real)
            assert real or step == last
            assert len(lists[step]) == 1 or cost(lists[step]) <= most
            gathered += lists[step][:real]
    if order == "file":
        assert gathered == list(range(len(lengths)))
    assert sorted(gathered) == list(range(len(lengths)))
    of_last_step = sum(sampler.real(last) for sampler in samplers)
    assert sum(not sampler.real(last) for sampler in samplers) == max(0, world - of_last_step)


@examples(100)
@given(lengths=LENGTHS, world=st.integers(1, 6), padded=st.booleans(), most=st.integers(60, 300))
def test_steps_under_a_budget_are_few_and_level(lengths, world, padded, most):
    """No cut of the same order into consecutive ranges needs fewer steps or has a smaller most expensive micro-batch."""
    limit = {"max_tokens" if padded else "capacity": most}
    cost, plan = cost_of(lengths, limit), bw.evaluation(lengths, **limit).stepped(world)
    runs = [[]]
    for sample in range(len(lengths)):
        if runs[-1] and cost([*runs[-1], sample]) > most:
            runs.append([])
        runs[-1].append(sample)
    assert plan.epoch_batches == world * -(-len(runs) // world)
    for begin in range(0, plan.epoch_batches, world):
        step = [plan[batch][: plan.real(batch)].tolist() for batch in range(begin, begin + world)]
        samples = [sample for batch in step for sample in batch]
        assert max(map(cost, filter(None, step))) == least_of_the_largest(samples, world, cost)


def least_of_the_largest(samples, parts, cost):
    """By trying every cut of these samples into at most so many ranges, from the shortest beginnings on."""
    least = {len(samples): 0}
    for _ in range(parts):
        least = {
            first: min(max(cost(samples[first:last]), rest) for last, rest in least.items() if last > first or not rest)
            if first < len(samples)
            else 0
            for first in range(len(samples) + 1)
            if first == len(samples) or any(last > first for last in least)
        }
    return least[0]


def test_a_billion_samples_take_no_memory():
    """Nothing as long as the data is made, in file order or shuffled."""
    for order in ("file", "shuffled"):
        plan = bw.evaluation(10**9 + 7, 64, order=order)
        assert len(pickle.dumps(plan)) < 5000
        sampler = plan.sampler(rank=5, world_size=8)
        last = len(sampler) - 1
        assert last == (10**9 + 7) // 512
        sampler.seek(last)
        (final,) = list(sampler)
        assert sampler.real(last, epoch=0) == max(0, min(len(final), (10**9 + 7) % 512 - 5 * len(final)))
    assert plan[10**6].max() < 10**9 + 7


def test_one_sample_on_eight_ranks():
    samplers = [bw.evaluation(1, 4).sampler(rank=rank, world_size=8) for rank in range(8)]
    assert [list(sampler) for sampler in samplers] == [[[0]]] * 8
    assert [sampler.real(0) for sampler in samplers] == [1, 0, 0, 0, 0, 0, 0, 0]


def test_shuffles_differ_by_seed_and_stay_in_every_epoch():
    first, again, other = (bw.evaluation(100, 100, order="shuffled", seed=seed) for seed in (1, 1, 2))
    assert first[0].tolist() == again[0].tolist() == first[17].tolist()
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first[0].tolist() != other[0].tolist()
    assert sorted(first[0].tolist()) == list(range(100))


def test_the_longest_come_first_and_packs_the_fullest_first():
    lengths = [3, 9, 1, 9, 4]
    assert [batch.tolist() for batch in bw.evaluation(lengths, 2, order="length").epoch(0)] == [[1, 3], [4, 0], [2]]
    packs = bw.evaluation(lengths, capacity=10, order="length")
    assert [sum(lengths[sample] for sample in batch) for batch in packs.epoch(0)] == [10, 9, 7]


def test_a_sample_that_is_too_long_is_alone_where_that_is_asked():
    plan = bw.evaluation([3, 30, 3, 3], max_tokens=9, too_long="alone")
    assert [batch.tolist() for batch in plan.epoch(0)] == [[0], [1], [2, 3]]
    packed = bw.evaluation([3, 30, 3, 3], capacity=9, order="length", too_long="alone")
    assert [sorted(batch.tolist()) for batch in packed.epoch(0)] == [[1], [0, 2, 3]]


def test_samples_of_no_length_count_too():
    plan = bw.evaluation([0.0, 2.5, 0.0, 0.0], max_tokens=5)
    assert [batch.tolist() for batch in plan.epoch(0)] == [[0, 1], [2, 3]]
    assert bw.evaluation(np.zeros(9), max_tokens=5)[0].tolist() == list(range(9))


@given(
    lengths=st.lists(st.integers(0, 50), min_size=1, max_size=60),
    limit=st.sampled_from([{"batch_size": 1}, {"batch_size": 7}, {"max_tokens": 100}, {"capacity": 100}]),
    order=st.sampled_from(["file", "shuffled", "length"]),
    world=st.integers(1, 5),
)
def test_a_summary_tells_the_padding_that_there_is_or_that_it_is_not_known(lengths, limit, order, world):
    if "capacity" in limit and order == "length":  # packs
        lengths = [max(1, length) for length in lengths]
    lengths = np.array(lengths)
    plan = bw.evaluation(lengths, **limit, order=order).stepped(world)
    summary = plan.summary(world)
    if "batch_size" in limit and order != "length":  # `samples` may be any dataset that has a length
        assert summary.padding is None
        assert "padding is not known" in str(summary)
        return
    held = [lengths[plan[number][: plan.real(number)]] for number in range(plan.epoch_batches)]
    costs = np.array([one.sum() if "capacity" in limit else one.max(initial=0) * one.size for one in held])
    assert summary.padding == pytest.approx(1 - lengths.sum() / costs.sum() if costs.sum() else 0)
    assert f"padding {summary.padding:.2%}" in str(summary)
    steps = costs[:-world].reshape(-1, world)
    steps = steps[steps.sum(axis=1) > 0]
    mean = (steps.max(axis=1) / steps.mean(axis=1)).mean() if steps.size else 1
    assert summary.step_balance == pytest.approx(mean)
