"""The same table of samples as files of every kind, cut into files in any way."""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.feather
import pyarrow.parquet

NAMES = ["cat", "dog", "eel", 'ünï, "cøde"\nline']


def table(rows: int, seed: int = 0) -> dict[str, list]:
    """A label, an integer label, a length and a weight of each row."""
    rng = np.random.default_rng(seed)
    return {
        "kind": [NAMES[number] for number in rng.integers(0, 4, rows)],
        "year": rng.integers(-3, 3, rows).tolist(),
        "n": rng.integers(0, 5000, rows).tolist(),
        "w": rng.random(rows).round(6).tolist(),
    }


def cut(columns: dict[str, list], ends: list[int]) -> list[dict[str, list]]:
    """The rows of a table in consecutive parts."""
    edges = [0, *ends, len(next(iter(columns.values())))]
    return [{name: values[low:high] for name, values in columns.items()} for low, high in pairwise(edges)]


def write(path: Path, columns: dict[str, list]) -> None:
    """One file, of the kind that its name ends in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    kinds = {"kind": pyarrow.string(), "year": pyarrow.int16(), "n": pyarrow.int32(), "w": pyarrow.float64()}
    held = pyarrow.table({name: pyarrow.array(values, kinds[name]) for name, values in columns.items()})
    if path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="", encoding="utf-8") as opened:
            written = csv.writer(opened, delimiter="\t" if path.suffix == ".tsv" else ",")
            written.writerows([list(columns), *(list(row.values()) for row in rows)])
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(held, path, row_group_size=7)
    elif path.suffix == ".feather":
        pyarrow.feather.write_feather(held, path)
    else:
        with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_stream(sink, held.schema) as out:
            out.write_table(held, max_chunksize=5)


KINDS = ("csv", "tsv", "jsonl", "parquet", "feather", "arrow")


def folder(path: Path, columns: dict[str, list], ends: list[int], kind: str) -> Path:
    """A folder of files, in folders, whose order is that of the rows."""
    for number, part in enumerate(cut(columns, ends)):
        write(path / f"{number // 2:02d}" / f"part-{number:03d}.{kind}", part)
    return path
