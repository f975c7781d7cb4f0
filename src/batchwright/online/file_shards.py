"""Opens a shard of a data file: a tar file, a row group, a range of lines, a record batch, rows of a dataset."""

from __future__ import annotations

import mmap
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import numpy as np

from ..errors import Infeasible, shown
from ..indexes.sources import DataFile
from ..readings import reading_file
from .rows import Lines, Members, Rows, TableRows, samples_of

__all__ = [
    "READERS", "ROWS", "RowGroup", "batches_of", "decoder", "lines", "members", "open_file", "record_batch", "row_group",
    "rows_from", "shard_of",
]  # fmt: skip

READERS = {"tar": "tar", "parquet": "parquet", "lines": "jsonl", "arrow": "arrow"}  # of online, by kind of file
ROWS = 1000  # rows of a Hugging Face dataset in a shard
_DECODED = 2048  # rows of a row group that are decoded at once: the fixed cost of a batch is then small for each
_READ = 1 << 20  # bytes of a column of a Parquet file that are in memory before they are decoded


def _changed(what: str, now: str, before: str) -> Infeasible:
    """The error for a file that is another one than when its reader was made."""
    return Infeasible(
        f"{what} has {now}, and had {before} when its reader was made",
        "make the reader again, by online.jsonl for instance, and the stream of it",
    )


def _check_size(file: DataFile, now: int | None) -> None:
    unknown = now is None or (file.system is not None and not file.size)  # not all file systems tell
    if not unknown and now != file.size:
        raise _changed(shown(file.path), f"{now:,} bytes", f"{file.size:,}")


@contextmanager
def open_file(file: DataFile) -> Iterator[Any]:
    """A file, open for reading bytes.

    Raises:
        Infeasible: it has another size than when it was found, before it was read or after that.
    """
    if file.system is not None:
        with file.system.open(file.path, "rb") as content:
            _check_size(file, getattr(content, "size", None))
            yield content
        return
    with open(file.path, "rb") as content:
        _check_size(file, os.fstat(content.fileno()).st_size)
        yield content
        _check_size(file, os.fstat(content.fileno()).st_size)


@contextmanager
def _on_this_machine(file: DataFile) -> Iterator[str]:
    """The path of a file, or of a copy of it; its size is checked."""
    with file.on_this_machine() as path:
        _check_size(file, os.stat(path).st_size)
        yield path


def decoder(handlers: Sequence[Any] | None) -> Callable[[dict[str, Any]], Any]:
    """Webdataset's decoding with these handlers; None decodes nothing."""
    from webdataset import autodecode

    if handlers is None:
        return dict
    decode: Callable[[dict[str, Any]], Any] = autodecode.Decoder(
        [autodecode.imagehandler(one) if isinstance(one, str) else one for one in handlers]
    )
    return decode


def members(handlers: Sequence[Any] | None, file: DataFile) -> Members:
    """The samples of a tar file, which is mapped into memory for as long as they are in use."""
    with _on_this_machine(file) as path:
        with open(path, "rb") as content:
            mapped = mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ)
        with tarfile.open(fileobj=mapped, mode="r:") as found:
            return Members(path, mapped, samples_of(found), decoder(handlers))


