"""Several attributes as one table: what every library of tables holds gives what its columns give."""

from __future__ import annotations

import re
import warnings

import datasets
import duckdb
import narwhals
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest

import batchwright as bw

random = np.random.default_rng(0)
COLUMNS = {
    "sex": random.choice(["f", "m"], 400, p=[0.8, 0.2]).tolist(),
    "site": random.choice(["A", "B", "C"], 400, p=[0.6, 0.3, 0.1]).tolist(),
}
NUMBERS = {"tokens": random.integers(1, 90, 400).tolist(), "frames": random.integers(1, 9, 400).tolist()}
MARGINS = {"sex": "uniform", "site": {"A": 0.25, "B": 0.25, "C": 0.5}}
MAKE = {
    "pandas": pd.DataFrame,
    "pandas, categories": lambda columns: pd.DataFrame(columns).astype("category"),
    "polars": pl.DataFrame,
    "polars, lazy": pl.LazyFrame,
    "pyarrow": pa.table,
    "pyarrow, dataset": lambda columns: pyarrow.dataset.dataset(pa.table(columns)),
    "narwhals": lambda columns: narwhals.from_native(pl.DataFrame(columns)),
    "duckdb": lambda columns: duckdb.from_arrow(pa.table(columns)),
}
WITH_HUGGING_FACE = MAKE | {"hugging face": datasets.Dataset.from_dict}


def batches(plan):
    return [plan[number].tolist() for number in range(40)]


@pytest.mark.parametrize("library", WITH_HUGGING_FACE)
def test_raked_takes_a_table_and_leaves_columns_without_a_margin_out(library):
    expected = batches(bw.raked(COLUMNS, MARGINS, 16))
    whole = {"text": [f"{number} words" for number in range(400)], **COLUMNS}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert batches(bw.raked(WITH_HUGGING_FACE[library](whole), MARGINS, 16)) == expected


@pytest.mark.parametrize("library", MAKE)
@pytest.mark.parametrize("names", [("sex", "site"), ("label", "site")])
def test_combine_takes_a_frame_for_its_columns(library, names):
    columns = dict(zip(names, COLUMNS.values(), strict=True))
    expected = bw.Groups.combine(*columns.values())
    found = bw.Groups.combine(MAKE[library](columns))
    assert (found.names, found.digest) == (expected.names, expected.digest)
    more = bw.Groups.combine(MAKE[library](columns), NUMBERS["frames"])
    assert more.digest == bw.Groups.combine(*columns.values(), NUMBERS["frames"]).digest


def test_combine_takes_a_data_set_of_hugging_face_for_its_labels():
    held = datasets.Dataset.from_dict({"text": ["x"] * 400, "label": COLUMNS["sex"]})
    assert bw.Groups.combine(held, COLUMNS["site"]).names == bw.Groups.combine(*COLUMNS.values()).names


@pytest.mark.parametrize("library", WITH_HUGGING_FACE)
def test_levels_of_a_hierarchy_and_lengths_by_name_come_as_a_table(library):
    table = WITH_HUGGING_FACE[library]
    hierarchy = bw.hierarchical(list(COLUMNS.values()), [2, 2, 2])
    assert batches(bw.hierarchical(table(COLUMNS), [2, 2, 2])) == batches(hierarchy)
    if library == "pandas, categories":
        return
    limits = {"tokens": 300, "frames": 40}
    for build in (bw.packed, bw.budgeted):
        assert batches(build(table({"id": range(400), **NUMBERS}), limits)) == batches(build(NUMBERS, limits))


@pytest.mark.parametrize("library", WITH_HUGGING_FACE)
def test_a_composition_is_counted_by_the_columns_of_a_table(library):
    def counted(by):
        return bw.Composition(bw.shuffled(400, 16).sampler(), by=by).measured(0, 10, epoch=0)

    assert counted(WITH_HUGGING_FACE[library](COLUMNS)) == counted(COLUMNS)


@pytest.mark.parametrize("library", WITH_HUGGING_FACE)
def test_a_margin_of_a_column_that_a_table_lacks_is_refused_and_the_like_named_one_is_told(library):
    refused = re.escape(
        "attribute 'sites' has no column; give every attribute a column and a margin (did you mean 'site'?)"
    )
    with pytest.raises(bw.Infeasible, match=refused):
        bw.raked(WITH_HUGGING_FACE[library](COLUMNS), {"sex": "uniform", "sites": "uniform"}, 16)


def test_of_a_lazy_table_only_the_columns_with_a_margin_are_read():
    def refuse(column):
        raise AssertionError("read")

    lazy = pl.LazyFrame(COLUMNS).with_columns(pl.col("sex").map_batches(refuse, return_dtype=pl.Int64).alias("other"))
    assert batches(bw.raked(lazy, MARGINS, 16)) == batches(bw.raked(COLUMNS, MARGINS, 16))
