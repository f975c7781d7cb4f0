"""The same small table in every kind of file that a column can be of."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import torch

KINDS = ["cat", "dog", "cat", "eel", "cat", "dog", "cat", "cat"]
LENGTHS = [3, 5, 2, 8, 1, 4, 7, 6]
WEIGHTS = [0.5, 1.0, 0.25, 2.0, 1.5, 0.75, 1.0, 3.0]


def table(folder: Path) -> Path:
    with (folder / "table.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows([("kind", "n", "w"), *zip(KINDS, LENGTHS, WEIGHTS, strict=True)])
    return folder / "table.csv"


def every_kind(folder: Path) -> dict[str, Path]:
    """The table as files of every kind, by kind; of `.npy` only the lengths."""
    columns = {"kind": KINDS, "n": LENGTHS, "w": WEIGHTS}
    paths = {kind: folder / f"table.{kind}" for kind in ("tsv", "parquet", "jsonl", "pt", "npy")}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    paths["tsv"].write_text("\n".join("\t".join(map(str, row)) for row in [columns, *(row.values() for row in rows)]))
    pyarrow.parquet.write_table(pyarrow.table(columns), paths["parquet"])
    paths["jsonl"].write_text("\n".join(map(json.dumps, rows)))
    torch.save({"n": torch.tensor(LENGTHS), "w": torch.tensor(WEIGHTS, dtype=torch.float64)}, paths["pt"])
    np.save(paths["npy"], LENGTHS)
    datasets.Dataset.from_dict(columns).save_to_disk(folder / "saved")
    (folder / "parts").mkdir()
    for part in range(2):
        cut = {name: values[4 * part : 4 * part + 4] for name, values in columns.items()}
        pyarrow.parquet.write_table(pyarrow.table(cut), folder / "parts" / f"part-{part}.parquet")
    return paths | {
        "csv": table(folder),
        "saved": folder / "saved",
        "folder": folder / "parts",
        "pattern": folder / "parts" / "*.parquet",
    }


def images(folder: Path) -> Path:
    for name in ("dog/b.png", "cat/2.jpg", "cat/1.jpg"):
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "images" / name).touch()
    return folder / "images"