class RowGroup(Rows):
    """The rows of a row group of a Parquet file; read in order, they are decoded a batch at a time.

    Readers that share a row group each decode all of it: pyarrow has no way to a row but through those before it.

    Attributes:
        row_count: the number of rows, if it is known; else the file is opened to find it.
    """

    def __init__(self, columns: list[str] | None, file: DataFile, number: int) -> None:
        self._columns, self._file, self._number = columns, file, number
        self._known: Any = None  # what stands at the end of the file, once it was opened
        self.row_count: int | None = None

    def __len__(self) -> int:
        if self.row_count is None:
            with self._read():
                self.row_count = self._known.row_group(self._number).num_rows
        return self.row_count

    def strided(self, start: int, step: int) -> Iterator[Any]:
        """Rows start, start + step, ...; rows between them do not become Python objects."""
        import pyarrow

        # Of a file behind a URL, the columns of a row group are fetched at once; of one that is here, as they are decoded.
        options = {"pre_buffer": False, "buffer_size": _READ} if self._file.system is None else {}
        with self._read(**options) as parquet:
            for batch in parquet.iter_batches(_DECODED, row_groups=[self._number], columns=self._columns):
                yield from _rows(pyarrow.Table.from_batches([batch])).strided(start, step)
                start -= batch.num_rows
                start = start if start >= 0 else start % step

    def _at(self, number: int) -> Any:
        return _taken(self._table, range(number, number + 1))[0]

    @cached_property
    def _table(self) -> Any:
        with self._read() as parquet:
            return parquet.read_row_group(self._number, columns=self._columns)

    @contextmanager
    def _read(self, **options: Any) -> Iterator[Any]:
        from pyarrow import parquet as module

        with open_file(self._file) as content:
            parquet = module.ParquetFile(content, metadata=self._known, **options)
            self._known = parquet.metadata
            self._check_rows()
            yield parquet

    def _check_rows(self) -> None:
        known, number = self._known, self._number
        rows = known.row_group(number).num_rows if number < known.num_row_groups else 0
        if self.row_count not in (None, rows):
            raise _changed(f"row group {number} of {shown(self._file.path)}", f"{rows:,} rows", f"{self.row_count:,}")


def row_group(columns: list[str] | None, shard: tuple[DataFile, int]) -> RowGroup:
    """The rows of a row group, by its file and number."""
    return RowGroup(columns, *shard)


def _rows(table: Any) -> TableRows:
    return TableRows(table.num_rows, partial(_taken, table))


def _taken(table: Any, numbers: range) -> list[Any]:
    if numbers.step == 1:
        rows: list[Any] = table.slice(numbers.start, len(numbers)).to_pylist()
        return rows
    return list(table.take(np.array(numbers)).to_pylist())


def lines(shard: tuple[DataFile, int, int]) -> Lines:
    """The lines that begin in a range of bytes."""
    file, start, end = shard
    with open_file(file) as content:
        if start:
            content.seek(start - 1)
            content.readline()  # the rest of a line that begins before; only the line feed, if none does
        begin = content.tell()
        found = content.read(max(0, end - begin))
        if found and not found.endswith(b"\n"):
            found += content.readline()
    return Lines([line for line in found.split(b"\n") if line.strip()])


@contextmanager
def _arrow_reader(path: str) -> Iterator[Any]:
    """A reader of pyarrow for a file.

    Raises:
        Infeasible: it cannot be read.
    """
    from ..files import readers

    with reading_file(path, "write the file again", (OSError, ValueError)), readers.arrow_reader(path) as reader:
        yield reader


def batches_of(file: DataFile) -> int | None:
    """How many record batches an Arrow file has; None if it has no list of them."""
    with _on_this_machine(file) as path, _arrow_reader(path) as reader:
        count: int | None = getattr(reader, "num_record_batches", None)
        return count


def record_batch(counts: Mapping[str, int | None], shard: tuple[DataFile, int | None]) -> TableRows:
    """The rows of a record batch, by its file and number; of the whole file if that has no numbers.

    Args:
        counts: of each file, by its path, what `batches_of` said when the reader was made.
        shard: the file, and the number of the batch.
    """
    import pyarrow

    file, number = shard
    with _on_this_machine(file) as path, _arrow_reader(path) as reader:
        now, before = getattr(reader, "num_record_batches", None), counts[file.path]
        if now != before:
            raise _changed(shown(file.path), f"{now} record batches", f"{before}")
        if number is None:
            return _rows(reader.read_all())
        return _rows(pyarrow.Table.from_batches([reader.get_batch(number)]))


def shard_of(dataset: Any, number: int) -> Any:
    """One shard of a streamed Hugging Face dataset."""
    return dataset.shard(num_shards=dataset.num_shards, index=number)


def rows_from(dataset: Any, start: int) -> TableRows:
    """Rows of a Hugging Face dataset from `start` on."""
    count = min(ROWS, len(dataset) - start)
    return TableRows(count, partial(_rows_between, dataset, start))


def _rows_between(dataset: Any, start: int, numbers: range) -> list[Any]:
    wanted = range(start + numbers.start, start + numbers.stop, numbers.step)
    columns = dataset[slice(wanted.start, wanted.stop)] if numbers.step == 1 else dataset[list(wanted)]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
