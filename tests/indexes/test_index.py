"""An index is the same bytes whatever reads the data and however they are cut, and holds what the data hold."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.indexes import build, merge

from ..examples import examples
from .data import KINDS, cut, folder, table, write

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")

ENGINES = ("duckdb", "polars", "pyarrow")
COLUMNS = {"label": "kind", "length": "n", "weight": "w", "by": ["year"]}


def content(path, without=("files.parquet", "meta.json")):
    """The bytes of the files of an index; not what tells about the data files: their names, sizes and times."""
    return {file.name: file.read_bytes() for file in Path(path).iterdir() if file.name not in without}


def bytes_of(path):
    return content(path, without=())


@examples(8)
@given(st.integers(1, 60), st.lists(st.integers(0, 60), max_size=4), st.sampled_from(KINDS), st.integers(0, 3))
def test_every_engine_and_every_cut_gives_the_same_bytes(tmp_path_factory, rows, ends, kind, seed):
    place, columns = tmp_path_factory.mktemp("index"), table(rows, seed)
    ends = sorted(end for end in ends if end < rows)
    if kind in ("csv", "tsv", "jsonl"):  # a file without rows tells no types, and one of JSON no columns
        ends = sorted({end for end in ends if end})
    data = folder(place / "data", columns, ends, kind)
    for engine in ENGINES:
        bw.index(data, path=place / engine, engine=engine, **COLUMNS)
    assert bytes_of(place / "duckdb") == bytes_of(place / "polars") == bytes_of(place / "pyarrow")
    write(place / "one" / "all.parquet", columns)
    bw.index(place / "one" / "all.parquet", path=place / "whole", engine="duckdb", **COLUMNS)
    assert content(place / "whole") == content(place / "duckdb")


@pytest.mark.parametrize("engine", ENGINES)
def test_from_two_to_the_32_samples_on_their_numbers_are_written_in_64_bits(tmp_path, monkeypatch, engine):
    columns = table(300)
    data = folder(tmp_path / "data", columns, [10, 150, 151], "parquet")
    narrow = bw.index(data, path=tmp_path / "narrow", engine=engine, **COLUMNS)
    monkeypatch.setattr(merge, "NARROW", 300)
    monkeypatch.setattr("batchwright.group_parts.NARROW", 300)
    wide = bw.index(data, path=tmp_path / "wide", engine=engine, **COLUMNS)
    held = [np.load(index.path / "0.index.npy") for index in (narrow, wide)]
    assert [array.dtype for array in held] == [np.uint32, np.uint64]
    assert np.array_equal(*held)
    plan, *others = (bw.balanced(labels, 8) for labels in (bw.Index.open(wide.path), columns["kind"], narrow))
    assert plan.fingerprint == others[0].fingerprint  # as of labels in memory
    assert all(np.array_equal(plan[t], other[t]) for t in range(50) for other in others)


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_index_holds_is_what_the_data_hold(tmp_path, kind):
    columns = table(300)
    data = folder(tmp_path / "data", columns, [10, 150, 151], kind)
    index = bw.index(data, path=tmp_path / "made", **COLUMNS)
    assert [*index.labels] == columns["kind"]
    assert np.asarray(index.lengths).tolist() == columns["n"]
    assert np.asarray(index.weights).tolist() == columns["w"]
    assert np.asarray(index.column("year")).tolist() == columns["year"]
    assert np.load(tmp_path / "made" / "2.numbers.npy").tolist() == columns["n"]  # without this library
    for name, roles in (
        ("kind", index.labels),
        ("n", index.lengths),
        ("w", index.weights),
        ("year", index.column("year")),
    ):
        assert roles.digest == bw.Column(data, name).digest
    assert bw.balanced(index, 8).fingerprint == bw.balanced(columns["kind"], 8).fingerprint
    assert bw.balanced(index.labels, 8)[77].tolist() == bw.balanced(columns["kind"], 8)[77].tolist()
    assert bw.budgeted(index.lengths, 9000).fingerprint == bw.budgeted(columns["n"], 9000).fingerprint
    assert bw.weighted(index.weights, 8).fingerprint == bw.weighted(columns["w"], 8).fingerprint
    assert bw.balanced(index.groups("year"), 6).fingerprint == bw.balanced(columns["year"], 6).fingerprint
    both = bw.Groups.combine(columns["kind"], columns["year"])
    assert index.groups("kind", "year").digest == both.digest
    assert bw.shuffled(index, 4).fingerprint == bw.shuffled(300, 4).fingerprint
    assert index.sizes.tolist() == [10, 140, 1, 149]


def test_a_sample_has_the_address_of_its_row(tmp_path):
    columns = table(50)
    data = folder(tmp_path / "data", columns, [7, 7, 30], "parquet")
    index = bw.index(data, path=tmp_path / "made", label="kind")
    for sample in (0, 6, 7, 29, 30, 49):
        file, row = index[sample]
        assert pyarrow.parquet.read_table(data / file)["kind"][row].as_py() == columns["kind"][sample]
    with pytest.raises(IndexError):
        index[50]
    assert len(index) == 50


def test_the_order_of_a_list_is_that_of_the_paths(tmp_path):
    columns = table(20)
    data = folder(tmp_path / "data", columns, [5, 11], "parquet")
    files = sorted(data.rglob("*.parquet"))
    bw.index(files[::-1], path=tmp_path / "list", label="kind")
    bw.index(data, path=tmp_path / "folder", label="kind")
    bw.index(str(data / "*" / "*.parquet"), path=tmp_path / "pattern", label="kind")
    assert bytes_of(tmp_path / "list") == bytes_of(tmp_path / "folder") == bytes_of(tmp_path / "pattern")


@pytest.mark.parametrize("engine", ENGINES)
def test_the_folders_of_hive_are_columns(tmp_path, engine):
    columns = table(30)
    first, second = cut({"n": columns["n"]}, [12])
    write(tmp_path / "data" / "lang=de" / "year=2020" / "a.parquet", first)
    write(tmp_path / "data" / "lang=e%20n" / "year=2021" / "a.parquet", second)
    index = bw.index(tmp_path / "data", path=tmp_path / engine, label="lang", length="n", by=["year"], engine=engine)
    assert [*index.labels] == ["de"] * 12 + ["e n"] * 18
    assert index.groups("year").names == [2020, 2021]
    only = bw.index(tmp_path / "data", path=tmp_path / "only", label="lang", engine=engine)
    assert only.groups().sizes.tolist() == [12, 18]


@pytest.mark.parametrize("engine", ENGINES)
def test_labels_of_json_keep_their_types(tmp_path, engine):
    for name, values in {"numbers": [3, 1], "texts": ["3", "x"], "halves": [1, 2.5], "truths": [True, False]}.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(json.dumps({"k": value}) for value in values))
        index = bw.index(path, path=tmp_path / f"{name} {engine}", label="k", engine=engine)
        assert index.groups().names == sorted(values)
        assert [type(label) for label in index.groups().names] == [type(max(values, key=str))] * 2
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text('{"k": "3"}\n{"k": 3}\n')
    with pytest.raises(bw.Infeasible):
        bw.index(mixed, path=tmp_path / f"mixed {engine}", label="k", engine=engine)


def test_an_index_that_is_there_is_opened_until_the_data_or_the_columns_change(tmp_path):
    data = folder(tmp_path / "data", table(40), [20], "csv")
    made = bw.index(data, path=tmp_path / "made", label="kind")
    before = (tmp_path / "made" / "meta.json").stat().st_mtime_ns
    bw.index(data, path=tmp_path / "made", label="kind")
    assert (tmp_path / "made" / "meta.json").stat().st_mtime_ns == before
    file = next(data.rglob("*.csv"))
    file.write_text(file.read_text().replace("eel", "dog"))
    with pytest.raises(bw.Infeasible, match="changed since the index"):
        bw.Index.open(tmp_path / "made")
    again = bw.index(data, path=tmp_path / "made", label="kind")
    assert again.groups().digest != made.groups().digest
    assert bw.index(data, path=tmp_path / "made", length="n").names == ["n"]
    assert sorted(os.listdir(tmp_path)) == ["data", "made"]  # nothing unfinished is left


def test_an_index_moves_with_its_data(tmp_path):
    data = folder(tmp_path / "old" / "data", table(40), [20], "csv")
    bw.index(data, path=tmp_path / "old" / "made", label="kind")
    (tmp_path / "old").rename(tmp_path / "new")
    assert len(bw.Index.open(tmp_path / "new" / "made")) == 40
    (tmp_path / "new" / "data").rename(tmp_path / "elsewhere")
    with pytest.raises(bw.Infeasible, match="is not there"):
        bw.Index.open(tmp_path / "new" / "made")
    assert len(bw.Index.open(tmp_path / "new" / "made", source=tmp_path / "elsewhere")) == 40
    assert len(bw.Index.open(tmp_path / "new" / "made", source=None)) == 40


def test_every_flipped_byte_and_every_cut_is_refused(tmp_path):
    data = folder(tmp_path / "data", table(40), [20], "parquet")
    bw.index(data, path=tmp_path / "made", **COLUMNS)
    for file in sorted((tmp_path / "made").iterdir()):
        whole = file.read_bytes()
        for place in {0, len(whole) // 3, len(whole) // 2, len(whole) - 3}:
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(bw.Infeasible):
                bw.Index.open(tmp_path / "made")
        for size in (0, len(whole) // 2, len(whole) - 2):
            file.write_bytes(whole[:size])
            with pytest.raises(bw.Infeasible):
                bw.Index.open(tmp_path / "made")
        file.write_bytes(whole)
    assert len(bw.Index.open(tmp_path / "made", check=True)) == 40


def test_a_large_index_is_read_whole_on_demand(tmp_path, monkeypatch):
    monkeypatch.setattr("batchwright.files.folder._ALWAYS_CHECKED", 100)
    data = folder(tmp_path / "data", table(40), [20], "parquet")
    index = bw.index(data, path=tmp_path / "made", label="kind")
    file = tmp_path / "made" / "0.codes.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")
    assert len(bw.Index.open(tmp_path / "made")) == 40
    with pytest.raises(bw.Infeasible, match="checksum"):
        bw.Index.open(index.path, check=True)


def _dies(module, name, at):
    """Let a function end the process when it is called for the time `at`."""
    original, calls = getattr(module, name), []

    def run(*arguments, **named):
        calls.append(1)
        if len(calls) == at:
            os._exit(9)
        return original(*arguments, **named)

    setattr(module, name, run)


PHASES = {
    "scan": (build, "batches", 3), "part": (build.Writer, "finished", 2), "merge": (merge, "_groups", 1),
    "meta": (merge, "sealed", 1), "swap": (build.shutil, "rmtree", 1),
}  # fmt: skip


def _index_and_die(data, path, phase):
    _dies(*PHASES[phase])
    bw.index(data, path=path, label="kind", length="n", engine="pyarrow")


@pytest.mark.parametrize("phase", PHASES)
def test_a_process_that_dies_in_any_phase_leaves_the_old_index_or_none_and_the_next_goes_on(
    tmp_path, phase, monkeypatch
):
    monkeypatch.setattr(build, "_UNIT_FILES", 1)
    columns = table(60)
    data = folder(tmp_path / "data", columns, [10, 20, 30], "parquet")
    bw.index(data, path=tmp_path / "wanted", label="kind", length="n")
    bw.index(data, path=tmp_path / "made", label="kind")  # the old one
    old = bytes_of(tmp_path / "made")
    died = multiprocessing.get_context("fork").Process(target=_index_and_die, args=(data, tmp_path / "made", phase))
    died.start()
    died.join()
    assert died.exitcode == 9
    if (tmp_path / "made").exists():
        assert bytes_of(tmp_path / "made") in (old, bytes_of(tmp_path / "wanted"))
    partial = tmp_path / "made.partial"
    kept = {file.name: file.stat().st_mtime_ns for file in partial.glob("*.json")} if partial.exists() else {}
    assert len(kept) >= {"scan": 3, "part": 2, "merge": 5, "meta": 5, "swap": 0}[phase]
    again = bw.index(data, path=tmp_path / "made", label="kind", length="n")
    assert bytes_of(again.path) == bytes_of(tmp_path / "wanted")
    assert not partial.exists()


def test_an_interrupted_scan_goes_on_where_it_was(tmp_path, monkeypatch):
    data = folder(tmp_path / "data", table(60), [10, 20, 30], "parquet")
    monkeypatch.setattr(build, "_UNIT_FILES", 1)
    read, original = [], build.batches

    def reading(engine, kind, file, names):
        if len(read) == 2:
            raise KeyboardInterrupt
        read.append(file.number)
        return original(engine, kind, file, names)

    monkeypatch.setattr(build, "batches", reading)
    with pytest.raises(KeyboardInterrupt):
        bw.index(data, path=tmp_path / "made", label="kind")
    monkeypatch.setattr(build, "batches", lambda *given: (read.append(given[2].number), original(*given))[1])
    assert len(bw.index(data, path=tmp_path / "made", label="kind")) == 60
    assert read == [0, 1, 2, 3]


def _refuses_to_merge(*given):
    raise bw.Infeasible("a fact", "a way out")


@pytest.mark.parametrize("label", ["kidn", "kind"])
def test_a_refusal_leaves_no_folder_behind(tmp_path, monkeypatch, label):
    data = folder(tmp_path / "data", table(60), [30], "parquet")
    if label == "kind":  # all parts are finished by then
        monkeypatch.setattr(build, "merge", _refuses_to_merge)
    with pytest.raises(bw.Infeasible):
        bw.index(data, path=tmp_path / "made", label=label)
    assert [each.name for each in tmp_path.iterdir()] == ["data"]


def _make(data, path, told):
    told.put(bw.index(data, path=path, label="kind").groups().digest)


def test_processes_that_index_at_once_make_one_index(tmp_path):
    data = folder(tmp_path / "data", table(60), [10, 20, 30], "parquet")
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    several = [context.Process(target=_make, args=(data, tmp_path / "made", told)) for _ in range(4)]
    for process in several:
        process.start()
    assert len({told.get(timeout=60) for _ in several}) == 1
    for process in several:
        process.join()
    assert sorted(os.listdir(tmp_path)) == ["data", "made"]


def test_a_plan_of_an_index_is_sent_by_its_path(tmp_path):
    data = folder(tmp_path / "data", {"kind": table(50_000)["kind"]}, [20], "parquet")
    index = bw.index(data, path=tmp_path / "made", label="kind")
    plan = bw.balanced(index, 16)
    sent = pickle.dumps(plan)
    assert len(sent) < 20_000
    assert pickle.loads(sent)[5].tolist() == plan[5].tolist()
    assert plan.groups.index.base is not None  # mapped from the disk
    file = next(data.rglob("*.parquet"))
    os.utime(file, (1, 1))
    unchecked = bw.balanced(bw.Index.open(tmp_path / "made", source=None), 16)
    assert pickle.loads(pickle.dumps(unchecked)).fingerprint == plan.fingerprint


def test_what_was_sent_of_an_index_is_refused_once_the_index_is_another_one(tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("kind,n\n" + "a,1\n" * 9 + "b,2\n")
    index = bw.index(data, path=tmp_path / "made", label="kind", length="n")
    plan = bw.balanced(index, 4)
    sent = [pickle.dumps(each) for each in (plan, plan.groups, index.labels, index.lengths, index)]
    for _ in range(2):  # the same data again are the same index
        assert pickle.loads(sent[0])[5].tolist() == plan[5].tolist()
        (tmp_path / "made").rename(tmp_path / "old")
        bw.index(data, path=tmp_path / "made", label="kind", length="n")
        shutil.rmtree(tmp_path / "old")
    data.write_text("kind,n\n" + "b,1\n" + "a,2\n" * 9)
    bw.index(data, path=tmp_path / "made", label="kind", length="n")
    for each in sent:
        with pytest.raises(
            bw.Infeasible, match=r"was written again since .* was sent; make the plan again from the index"
        ):
            pickle.loads(each)
    assert bw.balanced(bw.Index.open(tmp_path / "made"), 4).groups.names == plan.groups.names
    shutil.rmtree(tmp_path / "made")
    for each in sent:
        with pytest.raises(bw.Infeasible, match=r"there is no index at .*made"):
            pickle.loads(each)


def test_a_plan_of_an_index_has_a_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    columns = table(100)
    write(Path("data.parquet"), columns)
    index = bw.index("data.parquet", path="made", **COLUMNS)
    for plan in (
        bw.balanced(index, 8),
        bw.budgeted(index.lengths, 9000, order=bw.balanced(index.labels, 1)),
        bw.weighted(index.weights, 8),
        bw.balanced(index.groups("kind", "year"), 8),
        bw.shuffled(index, 8),
    ):
        assert bw.from_recipe(plan.to_recipe()).fingerprint == plan.fingerprint
    of_data = bw.balanced(bw.Column("data.parquet", "kind"), 8).to_recipe()["arguments"]["labels"]
    of_index = bw.balanced(index, 8).to_recipe()["arguments"]["labels"]
    assert {key: value for key, value in of_index.items() if key != "in"} == {
        key: value for key, value in of_data.items() if key != "in"
    }


@pytest.mark.parametrize("engine", ["duckdb", "polars"])
def test_an_index_in_a_data_loader_of_workers(tmp_path, engine):
    columns = table(200)
    data = folder(tmp_path / "data", columns, [90], "parquet")
    index = bw.index(data, path=tmp_path / "made", label="kind", engine=engine)
    loader = bw.balanced(index, 8).loader(columns["kind"], num_workers=2, collate=list)
    for batch in loader:
        assert sorted({name: batch.count(name) for name in set(batch)}.values()) == [2, 2, 2, 2]


def test_many_files_are_read_with_one_database_that_is_closed(tmp_path, monkeypatch):
    duckdb = pytest.importorskip("duckdb")
    opened, whole = [], duckdb.connect
    monkeypatch.setattr(duckdb, "connect", lambda *given, **named: opened.append(whole(*given, **named)) or opened[-1])
    (tmp_path / "data").mkdir()
    for part in range(30):
        (tmp_path / "data" / f"{part:02d}.csv").write_text("kind,n\n" + f"cat,{part}\n" * 3)
    index = bw.index(tmp_path / "data", path=tmp_path / "made", label="kind", length="n", engine="duckdb")
    assert np.asarray(index.lengths).tolist() == [part for part in range(30) for _ in range(3)]
    assert len(opened) == 1
    with pytest.raises(duckdb.Error):
        opened[0].sql("SELECT 1")
