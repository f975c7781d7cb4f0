"""Real gloo processes under DistributedDataParallel: the ranks share the plan, and refuse to share two."""

from __future__ import annotations

import numpy as np
import pytest

import batchwright as bw
from batchwright.audit.shares import WINDOW_BOUND_ACROSS

from .. import laws, processes
from . import programs

PLAN_OF_ONE_BATCH = "one sample"


FIXED = ["balanced", "schedule", "shuffled", "weighted"]


@pytest.mark.parametrize(("world", "accumulate", "workers"), [(2, 1, 0), (2, 3, 1), (4, 2, 0)])
def test_the_union_over_ranks_is_the_plan(world, accumulate, workers):
    _check_union(FIXED, world, accumulate, workers)


def test_the_union_over_ranks_is_every_plan():
    _check_union(sorted(set(laws.EVERY_PLAN) - set(FIXED)), 2, 1, 0)


def _check_union(kinds, world, accumulate, workers):
    """One gang trains on all of these plans: to start it costs more than they do."""
    seen = processes.run(programs.train, world, kinds, accumulate, 2, workers)
    for kind in kinds:
        plan = laws.EVERY_PLAN[kind](7)
        for epoch in range(2):
            whole = [samples.tolist() for samples in plan.epoch(epoch, world * accumulate)]
            together = [seen[i % world][kind][epoch][i // world] for i in range(len(whole))]
            assert (kind, together) == (kind, whole)
            assert {len(rank[kind][epoch]) for rank in seen} == {len(whole) // world}


@pytest.mark.parametrize(("world", "accumulate"), [(2, 3), (4, 2)])
def test_every_global_batch_is_balanced(world, accumulate):
    """G6, from what each rank counted for itself."""
    first, *others = processes.run(programs.own_composition, world, accumulate)
    assert all(other == first for other in others)
    plan = laws.EVERY_PLAN["balanced"](7)
    wanted = plan.shares() * plan.batch_size * world * accumulate
    deviation = np.abs(np.array(first) - wanted).max()
    assert deviation <= WINDOW_BOUND_ACROSS


DIFFERENCES = [
    ("seed", 2, "seed of the plan is 1 on process 0 and 2 on process 1"),
    ("batch_size", 5, "batch_size of the plan is 4 on process 0 and 5 on process 1"),
    ("target", "natural", " as natural() on process 1"),
    ("labels", [0] * 59 + [1] * 41, "of the plan is "),
    ("accumulate", 2, "accumulate is 1 on process 0 and 2 on process 1"),
    ("fetch", 2, "fetch is 1 on process 0 and 2 on process 1"),
    ("seek", 3, "batches_done is 0 on process 0 and 3 on process 1"),
    ("rank", 0, "2 processes take the shares of ranks [0, 0] of a world of 2"),
    ("world_size", 3, "world_size is 2 on process 0 and 3 on process 1"),
]


def test_ranks_that_differ_are_refused_by_the_name_of_what_differs():
    first, second = processes.run(programs.refusals, 2, [(name, value) for name, value, _ in DIFFERENCES])
    assert first == second
    assert [fact for _, _, fact in DIFFERENCES] == [
        fact if fact in said else said for (_, _, fact), said in zip(DIFFERENCES, first, strict=True)
    ]


def test_ranks_that_agree_are_not_refused():
    assert processes.run(programs.refusals, 4, [("seed", 1)]) == [[""]] * 4


def test_a_second_shard_is_refused():
    said = processes.run(programs.refusal_of_a_second_shard, 2)
    assert "the sampler takes 1 of 2 micro-batches, Sharding 1 of 2 of those" in said[0]


def test_a_loader_without_a_sampler_of_ours_is_refused():
    with pytest.raises(bw.Infeasible, match="no batchwright sampler inside list"):
        bw.check_ranks([1])
