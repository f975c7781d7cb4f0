"""Streams: how fast they compose beside the bare source and pytorch-resample, at 50 and 5,000 groups, in flat memory.

    python benchmarks/online.py [--samples 2000000] [--memory-samples 10000000]

Rates are samples a second in one process, every line on the same generated integers; ratios are to the line they name.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice

from pytorch_resample import OverSampler, UnderSampler
from torch.utils.data import IterableDataset

from batchwright import online

BATCH = 64


FIRST = 1000  # Python keeps integers up to 256 ready-made: a small one would be no object of its own, as samples are


class Integers(IterableDataset):
    """`count` integers, as many values as `groups`, evenly mixed by a linear congruence (Numerical Recipes' ranqd1)."""

    def __init__(self, count: int, groups: int, *, labelled: bool = False) -> None:
        self.count = count
        self.groups = groups
        self.labelled = labelled

    def __iter__(self) -> Iterator:
        word = 1
        for _ in range(self.count):
            word = (1664525 * word + 1013904223) & 0xFFFFFFFF
            group = FIRST + (word >> 8) % self.groups
            yield (group, group) if self.labelled else group


def seconds(stream: Iterable) -> float:
    """The processor time it takes to read to the end: other processes on the machine do not count."""
    start = time.thread_time()
    deque(stream, maxlen=0)
    return time.thread_time() - start


def bare(count: int, groups: int) -> float:
    return count / seconds(Integers(count, groups))


def queues(count: int, groups: int, depth: int) -> float:
    """The least any buffer does: each sample into its group's queue. What is left above it is the memory's own cost."""
    table = {group: deque(maxlen=depth) for group in range(FIRST, FIRST + groups)}
    start = time.thread_time()
    for group in Integers(count, groups):
        table[group].append(group)
    return count / (time.thread_time() - start)


def balanced(count: int, groups: int, when_short: str, buffer: int) -> tuple[float, float, online.Report]:
    stream = online.balanced(Integers(count, groups), key=int, batch_size=BATCH, when_short=when_short, buffer=buffer)
    taken = seconds(stream)
    report = stream.report()
    return report.read / taken, report.delivered / taken, report


def pytorch_resample(sampler: type, count: int, groups: int) -> tuple[float, float]:
    shares = dict.fromkeys(range(FIRST, FIRST + groups), 1 / groups)
    delivered = 0
    start = time.thread_time()
    for _ in sampler(Integers(count, groups, labelled=True), shares, seed=0):
        delivered += 1
    taken = time.thread_time() - start
    return count / taken, delivered / taken


def worst_miss(samples: Iterable, groups: int, batches: int) -> float:
    """By how much the count of a group in a batch is off its quota, at worst, over the first batches."""
    iterator = iter(samples)
    worst = 0.0
    for _ in range(batches):
        counts = Counter(islice(iterator, BATCH))
        worst = max(worst, *(abs(counts[group] - BATCH / groups) for group in range(FIRST, FIRST + groups)))
    return worst


def speed(count: int) -> None:
    print(f"100 groups, batches of {BATCH}, {count:,} integers")
    base = bare(count, 100)
    print(f"  {'bare source':34} {base:12,.0f} read/s")
    for mode in ("wait", "repeat", "redistribute"):
        read, delivered, report = balanced(count, 100, mode, 10_000)
        print(
            f"  {'online.balanced ' + mode:34} {read:12,.0f} read/s  {delivered:12,.0f} given/s"
            f"  1/{base / read:.1f} of bare; dropped {report.dropped / report.read:.1%},"
            f" repeated {report.repeated / report.delivered:.2%}, given away {report.given_away / report.delivered:.2%}"
        )
    few = count // 10  # it looks at every group for each sample
    for sampler in (UnderSampler, OverSampler):
        read, delivered = pytorch_resample(sampler, few, 100)
        name = f"pytorch_resample.{sampler.__name__}"
        print(f"  {name:34} {read:12,.0f} read/s  {delivered:12,.0f} given/s  1/{base / read:.1f} of bare")


def groups_make_little_difference(count: int) -> None:
    """What grows is the memory that is touched in random order, as the queues show, which do no work but to hold."""
    print(f"50 and 5,000 groups, {count:,} integers; 20 places for each group, and 100,000 places for both")
    plain = [queues(count, groups, depth) for groups, depth in ((50, 20), (50, 2000), (5000, 20))]
    print_groups("a bare dict of queues", *plain)
    for mode in ("wait", "repeat", "redistribute"):
        sizes = ((50, 1000), (50, 100_000), (5000, 100_000))
        print_groups(f"online.balanced {mode}", *(balanced(count, groups, mode, buffer)[0] for groups, buffer in sizes))
    few, many = (pytorch_resample(UnderSampler, n, g)[0] for n, g in ((count // 10, 50), (count // 400, 5000)))
    print(
        f"  {'pytorch_resample.UnderSampler':30} {few:12,.0f} and {many:12,.0f} read/s: {few / many:.2f} times slower"
    )


def print_groups(name: str, few: float, few_in_as_much: float, many: float) -> None:
    print(
        f"  {name:30} {few:12,.0f} and {many:12,.0f} read/s: {few / many:.2f} times slower, {few_in_as_much / many:.2f} in "
        f"equal buffers, {1e9 / many - 1e9 / few:,.0f} ns a sample"
    )


def composition() -> None:
    stream = online.balanced(Integers(400_000, 10), key=int, batch_size=BATCH, batches=False)
    resampled = (
        x
        for x, _ in UnderSampler(
            Integers(400_000, 10, labelled=True), dict.fromkeys(range(FIRST, FIRST + 10), 0.1), seed=0
        )
    )
    print(f"10 groups, quota {BATCH / 10}: the worst miss of a group in a batch, over 1,000 batches")
    print(
        f"  online.balanced {worst_miss(stream, 10, 1000):.1f}, pytorch_resample {worst_miss(resampled, 10, 1000):.1f}"
    )


def memory(count: int) -> None:
    stream = online.balanced(Integers(count, 100), key=int, batch_size=BATCH, buffer=10_000)
    peaks = []
    for number, _ in enumerate(stream, 1):
        if number * BATCH in range(count // 10, count // 10 + BATCH):
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    print(
        f"memory: peak {peaks[0] / 1024:,.1f} MiB after {count // 10:,} samples, {peaks[-1] / 1024:,.1f} MiB after {count:,}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2_000_000)
    parser.add_argument("--memory-samples", type=int, default=10_000_000)
    arguments = parser.parse_args()
    memory(arguments.memory_samples)
    speed(arguments.samples)
    groups_make_little_difference(arguments.samples)
    composition()


if __name__ == "__main__":
    main()
