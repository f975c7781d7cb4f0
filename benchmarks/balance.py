"""Balanced batches beside the samplers people use: N = 10^6, 1,000 long-tailed classes, batch 256, Python lists out.

Prints ratios measured in one process, and the limits they must keep; the times beside them are of this machine, now. Run
by `make bench`.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterable

import numpy as np
import torch
from limits import Limits
from pytorch_metric_learning.samplers import MPerClassSampler
from torch.utils.data import BatchSampler, RandomSampler, WeightedRandomSampler

import batchwright as bw
from batchwright.plans import FixedPlan

# torchsampler needs torchvision only to ask whether a dataset is one of its.
sys.modules.setdefault("torchvision", types.ModuleType("torchvision"))
ImbalancedDatasetSampler = importlib.import_module("torchsampler").ImbalancedDatasetSampler

SAMPLES, CLASSES, BATCH = 10**6, 1000, 256
ROUNDS = 7
NOISE = 0.02  # of the least of many runs, on a machine that others use


def main() -> None:
    torch.set_num_threads(1)
    labels = long_tailed_labels()
    plan = bw.balanced(labels, BATCH)
    print(
        f"N = {SAMPLES:,}, {CLASSES:,} long-tailed classes, batch {BATCH}, Python lists out, warm, epochs from iter() on\n"
    )
    print(f"{'':<46}{'ns an index':>12}{'batchwright / it':>18}")
    ours = nanoseconds_an_index(lambda: plan.sampler())
    row("batchwright balanced", ours, ours)
    uniform = nanoseconds_an_index(lambda: batched(RandomSampler(range(SAMPLES))))
    row("torch RandomSampler (uniform, no balance)", uniform, ours)
    peers: dict[str, Callable[[], Iterable[list[int]]]] = {
        "torch WeightedRandomSampler": lambda: batched(weighted_of_torch(labels)),
        "torchsampler ImbalancedDatasetSampler": lambda: batched(imbalanced(labels)),
    }
    theirs = {name: nanoseconds_an_index(make) for name, make in peers.items()}
    for name, value in theirs.items():
        row(name, value, ours)
    in_fours = nanoseconds_an_index(lambda: bw.balanced(labels, BATCH, per_class=4).sampler())
    row("batchwright balanced, 64 classes x 4", in_fours, in_fours)
    of_m = nanoseconds_an_index(lambda: batched(m_per_class(labels)), rounds=2)
    row("pytorch-metric-learning MPerClassSampler, m=4", of_m, in_fours)
    row("batchwright shuffled", nanoseconds_an_index(lambda: bw.shuffled(SAMPLES, BATCH).sampler()), ours)
    ranks = of_ranks(plan, (128, 1024, 8192, 100_000))
    for world_size, value in ranks.items():
        row(f"batchwright, as rank 0 of {world_size:,}", value, ours)

    print("\nratios and their limits")
    limits = Limits()
    limits.at_most("ours / torch RandomSampler: an index", ours / uniform, 0.6)
    for name, value in theirs.items():
        limits.beside(f"ours / {name}: an index", ours / value)
    limits.at_least("MPerClassSampler / ours: an index, 64 classes x 4", of_m / in_fours, 100)
    limits.at_most("an index: rank of 1,024 / one process", ranks[1024] / ours, 8)
    limits.at_most("an index: rank of 1,024 / rank of 128", ranks[1024] / ranks[128], 1 + NOISE)
    groups = best(lambda: bw.Groups.from_labels(labels))
    limits.at_most(
        "ours / numpy's stable argsort: Groups.from_labels",
        groups / best(lambda: np.argsort(labels, kind="stable")),
        1.5,
    )
    built = bw.Groups.from_labels(labels)
    limits.at_most("ms to the first batch, warm, groups built", 1e3 * best(lambda: bw.balanced(built, BATCH)[0]), 20)
    limits.at_most("ms of plan[10**9], the plan built too", 1e3 * best(lambda: bw.balanced(built, BATCH)[10**9]), 5)
    peer = best(lambda: next(iter(batched(weighted_of_torch(labels)))), rounds=2)
    limits.at_most(
        "ours / torch WeightedRandomSampler: first batch from labels",
        best(lambda: bw.balanced(labels, BATCH)[0]) / peer,
        1,
    )
    for samples in (2**24 + 1, 10**8):  # torch refuses more than 2^24
        value, first = weighted(samples)
        limits.at_most(f"ns an index, weighted, {samples:,} samples", value, 2000)
        print(f"  its first batch after {first:.1f} s")
    cold, warm, bare = start_up()
    print(f"s to the first batch of a cold machine: {cold:.2f}, of the next process: {warm:.2f}")
    limits.at_most("s of import batchwright", bare, 0.3)
    limits.end()


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


def nanoseconds_an_index(make: Callable[[], Iterable[list[int]]], *, rounds: int = ROUNDS, most: int = 10**6) -> float:
    """From `iter` on to the last batch of an epoch, over its indices; what is done once in a run is not counted."""
    times = []
    for _ in range(rounds):
        batches = make()
        began, drawn = time.perf_counter(), 0
        for batch in batches:
            drawn += len(batch)
            if drawn >= most:
                break
        times.append((time.perf_counter() - began) / drawn)
    return 1e9 * min(times)


def of_ranks(plan: FixedPlan, world_sizes: Iterable[int]) -> dict[int, float]:
    """A rank's own micro-batches, one after the other through many epochs; the worlds in turn, so that all meet the same."""
    length = plan.epoch_length()
    found = dict.fromkeys(world_sizes, float("inf"))
    for _ in range(3 * ROUNDS):
        for world_size in found:  # an epoch that gives one rank as many as one process
            far = FixedPlan(plan.order, epoch_batches=length * world_size)
            now = nanoseconds_an_index(lambda: far.sampler(rank=0, world_size=world_size), rounds=1, most=300 * BATCH)
            found[world_size] = min(found[world_size], now)
    return found


