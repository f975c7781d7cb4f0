"""Indexes of images, tar shards, saved data sets, and of datasets that must be read sample by sample."""

from __future__ import annotations

import csv
import io
import json
import tarfile

import datasets
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from webdataset.tariterators import group_by_keys, tar_file_expander

import batchwright as bw
from batchwright import online
from batchwright.indexes import datasets as reading

from .data import folder, table

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")


def images(folder):
    for number, (name, size) in enumerate([("cat/1.png", (3, 5)), ("cat/2.jpg", (7, 2)), ("dog/1.png", (1, 1))]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (number, 0, 0)).save(folder / name)
    return folder


def test_images_have_the_class_of_their_folder_and_the_size_of_their_header(tmp_path):
    data = images(tmp_path / "images")
    index = bw.index(
        data, path=tmp_path / "made", label="class", length="pixels", weight="bytes", by=["height", "width"]
    )
    assert [*index.labels] == [*bw.Column(data)] == ["cat", "cat", "dog"]
    assert np.asarray(index.lengths).tolist() == [15, 14, 1]
    assert np.asarray(index.column("height")).tolist() == [5, 2, 1]
    assert np.asarray(index.weights).tolist() == [file.stat().st_size for file in sorted(data.rglob("*.*"))]
    assert index[1] == ("cat/2.jpg", 0)
    content = (data / "cat" / "2.jpg").read_bytes()
    (data / "cat" / "2.jpg").write_bytes(content[:-2])  # its header is whole, so its size is known
    assert np.asarray(bw.index(data, path=tmp_path / "cut", length="pixels").lengths).tolist() == [15, 14, 1]


def test_an_image_that_cannot_be_read_is_reported_and_in_no_group(tmp_path):
    data = images(tmp_path / "images")
    (data / "cat" / "2.jpg").write_bytes(b"no image")
    with pytest.warns(bw.PoorWarning, match="1 of 3 samples raised and are in no group, the first is sample 1: Unid"):
        index = bw.index(data, path=tmp_path / "made", label="class", length="pixels")
    assert list(index.errors) == [1]
    assert index.groups().samples("cat").tolist() == [0]
    assert {*np.concatenate([bw.balanced(index, 2)[number] for number in range(50)]).tolist()} == {0, 2}


ODD_NAMES = [
    " label",
    "label ",
    " q ",
    "two words",
    'a"b',
    "it's",
    "order",
    "1",
    "\tx",
    "é",
    "Label",
    "c1",
    "c0",
    "a,b",
    "",
]


