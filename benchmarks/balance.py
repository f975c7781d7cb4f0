"""Balanced batches beside the samplers people use: N = 10^6, 1,000 long-tailed classes, batch 256, Python lists out.

Prints ratios measured in one process; the times beside them are of this machine, now. Run by `make bench`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from pytorch_metric_learning.samplers import MPerClassSampler
from torch.utils.data import BatchSampler, RandomSampler, WeightedRandomSampler
from torchsampler import ImbalancedDatasetSampler

import batchwright as bw

SAMPLES, CLASSES, BATCH = 10**6, 1000, 256
ROUNDS = 7


def main() -> None:
    torch.set_num_threads(1)
    labels = long_tailed_labels()
    plan = bw.balanced(labels, BATCH)
    ours = nanoseconds_an_index(lambda: plan.sampler(), batches=3000)
    print(f"N = {SAMPLES:,}, {CLASSES:,} long-tailed classes, batch {BATCH}, Python lists out, warm\n")
    print(f"{'':<46}{'ns an index':>12}{'batchwright / it':>18}")
    row("batchwright balanced", ours, ours)
    peers: dict[str, tuple[Callable[[], Iterable[list[int]]], int]] = {
        "torch RandomSampler (uniform, no balance)": (lambda: batched(RandomSampler(range(SAMPLES))), 3000),
        "torch WeightedRandomSampler": (lambda: batched(weighted_of_torch(labels)), 3000),
        "torchsampler ImbalancedDatasetSampler": (lambda: batched(imbalanced(labels)), 3000),
        "pytorch-metric-learning MPerClassSampler": (lambda: batched(m_per_class(labels)), 100),
    }
    for name, (make, batches) in peers.items():
        row(name, nanoseconds_an_index(make, batches=batches), ours)
    row("batchwright shuffled", nanoseconds_an_index(lambda: bw.shuffled(SAMPLES, BATCH).sampler(), batches=3000), ours)
    row("batchwright, as rank 0 of 128", of_a_rank(plan, 128), ours)
    row("batchwright, as rank 0 of 1,024", of_a_rank(plan, 1024), ours)
    row("batchwright, as rank 0 of 8,192", of_a_rank(plan, 8192), ours)
    print("\n(for ranks the ratio is to be read the other way: own index over one process' index)")
    print(f"rank of 1,024 / one process: {of_a_rank(plan, 1024) / ours:.2f}; / rank of 128: "
          f"{of_a_rank(plan, 1024) / of_a_rank(plan, 128):.2f}")  # fmt: skip

    print("\nbuilding, seeking, starting")
    groups = best(lambda: bw.Groups.from_labels(labels))
    print(f"Groups.from_labels / numpy stable argsort: {groups / best(lambda: np.argsort(labels, kind='stable')):.2f}")
    built = bw.Groups.from_labels(labels)
    first = best(lambda: bw.balanced(built, BATCH)[0])
    print(f"first batch of a warm process, groups built: {1e3 * first:.2f} ms")
    before_first = best(lambda: next(iter(batched(weighted_of_torch(labels)))), rounds=2)
    print(f"  with the groups still to be built, batchwright / torch WeightedRandomSampler: "
          f"{best(lambda: bw.balanced(labels, BATCH)[0]) / before_first:.3f}")  # fmt: skip
    print(f"plan[10**9]: {1e3 * best(lambda: bw.balanced(built, BATCH)[10**9]):.2f} ms, the plan built too")
    for weights in (2**24 + 1, 10**8):
        weighted(weights)
    start_up()


def row(name: str, value: float, ours: float) -> None:
    print(f"{name:<46}{value:>12.0f}{ours / value:>18.4f}")


def best(run: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Seconds of the fastest of several runs: the one that others disturbed least."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def nanoseconds_an_index(make: Callable[[], Iterable[list[int]]], *, batches: int) -> float:
    """Drawing `batches` batches after the first, over their indices."""
    times = []
    for _ in range(ROUNDS if batches > 1000 else 2):
        iterator = iter(make())
        next(iterator)
        began, drawn = time.perf_counter(), 0
        for _, batch in zip(range(batches), iterator, strict=False):
            drawn += len(batch)
        times.append((time.perf_counter() - began) / drawn)
    return 1e9 * min(times)


def of_a_rank(plan: object, world_size: int) -> float:
    def endless() -> Iterator[list[int]]:
        sampler = plan.sampler(rank=0, world_size=world_size)  # type: ignore[attr-defined]
        while True:
            yield from sampler

    return nanoseconds_an_index(endless, batches=1001)


def long_tailed_labels() -> np.ndarray:
    """Class sizes fall as 1 / rank, none below 2."""
    sizes = np.maximum(2, SAMPLES / np.arange(1, CLASSES + 1) / np.log(CLASSES)).astype(int)
    sizes[0] += SAMPLES - sizes.sum()
    return np.random.default_rng(0).permutation(np.repeat(np.arange(CLASSES), sizes))


def batched(sampler: Iterable[int]) -> BatchSampler:
    return BatchSampler(sampler, BATCH, drop_last=True)


def weighted_of_torch(labels: np.ndarray) -> WeightedRandomSampler:
    return WeightedRandomSampler(torch.from_numpy(1 / np.bincount(labels)[labels]), SAMPLES)


def imbalanced(labels: np.ndarray) -> ImbalancedDatasetSampler:
    return ImbalancedDatasetSampler(range(SAMPLES), labels=labels.tolist())


def m_per_class(labels: np.ndarray) -> MPerClassSampler:
    return MPerClassSampler(labels, m=4, batch_size=BATCH, length_before_new_iter=BATCH * 200)


def weighted(samples: int) -> None:
    weights = np.random.default_rng(0).random(samples, np.float32)
    began = time.perf_counter()
    plan = bw.weighted(weights, BATCH)
    plan[0]
    built = time.perf_counter() - began
    value = nanoseconds_an_index(lambda: plan.sampler(), batches=1001)
    print(f"weighted, {samples:,} samples: {value:.0f} ns an index, first batch after {built:.1f} s"
          f" (torch refuses more than {2**24:,})")  # fmt: skip


def start_up() -> None:
    """A first process without any compiled cache, then a second one that finds it."""
    code = "import time; t = time.perf_counter(); import batchwright as bw; p = bw.balanced([0, 1], 2); p[0]; print(time.perf_counter() - t)"
    bare = "import time; t = time.perf_counter(); import batchwright; print(time.perf_counter() - t)"
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}

        def run(source: str) -> float:
            return float(subprocess.check_output([sys.executable, "-c", source], env=environment, text=True))

        print(f"first batch of a cold machine: {run(code):.2f} s, of the next process: {min(run(code) for _ in range(3)):.2f} s; "
              f"import batchwright alone: {min(run(bare) for _ in range(3)):.3f} s")  # fmt: skip


if __name__ == "__main__":
    main()
