"""A run through several worlds has every sample of an epoch once: no matter which worlds, and where each was left."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from batchwright.plans.refit import Trail
from hypothesis import given, settings
from hypothesis import strategies as st

import batchwright as bw

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


def ends_an_epoch(sampler, length):
    """Whether an epoch of the plan ends here, and not a part of one that went on from another world."""
    here = sampler._at
    if (here.origin + here.consumed) % length or here.origin + here.consumed <= 0:
        return False
    trail = Trail.of(tuple(sampler.state_dict().get("trail", ())))
    return trail is None or not trail.refits


def through(plan, worlds, cuts):
    """What is given until an epoch of the plan ends in the last world; steps are taken in the others as told."""
    state, given_out = {}, []
    for (world, accumulate, fetch), cut, last in zip(worlds, cuts, [*[False] * (len(worlds) - 1), True], strict=True):
        options = {"world_size": world, "accumulate": accumulate, "fetch": fetch}
        ranks = [plan.sampler(rank=rank, **options) for rank in range(world)]
        for sampler in ranks:
            sampler.load_state_dict(state)
        length = plan.epoch_length(ranks[0].state_dict()["multiple"])
        taken, ended = 0, False
        while not ended and (last or taken < cut):
            for step in zip(*ranks, strict=True):
                given_out += [sample for samples in step for sample in samples]
                taken += 1
                ended = last and ends_an_epoch(ranks[0], length)
                if ended or (not last and taken >= cut):
                    break
        state = ranks[0].state_dict()
    return given_out


def once_an_epoch(plan, worlds, cuts):
    """Whether the run went through; else it was refused in words before anything was lost."""
    try:
        given_out = through(plan, worlds, cuts)
    except bw.Infeasible as refusal:
        if "smaller world_size" not in refusal.way_out:
            raise
        return False
    count = plan.groups.sample_count
    assert Counter(given_out) == Counter([*range(count)] * (len(given_out) // count))
    return True


@pytest.mark.parametrize("kind", MAKE)
@settings(max_examples=12)
@given(
    seed=st.integers(0, 99),
    worlds=st.lists(WORLDS, min_size=2, max_size=4),
    cuts=st.lists(st.integers(0, 14), min_size=4, max_size=4),
)
def test_every_sample_comes_once_an_epoch_through_any_worlds(kind, seed, worlds, cuts):
    once_an_epoch(MAKE[kind](seed), worlds, cuts[: len(worlds)])


def test_chains_over_buckets_lose_and_repeat_nothing():
    worlds = [(3, 3, "step"), (3, 3, "step"), (16, 1, 3), (1, 2, 2)]
    went_through = 0
    for seed in range(8):
        shapes = 64 * np.random.default_rng(seed).integers(1, 9, (656, 2))
        cuts = np.random.default_rng(seed + 100).integers(0, 12, 4).tolist()
        went_through += once_an_epoch(bw.bucketed(shapes, 2, buckets=8, window=8, seed=seed), worlds, cuts)
    assert went_through >= 4
