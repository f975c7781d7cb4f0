"""Streams: how fast they compose beside the bare source and pytorch-resample, at 50 and 5,000 groups, in flat memory; files.

    python benchmarks/online.py [--samples 2000000] [--memory-samples 10000000]

Rates are samples a second in one process, every line on the same generated integers; ratios are to the line they name.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow
import webdataset
from limits import Limits
from pyarrow import parquet
from pytorch_resample import OverSampler, UnderSampler
from torch.utils.data import IterableDataset

from batchwright import online
from batchwright.online.replicas import Replica

BATCH = 64
MODES = ("wait", "repeat", "redistribute")
_TIMES = 7  # rounds, of which the median counts: the fastest of many is a matter of what else used the cache
_GROWTH = 1.25  # a stream keeps accounts and memories of each group too, which lie as scattered as the samples
_LEAST_SECONDS = 0.1  # that a reader is measured: the least of three readings of a millisecond each is chance
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


def keyed(count: int, groups: int) -> float:
    """Seconds to read runs of samples and look up the number of each one's group, and nothing else."""
    numbers = {label: number for number, label in enumerate(range(FIRST, FIRST + groups))}
    iterator = iter(Integers(count, groups))
    start = time.thread_time()
    while run := list(islice(iterator, BATCH)):
        list(map(numbers.__getitem__, map(int, run)))
    return time.thread_time() - start