@pytest.mark.parametrize("engine", ["duckdb", "polars", "pyarrow"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl", "feather"])
def test_a_column_is_found_by_the_name_that_it_has_in_the_file(tmp_path, kind, engine):
    columns = {"c1": [7, 8]} | {name: [f"{place}x", f"{place}y"] for place, name in enumerate(ODD_NAMES)}
    path = tmp_path / f"odd.{kind}"
    if kind in ("csv", "tsv"):
        with path.open("w", newline="") as opened:
            rows = csv.writer(opened, delimiter="\t" if kind == "tsv" else ",")
            rows.writerows([list(columns), *zip(*columns.values(), strict=True)])
    elif kind == "jsonl":
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        (pq.write_table if kind == "parquet" else pyarrow.feather.write_feather)(pa.table(columns), path)
    for number, (name, values) in enumerate(columns.items()):
        index = bw.index(path, path=tmp_path / str(number), label=name, engine=engine)
        assert [*index.labels] == [*bw.Column(path, name)] == values, name


@pytest.mark.parametrize("engine", ["duckdb", "polars", "pyarrow"])
@pytest.mark.parametrize(
    "bad", ["not json", '{"label": 2', "[1]", "3", '{"label": 2}x', "{'label': 2}", '{"label": b}']
)
@pytest.mark.parametrize("before", [0, 1, 5])
def test_a_line_that_is_no_json_is_named_as_a_column_names_it(tmp_path, bad, before, engine):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"label": 1}\n' * before + bad + '\n{"label": 3}\n')
    with pytest.raises(bw.Infeasible) as wanted:
        len(bw.Column(path, "label"))
    assert wanted.value.fact.startswith(f"line {before + 1} of ")
    with pytest.raises(bw.Infeasible) as refused:
        bw.index(path, path=tmp_path / "made", label="label", engine=engine)
    assert str(refused.value) == str(wanted.value)


@pytest.mark.parametrize("engine", ["duckdb", "polars", "pyarrow"])
def test_an_empty_line_between_rows_of_several_columns_is_skipped_or_refused(tmp_path, engine):
    path = tmp_path / "empty.csv"
    path.write_text("label,x\na,1\n\nb,2\n")
    assert [*bw.Column(path, "label")] == ["a", "b"]
    if engine == "polars":  # which cannot tell it from a row without values
        with pytest.raises(bw.Infeasible, match="no value at row 1 of"):
            bw.index(path, path=tmp_path / "made", label="label", engine=engine)
        return
    assert [*bw.index(path, path=tmp_path / "made", label="label", engine=engine).labels] == ["a", "b"]


def shard(path, samples):
    """A tar file of samples: a dictionary from ending to content for each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as opened:
        for key, members in samples.items():
            for ending, content in members.items():
                member = tarfile.TarInfo(f"./{key}.{ending}")
                member.size = len(content)
                opened.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("engine", ["duckdb", "polars", "pyarrow"])
def test_shards_have_sizes_and_the_labels_of_their_members(tmp_path, engine):
    for number in range(2):
        shard(tmp_path / "data" / f"{number}.tar", {
            f"{number}{row}": {
                "cls": str(row).encode(), "jpg": bytes(100 * row), "json": json.dumps({"lang": "de", "n": row}).encode(),
            } for row in range(3)
        })  # fmt: skip
    index = bw.index(
        tmp_path / "data", path=tmp_path / "made", label="cls", length="bytes", weight="n", by=["lang"], engine=engine
    )
    assert np.asarray(index.labels).tolist() == [0, 1, 2, 0, 1, 2]
    assert (
        np.asarray(index.lengths).tolist() == [100 * row + 1 + len('{"lang": "de", "n": 0}') for row in (0, 1, 2)] * 2
    )
    assert np.asarray(index.weights).tolist() == [0, 1, 2, 0, 1, 2]
    assert index.groups("lang").names == ["de"]
    assert index[4] == ("1.tar", 1)
    assert np.asarray(bw.Column(tmp_path / "data", "n")).tolist() == [0, 1, 2, 0, 1, 2]


def test_an_index_and_a_stream_count_the_samples_that_webdataset_gives(tmp_path):
    names = [
        *("a.cls", "a.JPG", "b.CLS", "notes", "__meta__", "__meta__/c.cls", "__x__.cls", "c.d/e.cls", "c.d/e.seg.png"),
        *("c.d/f.cls", ".hidden", "a.cls", "./a.cls", "g/__h__.cls"),
    ]
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as opened:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 1
            opened.addfile(member, io.BytesIO(b"1"))
    with path.open("rb") as content:
        theirs = list(group_by_keys(tar_file_expander([{"url": str(path), "stream": content}])))
    ours = list(online.tar(path).open(0))
    assert [sample["__key__"] for sample in ours] == [sample["__key__"] for sample in theirs]
    index = bw.index(path, path=tmp_path / "made", label="cls", length="bytes")
    sizes = [sum(len(value) for name, value in sample.items() if not name.startswith("__")) for sample in theirs]
    assert np.asarray(index.lengths).tolist() == sizes


def test_a_shard_that_was_cut_short_is_refused(tmp_path):
    path = shard(tmp_path / "a.tar", {str(row): {"cls": b"1", "jpg": bytes(5000)} for row in range(5)})
    path.write_bytes(path.read_bytes()[:12_000])
    with pytest.raises(bw.Infeasible, match="cannot be read"):
        bw.index(path, path=tmp_path / "made", label="cls")


def test_a_sample_of_a_shard_without_a_label_is_refused(tmp_path):
    path = shard(tmp_path / "a.tar", {"a": {"cls": b"1"}, "b": {"txt": b"x"}})
    with pytest.raises(bw.Infeasible, match="column 'cls' has no value at row 1 of"):
        bw.index(path, path=tmp_path / "made", label="cls")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_saved_data_set_is_indexed_by_the_names_of_its_columns(tmp_path):
    columns = table(50)
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "saved", num_shards=3)
    index = bw.index(tmp_path / "saved", path=tmp_path / "made", label="kind", length="n")
    assert [*index.labels] == columns["kind"]
    assert index.labels.digest == bw.Column(tmp_path / "saved", "kind").digest
    assert len(index.files) == 3


class Texts(torch.utils.data.Dataset):
    def __init__(self, count, broken=(), dies_at=None):
        self.count, self.broken, self.dies_at = count, broken, dies_at
        self.read = []

    def __len__(self):
        return self.count

    def __getitem__(self, sample):
        self.read.append(sample)
        if sample == self.dies_at:
            raise KeyboardInterrupt
        if sample in self.broken:
            raise ValueError(f"sample {sample} is broken")
        return {"text": "x" * (sample % 7 + 1), "label": torch.tensor(sample % 3)}


READ = {
    "label": "label",
    "length": lambda sample: len(sample["text"]),
    "by": {"even": lambda s: len(s["text"]) % 2 == 0},
}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_dataset_is_read_by_workers_in_the_order_of_its_samples(tmp_path, workers):
    state = torch.random.get_rng_state()
    index = bw.index(Texts(1000), path=tmp_path / "made", num_workers=workers, **READ)
    assert np.asarray(index.labels).tolist() == [sample % 3 for sample in range(1000)]
    assert np.asarray(index.lengths).tolist() == [sample % 7 + 1 for sample in range(1000)]
    assert index.groups("even").names == [False, True]
    assert index[999] == ("Texts", 999)
    assert bool((torch.random.get_rng_state() == state).all())
    fresh = Texts(1000)
    bw.index(fresh, path=tmp_path / "made", **READ)
    assert fresh.read == []


def test_a_key_of_a_sample_may_be_0(tmp_path):
    samples = torch.utils.data.TensorDataset(torch.tensor([1, 0, 1]), torch.tensor([5, 6, 7]))
    index = bw.index(samples, path=tmp_path / "made", label=0, length=1)
    assert ([*index.labels], [*index.lengths]) == ([1, 0, 1], [5, 6, 7])


def test_samples_that_raise_are_reported_and_in_no_group(tmp_path):
    with pytest.warns(bw.PoorWarning, match="3 of 100 samples raised"):
        index = bw.index(Texts(100, broken={0, 50, 99}), path=tmp_path / "made", **READ)
    assert index.errors == {n: f"ValueError: sample {n} is broken" for n in (0, 50, 99)}
    plan = bw.balanced(index, 3)
    assert not {0, 50, 99} & {*np.concatenate([plan[number] for number in range(200)]).tolist()}
    assert index.groups().grouped_count == 97
    assert index.groups().samples(0).tolist() == [n for n in range(0, 100, 3) if n not in (0, 99)]


def test_reading_a_dataset_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_ROWS", 30)
    monkeypatch.setattr(reading, "_AT_ONCE", 10)
    with pytest.raises(KeyboardInterrupt):
        bw.index(Texts(100, dies_at=75), path=tmp_path / "made", **READ)
    again = Texts(100)
    index = bw.index(again, path=tmp_path / "made", **READ)
    assert again.read[0] == 60
    bw.index(Texts(100), path=tmp_path / "whole", **READ)
    assert [*index.lengths.held] == [n % 7 + 1 for n in range(100)]
    assert (tmp_path / "made" / "meta.json").read_bytes() == (tmp_path / "whole" / "meta.json").read_bytes()


@pytest.fixture
def remote():
    """A folder of a file system in memory."""
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/bucket", recursive=True)


@pytest.mark.parametrize("engine", ["duckdb", "polars", "pyarrow"])
@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl", "feather"])
def test_files_behind_a_url_are_indexed_like_files_here(tmp_path, remote, kind, engine):
    columns = table(60)
    local = folder(tmp_path / "data", columns, [10, 30], kind)
    remote.put(str(local), "/bucket/data", recursive=True)
    index = bw.index("memory://bucket/data", path=tmp_path / "made", label="kind", length="n", engine=engine)
    here = bw.index(local, path=tmp_path / "here", label="kind", length="n")
    assert [*index.labels] == columns["kind"]
    assert index.labels.digest == here.labels.digest
    assert index.files == here.files
    pattern = bw.index(f"memory://bucket/data/00/*.{kind}", path=tmp_path / "pattern", label="kind", engine=engine)
    assert len(pattern) == 30
    assert len(bw.Index.open(tmp_path / "made")) == 60


def test_files_behind_a_url_that_changed_are_read_again(tmp_path, remote):
    remote.pipe("/bucket/a.csv", b"kind\ncat\n")
    assert bw.index("memory://bucket/a.csv", path=tmp_path / "made", label="kind").groups().names == ["cat"]
    remote.pipe("/bucket/a.csv", b"kind\ndog\n")
    assert bw.index("memory://bucket/a.csv", path=tmp_path / "made", label="kind").groups().names == ["dog"]


def test_the_folders_of_hive_behind_a_url_are_columns(tmp_path, remote):
    remote.pipe("/bucket/data/lang=de/a.csv", b"n\n1\n2\n")
    index = bw.index("memory://bucket/data", path=tmp_path / "made", label="lang")
    assert [*index.labels] == ["de", "de"]


@pytest.mark.parametrize("kind", ["parquet", "npy"])
def test_an_index_among_its_data_is_no_data(tmp_path, kind):
    """A second run of a script finds what the first one wrote, or left there when it was killed."""
    labels = np.array(["a", "b"] * 5)
    for number in range(2):
        if kind == "parquet":
            pq.write_table(pa.table({"label": labels}), tmp_path / f"{number}.parquet")
        else:
            np.save(tmp_path / f"{number}.npy", labels)
    unfinished = tmp_path / "y.index.partial"
    unfinished.mkdir()
    for run in range(2):
        assert list(bw.index(tmp_path, path=tmp_path / "x.index", label="label").labels) == [*labels, *labels], run
        (unfinished / "request.json").write_text("{}")
        np.save(unfinished / "000000.npy", np.zeros(3))
        for pattern in ("", "*", "**/*"):
            assert list(bw.Column(tmp_path / pattern, "label")) == [*labels, *labels]
    assert list(bw.Column(tmp_path / "*.index", "label")) == [*labels, *labels]
    if kind == "parquet":
        assert sum(len(online.parquet(tmp_path).open(shard)) for shard in range(2)) == 20
