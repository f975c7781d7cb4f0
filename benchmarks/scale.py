"""What plans of many samples cost: an index of Parquet files and the plans made of it, beside what others cost.

The others are torch, torchdata, grain and mosaicml-streaming. Arguments: numbers of samples, such as 1e6 1e7 1e8 1e9 (15 GB
of disk, 27 GB while the index is made); "local" reads batches of ten million rows from their row
groups, in a full shuffle and with few row groups open; "dataset" indexes samples that must be read. Memory is anonymous
memory (Linux): arrays that are mapped from the disk are shared by all processes and can be dropped.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import multiprocessing
import shutil
import sys
import tempfile
import threading
import time
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from limits import Limits
from torchdata.stateful_dataloader import StatefulDataLoader

import batchwright as bw

CLASSES, FILES, ROWS_OF_FILE, AT_ONCE, DIFFERENT = 1000, 10, 10_000_000, 1 << 20, 16
RANDOM, PROCESSES = 200, 8
REPLAYED = 10_000_000  # samples that a peer is let run through to resume
MOST_BY_WEIGHT = 400_000_000  # samples of plans by weights, which take 21 bytes of each while they are made
MOST_BY_LENGTH = 100_000_000  # samples of plans by lengths, which take 76 bytes of each while they are made
MOST_OF_TORCH = 100_000_000  # a list of Python integers takes 40 bytes a sample
MOST_OF_MOSAIC = 100_000_000  # its order of an epoch takes some 60 bytes a sample
LOCAL_ROWS, ROW_GROUPS, LOCAL_BATCH, OPEN = 10_000_000, 100, 256, 4


def anonymous() -> float:
    """Anonymous memory of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


class Peak:
    """The most anonymous memory while a block runs, beyond what there was before, and the seconds that it took."""

    def __enter__(self) -> Peak:
        self.before, self.most, self.ended = anonymous(), 0.0, threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        self.began, self.cpu = time.perf_counter(), time.process_time()
        return self

    def _watch(self) -> None:
        while not self.ended.wait(0.02):
            self.most = max(self.most, anonymous())

    def __exit__(self, *error: object) -> None:
        self.seconds, self.cpu = time.perf_counter() - self.began, time.process_time() - self.cpu
        self.ended.set()
        self.thread.join()
        self.most = max(self.most, anonymous()) - self.before


