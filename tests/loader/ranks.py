"""What a rank does in the tests of which ranks a loader compares."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import timedelta
from itertools import islice
from typing import Any

import torch.distributed as dist

import batchwright as bw

from .datasets import Numbers

SAMPLES = 36
PLAN = bw.shuffled(SAMPLES, 2)


def loader(plan: Any = PLAN, **options: Any) -> Any:
    return plan.loader(Numbers(SAMPLES), num_workers=0, **options)


def outcomes(rank: int, world_size: int) -> list[dict[str, str]]:
    """What came of each case: how many batches a loop gave, or what was said in place of them."""
    found = {name: _outcome(case, rank) for name, case in CASES.items()}
    store = dist.distributed_c10d._get_default_store()
    store.set_timeout(timedelta(seconds=0.2))  # process 1 does something else in the following
    alone = {name: _outcome(case, rank) for name, case in ALONE.items()}
    store.set_timeout(timedelta(minutes=1))
    dist.barrier()
    return [found, alone]


def _outcome(case: Callable[[int], Any], rank: int) -> str:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            given = len(list(case(rank)))
        except bw.Infeasible as refusal:
            return str(refusal)
    return " ".join([f"{given} batches", *(str(warning.message) for warning in warned)])


def resumed(rank: int, batches: int) -> Any:
    """A loader that only process 0 has given a state, after so many batches."""
    before, after = loader(compare_ranks=False), loader()
    list(islice(before, batches))
    if rank == 0:
        after.load_state_dict(before.state_dict())
    return after


def sought_in_the_second_epoch(rank: int) -> Any:
    one = loader()
    list(one)
    if rank:
        one.seek(2)
    return one


def with_other_shares(rank: int) -> Any:
    one = loader(bw.balanced([0, 1] * (SAMPLES // 2), 2, target=bw.targets.moving("uniform")))
    list(one)
    one.retarget([0.5, 0.5] if rank else [0.25, 0.75])
    return one


CASES: dict[str, Callable[[int], Any]] = {
    "the group's ranks": lambda rank: loader(),
    "the group's ranks, another seed": lambda rank: loader(bw.shuffled(SAMPLES, 2, seed=rank)),
    "own ranks": lambda rank: loader(rank=rank, world_size=2),
    "own ranks in another order": lambda rank: loader(rank=1 - rank, world_size=2),
    "one rank twice": lambda rank: loader(rank=0, world_size=2),
    "one rank twice, as is wanted": lambda rank: loader(rank=0, world_size=2, compare_ranks=False),
    "own ranks, another seed": lambda rank: loader(bw.shuffled(SAMPLES, 2, seed=rank), rank=rank, world_size=2),
    "own ranks, another accumulation": lambda rank: loader(rank=rank, world_size=2, accumulate=1 + rank),
    "each a world of its own": lambda rank: loader(bw.shuffled(SAMPLES, 2, seed=rank), rank=0, world_size=1),
    "each a world of its own, compared": lambda rank: loader(rank=0, world_size=1, compare_ranks=True),
    "two ranks of four": lambda rank: loader(rank=rank, world_size=4),
    "two ranks of four, compared": lambda rank: loader(rank=rank, world_size=4, compare_ranks=True),
    "two ranks of four, simulated": lambda rank: loader(rank=rank, world_size=4, compare_ranks=False),
    "a state on one process": lambda rank: resumed(rank, 4),
    "the state of the last batch but one on one process": lambda rank: resumed(rank, 8),
    "the state of an ended epoch on one process": lambda rank: resumed(rank, 9),
    "another place in the second epoch": sought_in_the_second_epoch,
    "other shares": with_other_shares,
}

ALONE: dict[str, Callable[[int], Any]] = {
    "own ranks": lambda rank: loader(rank=rank, world_size=2) if rank == 0 else [],
    "own ranks of other worlds": lambda rank: loader(rank=rank, world_size=2 + 2 * rank),
    "the group's ranks": lambda rank: loader() if rank == 0 else [],
}
