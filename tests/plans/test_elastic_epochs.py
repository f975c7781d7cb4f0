"""A run through several worlds has every sample of an epoch once: no matter which worlds, and where each was left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from ..examples import examples

pytestmark = pytest.mark.filterwarnings("ignore:the run goes on in steps:batchwright.PoorWarning")

COUNT = 333
SHAPES = 64 * np.random.default_rng(0).integers(1, 9, (COUNT, 2))
LENGTHS = SHAPES[:, 0]

MAKE = {
    "bucketed": lambda seed: bw.bucketed(SHAPES, 2, buckets=8, window=8, seed=seed),
    "bucketed, few": lambda seed: bw.bucketed(SHAPES, 3, buckets=2, window=6, seed=seed),
    "bucketed, whole": lambda seed: bw.bucketed(SHAPES, 2, buckets=4, window="epoch", seed=seed),
    "grouped, whole": lambda seed: bw.grouped(LENGTHS, 2, window="epoch", seed=seed),
    "budgeted, whole": lambda seed: bw.budgeted(LENGTHS, 1024, window="epoch", seed=seed),
    "packed, whole": lambda seed: bw.packed(LENGTHS, 1024, window="epoch", seed=seed),
    "packed in layers": lambda seed: bw.packed(LENGTHS, 1024, window=8, seed=seed),
}
WORLDS = st.tuples(st.sampled_from([1, 2, 3, 8, 16]), st.integers(1, 3), st.sampled_from([1, 2, 3, "step"]))


def can_be_stepped(plan, world, accumulate, fetch):
    """Whether the plan has steps of that many micro-batches at all; else the world is refused in words."""
    try:
        plan.sampler(rank=0, world_size=world, accumulate=accumulate, fetch=fetch).state_at(0)
    except bw.Infeasible as refusal:
        if "samples cannot fill" in refusal.fact and "smaller world_size" in refusal.way_out:
            return False
        raise
    return True


def through(plan, worlds, cuts):
    """What is given in two more epochs of the last world; steps are taken in the others as told."""
    state, given_out = {}, []  # by step
    for number, ((world, accumulate, fetch), cut) in enumerate(zip(worlds, cuts, strict=True), 1):
        options = {"world_size": world, "accumulate": accumulate, "fetch": fetch}
        ranks = [plan.sampler(rank=rank, **options) for rank in range(world)]
        for sampler in ranks:
            sampler.load_state_dict(state)
        steps = cut if number < len(worlds) else 2 * len(ranks[0])
        while steps > 0:
            for step in zip(*map(iter, ranks), strict=True):
                given_out.append([sample for samples in step for sample in samples])
                steps -= 1
                if not steps:
                    break
        states = [sampler.state_dict() for sampler in ranks]
        assert all(state == states[0] for state in states)
        state = states[0]
    return given_out


def once_an_epoch(plan, worlds, cuts):
    """Nothing is refused, and after every step the counts of any two samples differ by at most 1."""
    times = np.zeros(plan.groups.sample_count, int)
    for step in through(plan, worlds, cuts):
        times += np.bincount(step, minlength=times.size)
        assert np.ptp(times) <= 1
    assert times.min() >= 1


@pytest.mark.parametrize("kind", MAKE)
@examples(12)
@given(
    seed=st.integers(0, 99),
    worlds=st.lists(WORLDS, min_size=2, max_size=4),
    cuts=st.lists(st.integers(0, 14), min_size=4, max_size=4),
)
def test_every_sample_comes_once_an_epoch_through_any_worlds(kind, seed, worlds, cuts):
    plan = MAKE[kind](seed)
    worlds = [world for world in worlds if can_be_stepped(plan, *world)]
    if worlds:
        once_an_epoch(plan, worlds, cuts[: len(worlds)])


@pytest.mark.parametrize("seed", range(8))
def test_chains_over_buckets_lose_and_repeat_nothing(seed):
    shapes = 64 * np.random.default_rng(seed).integers(1, 9, (656, 2))
    cuts = np.random.default_rng(seed + 100).integers(0, 12, 4).tolist()
    worlds = [(3, 3, "step"), (3, 3, "step"), (16, 1, 3), (1, 2, 2)]
    once_an_epoch(bw.bucketed(shapes, 2, buckets=8, window=8, seed=seed), worlds, cuts)


@pytest.mark.parametrize("left", [1, 2, 7])
def test_few_micro_batches_that_are_left_of_an_epoch_go_on_in_a_large_world(left):
    """A step of the new world has more micro-batches than the epoch has left: the next epoch completes it."""
    plan = bw.budgeted(LENGTHS, 1024, window=8, seed=3)
    before = plan.sampler()
    state = before.state_at(len(before) - left, epoch=0)
    ranks = [plan.sampler(rank=rank, world_size=16) for rank in range(16)]
    for sampler in ranks:
        sampler.load_state_dict(state)
    (step, *further) = zip(*ranks, strict=True)
    assert not further  # what is left of the epoch is one step
    rest = [batch.tolist() for batch in plan.epoch(0)[len(before) - left :]]
    assert list(step[:left]) == rest
    drawn = [sample for batch in step[left:] for sample in batch]
    drawn += [sample for step in zip(*ranks, strict=True) for batch in step for sample in batch]
    assert sorted(drawn[:COUNT]) == list(range(COUNT))