def write(folder: Path, count: int) -> None:
    """Parquet files of a label of a thousand (the first 50 times as frequent as the last) and a length.

    Beyond sixteen million rows, the same row groups come again in another order.
    """
    rng = np.random.default_rng(0)
    names = pyarrow.array([f"class {number:03d}" for number in range(CLASSES)])
    folder.mkdir()
    files = max(FILES, count // ROWS_OF_FILE)
    made: list[pyarrow.Table] = []
    written = 0
    for file in range(files):
        writer, left = None, count // files
        while left:
            if len(made) < DIFFERENT and len(made) * AT_ONCE < count:
                codes = (CLASSES * rng.random(AT_ONCE) ** 2).astype(np.int32)
                lengths = np.minimum(rng.geometric(1 / 400, AT_ONCE), 4000).astype(np.int32)
                label = pyarrow.DictionaryArray.from_arrays(codes, names).cast(pyarrow.string())
                made.append(pyarrow.table({"label": label, "n": pyarrow.array(lengths)}))
            table = made[(7 * written + 3 * (written // DIFFERENT)) % len(made)].slice(0, left)
            written += 1
            left -= table.num_rows
            writer = writer or pyarrow.parquet.ParquetWriter(folder / f"{file:03d}.parquet", table.schema)
            writer.write_table(table)
        writer.close()


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    value = function()
    return time.perf_counter() - began, value


def ours(made: Callable[[], Any], count: int) -> dict[str, float]:
    """Build, first micro-batch, random ones, and a resumed run."""
    with Peak() as peak:
        plan = made()
    first, _ = timed(lambda: plan[0])
    places = np.random.default_rng(1).integers(0, plan.epoch_length(), RANDOM).tolist()
    for place in places[:5]:
        plan[place]
    at_random, _ = timed(lambda: [plan[place] for place in places])

    def resume() -> Any:
        sampler = plan.sampler(rank=0, world_size=1)
        state = sampler.state_dict()
        state["consumed"] = plan.epoch_length() // 2
        sampler.load_state_dict(state)
        return next(iter(sampler))

    resumed, _ = timed(resume)
    return {"build": peak.seconds, "MB": peak.most, "first": first, "random": at_random / RANDOM, "resume": resumed}


def peers(count: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Samplers of other libraries over as many samples: a shuffle, weights, and what resuming costs."""

    def of(make: Callable[[], Any], resume: Callable[[Any], Any] | None) -> dict[str, float]:
        with Peak() as peak:
            held = make()
            first, _ = timed(lambda: next(iter(held)))
        told = {"build": peak.seconds - first, "MB": peak.most, "first": first}
        if resume is not None:
            told["resume"], _ = timed(lambda: resume(held))
        return told

    data = range(count)
    if count <= MOST_OF_TORCH:
        yield (
            "torch RandomSampler",
            of(lambda: torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(data), 64, True), None),
        )
    if count < 1 << 24:  # torch.multinomial takes no more
        weights = torch.rand(count)
        yield (
            "torch WeightedRandomSampler",
            of(
                lambda: torch.utils.data.BatchSampler(torch.utils.data.WeightedRandomSampler(weights, count), 64, True),
                None,
            ),
        )

    def stateful() -> Any:
        return StatefulDataLoader(data, batch_size=64, shuffle=True)

    def replay(loader: Any) -> Any:
        iterator = iter(loader)
        for _ in range(min(count, REPLAYED) // 128):
            next(iterator)
        state = loader.state_dict()
        fresh = stateful()
        fresh.load_state_dict(state)
        return timed(lambda: next(iter(fresh)))[0]

    if count <= REPLAYED:
        held = stateful()
        first, _ = timed(lambda: next(iter(held)))
        yield "torchdata StatefulDataLoader", {"first": first, "resume": replay(stateful())}
    try:
        import grain
    except ImportError:
        pass
    else:
        yield (
            "grain MapDataset.shuffle",
            of(
                lambda: grain.MapDataset.range(count).shuffle(seed=0).batch(64).repeat(),
                lambda held: held[count // 128],
            ),
        )
    if count <= MOST_OF_MOSAIC and (order := mosaic(count)) is not None:
        yield "mosaicml-streaming, an epoch", of(lambda: [order(0)], lambda held: order(count // 2))


@functools.cache
def mosaic_functions() -> tuple[Any, Any] | None:
    """What makes the order of an epoch in mosaicml-streaming: its numpy alone, without its storage clients."""
    spec = importlib.util.find_spec("streaming")
    if spec is None or spec.submodule_search_locations is None:
        return None
    (home,) = spec.submodule_search_locations
    for name, path in (("streaming", home), ("streaming.base", f"{home}/base")):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [path]
    from streaming.base.partition import get_partitions
    from streaming.base.shuffle import get_shuffle

    return get_partitions, get_shuffle


def mosaic(count: int) -> Callable[[int], Any] | None:
    """The order of an epoch of eight ranks, from a sample on."""
    functions = mosaic_functions()
    if functions is None:
        return None
    get_partitions, get_shuffle = functions

    def order(drop_first: int) -> Any:
        ids = get_partitions("relaxed", count, 8, 1, 8, 1, 64, drop_first)
        shuffled = get_shuffle("py1e", np.full(1000, count // 1000), 8, 0, 0)
        return np.where(ids != -1, shuffled[ids], -1)

    return order


class RowGroups:
    """Reads samples from the row groups of a Parquet file, of which it keeps the last few.

    Args:
        path: the file.
        rows: rows of a row group.
        kept: row groups that are kept.
    """

    def __init__(self, path: Path, rows: int, kept: int) -> None:
        self.file, self.rows, self.kept = pyarrow.parquet.ParquetFile(path), rows, kept
        self.held: OrderedDict[int, np.ndarray] = OrderedDict()
        self.read = 0

    def __getitem__(self, samples: np.ndarray) -> np.ndarray:
        groups, rows = np.divmod(samples, self.rows)
        found = np.empty(samples.size, np.float32)
        for group in np.unique(groups).tolist():
            if group not in self.held:
                self.held[group] = self.file.read_row_group(group, use_threads=False)["x"].to_numpy()
                self.read += 1
                if len(self.held) > self.kept:
                    self.held.popitem(last=False)
            else:
                self.held.move_to_end(group)
            here = groups == group
            found[here] = self.held[group][rows[here]]
        return found


def local() -> dict[str, dict[str, float]]:
    """Batches of ten million rows from a hundred row groups: a full shuffle, and plans with four row groups open."""
    pyarrow.set_cpu_count(1)
    folder = Path(tempfile.mkdtemp(prefix="scale-"))
    rows = LOCAL_ROWS // ROW_GROUPS
    labels = (100 * np.random.default_rng(0).random(LOCAL_ROWS) ** 2).astype(np.int32)
    try:
        path = folder / "rows.parquet"
        held = pyarrow.table({"x": np.arange(LOCAL_ROWS, dtype=np.float32)})
        pyarrow.parquet.write_table(held, path, row_group_size=rows, use_dictionary=False)
        shards = bw.Shards([rows] * ROW_GROUPS, open=OPEN)
        lengths = 16 + labels
        plans = {
            "shuffled": (lambda: bw.shuffled(LOCAL_ROWS, LOCAL_BATCH), 40),
            "shuffled, local": (lambda: bw.shuffled(LOCAL_ROWS, LOCAL_BATCH, local=shards), 39_063),
            "balanced, local": (lambda: bw.balanced(labels, LOCAL_BATCH, local=shards), 39_063),
            "weighted, local": (lambda: bw.weighted(1 + labels, LOCAL_BATCH, local=shards), 39_063),
            "budgeted over that order": (
                lambda: bw.budgeted(
                    lengths, 16_384, window=64, order=bw.shuffled(LOCAL_ROWS, LOCAL_BATCH, local=shards)
                ),
                10_000,
            ),
        }
        told = {}
        for name, (make, batches) in plans.items():
            # A window of a plan by lengths may reach from one set of open shards into the next.
            plan, source = make(), RowGroups(path, rows, 2 * OPEN if name.startswith("budgeted") else OPEN)
            groups, drawn = 0, 0.0
            began = time.process_time()
            for number in range(batches):
                before = time.process_time()
                batch = plan[number]
                drawn += time.process_time() - before
                groups += np.unique(batch // rows).size
                source[batch]
            spent = time.process_time() - began
            told[name] = {
                "row groups a batch": groups / batches,
                "row groups read": source.read,
                "ms of CPU a batch": 1e3 * spent / batches,
                "of it the plan": 1e3 * drawn / batches,
            }
        return told
    finally:
        shutil.rmtree(folder)


class Documents(torch.utils.data.Dataset):
    """Samples that are read from JSON, some hundred microseconds each."""

    text = json.dumps({"language": "de", "words": ["a word"] * 1500})

    def __len__(self) -> int:
        return 40_000

    def __getitem__(self, sample: int) -> dict[str, Any]:
        return json.loads(self.text)


def dataset() -> dict[str, dict[str, float]]:
    """How fast an index is made of a data set that must be read, beside a loader that only reads it."""
    told = {}
    for workers in (0, 2):
        loader = torch.utils.data.DataLoader(Documents(), 256, num_workers=workers, collate_fn=len)
        alone, ours = [], []
        for _ in range(3):  # in turn, and the best of each counts: other programs disturb single times
            alone.append(timed(lambda: list(loader))[0])
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "made"
                columns = {"label": "language", "length": lambda document: len(document["words"])}
                ours.append(timed(lambda: bw.index(Documents(), path=path, num_workers=workers, **columns))[0])
        rates = {"a loader's samples a second": 40_000 / min(alone), "of an index": 40_000 / min(ours)}
        told[f"{workers} workers"] = rates | {"index / loader": min(alone) / min(ours)}
    return told


def one_of_many(path: str, told: Any) -> None:
    before = anonymous()
    plan = bw.balanced(bw.Index.open(path), 64)
    for place in range(500):
        plan[place]
    told.put(anonymous() - before)


def measured(count: int) -> Iterator[tuple[str, dict[str, float]]]:
    folder = Path(tempfile.mkdtemp(prefix="scale-"))
    try:
        write(folder / "data", count)
        data = sum(file.stat().st_size for file in (folder / "data").iterdir())
        with Peak() as peak:
            bw.index(folder / "data", path=folder / "made", label="label", length="n")
        size = sum(file.stat().st_size for file in (folder / "made").iterdir())
        row = {"build": peak.seconds, "MB": peak.most, "rows a second of CPU": count / peak.cpu}
        opened, index = timed(lambda: bw.Index.open(folder / "made"))
        yield "index", row | {"open": opened, "data MB": data / 1e6, "index MB": size / 1e6}
        plans: dict[str, Callable[[], Any]] = {
            "balanced": lambda: bw.balanced(index, 64),
            "balanced, local": lambda: bw.balanced(index, 64, local=bw.Shards(index, open=4)),
        }
        if count <= MOST_BY_WEIGHT:
            plans["weighted"] = lambda: bw.weighted(index.lengths, 64)
        if count <= MOST_BY_LENGTH:
            plans["budgeted"] = lambda: bw.budgeted(index.lengths, 32_768)
            plans["packed"] = lambda: bw.packed(index.lengths, 8192, packs=4)
        for name, make in plans.items():
            yield name, ours(make, count)
        context = multiprocessing.get_context("spawn")
        told = context.Queue()
        several = [context.Process(target=one_of_many, args=(str(folder / "made"), told)) for _ in range(PROCESSES)]
        for process in several:
            process.start()
        yield "8 processes", {"MB": sum(told.get() for _ in several)}
        for process in several:
            process.join()
        yield from peers(count)
    finally:
        shutil.rmtree(folder)


def main() -> None:
    warnings.simplefilter("ignore")  # small groups and rare samples are meant
    bw.balanced([0, 1, 2], 2)[0], bw.weighted([1.0, 2.0], 2)[0]  # the kernels are loaded
    bw.budgeted([1, 2], 4)[0], bw.packed([1, 2], 4)[0]
    for given in sys.argv[1:] or ["1e6", "1e7", "local", "dataset"]:
        if given == "local":
            print(f"\n{LOCAL_ROWS:,} rows in {ROW_GROUPS} row groups, batches of {LOCAL_BATCH}, {OPEN} row groups kept")
            rows: Iterable[tuple[str, dict[str, float]]] = local().items()
        elif given == "dataset":
            print("\n40,000 samples read from JSON")
            rows = dataset().items()
        else:
            count = int(float(given))
            print(f"\n{count:,} samples")
            rows = measured(count)
        held = {}
        for name, row in rows:
            held[name] = row
            print(f"  {name:<30}", json.dumps({key: float(f"{value:.3g}") for key, value in row.items()}), flush=True)
        beside_peers(held)


def beside_peers(held: dict[str, dict[str, float]]) -> None:
    """Of plans and of what other libraries offer in their place: build and first batch together, and a resumed run."""
    for name, peer in (
        ("weighted", "torch WeightedRandomSampler"),
        ("balanced", "torch RandomSampler"),
        ("balanced", "grain MapDataset.shuffle"),
        ("balanced", "mosaicml-streaming, an epoch"),
        ("balanced", "torchdata StatefulDataLoader"),
    ):
        if name not in held or peer not in held:
            continue
        own, theirs = held[name], held[peer]
        if "build" in theirs:
            ratio = (own["build"] + own["first"]) / (theirs["build"] + theirs["first"])
            Limits().beside(f"ours / {peer}: to the first batch, {name}", ratio)
        if "resume" in theirs:
            Limits().beside(f"ours / {peer}: to resume, {name}", own["resume"] / theirs["resume"])


if __name__ == "__main__":
    main()
