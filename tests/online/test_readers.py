"""Readers of data files: every sample once, for any readers, wherever they stop; and what is no such file."""

from __future__ import annotations

import gc
import io
import json
import tarfile
import warnings
from collections import Counter
from itertools import chain, islice

import datasets
import fsspec
import pyarrow
import pyarrow.parquet
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from batchwright import Infeasible, PoorWarning, online
from batchwright.online.replicas import Replica

from ..examples import examples

ROWS = [{"id": n, "label": n % 3, "text": "wörd\n" * (n % 5)} for n in range(230)]
PARTS = [ROWS[:60], ROWS[60:100], ROWS[100:101], ROWS[101:]]


def write_tar(path, rows):
    with webdataset.TarWriter(str(path)) as file:
        for row in rows:
            file.write({"__key__": f"a/{row['id']:05}", "json": row, "x.bin": b"%d" % row["id"]})


def write_parquet(path, rows):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=45)


def write_jsonl(path, rows):
    path.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows))


def write_arrow(path, rows):
    table = pyarrow.Table.from_pylist(rows)
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=25)


def write_arrow_stream(path, rows):
    table = pyarrow.Table.from_pylist(rows)
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


KINDS = {
    "tar": (online.tar, "tar", write_tar),
    "parquet": (online.parquet, "parquet", write_parquet),
    "jsonl": (lambda files, **more: online.jsonl(files, bytes_per_shard=1000, **more), "jsonl", write_jsonl),
    "arrow": (online.arrow, "arrow", write_arrow),
    "arrow stream": (online.arrow, "arrow", write_arrow_stream),
}
SOURCES = {
    **{kind: lambda folder, kind=kind: KINDS[kind][0](str(folder / kind / f"*.{KINDS[kind][1]}")) for kind in KINDS},
    "huggingface": lambda folder: online.huggingface(datasets.Dataset.from_list(ROWS)),
    "huggingface, streamed": lambda folder: online.huggingface(
        datasets.Dataset.from_list(ROWS).to_iterable_dataset(num_shards=4)
    ),
    "saved": lambda folder: online.arrow(folder / "saved"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("files")
    for kind, (_, ending, write) in KINDS.items():
        (made / kind).mkdir()
        for number, rows in enumerate(PARTS):
            write(made / kind / f"{number}.{ending}", rows)
    datasets.Dataset.from_list(ROWS).save_to_disk(made / "saved")
    return made


def row_of(sample):
    return sample.get("json", sample)


@pytest.mark.parametrize("kind", sorted(SOURCES))
def test_every_row_comes_once_and_in_order(folder, kind):
    source = SOURCES[kind](folder)
    assert list(map(row_of, source.reader(Replica(), 0).open(None))) == ROWS
    for workers in (2, 3, 8, 40):  # of 4 files
        parts = [
            [row_of(sample)["id"] for sample in source.reader(Replica(worker=w, workers=workers), 0).open(None)]
            for w in range(workers)
        ]
        assert sorted(chain.from_iterable(parts)) == list(range(len(ROWS)))


@pytest.mark.parametrize("kind", sorted(SOURCES))
def test_reading_goes_on_from_anywhere_and_back_to_any_sample(folder, kind):
    source = SOURCES[kind](folder)
    for replica in (Replica(), Replica(worker=3, workers=8)):
        whole = list(source.reader(replica, 0).open(None))
        for taken in (0, 1, len(whole) // 2, len(whole)):
            first = source.reader(replica, 0)
            iterator = first.open(None)
            list(islice(iterator, taken))
            again = source.reader(replica, 0)
            assert list(again.open(json.loads(json.dumps(first.position(taken))))) == whole[taken:]
            wanted = sorted({0, taken // 2, taken - 1} & set(range(taken)))
            assert first.fetch(wanted) == [whole[ordinal] for ordinal in wanted]


@pytest.mark.parametrize("kind", ["tar", "jsonl", "parquet"])
def test_readers_that_share_a_file_decode_only_what_is_theirs(folder, kind, monkeypatch):
    """What costs is decoding: 8 readers of one shard do an eighth of it each."""
    decoded = Counter()

    def counted(function, count=lambda found: 1):
        def call(*arguments, **named):
            found = function(*arguments, **named)
            decoded[now] += count(found)
            return found

        return call

    from batchwright.online import file_shards, rows

    if kind == "jsonl":
        monkeypatch.setattr(rows.json, "loads", counted(json.loads))
    monkeypatch.setattr(file_shards, "_taken", counted(file_shards._taken, len))
    monkeypatch.setattr(rows.Members, "_contents", counted(rows.Members._contents))
    read, ending, _ = KINDS[kind]
    source = online.jsonl if kind == "jsonl" else read
    source = source(folder / kind / f"0.{ending}")
    for now in range(8):
        assert list(source.reader(Replica(worker=now, workers=8), 0).open(None))
    assert sum(decoded.values()) == len(PARTS[0])
    assert max(decoded.values()) <= 12  # of 60; the row group of 45 is shared by four


LARGE = [{"id": n, "text": f"{n:05}" * 80} for n in range(12_000)]  # one row group, decoded in six batches


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(LARGE), path, use_dictionary=False, data_page_size=1 << 16)
    return online.parquet(path)


@given(st.integers(0, 12_100), st.integers(1, 13_000))
@examples(40)
def test_a_row_group_is_read_in_batches_from_anywhere_in_any_steps(large, start, step):
    rows = large.open(0)
    assert list(rows.strided(start, step)) == LARGE[start::step]
    assert len(rows) == len(LARGE)


def test_a_row_group_is_never_in_memory_as_a_whole(large):
    before = pyarrow.total_allocated_bytes()
    most = max(
        pyarrow.total_allocated_bytes() - before for _ in large.reader(Replica(worker=1, workers=8), 0).open(None)
    )
    assert 0 < most < 0.7 * 400 * len(LARGE)  # of its texts


@given(st.lists(st.sampled_from(["", " ", "{}", '"é"', "[1, 2]", "7"]), max_size=30), st.integers(1, 40), st.booleans())
@examples(60)
def test_lines_are_cut_at_any_byte_and_come_once(tmp_path_factory, lines, size, ends):
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    path.write_text("\r\n".join(lines) + "\n" * ends + '"end"' * (ends or not lines))
    source = online.jsonl(path, bytes_per_shard=size)
    found = [sample for shard in range(len(source.shards)) for sample in source.open(shard)]
    assert found == [json.loads(line) for line in [*lines, '"end"' * (ends or not lines)] if line.strip()]


def test_a_url_and_a_list_and_columns(folder):
    memory = fsspec.filesystem("memory")
    for kind, (_, ending, _) in KINDS.items():
        for file in (folder / kind).iterdir():
            memory.pipe(f"/{kind}/{file.name}", file.read_bytes())
        source = KINDS[kind][0](f"memory://{kind}/*.{ending}", storage_options={})
        assert list(map(row_of, source.reader(Replica(), 0).open(None))) == ROWS
    both = online.parquet([f"memory://parquet/{n}.parquet" for n in (0, 1)] + [folder / "parquet" / "3.parquet"])
    assert len(list(both.reader(Replica(), 0).open(None))) == len(ROWS) - 1
    chosen = online.parquet(folder / "parquet", columns=["label"])
    assert next(iter(chosen.open(0))) == {"label": 0}


def test_images_are_decoded_by_webdataset(tmp_path):
    image = pytest.importorskip("PIL.Image")
    content = io.BytesIO()
    image.new("RGB", (4, 3), (255, 0, 0)).save(content, "PNG")
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for name, data in (("0.png", content.getvalue()), ("0.cls", b"7"), ("__meta__", b"x")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    [sample] = online.tar(tmp_path / "a.tar", decode="pil").open(0)
    assert (sample["png"].size, sample["cls"]) == ((4, 3), 7)
    [plain] = online.tar(tmp_path / "a.tar").open(0)
    assert (plain["png"], plain["cls"]) == (content.getvalue(), 7)
    [raw] = online.tar(tmp_path / "a.tar", decode=None).open(0)
    assert raw["cls"] == b"7"


def test_row_groups_of_one_value_each_are_read_side_by_side(tmp_path):
    rows = [{"label": "abc"[n // 100], "id": n} for n in range(300)]
    write = pyarrow.parquet.write_table
    write(pyarrow.Table.from_pylist(rows), tmp_path / "sorted.parquet", row_group_size=50)
    stream = online.balanced(online.parquet(tmp_path), key="label", batch_size=6, buffer=6)
    batches = list(stream)
    assert len(batches) == 50
    assert all(Counter(batch.groups) == {"a": 2, "b": 2, "c": 2} for batch in batches)
    write(pyarrow.Table.from_pylist(rows), tmp_path / "sorted.parquet", row_group_size=70)
    with pytest.raises(Infeasible, match="has room for"):
        list(online.balanced(online.parquet(tmp_path), key="id", batch_size=6, buffer=6))


@pytest.mark.parametrize("kind", ["tar", "parquet", "jsonl"])
def test_a_stream_of_files_in_workers_goes_on_where_it_stopped(folder, kind):
    def stream():
        return online.balanced(
            SOURCES[kind](folder),
            key=label_of,
            batch_size=6,
            buffer=60,
            rank=1,
            world_size=2,
            when_short="redistribute",
        )

    whole = list(stream())
    first = stream()
    iterator = iter(first)
    head = [next(iterator) for _ in range(7)]
    again = stream()
    again.load_state_dict(first.state_dict())
    assert head + list(again) == whole
    loader = DataLoader(online.packed(SOURCES[kind](folder), length=one, capacity=5), batch_size=None, num_workers=2,
                        collate_fn=list)  # fmt: skip
    assert sorted(row_of(row)["id"] for batch in loader for row in batch) == list(range(len(ROWS)))


def one(sample):
    return 1


@pytest.fixture
def collected():
    """What webdataset leaves open is closed before the next test, where that would be an error."""
    yield
    gc.collect()


def label_of(sample):
    return row_of(sample)["label"]


@pytest.mark.filterwarnings(
    "ignore:1 of 2 workers reads:batchwright.PoorWarning",  # where no worker is given a part of its own
    "ignore::pytest.PytestUnraisableExceptionWarning",  # webdataset leaves its file open where it is not read to the end
    "ignore:unclosed file:ResourceWarning",
)
def test_a_webdataset_splits_itself(folder, collected):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        urls = [str(folder / "tar" / f"{number}.tar") for number in range(4)]
        whole, undivided, fewer = (
            webdataset.WebDataset(urls, shardshuffle=False),
            webdataset.WebDataset(urls, shardshuffle=False, workersplitter=None),
            webdataset.WebDataset(urls[:3], shardshuffle=False),
        )
    for source in (whole, undivided):
        stream = online.packed(source, length=one, capacity=7, buffer=50)
        loader = DataLoader(stream, batch_size=None, num_workers=2, collate_fn=list)
        assert sorted(int(sample["x.bin"]) for batch in loader for sample in batch) == list(range(len(ROWS)))
        iterator = iter(stream)
        head = [next(iterator) for _ in range(9)]
        again = online.packed(source, length=one, capacity=7, buffer=50)
        again.load_state_dict(stream.state_dict())
        keys = [[sample["__key__"] for sample in batch] for batch in [*head, *again]]
        assert keys == [[sample["__key__"] for sample in batch] for batch in stream_of(source)]
    next(iter(stream))
    with pytest.raises(Infeasible, match=r"other data: file '3.tar' is missing \(source 'source'\)"):
        stream_of(fewer).load_state_dict(stream.state_dict())
    with pytest.raises(
        Infeasible, match="splits itself and finds rank 0 of 1, and the stream has rank 1 of 2; start the"
    ):
        next(iter(online.packed(whole, length=one, capacity=7, rank=1, world_size=2)))


def stream_of(source):
    return online.packed(source, length=one, capacity=7, buffer=50)


def test_an_iterable_that_cannot_be_split_names_the_idle_workers(monkeypatch):
    shown = []
    monkeypatch.setattr(warnings, "warn", lambda text, *rest, **more: shown.append(str(text)))

    class Plain:
        def __iter__(self):
            return iter(range(9))

    from batchwright.online.as_source import as_source

    as_source(Plain(), name="mine").reader(Replica(worker=0, workers=8), 0)
    assert "1 of 8 workers reads source 'mine' and 7 of them idle, since it cannot be split" in shown[0]
    assert PoorWarning


def test_each_row_group_opens_its_file_once(monkeypatch):
    """Of a file behind a URL, each time that it is opened takes several requests."""
    files, opens = fsspec.filesystem("memory"), Counter()
    for number in range(2):
        with files.open(f"/groups/{number}.parquet", "wb") as content:
            pyarrow.parquet.write_table(pyarrow.table({"x": [*range(90)]}), content, row_group_size=30)
    source, opened = online.parquet("memory://groups/*.parquet"), type(files).open
    monkeypatch.setattr(type(files), "open", lambda *of, **named: (opens.update([of[1]]), opened(*of, **named))[1])
    stream = online.balanced(source, key=lambda row: row["x"] % 2, batch_size=6, buffer=60)
    assert sum(map(len, stream)) == 180
    assert sum(opens.values()) == 6  # row groups
