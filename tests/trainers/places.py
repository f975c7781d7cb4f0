"""A short plan, and the epoch and number of each of its micro-batches, by which laws of trainers are told."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

import batchwright as bw

LENGTH = 10  # micro-batches in an epoch
SAMPLES = 40
Place = tuple[int, int]


def plan(seed: int = 5) -> Any:
    return bw.shuffled(SAMPLES, 4, seed=seed)


def loader(sampler: bw.BatchSampler, **options: Any) -> DataLoader:
    return DataLoader(range(SAMPLES), batch_sampler=sampler, **options)


def made(by: str = "loader", *, seed: int = 5, workers: int = 0, accumulate: int = 1, **options: Any) -> Any:
    """A plan's own loader, or torch's over the plan's sampler."""
    if by == "sampler":
        return loader(plan(seed).sampler(accumulate=accumulate), num_workers=workers, **options)
    return plan(seed).loader(range(SAMPLES), accumulate=accumulate, num_workers=workers, **options)


class ByList(Dataset):
    """Samples by the list, as `batch_size=None` asks for them."""

    def __len__(self):
        return SAMPLES

    def __getitem__(self, numbers):
        return torch.tensor(numbers)


_PLACES = {
    seed: {tuple(batch.tolist()): (e, i) for e in range(40) for i, batch in enumerate(plan(seed).epoch(e))}
    for seed in (5, 6)
}


def place(batch: torch.Tensor, seed: int = 5) -> Place:
    """Of a micro-batch: its epoch, and which of the epoch it is."""
    return _PLACES[seed][tuple(batch.flatten().long().tolist())]


def epochs(*ranges: tuple[int, int, int]) -> list[Place]:
    """Places first..last-1 of each epoch."""
    return [(epoch, i) for epoch, first, last in ranges for i in range(first, last)]
