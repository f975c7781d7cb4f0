"""Balanced batches beside the samplers people use: N = 10^6, 1,000 long-tailed classes, batch 256, Python lists out.

Prints ratios measured in one process; the times beside them are of this machine, now. Run by `make bench`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterable

import numpy as np
import torch
from pytorch_metric_learning.samplers import MPerClassSampler
from torch.utils.data import BatchSampler, RandomSampler, WeightedRandomSampler

import batchwright as bw
from batchwright.plans import FixedPlan

sys.modules.setdefault(
    "torchvision", types.ModuleType("torchvision")
)  # torchsampler only asks whether a dataset is one of its
from torchsampler import ImbalancedDatasetSampler  # noqa: E402

SAMPLES, CLASSES, BATCH = 10**6, 1000, 256
ROUNDS = 7


def main() -> None:
    torch.set_num_threads(1)
    labels = long_tailed_labels()
    plan = bw.balanced(labels, BATCH)
    ours = nanoseconds_an_index(lambda: plan.sampler())
    print(
        f"N = {SAMPLES:,}, {CLASSES:,} long-tailed classes, batch {BATCH}, Python lists out, warm, epochs from iter() on\n"
    )
    print(f"{'':<46}{'ns an index':>12}{'batchwright / it':>18}")
    row("batchwright balanced", ours, ours)
    peers: dict[str, Callable[[], Iterable[list[int]]]] = {
        "torch RandomSampler (uniform, no balance)": lambda: batched(RandomSampler(range(SAMPLES))),
        "torch WeightedRandomSampler": lambda: batched(weighted_of_torch(labels)),
        "torchsampler ImbalancedDatasetSampler": lambda: batched(imbalanced(labels)),
    }
    for name, make in peers.items():
        row(name, nanoseconds_an_index(make), ours)
    in_fours = nanoseconds_an_index(lambda: bw.balanced(labels, BATCH, per_class=4).sampler())
    row("batchwright balanced, 64 classes x 4", in_fours, in_fours)
    of_m = nanoseconds_an_index(lambda: batched(m_per_class(labels)), rounds=2)
    row("pytorch-metric-learning MPerClassSampler, m=4", of_m, in_fours)
    row("batchwright shuffled", nanoseconds_an_index(lambda: bw.shuffled(SAMPLES, BATCH).sampler()), ours)
    row("batchwright, as rank 0 of 128", of_a_rank(plan, 128), ours)
    row("batchwright, as rank 0 of 1,024", of_a_rank(plan, 1024), ours)
    row("batchwright, as rank 0 of 8,192", of_a_rank(plan, 8192), ours)
    of_128, of_1024 = of_a_rank(plan, 128), of_a_rank(plan, 1024)
    print(
        f"\nan index of a rank of 1,024 / of one process: {of_1024 / ours:.2f}; / of a rank of 128: {of_1024 / of_128:.2f}"
    )

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


def of_a_rank(plan: FixedPlan, world_size: int) -> float:
    """A rank's own micro-batches, one after the other through many epochs."""
    length = plan.epoch_length()
    far = FixedPlan(
        plan.order, epoch_batches=length * world_size
    )  # an epoch that gives one rank as many as one process
    return nanoseconds_an_index(lambda: far.sampler(rank=0, world_size=world_size), most=300 * BATCH)


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


def weighted(samples: int) -> None:
    weights = np.random.default_rng(0).random(samples, np.float32) + np.float32(0.001)
    began = time.perf_counter()
    plan = bw.weighted(weights, BATCH)
    plan[0]
    built = time.perf_counter() - began
    value = nanoseconds_an_index(lambda: plan.sampler(), most=300_000)
    print(f"weighted, {samples:,} samples: {value:.0f} ns an index, first batch after {built:.1f} s"
          f" (torch refuses more than {2**24:,})")  # fmt: skip


def start_up() -> None:
    """A first process without any compiled cache, then a second one that finds it."""
    timed = "import time; t = time.perf_counter(); import batchwright as bw; {} print(time.perf_counter() - t)"
    code, bare = timed.format("bw.balanced([0, 1], 2)[0];"), timed.format("")
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}

        def run(source: str) -> float:
            return float(subprocess.check_output([sys.executable, "-c", source], env=environment, text=True))

        cold, warm, bare_import = run(code), min(run(code) for _ in range(3)), min(run(bare) for _ in range(3))
        print(f"first batch of a cold machine: {cold:.2f} s, of the next process: {warm:.2f} s")
        print(f"import batchwright alone: {bare_import:.3f} s")


if __name__ == "__main__":
    main()