def floor(count: int, groups: int, buffer: int) -> float:
    """Seconds of the least that balancing through a buffer can take: no policy, no accounts, no lists of who is short.

    Where each sample goes (a ring of places for each group) and which one is given next (a sample of each group in turn) are
    worked out before the clock starts. What is left is to look up the group, put the sample there, and fetch another.
    """
    depth = buffer // groups
    group = np.fromiter(Integers(count, groups), np.int64, count) - FIRST
    by_group = np.argsort(group, kind="stable")
    nth = np.empty(count, np.int64)  # of its group
    nth[by_group] = np.arange(count) - np.searchsorted(group[by_group], np.arange(groups))[group[by_group]]
    arrivals = group * depth + nth % depth
    turn = np.arange(count)
    departures = np.random.default_rng(0).permutation(groups)[turn % groups] * depth + turn // groups % depth

    items = np.full(groups * depth, None, object)
    numbers = {label: number for number, label in enumerate(range(FIRST, FIRST + groups))}
    iterator = iter(Integers(count, groups))
    start = time.thread_time()
    for at in range(0, count, BATCH):
        run = list(islice(iterator, BATCH))
        list(map(numbers.__getitem__, map(int, run)))
        items[arrivals[at : at + BATCH]] = np.fromiter(run, object, len(run))
        if at >= buffer // 2:
            leaving = departures[at - buffer // 2 :][: len(run)]
            items[leaving].tolist()
            items[leaving] = None
    return time.thread_time() - start


def balanced(count: int, groups: int, when_short: str, buffer: int) -> tuple[float, float, online.StreamReport]:
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


def speed(count: int, limits: Limits) -> None:
    print(f"100 groups, batches of {BATCH}, {count:,} integers")
    base = bare(count, 100)
    print(f"  {'bare source':34} {base:12,.0f} read/s")
    for mode in MODES:
        read, delivered, report = balanced(count, 100, mode, 10_000)
        print(
            f"  {'online.balanced ' + mode:34} {read:12,.0f} read/s  {delivered:12,.0f} given/s"
            f"  1/{base / read:.1f} of bare; dropped {report.dropped / report.read:.1%},"
            f" repeated {report.repeated / report.delivered:.2%}, given away {report.redistributed / report.delivered:.2%}"
        )
        limits.at_least(f"{mode}: samples read a second", read, 300_000)
    few = count // 10  # it looks at every group for each sample
    for sampler in (UnderSampler, OverSampler):
        read, delivered = pytorch_resample(sampler, few, 100)
        name = f"pytorch_resample.{sampler.__name__}"
        print(f"  {name:34} {read:12,.0f} read/s  {delivered:12,.0f} given/s  1/{base / read:.1f} of bare")


def many_groups(count: int, limits: Limits) -> None:
    """5,000 groups against 50: in as many places for each group, so that these run dry as often, and in as many in all.

    What is measured against is the floor, since samples and labels that lie scattered in memory cost any buffer.
    """
    sizes = ((50, 1000), (50, 100_000), (5000, 100_000))
    print(f"{count:,} integers, ns a sample read: 50 groups in 1,000 places, in 100,000; 5,000 groups in 100,000")
    lines: dict[str, Callable[[int, int], float]] = {
        "bare source": lambda groups, buffer: seconds(Integers(count, groups)),
        "bare source, key looked up": lambda groups, buffer: keyed(count, groups),
        "floor: look up, put, fetch": lambda groups, buffer: floor(count, groups, buffer),
    }
    for mode in MODES:
        lines[f"online.balanced {mode}"] = lambda groups, buffer, mode=mode: (
            count / balanced(count, groups, mode, buffer)[0]
        )
    rounds = [
        {name: [line(*size) * 1e9 / count for size in sizes] for name, line in lines.items()} for _ in range(_TIMES)
    ]
    took = {name: np.median([times[name] for times in rounds], axis=0) for name in lines}
    for name, (few, equal, many) in took.items():
        print(
            f"  {name:34} {few:6.0f} {equal:6.0f} {many:6.0f}"
            f"   5,000 groups take {many / few:.2f} as long, {many / equal:.2f} in equal buffers"
        )
    few, many = (1e9 / pytorch_resample(UnderSampler, n, g)[0] for n, g in ((count // 10, 50), (count // 400, 5000)))
    print(
        f"  {'pytorch_resample.UnderSampler':34} {few:6.0f} {many:13.0f}   5,000 groups take {many / few:.1f} as long"
    )
    for mode in MODES:  # how many times the floor's time it takes: at 5,000 groups, relative to that at 50
        few, equal, many = took[f"online.balanced {mode}"] / took["floor: look up, put, fetch"]
        limits.at_most(f"{mode} / floor, 5,000 groups to 50, 20 places each", many / few, _GROWTH)
        limits.at_most(f"{mode} / floor, 5,000 groups to 50, 100,000 places", many / equal, _GROWTH)


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


def _reading(source: online.Sharded, replica: Replica) -> float:
    """The processor time of a reader, with that of the threads in which pyarrow reads; the least of many, if it is short."""
    took: list[float] = []
    while len(took) < 3 or sum(took) < _LEAST_SECONDS:
        start = time.process_time()
        deque(source.reader(replica, 0).open(None), maxlen=0)
        took.append(time.process_time() - start)
    return min(took)


def shared_files(count: int, limits: Limits) -> None:
    """8 readers of 4 files against one: the processor time of the one reader, over that of the slowest of the eight."""
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    folder = Path(tempfile.mkdtemp())
    (folder / "ids").mkdir()
    for number in range(4):
        part = [{"id": n, "tokens": list(range(n % 400))} for n in range(number, count, 4)]
        parquet.write_table(pyarrow.Table.from_pylist(part), folder / f"{number}.parquet", row_group_size=len(part))
        parquet.write_table(pyarrow.table({"id": range(number, count, 4)}), folder / "ids" / f"{number}.parquet")
        (folder / f"{number}.jsonl").write_text("\n".join(map(json.dumps, part)))
        with webdataset.TarWriter(str(folder / f"{number}.tar")) as tar:
            for row in part:
                tar.write({"__key__": f"{row['id']:08}", "png": noise})
    print(f"4 files of {count // 4:,} texts or images: processor time of one reader / of the slowest of 8")
    for kind, source in (
        ("parquet", online.parquet(folder / "*.parquet")),
        ("parquet, one number a row", online.parquet(folder / "ids" / "*.parquet")),
        ("jsonl", online.jsonl(folder / "*.jsonl")),
        ("tar", online.tar(folder / "*.tar", decode="rgb8")),
    ):
        next(source.reader(Replica(), 0).open(None))  # imports
        whole, *parts = (
            _reading(source, replica)
            for replica in (Replica(), *(Replica(worker=worker, workers=8) for worker in range(8)))
        )
        print(f"  {kind:34} {whole / max(parts):6.1f}   {count / whole:12,.0f} samples/s by one")
        limits.at_least(f"{kind}: one reader / the slowest of 8", whole / max(parts), 3.0)
    shutil.rmtree(folder)


def memory(count: int, limits: Limits) -> None:
    stream = online.balanced(Integers(count, 100), key=int, batch_size=BATCH, buffer=10_000)
    peaks = []
    for number, _ in enumerate(stream, 1):
        if number * BATCH in range(count // 10, count // 10 + BATCH):
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    print(
        f"memory: peak {peaks[0] / 1024:,.1f} MiB after {count // 10:,} samples, {peaks[-1] / 1024:,.1f} MiB after {count:,}"
    )
    limits.at_most("memory: peak of all / peak of the first tenth", peaks[-1] / peaks[0], 1.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2_000_000)
    parser.add_argument("--memory-samples", type=int, default=10_000_000)
    arguments = parser.parse_args()
    limits = Limits()
    memory(arguments.memory_samples, limits)
    speed(arguments.samples, limits)
    many_groups(arguments.samples // 2, limits)
    shared_files(arguments.samples // 250, limits)
    composition()
    limits.end()


if __name__ == "__main__":
    main()
