"""Real gloo processes that share sequences: their gradients are those of the whole, in float64."""

from __future__ import annotations

import pytest

from .. import processes
from . import context_parallel


@pytest.mark.parametrize("world", [2, 4])
def test_a_divided_pack_has_the_gradients_of_the_whole(world):
    for found in processes.run(context_parallel.of_a_pack, world):
        assert len(found) == 6
        assert max(found.values()) < 1e-10, found


def test_every_rank_computes_the_same_parts_of_rollouts_that_it_gathered_lengths_of():
    first, second = processes.run(context_parallel.parts_of_rollouts, 2)
    assert first == second
    assert sorted(item for part in first for item in part) == list(range(200))
    assert len(first) % 2 == 0


def test_a_hybrid_plan_has_the_gradients_of_all_its_samples():
    for found in processes.run(context_parallel.of_a_hybrid_plan, 4):
        assert len(found) == 4
        assert max(found.values()) < 1e-10, found
