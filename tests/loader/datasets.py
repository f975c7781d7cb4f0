"""Datasets that show which sample came through which door."""

from __future__ import annotations

import torch


class Numbers(torch.utils.data.Dataset):
    """Sample i is i; one of them may be broken."""

    def __init__(self, count: int, broken: int | None = None) -> None:
        self.count = count
        self.broken = broken

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        if index == self.broken:
            raise OSError(f"sample {index} cannot be read")
        return index


class NumbersByList(Numbers):
    """Takes a whole micro-batch at once, as Hugging Face datasets do."""

    def __getitems__(self, indices: list[int]) -> list[int]:
        assert all(type(index) is int for index in indices)
        indices.reverse()  # a dataset may do what it likes with the list it was given
        return [-self[index] for index in reversed(indices)]


def seed_worker(worker: int) -> None:
    """A `worker_init_fn`."""
    torch.manual_seed(worker)
