"""Every kind of file through the commands: counts, missing values, misspelt columns, files larger than is read at once."""

from __future__ import annotations

import json
import tracemalloc

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

import batchwright as bw

from .commands import run, told
from .data import every_kind, images

pytestmark = [
    pytest.mark.filterwarnings("ignore::batchwright.PoorWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

LABELS = ["a", "b", None, "a", "a", "b"]
LENGTHS = [3, None, 4, 5, 6, 7]


def with_missing(folder, kind):
    """A table with a missing label and a missing length, as a file of a kind."""
    path = folder / f"table.{kind}"
    columns = {"label": LABELS, "n": LENGTHS}
    if kind in ("csv", "tsv"):
        cut = "," if kind == "csv" else "\t"
        rows = [
            cut.join("" if value is None else str(value) for value in row)
            for row in zip(*columns.values(), strict=True)
        ]
        path.write_text("\n".join([cut.join(columns), *rows]))
    elif kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    elif kind == "parts":
        path.mkdir()
        for part in range(2):
            table = pyarrow.table({name: values[3 * part : 3 * part + 3] for name, values in columns.items()})
            pyarrow.parquet.write_table(table, path / f"{part}.parquet")
    elif kind == "jsonl":
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        datasets.Dataset.from_dict(columns).save_to_disk(path)
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "parts", "jsonl", "saved"])
def test_missing_values_are_counted_and_refused_by_plans(tmp_path, kind):
    path = with_missing(tmp_path, kind)
    found = told("inspect", path, "--label", "label", "--length", "n", form="inspect")
    assert (found["samples"], found["labels"]["label"]["missing"], found["lengths"]["missing"]) == (6, 1, 1)
    assert (found["labels"]["label"]["counts"], found["lengths"]["total"]) == ([["a", 3], ["b", 2]], 25)
    assert "1 missing" in run("inspect", path, "--length", "n").stdout
    for options in (["--label", "label", "--batch-size", 2], ["--length", "n", "--max-tokens", 9]):
        error = told("plan", path, *options, form="error", code=1)["error"]
        assert "sample 2" in error["fact"] or "sample 1" in error["fact"], error


@pytest.mark.parametrize("ending", ["npy", "pt"])
def test_missing_numbers_in_arrays_are_counted(tmp_path, ending):
    values = [1.0, float("nan"), 3.0]
    path = tmp_path / f"n.{ending}"
    np.save(path, values) if ending == "npy" else torch.save(torch.tensor(values), path)
    found = told("inspect", path, "--length", "n", form="inspect")
    assert (found["samples"], found["lengths"]["missing"], found["lengths"]["total"]) == (3, 1, 4)
    told("plan", path, "--length", "n", "--max-tokens", 9, form="error", code=1)


def test_a_misspelt_column_is_recognised_in_every_kind_of_file(tmp_path):
    for kind, path in every_kind(tmp_path).items():
        if kind == "npy":
            continue
        name, meant = ("nn", "n") if kind == "pt" else ("knid", "kind")
        error = told("inspect", path, "--label", name, form="error", code=1)["error"]
        assert f"has no column '{name}'" in error["fact"], kind
        assert f"did you mean '{meant}'?" in error["way_out"], kind


def test_every_kind_of_file_makes_the_same_plan(tmp_path):
    found = {}
    for kind, path in every_kind(tmp_path).items():
        name = "table" if kind == "npy" else "n"
        found[kind] = told("plan", path, "--length", name, "--max-tokens", 16, form="plan")["fingerprint"]
    assert set(found.values()) == {found["csv"]}


def test_a_folder_of_images_is_balanced_by_its_folders(tmp_path):
    found = told("inspect", images(tmp_path), "--label", "class", form="inspect")
    assert found["labels"]["class"]["counts"] == [["cat", 2], ["dog", 1]]
    made = told("plan", tmp_path / "images", "--label", "class", "--batch-size", 2, form="plan")
    assert made["fingerprint"] == bw.balanced(["cat", "cat", "dog"], 2).fingerprint


def test_of_a_large_parquet_file_only_the_column_is_read(tmp_path):
    """The file has 30 MB of text; a column of two words takes a few bytes a row."""
    rows = 200_000
    writer = None
    for part in range(4):
        text = np.random.default_rng(part).bytes(rows // 4 * 75).hex()
        table = pyarrow.table({
            "text": [text[150 * row : 150 * row + 150] for row in range(rows // 4)],
            "label": pyarrow.array(["rare" if row % 9 == 0 else "frequent" for row in range(rows // 4)]),
        })  # fmt: skip
        writer = writer or pyarrow.parquet.ParquetWriter(tmp_path / "large.parquet", table.schema)
        writer.write_table(table)
    writer.close()
    size = (tmp_path / "large.parquet").stat().st_size
    before = pyarrow.total_allocated_bytes()
    tracemalloc.start()
    column = bw.Column(tmp_path / "large.parquet", "label")
    groups = bw.balanced(column, 8).groups
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert groups.sizes.tolist() == [rows - 4 * -(-rows // 36), 4 * -(-rows // 36)]
    assert size > 5 * (peak + pyarrow.total_allocated_bytes() - before)
