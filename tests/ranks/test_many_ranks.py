"""A thousand and a hundred thousand simulated ranks: they agree, lose nothing in other worlds, and pay for their own."""

from __future__ import annotations

import pickle
import time
import tracemalloc

import numpy as np
import pytest

import batchwright as bw

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")

SAMPLES = 3_000_000


@pytest.fixture(scope="module")
def plan():
    return bw.balanced(np.arange(SAMPLES) % 1000 % 37, 8)


def test_from_1024_ranks_to_768_and_back_nothing_is_lost_or_repeated(plan):
    state, drawn = {}, []
    for world, steps in ((1024, 3), (768, 4), (1024, 2)):
        samplers = [plan.sampler(rank=rank, world_size=world) for rank in range(world)]
        for sampler in samplers:
            sampler.load_state_dict(state)
        iterators = [iter(sampler) for sampler in samplers]
        for _ in range(steps):
            drawn += [next(iterator) for iterator in iterators]
        states = [sampler.state_dict() for sampler in samplers]
        assert all(other == states[0] for other in states)
        state = states[0]
    assert drawn == [plan[number].tolist() for number in range(3 * 1024 + 4 * 768 + 2 * 1024)]


def test_a_hundred_thousand_ranks_share_a_step_and_each_pays_for_its_own(plan):
    world = 100_000
    chosen = [0, 1, 49_999, 99_999]
    samplers = {rank: plan.sampler(rank=rank, world_size=world) for rank in chosen}
    iterators = {rank: iter(sampler) for rank, sampler in samplers.items()}
    length = {len(sampler) for sampler in samplers.values()}
    assert length == {plan.epoch_length(world) // world}
    for step in range(length.pop()):
        for rank in chosen:
            assert next(iterators[rank]) == plan[step * world + rank].tolist()
    assert len({str(sampler.state_dict()) for sampler in samplers.values()}) == 1


def test_a_rank_of_a_hundred_thousand_costs_what_one_of_eight_costs(plan):
    def seconds(world):
        sampler = plan.sampler(rank=3, world_size=world)
        iterator = iter(sampler)
        next(iterator)
        began = time.process_time()
        next(iterator)
        return time.process_time() - began

    seconds(8)
    assert min(seconds(100_000) for _ in range(9)) < 20 * min(seconds(8) for _ in range(9)) + 1e-3
    tracemalloc.start()
    sampler = plan.sampler(rank=99_999, world_size=100_000)
    next(iter(sampler))
    assert tracemalloc.get_traced_memory()[1] < 200_000
    tracemalloc.stop()
    assert len(pickle.dumps(sampler.state_dict())) < 500
