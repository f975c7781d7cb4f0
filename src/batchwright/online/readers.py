"""Sources of data files: tar, Parquet, JSON lines, Arrow and Hugging Face, in shards that any number of readers share.

What is in the files is decoded by webdataset, pyarrow, json and datasets; here it is only found, divided and counted.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Literal

from ..errors import Infeasible, check_integer, one_of, shown, typed
from ..indexes.sources import DataFile, source_of
from ..readings import as_list, check_column, library, reading_file
from .file_shards import (
    READERS,
    ROWS,
    RowGroup,
    batches_of,
    lines,
    members,
    open_file,
    record_batch,
    row_group,
    rows_from,
    shard_of,
)
from .measures import measure_of
from .noticed import LOOK, look_at_lines, look_at_tar, shard_groups
from .rows import Rows
from .shards import Sharded, group_of_each

__all__ = ["arrow", "huggingface", "jsonl", "parquet", "tar"]

Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
_COMPRESSED = (".gz", ".tgz", ".zst", ".bz2", ".xz", ".lz4", ".zip")
_RANGE = 8 << 20  # bytes of JSON lines in a shard: many for a large file, few enough for the memory of a worker


def tar(
    files: Files,
    *,
    decode: str | Sequence[str | Callable[..., Any]] | None = (),
    groups: Sequence[Hashable] | Literal["look"] | None = LOOK,
    storage_options: Mapping[str, Any] | None = None,
    shuffle: bool = False,
    seed: int = 0,
    name: str = "tar",
) -> Sharded:
    r"""A source of the samples of tar files, as webdataset writes and decodes them.

    Use it for images or sounds in tar files. Members whose names are alike up to the first dot are one sample, a dictionary
    by the rest of the name, with `__key__`. A sample is found by its place in the file, so readers that share a file
    read only their own samples.

    Args:
        files: a path, a pattern, a folder, a URL of fsspec, or a list of these.
        decode: webdataset's decoding: "pil", "torchrgb" and so on for images, functions of (name, bytes); left out, numbers,
            text and JSON are decoded and images are bytes. None decodes nothing.
        groups: the group of each file, if all samples of a file are of one group; see `Sharded`. If left out, 16 samples of
            each file are looked at, in the first and the last megabyte and in two between. None: they are mixed.
        storage_options: options of the file system of a URL. Such a file is copied here while it is read.
        shuffle: whether every epoch has a new order of the files.
        seed: the seed of that order.
        name: the name of the source in errors.

    Returns:
        The source, for `online.balanced` and the others.

    Raises:
        Infeasible: there are no such files, or webdataset is not installed.

    Example:
        >>> import io, pathlib, tarfile, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.tar"
        >>> with tarfile.open(path, "w") as file:
        ...     for number in range(3):
        ...         member = tarfile.TarInfo(f"{number}.cls")
        ...         member.size = 1
        ...         file.addfile(member, io.BytesIO(str(number % 2).encode()))
        >>> [(sample["__key__"], sample["cls"]) for sample in tar(path).open(0)]
        [('0', 0), ('1', 1), ('2', 0)]
    """
    library("webdataset", "this source")
    found = _found(files, "tar", storage_options, name)
    handlers = None if decode is None else [decode] if isinstance(decode, str) else as_list(decode, "decode")
    read = partial(members, handlers)
    if isinstance(groups, str) and one_of(groups, "groups", (LOOK,)):
        look = partial(look_at_tar, handlers)
        tars: Sharded = _LookedAt(found, read, look, shuffle=shuffle, seed=seed, name=name)
    else:
        tars = Sharded(found, read, groups=groups, shuffle=shuffle, seed=seed, name=name)
    return _sized(tars, "bytes", [file.size for file in found])


def parquet(
    files: Files,
    *,
    columns: Sequence[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    shuffle: bool = False,
    seed: int = 0,
    name: str = "parquet",
) -> Sharded:
    """A source of the rows of Parquet files, a row group a shard.

    Use it for tables of text or features. A sample is a dictionary of the chosen columns. The footers of the files are read
    at once, the data when they are due. If the key of `online.balanced` is a column of which every row group has one
    value only, the statistics in the footers say so, and shares are exact without a buffer.

    Args:
        files: a path, a pattern, a folder, a URL of fsspec, or a list of these.
        columns: the names of the columns to read; all if left out.
        storage_options: options of the file system of a URL. Of such a file only the row groups that are due are read.
        shuffle: whether every epoch has a new order of the row groups.
        seed: the seed of that order.
        name: the name of the source in errors.

    Returns:
        The source, for `online.balanced` and the others.

    Raises:
        Infeasible: there are no such files or no such column, or pyarrow is not installed.

    Example:
        >>> import pathlib, tempfile
        >>> import pyarrow
        >>> from pyarrow import parquet as files
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "rows.parquet"
        >>> files.write_table(pyarrow.table({"id": range(6), "label": list("aabbab")}), path, row_group_size=2)
        >>> list(parquet(path, columns=["id"]).open(1))
        [{'id': 2}, {'id': 3}]
    """
    module = library("pyarrow.parquet", "this source")
    found = _found(files, "parquet", storage_options, name)
    if isinstance(columns, str):
        raise Infeasible(f"columns is the text {shown(columns)}", f"pass a list of names: columns=[{shown(columns)}]")
    wanted = None if columns is None else as_list(columns, "columns")
    shards, rows = [], []
    for file in found:
        with open_file(file) as content, reading_file(file.path):
            known = module.ParquetFile(content)
            shards += [(file, number) for number in range(known.num_row_groups)]
            rows += [known.metadata.row_group(number).num_rows for number in range(known.num_row_groups)]
            names = known.schema_arrow.names
        for column in wanted or ():
            check_column(shown(file.path), column, names)
    groups = _RowGroups(shards, partial(row_group, wanted), shuffle=shuffle, seed=seed, name=name)
    return _sized(groups, "rows", rows)


class _LookedAt(Sharded):
    """Shards that are looked at, to see whether each has one group.

    Args:
        look: gives samples of a shard; also takes the name of the entry that is the key, None if it is no entry.
        others: see `Sharded`.
    """

    def __init__(
        self, shards: Sequence[Any], read: Callable[[Any], Any], look: Callable[..., Iterable[Rows]], **others: Any
    ) -> None:
        super().__init__(shards, read, **others)
        self._look = look

    def grouped(self, key: Any) -> Sharded:
        """The same, with the group of each shard, if all samples of a shard that are looked at have one."""
        file = self.shards[0][0] if isinstance(self.shards[0], tuple) else self.shards[0]
        groups = shard_groups(
            self.shards,
            partial(self._look, key if isinstance(key, str) else None),
            measure_of(key, argument="key"),
            away=file.system is not None,
        )
        return self if groups is None else self.with_groups(groups)


class _RowGroups(Sharded):
    def open(self, shard: int) -> Iterable[Any]:
        """See `Sharded`; the number of rows is known since the files were found, so that each is opened only once."""
        found = super().open(shard)
        if isinstance(found, RowGroup):
            found.row_count = self.amounts[shard]
        return found

    def grouped(self, key: Any) -> Sharded:
        """The same, with the group of each row group, if the statistics of column `key` say that each has one value."""
        if not isinstance(key, str):
            return self
        groups = []
        files: dict[str, Any] = {}
        module = library("pyarrow.parquet", "this source")
        for file, number in self.shards:
            if file.path not in files:
                with open_file(file) as content:
                    files[file.path] = module.read_metadata(content)
            known = files[file.path]
            at = next((at for at in range(known.num_columns) if known.schema.column(at).path == key), None)
            stats = None if at is None else known.row_group(number).column(at).statistics
            if stats is None or not stats.has_min_max or stats.min != stats.max or stats.null_count != 0:
                return self
            groups.append(stats.min)
        return self if len(set(groups)) < 2 else self.with_groups(groups)


def jsonl(
    files: Files,
    *,
    groups: Sequence[Hashable] | Literal["look"] | None = LOOK,
    storage_options: Mapping[str, Any] | None = None,
    bytes_per_shard: int = _RANGE,
    shuffle: bool = False,
    seed: int = 0,
    name: str = "jsonl",
) -> Sharded:
    r"""A source of the lines of JSON files, a range of bytes a shard.

    Use it for text in JSON lines. A sample is what `json.loads` makes of a line. Empty lines are left out.

    Args:
        files: a path, a pattern, a folder, a URL of fsspec, or a list of these.
        groups: the group of each file, if all lines of a file are of one group; see `Sharded`. If left out, 16 lines of each
            shard are looked at, in the first and the last 64 KiB and in two between. None: they are mixed.
        storage_options: options of the file system of a URL. Of such a file only the bytes that are due are read.
        bytes_per_shard: the bytes of a shard, which a worker has in memory while it reads it.
        shuffle: whether every epoch has a new order of the shards.
        seed: the seed of that order.
        name: the name of the source in errors.

    Returns:
        The source, for `online.balanced` and the others.

    Raises:
        Infeasible: there are no such files.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "rows.jsonl"
        >>> _ = path.write_text('{"text": "a"}\n{"text": "b"}\n')
        >>> list(jsonl(path).open(0))
        [{'text': 'a'}, {'text': 'b'}]
    """
    size = check_integer(bytes_per_shard, "bytes_per_shard", least=1)
    found = _found(files, "lines", storage_options, name)
    ranges = [
        [(file, start, min(start + size, file.size)) for start in range(0, max(1, file.size), size)] for file in found
    ]
    shards = list(chain.from_iterable(ranges))
    sizes = [end - start for _, start, end in shards]
    if isinstance(groups, str) and one_of(groups, "groups", (LOOK,)):
        found_lines: Sharded = _LookedAt(shards, lines, look_at_lines, shuffle=shuffle, seed=seed, name=name)
        return _sized(found_lines, "bytes", sizes)
    if groups is not None:
        groups = [
            group
            for group, parts in zip(group_of_each(groups, len(found), name=name, what="file"), ranges, strict=True)
            for _ in parts
        ]
    return _sized(Sharded(shards, lines, groups=groups, shuffle=shuffle, seed=seed, name=name), "bytes", sizes)


def arrow(
    files: Files,
    *,
    storage_options: Mapping[str, Any] | None = None,
    shuffle: bool = False,
    seed: int = 0,
    name: str = "arrow",
) -> Sharded:
    """A source of the rows of Arrow files, also of a folder that `datasets.Dataset.save_to_disk` wrote.

    Use it for tables in Arrow's own format, which are mapped into memory. A shard is a batch of a file; of a file without a
    list of its batches, the file.

    Args:
        files: a path, a pattern, a folder, a URL of fsspec, or a list of these.
        storage_options: options of the file system of a URL. Such a file is copied here while it is read.
        shuffle: whether every epoch has a new order of the shards.
        seed: the seed of that order.
        name: the name of the source in errors.

    Returns:
        The source, for `online.balanced` and the others.

    Raises:
        Infeasible: there are no such files, or pyarrow is not installed.

    Example:
        >>> import pathlib, tempfile
        >>> import pyarrow
        >>> path, table = pathlib.Path(tempfile.mkdtemp()) / "rows.arrow", pyarrow.table({"id": [0, 1, 2]})
        >>> with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        ...     writer.write_table(table)
        >>> list(arrow(path).open(0))
        [{'id': 0}, {'id': 1}, {'id': 2}]
    """
    library("pyarrow.ipc", "this source")
    shards: list[tuple[DataFile, int | None]] = []
    counts: dict[str, int | None] = {}
    for file in _found(files, "arrow", storage_options, name):
        batches = counts[file.path] = batches_of(file)
        shards += [(file, None)] if batches is None else [(file, number) for number in range(batches)]
    sizes = [0 if number else file.size for file, number in shards]  # a file's bytes count once, with its first batch
    read = partial(record_batch, counts)
    return _sized(Sharded(shards, read, shuffle=shuffle, seed=seed, name=name), "bytes", sizes)


def huggingface(dataset: Any, *, shuffle: bool = False, seed: int = 0, name: str = "huggingface") -> Sharded:
    """A source of the rows of a Hugging Face dataset, streamed or not, in shards that any number of readers share.

    Use it where a stream is to go on with other ranks or workers: a streamed dataset that is passed as it is splits
    itself, and goes on with as many as before. A shard is 1,000 rows of a `Dataset`, or a shard of an `IterableDataset`.

    Args:
        dataset: a `datasets.Dataset` or `datasets.IterableDataset`.
        shuffle: whether every epoch has a new order of the shards; in place of the dataset's own `shuffle`.
        seed: the seed of that order.
        name: the name of the source in errors.

    Returns:
        The source, for `online.balanced` and the others.

    Raises:
        Infeasible: it is no such dataset.

    Example:
        >>> import datasets
        >>> source = huggingface(datasets.Dataset.from_dict({"id": [0, 1, 2]}))
        >>> list(source.open(0))
        [{'id': 0}, {'id': 1}, {'id': 2}]
    """
    if hasattr(dataset, "num_shards") and hasattr(dataset, "shard") and not hasattr(type(dataset), "__len__"):
        return Sharded(range(dataset.num_shards), partial(shard_of, dataset), shuffle=shuffle, seed=seed, name=name)
    if hasattr(dataset, "features") and hasattr(type(dataset), "__len__"):
        starts = range(0, len(dataset), ROWS)
        rows = [min(ROWS, len(dataset) - start) for start in starts]
        return _sized(Sharded(starts, partial(rows_from, dataset), shuffle=shuffle, seed=seed, name=name), "rows", rows)
    raise Infeasible(
        f"the dataset is {typed(dataset)}",
        "pass a datasets.Dataset or datasets.IterableDataset; of a DatasetDict one of its splits",
    )


def _sized(shards: Sharded, unit: str, amounts: Sequence[int]) -> Sharded:
    """The same shards with their sizes, which a state compares."""
    shards.unit, shards.amounts = unit, amounts
    return shards


def _found(files: Files, kind: str, storage_options: Mapping[str, Any] | None, name: str) -> list[DataFile]:
    """The files of all paths, each path's in the order of their names."""
    parts = [files] if isinstance(files, (str, os.PathLike)) else files
    if not isinstance(parts, Sequence) or not all(isinstance(part, (str, os.PathLike)) for part in parts):
        raise Infeasible(
            f"the files of source {name!r} are {typed(files)}",
            "pass a path, a pattern, a folder, a URL, or a list of these",
        )
    if not parts:
        raise Infeasible(f"source {name!r} has 0 files", "pass at least one path")
    packed = next((str(part) for part in parts if str(part).lower().endswith(_COMPRESSED)), None)
    if packed is not None:
        raise Infeasible(
            f"{shown(packed)} is compressed, and can be read from its beginning only: readers could not share it",
            "unpack it, or pass online.Sharded(paths, read), where read(path) gives its samples one by one, by gzip.open "
            "for instance; each reader then unpacks all of a file that it shares",
        )
    found: list[DataFile] = []
    for part in parts:
        source = source_of(part, storage_options if "://" in str(part) else None)
        if source.kind != kind:
            raise Infeasible(
                f"{shown(str(part))} has files of kind {source.kind!r}, and source {name!r} reads {kind!r}",
                f"pass it to online.{READERS.get(source.kind, 'Sharded')}",
            )
        found += source.files
    again, count = Counter(file.path for file in found).most_common(1)[0]
    if count > 1:
        raise Infeasible(f"{shown(again)} is named twice in source {name!r}", "name every file once")
    return found
