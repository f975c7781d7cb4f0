"""What the loader of a plan costs a sample beside torch's DataLoader with the same sampler, with and without seeding.

Without workers, on one thread, in turns; times are processor time, the median of the rounds. `x[i]` is the cheapest data set that
there is, so this is the loader's own work; a sample that is read from a file takes a hundred times as long.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

import batchwright as bw

SAMPLES = 20_000
BATCH_SIZE = 64
ROUNDS = 9


class Rows(Dataset):
    """Row i of a tensor, read one by one, with noise or without."""

    def __init__(self, noise: float) -> None:
        self.rows = torch.zeros(SAMPLES, 8)
        self.noise = noise

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> torch.Tensor:
        row = self.rows[index]
        return row + self.noise * torch.randn(8) if self.noise else row


def microseconds(loader: Iterable[Any]) -> float:
    began = time.process_time()
    for _ in loader:
        pass
    return (time.process_time() - began) / SAMPLES * 1e6


def main() -> None:
    torch.set_num_threads(1)
    plan = bw.shuffled(SAMPLES, BATCH_SIZE)
    for name, dataset in {"x[i]": Rows(0.0), "x[i] + randn(8)": Rows(0.1)}.items():
        made: dict[str, Callable[[Any], Iterable[Any]]] = {
            "DataLoader": lambda data: DataLoader(data, batch_sampler=plan.sampler()),
            "plan.loader, seeded=False": lambda data: plan.loader(data, num_workers=0, seeded=False),
            "plan.loader": lambda data: plan.loader(data, num_workers=0),
        }
        rounds = [[microseconds(make(dataset)) for make in made.values()] for _ in range(ROUNDS + 1)][1:]
        medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
        for label, found in zip(made, medians, strict=True):
            print(f"{name:<16} {label:<26} {found:6.2f} us a sample, {found / medians[0]:5.1f} of DataLoader's")


if __name__ == "__main__":
    main()
