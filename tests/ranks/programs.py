"""What a rank runs in the tests beside."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

import batchwright as bw

from .. import laws
from ..loader.datasets import Numbers


def train(
    rank: int, world_size: int, kinds: list[str], accumulate: int, epochs: int, workers: int
) -> dict[str, list[list[list[int]]]]:
    """The samples that went through a DDP model, plan by plan and epoch by epoch."""
    return {kind: _train(kind, accumulate, epochs, workers) for kind in kinds}


def _train(kind: str, accumulate: int, epochs: int, workers: int) -> list[list[list[int]]]:
    plan = laws.EVERY_PLAN[kind](7)
    sampler = plan.sampler(accumulate=accumulate)
    loader = DataLoader(Numbers(10_000), batch_sampler=sampler, num_workers=workers)
    bw.check_ranks(loader)
    assert sampler.audit(epochs=epochs).kept
    model = DistributedDataParallel(torch.nn.Linear(1, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    seen: list[list[list[int]]] = []
    for _ in range(epochs):
        seen.append([])
        for step, batch in enumerate(loader, 1):
            model(batch[:, None].float()).mean().backward()
            if step % accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
            seen[-1].append(batch.tolist())
    return seen


def refusals(rank: int, world_size: int, differences: list[tuple[str, Any]]) -> list[str]:
    """What `check_ranks` says where the last rank was built with another argument, of each such argument."""
    return [_refusal(rank, world_size, name, value) for name, value in differences]


def _refusal(rank: int, world_size: int, name: str, value_of_the_last: Any) -> str:
    arguments: dict[str, Any] = {"labels": [0] * 60 + [1] * 40, "batch_size": 4, "seed": 1, "target": "uniform"}
    options: dict[str, Any] = {"accumulate": 1, "fetch": "micro", "seek": 0, "rank": rank, "world_size": world_size}
    if rank == world_size - 1:
        (arguments if name in arguments else options)[name] = value_of_the_last
    plan = bw.balanced(arguments.pop("labels"), **arguments)
    step = options.pop("seek")
    sampler = plan.sampler(**options)
    sampler.seek(step)
    try:
        bw.check_ranks(DataLoader(range(100), batch_sampler=sampler))
    except bw.Infeasible as infeasible:
        return str(infeasible)
    return ""


def refusal_of_a_second_shard(rank: int, world_size: int) -> str:
    """What it says of a wrapper that takes every second micro-batch of a sampler that already does."""

    class Sharding(torch.utils.data.BatchSampler):
        def __init__(self, batch_sampler: torch.utils.data.BatchSampler) -> None:
            self.batch_sampler = batch_sampler
            self.num_processes = world_size

    sampler = bw.shuffled(64, 4).sampler()
    try:
        bw.check_ranks(Sharding(sampler))
    except bw.Infeasible as infeasible:
        return str(infeasible)
    return ""


def own_composition(rank: int, world_size: int, accumulate: int) -> list[list[int]]:
    """Group counts of every global batch, found by adding up what each rank counted in its own micro-batches."""
    plan = laws.EVERY_PLAN["balanced"](7)
    sampler = plan.sampler(accumulate=accumulate)
    lists = list(sampler)
    totals = []
    for first in range(0, len(lists), accumulate):
        mine = [index for samples in lists[first : first + accumulate] for index in samples]
        counts = torch.bincount(torch.from_numpy(plan.groups.group_of(mine)), minlength=plan.groups.group_count)
        torch.distributed.all_reduce(counts)
        totals.append(counts.tolist())
    return totals
