"""What reading costs: batches from row groups, and an index of samples that must be read; for `scale.py`."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from scale_measures import timed

import batchwright as bw

LOCAL_ROWS, ROW_GROUPS, LOCAL_BATCH, OPEN = 10_000_000, 100, 256, 4


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
            "mixed, local": (
                lambda: bw.mixed(
                    {"web": 8_000_000, "code": 2_000_000},
                    LOCAL_BATCH,
                    target={"web": 0.75, "code": 0.25},
                    local={"web": bw.Shards([rows] * 80, open=OPEN), "code": bw.Shards([rows] * 20, open=OPEN)},
                ),
                39_063,
            ),
            "budgeted, local": (lambda: bw.budgeted(lengths, 16_384, window=64, local=shards), 39_063),
            "packed, local": (lambda: bw.packed(lengths, 16_384, window=64, local=shards), 30_000),
        }
        told = {}
        for name, (make, batches) in plans.items():
            plan, source = make(), RowGroups(path, rows, (1 + name.startswith("mixed")) * OPEN)  # of two sources
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
