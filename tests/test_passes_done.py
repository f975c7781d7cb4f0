"""The passes of each source that a run has had, beside counts of what all ranks were given."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

SIZES = {"web": 90, "code": 30, "books": 10}
STARTS = np.cumsum([0, *SIZES.values()])


def mixture():
    changes = bw.targets.stages({0: [0.5, 0.3, 0.2], 20: [0.2, 0.2, 0.6]})
    return bw.mixed({**SIZES, "code": bw.balanced([0] * 20 + [1] * 10, 6)}, 10, target=changes, seed=3)


def moved():
    return bw.balanced(np.repeat([*SIZES], [*SIZES.values()]).tolist(), 10, target=bw.targets.moving([1 / 3] * 3))


@given(make=st.sampled_from([mixture, moved]), steps=st.integers(0, 60), worlds=st.permutations([1, 2, 3]))
def test_passes_are_those_that_were_counted_in_any_world(make, steps, worlds):
    counts, state = np.zeros(3), {}
    for world in worlds:
        ranks = [make().sampler(rank=rank, world_size=world) for rank in range(world)]
        for rank in ranks:
            rank.load_state_dict(json.loads(json.dumps(state)))
        for step, batches in enumerate(zip(*ranks, strict=True)):
            counts += np.histogram(batches, STARTS)[0] if make is mixture else _by_name(batches)
            if step == 2 and make is moved:
                for rank in ranks:
                    rank.retarget([0.2, 0.2, 0.6])
            if step >= steps:
                break
        found = [rank.passes_done for rank in ranks]
        assert all(one == found[0] for one in found)
        names = list(found[0])
        sizes = SIZES.values() if make is mixture else [SIZES[name] for name in names]
        assert list(found[0].values()) == pytest.approx(counts / np.array([*sizes]))
        state = ranks[0].state_dict()


NAMED = moved().groups


def _by_name(batches):
    return np.bincount(NAMED.group_of(np.concatenate(batches)), minlength=3)


def test_packs_over_a_mixture_have_the_passes_of_their_order():
    lengths = np.random.default_rng(0).integers(20, 200, 130)
    with pytest.warns(
        bw.PoorWarning, match="of the first 32, 9 hold|of 18 looked at from micro-batch 20 of .*, 14 hold"
    ):
        plan = bw.packed(lengths, 1024, order=mixture(), window=4)  # small sources, in windows
    sampler = plan.sampler(rank=0, world_size=1)
    counts = np.zeros(3)
    for _ in range(3):
        for batch in sampler:
            counts += np.histogram(batch, STARTS)[0]
    assert [*sampler.passes_done.values()] == pytest.approx(counts / [*SIZES.values()], rel=0.1)


@pytest.mark.parametrize(
    ("plan", "after"),
    [
        (bw.weighted([1] * 12, 2), {"all": 0.5}),
        (bw.sequential(30, 4), {"all": 0.4}),
        (bw.hierarchical([[0] * 30 + [1] * 30], [2, 3]), {0: 0.3, 1: 0.3}),
        (bw.alternating({"a": bw.shuffled(30, 3), "b": bw.shuffled(10, 3)}, target="uniform"), {"a": 0.15, "b": 0.45}),
        (bw.balanced([0] * 50 + [1] * 10, 4, draw="random"), {0: 0.12, 1: 0.6}),
        (bw.budgeted([3] * 60, 12), {"all": 0.2}),
    ],
)
def test_every_kind_of_plan_has_passes(plan, after):
    sampler = plan.sampler(rank=0, world_size=1)
    assert set(sampler.passes_done.values()) == {0.0}
    sampler.seek(3, epoch=0)
    assert sampler.passes_done == pytest.approx(after)


@pytest.mark.parametrize(
    "plan", [bw.budgeted(np.random.default_rng(1).integers(1, 50, 600), 300), bw.evaluation(600, batch_size=16)]
)
def test_plans_without_an_order_have_whole_passes_after_whole_epochs(plan):
    sampler = plan.sampler(rank=0, world_size=1)
    for epoch in (0, 2):
        sampler.seek(len(sampler), epoch=epoch)
        assert sampler.passes_done == {"all": epoch + 1}
