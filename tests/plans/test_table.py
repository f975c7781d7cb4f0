"""The table of a plan holds what every rank gets, for any library that reads Arrow."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow
import pyarrow.parquet
import pytest

import batchwright as bw

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")

LENGTHS = [3, 9, 2, 8, 5, 1, 7, 4, 6, 2]
PLANS = {
    "balanced": bw.balanced(list("aabbbcddde"), 4),
    "one sample": bw.shuffled(1, 1),
    "weighted": bw.weighted(LENGTHS, 4),
    "budgeted": bw.budgeted(LENGTHS, 12),
    "packed": bw.packed(LENGTHS, 12, packs=3),
    "mixed": bw.mixed({"web": 6, "books": 4}, 4),
    "alternating": bw.alternating({"a": bw.shuffled(6, 2), "b": bw.budgeted(LENGTHS, 12)}),
    "evaluation": bw.evaluation(10, 4),
}


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize(("ranks", "accumulate"), [(1, 1), (3, 2)])
def test_the_table_is_what_the_samplers_give(name, ranks, accumulate):
    plan = PLANS[name]
    table = plan.table(epochs=2, world_size=ranks, accumulate=accumulate)
    frame = pl.DataFrame(table)
    assert frame["step"].n_unique() == table.steps
    for rank in range(ranks):
        sampler = plan.sampler(rank=rank, world_size=ranks, accumulate=accumulate)
        given = [batch[: sampler.real(number, epoch=0)] for number, batch in enumerate(sampler)]  # without fillers
        rows = frame.filter(rank=rank, epoch=0)
        found = [part["index"].to_list() for _, part in rows.group_by(["step", "micro"], maintain_order=True)]
        if plan.named:  # pairs of a task and a number in its own data
            given = [
                [plan.groups.starts[plan.groups.number_of[task]] + number for task, number in batch] for batch in given
            ]
        assert found == [batch for batch in given if batch]
    seen: dict[int, int] = {}
    for index, passed in zip(frame["index"], frame["pass"], strict=True):
        assert passed == seen.get(index, 0)
        seen[index] = passed + 1
    if name == "evaluation":
        assert sorted(frame["index"]) == sorted([*range(10)] * 2)
    assert frame["group"].to_list() == [
        str(plan.groups.names[code]) if not isinstance(plan.groups.names, range) else code
        for code in plan.groups.group_of(frame["index"].to_numpy()).tolist()
    ]


def test_the_packs_of_a_plan_are_numbered():
    plan = PLANS["packed"]
    frame = pl.DataFrame(plan.table(epochs=3))
    for step in range(3):
        rows = frame.filter(step=step)
        packs = [rows.filter(pack=pack)["index"].to_list() for pack in range(rows["pack"].max() + 1)]
        assert packs == [pack.tolist() for pack in plan.packs(plan[step])]
    assert pl.DataFrame(PLANS["balanced"].table())["pack"].null_count() == 12


def test_every_library_reads_the_stream_and_it_can_be_read_again(tmp_path):
    table = PLANS["balanced"].table(epochs=2, world_size=2)
    wanted = pyarrow.table(table).to_pylist()
    assert pl.DataFrame(table).with_columns(pl.col("group").cast(pl.String)).to_dicts() == wanted
    assert pd.DataFrame.from_arrow(table).astype({"group": str})["index"].tolist() == [row["index"] for row in wanted]
    stream = table  # noqa: F841  # DuckDB finds it by its name
    assert duckdb.sql("SELECT count(*), max(step) FROM stream").fetchall() == [(len(wanted), table.steps - 1)]
    assert table.to_parquet(tmp_path / "plan.parquet") == len(wanted)
    written = pyarrow.parquet.ParquetFile(tmp_path / "plan.parquet")
    assert written.num_row_groups == table.steps
    assert written.read().to_pylist() == wanted
    assert [batch.num_rows for batch in table.batches()] == [8] * table.steps


def test_one_row_group_a_step_holds_no_other_names(tmp_path):
    labels = [f"a name of a class that is long {number}" for number in np.arange(20_000) % 5_000]
    bw.balanced(labels, 10, epoch=200).table().to_parquet(tmp_path / "plan.parquet")
    assert (tmp_path / "plan.parquet").stat().st_size < 2_000_000


def test_a_place_that_cannot_be_written_is_refused_in_words(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "none" / "plan.parquet", tmp_path / "file" / "plan.parquet", tmp_path, "a\0b", 3):
        with pytest.raises(bw.Infeasible, match="pass the path of a file in a folder that can be written"):
            PLANS["balanced"].table().to_parquet(path)
