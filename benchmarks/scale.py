"""What plans of many samples cost: an index of Parquet files and the plans made of it, beside what others cost.

The others are torch, torchdata, grain and mosaicml-streaming (`scale_peers.py`). Arguments: numbers of samples, such as
1e6 1e7 1e8 1e9 (15 GB of disk, 27 GB while the index is made; 14 GB of memory); "local" reads batches of ten million rows
from their row groups, in a full shuffle and with few row groups open; "dataset" indexes samples that must be read
(`scale_reads.py`). Memory is anonymous memory (Linux): arrays that are mapped from the disk are shared by all processes and
can be dropped. All numbers of samples of a run make one table; what does not run says there why.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from limits import Limits
from scale_measures import RANDOM, Peak, Row, anonymous, memory, power, seconds, timed, written
from scale_peers import peers
from scale_plans import PLANS, made_of
from scale_reads import LOCAL_BATCH, LOCAL_ROWS, OPEN, ROW_GROUPS, dataset, local

import batchwright as bw

CLASSES, FILES, ROWS_OF_FILE, AT_ONCE, DIFFERENT = 1000, 10, 10_000_000, 1 << 20, 16
PROCESSES = 8
# MB that eight processes may take, each with a plan of its own; what would take more is computed from one process.
MOST_OF_EIGHT = float(os.environ.get("SCALE_EIGHT_MB", "16000"))


def write(folder: Path, count: int) -> None:
    """Parquet files of a label of a thousand (the first 50 times as frequent as the last) and a length.

    Beyond sixteen million rows the same row groups come again in another order, and beyond ten files the same files.
    """
    rng = np.random.default_rng(0)
    names = pyarrow.array([f"class {number:03d}" for number in range(CLASSES)])
    folder.mkdir()
    files = max(FILES, count // ROWS_OF_FILE)
    made: list[pyarrow.Table] = []
    written = 0
    for file in range(files):
        if file >= FILES:
            shutil.copyfile(folder / f"{file % FILES:03d}.parquet", folder / f"{file:03d}.parquet")
            continue
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


def ours(made: Callable[[], Any]) -> Row:
    """Build, first micro-batch, random ones, a resumed run, and eight workers."""
    with Peak() as peak:
        plan = made()
    gc.collect()
    kept = anonymous() - peak.before
    with Peak() as asked:
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
    most = max(peak.most, kept + asked.most)
    row = {"build": peak.seconds, "CPU": peak.cpu + asked.cpu, "MB": most, "kept MB": kept, "first": first}
    return row | {"random": at_random / RANDOM, "resume": resumed, "workers MB": workers(plan)}


def draws(plan: Any, told: Any) -> None:
    """One of several forked workers: what it writes to while it draws."""
    for place in range(500):
        plan[place]
    told.put(written())


def workers(plan: Any) -> float:
    """Memory in MB of eight workers that were forked with a plan, beyond what they share."""
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    several = [context.Process(target=draws, args=(plan, told)) for _ in range(PROCESSES)]
    for process in several:
        process.start()
    found = sum(told.get(timeout=600) for _ in several)
    for process in several:
        process.join()
    return found


def ranks(path: Path, kinds: list[str]) -> Row:
    """Memory in MB of eight processes that each open the index and make plans, by the kind of plan."""
    command = [sys.executable, str(Path(__file__).with_name("scale_plans.py")), str(path), *kinds]
    several = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(PROCESSES)]
    found = [json.loads(process.communicate()[0]) for process in several]
    return {kind: sum(each[kind] for each in found) for kind in kinds}


def measured(count: int, before: Mapping[int, Mapping[str, Row]]) -> Iterator[tuple[str, Row]]:
    """An index of so many samples, the plans of it, and the peers; `before` has the rows of other numbers of samples."""
    folder = Path(tempfile.mkdtemp(prefix="scale-"))
    try:
        write(folder / "data", count)
        data = sum(file.stat().st_size for file in (folder / "data").iterdir())
        with Peak() as peak:
            bw.index(folder / "data", path=folder / "made", label="label", length="n")
        size = sum(file.stat().st_size for file in (folder / "made").iterdir())
        row = {"build": peak.seconds, "CPU": peak.cpu, "MB": peak.most, "rows a second of CPU": count / peak.cpu}
        opened, _ = timed(lambda: bw.Index.open(folder / "made"))
        yield "index", row | {"open": opened, "data MB": data / 1e6, "index MB": size / 1e6}
        made = {}
        for kind in PLANS:
            made[kind] = ours(lambda kind=kind: made_of(folder / "made", kind))
            gc.collect()
        # Each of them has a plan of its own while it makes one.
        several = ranks(folder / "made", [kind for kind in PLANS if PROCESSES * made[kind]["MB"] < MOST_OF_EIGHT])
        for kind, row in made.items():
            computed = f"{memory(PROCESSES * row['kept MB'])}, computed"
            yield kind, row | {"ranks MB": several.get(kind, computed)}
        yield from peers(count, before)
    finally:
        shutil.rmtree(folder)


def main() -> None:
    warnings.simplefilter("ignore")  # small groups and rare samples are meant
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:  # the kernels are compiled, which takes seconds once on a machine
        write(Path(folder) / "data", 20_000)
        bw.index(Path(folder) / "data", path=Path(folder) / "made", label="label", length="n")
        for kind in PLANS:
            made_of(Path(folder) / "made", kind)[0]
    sizes: dict[int, dict[str, Row]] = {}  # the rows of each number of samples
    for given in sys.argv[1:] or ["1e6", "1e7", "local", "dataset"]:
        if given == "local":
            print(f"\n{LOCAL_ROWS:,} rows in {ROW_GROUPS} row groups, batches of {LOCAL_BATCH}, {OPEN} row groups kept")
            rows: Iterable[tuple[str, Row]] = local().items()
        elif given == "dataset":
            print("\n40,000 samples read from JSON")
            rows = dataset().items()
        else:
            count = int(float(given))
            print(f"\n{count:,} samples")
            rows = measured(count, sizes)
        held = {}
        for name, row in rows:
            held[name] = row
            print(f"  {name:<30}", json.dumps({key: rounded(value) for key, value in row.items()}), flush=True)
        beside_peers(held)
        if given not in ("local", "dataset"):
            sizes[count] = held
    for line in tables(sizes):
        print(line)
    spent = sum(os.times()[:4])
    print(
        f"\n{os.cpu_count()} cores, {memory(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e6)}; "
        f"{time.perf_counter() - began:.0f} s, {spent:.0f} s of CPU, a load of {os.getloadavg()[2]:.1f} at the end"
    )


def tables(sizes: dict[int, dict[str, Row]]) -> Iterator[str]:
    """All sizes of this run as two tables in Markdown, for `docs/scale.md`."""
    yield from ("", "| samples | data | index made in | CPU | rows a second of CPU | memory | on disk | opened in |")
    yield "|---|---|---|---|---|---|---|---|"
    for count, held in sizes.items():
        row = held["index"]
        yield (
            f"| {power(count)} | {memory(row['data MB'])} | {seconds(row['build'])} | {seconds(row['CPU'])} | "
            f"{row['rows a second of CPU'] / 1e6:.1f} million | {memory(row['MB'])} | {memory(row['index MB'])} | "
            f"{seconds(row['open'])} |"
        )
    heads = ("samples", "", "made in", "first batch", "CPU of both", "a random batch", "resumed in", "memory", "kept")
    yield from (
        "",
        f"| {' | '.join((*heads, '8 workers', '8 ranks'))} |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    )
    for count, held in sizes.items():
        for name, row in held.items():
            if name == "index":
                continue
            cells = [power(count), as_code(name)]
            for key in ("build", "first", "CPU", "random", "resume", "MB", "kept MB", "workers MB", "ranks MB"):
                value = row.get(key, "")
                told = memory if key.endswith("MB") else seconds
                cells.append(value if isinstance(value, str) else told(value))
            yield f"| {' | '.join(cells)} |"


def as_code(name: str) -> str:
    """The name of a plan or of a peer, with what a user writes as code."""
    if name in PLANS:
        return f"`{name}`".replace(", local", "`, `local=")
    library, _, what = name.partition(" ")
    return name if "," in library else f"{library} `{what}`"


def rounded(value: float | str) -> float | str:
    return value if isinstance(value, str) else float(f"{value:.3g}")


def beside_peers(held: dict[str, Row]) -> None:
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
        if isinstance(theirs.get("build"), float):  # it ran
            ratio = (own["build"] + own["first"]) / (theirs["build"] + theirs["first"])
            Limits().beside(f"ours / {peer}: to the first batch, {name}", ratio)
        if isinstance(theirs.get("resume"), float):
            Limits().beside(f"ours / {peer}: to resume, {name}", own["resume"] / theirs["resume"])


if __name__ == "__main__":
    main()