def long_tailed_labels() -> np.ndarray:
    """Class sizes fall as 1 / rank, none below 2."""
    sizes = np.maximum(2, SAMPLES / np.arange(1, CLASSES + 1) / np.log(CLASSES)).astype(int)
    sizes[0] += SAMPLES - sizes.sum()
    return np.random.default_rng(0).permutation(np.repeat(np.arange(CLASSES), sizes))


def batched(sampler: Iterable[int]) -> BatchSampler:
    return BatchSampler(sampler, BATCH, drop_last=False)


def weighted_of_torch(labels: np.ndarray) -> WeightedRandomSampler:
    return WeightedRandomSampler(torch.from_numpy(1 / np.bincount(labels)[labels]), SAMPLES)


def imbalanced(labels: np.ndarray) -> ImbalancedDatasetSampler:
    return ImbalancedDatasetSampler(range(SAMPLES), labels=labels.tolist())


def m_per_class(labels: np.ndarray) -> MPerClassSampler:
    return MPerClassSampler(labels, m=4, batch_size=BATCH, length_before_new_iter=BATCH * 400)


def weighted(samples: int) -> tuple[float, float]:
    """Nanoseconds an index, and seconds to the first batch."""
    weights = np.random.default_rng(0).random(samples, np.float32) + np.float32(0.001)
    began = time.perf_counter()
    plan = bw.weighted(weights, BATCH)
    plan[0]
    first = time.perf_counter() - began
    return nanoseconds_an_index(lambda: plan.sampler(), most=300_000), first


def start_up() -> tuple[float, float, float]:
    """Seconds of a first process without any compiled cache, of a second one that finds it, and of the import alone."""
    timed = "import time; t = time.perf_counter(); import batchwright as bw; {} print(time.perf_counter() - t)"
    code, bare = timed.format("bw.balanced([0, 1], 2)[0];"), timed.format("")
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}

        def run(source: str) -> float:
            return float(subprocess.check_output([sys.executable, "-c", source], env=environment, text=True))

        return run(code), min(run(code) for _ in range(3)), min(run(bare) for _ in range(3))


if __name__ == "__main__":
    main()
