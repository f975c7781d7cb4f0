"""Files that change under a reader are refused in words; until then a file with other rows was read with the old places."""

from __future__ import annotations

import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchwright import Infeasible, online

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:1 of . workers reads:batchwright.PoorWarning"),
]


def rows(count, text):
    return [{"n": n, "text": text} for n in range(count)]


def write_lines(path, count, text):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(count, text)))


def write_parquet(path, count, text):
    pq.write_table(pa.Table.from_pylist(rows(count, text)), path, row_group_size=20)


def write_arrow(path, count, text):
    table = pa.Table.from_pylist(rows(count, text))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, 20)


def write_arrow_stream(path, count, text):
    table = pa.Table.from_pylist(rows(count, text))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, 20)


def write_tar(path, count, text):
    with tarfile.open(path, "w") as file:
        for row in rows(count, text):
            content = json.dumps(row).encode()
            member = tarfile.TarInfo(f"{row['n']}.json")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))


FILES = {
    "jsonl": (write_lines, lambda path: online.jsonl(path)),
    "jsonl in parts": (write_lines, lambda path: online.jsonl(path, bytes_per_shard=500)),
    "parquet": (write_parquet, lambda path: online.parquet(path)),
    "arrow": (write_arrow, lambda path: online.arrow(path)),
    "arrow stream": (write_arrow_stream, lambda path: online.arrow(path)),
    "tar": (write_tar, lambda path: online.tar(path)),
}
ENDINGS = {"jsonl": ".jsonl", "parq": ".parquet", "arrow": ".arrow", "tar": ".tar"}
CHANGES = {"grown": (160, "a"), "shrunk": (30, "a"), "longer": (100, "longer than before" * 60), "empty": (0, "a")}


def made(kind, tmp_path, **more):
    write, reader = FILES[kind]
    ending = next(ending for name, ending in ENDINGS.items() if kind.startswith(name))
    path = tmp_path / f"rows{ending}"
    write(path, 100, "a")
    source = reader(path)
    return (
        path,
        lambda count, text: write(path, count, text),
        online.packed(source, length=lambda row: 1, capacity=5, buffer=10, **more),
    )


def refused(path):
    return pytest.raises(
        Infeasible, match=rf"{path.name}.* has .*, and had .* when its reader was made; make the reader again"
    )


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("change", sorted(CHANGES))
@pytest.mark.parametrize("kind", sorted(FILES))
def test_a_file_that_was_rewritten_between_epochs_is_refused(kind, change, workers, tmp_path):
    if workers and change != "grown":
        return
    path, write, stream = made(kind, tmp_path)
    loader = stream.loader(num_workers=workers)
    assert sum(map(len, loader)) == 100
    write(*CHANGES[change])
    with refused(path):
        list(loader)
    write(100, "a")
    loader.set_epoch(2)
    assert sum(map(len, loader)) == 100


@pytest.mark.parametrize("kind", ["jsonl in parts", "parquet", "arrow"])
def test_a_file_that_shrinks_during_a_pass_is_refused(kind, tmp_path):
    path, write, stream = made(kind, tmp_path)
    batches = iter(stream)
    given = [next(batches)]
    write(40, "a")
    with refused(path):
        given += batches
    assert sum(map(len, given)) < 100


def test_rows_are_compared_where_the_bytes_are_as_many(tmp_path):
    path = tmp_path / "rows.parquet"

    def write(groups):
        table = pa.table({"n": pa.array([0] * 60, pa.int64())})
        with pq.ParquetWriter(path, table.schema, compression="none", use_dictionary=False) as writer:
            for start, count in groups:
                writer.write_table(table.slice(start, count))

    write([(0, 20), (20, 40)])
    size = path.stat().st_size
    stream = online.packed(online.parquet(path), length=lambda row: 1, capacity=5, buffer=10)
    assert sum(map(len, stream)) == 60
    write([(0, 40), (40, 20)])
    assert path.stat().st_size == size
    with pytest.raises(Infeasible, match=r"row group 0 of .*rows.parquet.* has 40 rows, and had 20 when"):
        list(stream)


def test_the_batches_of_an_arrow_file_are_compared_where_the_bytes_are_as_many(tmp_path):
    path = tmp_path / "rows.arrow"

    def write(sizes):
        table = pa.table({"n": list(range(sum(sizes)))})
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            for count in sizes:
                writer.write_table(table.slice(0, count))
        return path.stat().st_size

    size = write([8, 8, 8])
    stream = online.packed(online.arrow(path), length=lambda row: 1, capacity=5, buffer=10)
    assert sum(map(len, stream)) == 24
    assert size in (write([8, more]) for more in range(8, 100))
    with pytest.raises(
        Infeasible, match=r"rows.arrow.* has 2 record batches, and had 3 when its reader was made; make"
    ):
        list(stream)
