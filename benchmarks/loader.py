"""The loader beside torch's `DataLoader` and torchdata's `StatefulDataLoader` over a plain shuffle of the same data set.

    python benchmarks/loader.py [--samples 40000]

Microseconds a batch of 32 samples that cost nothing to read, collated by torch, wall clock, the best of several epochs in
turn; and what random numbers of its own cost a sample. Ratios are to torch's loader with the same number of workers.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from limits import Limits
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import batchwright as bw

BATCH = 32
EPOCHS = 5


class Numbers:
    """Sample i is i: reading it costs nothing, so that the loaders' own work shows."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return index


def epoch(loader: Any) -> float:
    """Microseconds a batch."""
    start = time.perf_counter()
    deque(loader, maxlen=0)
    return (time.perf_counter() - start) / len(loader) * 1e6


def loaders(dataset: Numbers, workers: int) -> dict[str, Any]:
    plan = bw.shuffled(len(dataset), BATCH)
    return {
        "torch's DataLoader": DataLoader(dataset, BATCH, shuffle=True, num_workers=workers),
        "torchdata's StatefulDataLoader": StatefulDataLoader(dataset, BATCH, shuffle=True, num_workers=workers),
        "plan.loader, not seeded": plan.loader(dataset, num_workers=workers, seeded=False),
        "plan.loader": plan.loader(dataset, num_workers=workers),
    }


def best(makers: dict[str, Any], measure: Callable[[Any], float]) -> dict[str, float]:
    found = dict.fromkeys(makers, float("inf"))
    for _ in range(EPOCHS):
        for name, loader in makers.items():
            found[name] = min(found[name], measure(loader))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=40_000)
    dataset = Numbers(parser.parse_args().samples)
    limits = Limits()
    for workers in (0, 2):
        print(f"\n{workers} workers, batches of {BATCH}\n")
        found = best(loaders(dataset, workers), epoch)
        base = found["torch's DataLoader"]
        for name, took in found.items():
            print(f"    {name:32} {took:8.1f} us a batch  {took / base:5.2f}")
        cost = (found["plan.loader"] - found["plan.loader, not seeded"]) / BATCH
        print(f"    random numbers of its own cost a sample {cost:.1f} us")
        stateful = found["torchdata's StatefulDataLoader"]
        limits.beside(f"ours / StatefulDataLoader: {workers} workers", found["plan.loader"] / stateful)
        name = f"ours / torch's DataLoader: {workers} workers"
        if workers:  # a small batch is sent as bytes, which saves more than the seeding of 32 samples takes
            limits.at_most(name, found["plan.loader"] / base, 1.0)
        else:
            limits.beside(name, found["plan.loader"] / base)
        not_seeded = found["plan.loader, not seeded"] / base
        limits.at_most(f"ours / torch's DataLoader: not seeded, {workers} workers", not_seeded, 1.0)
    limits.end()


if __name__ == "__main__":
    main()
