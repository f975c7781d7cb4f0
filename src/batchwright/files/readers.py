"""Reads one column of data files of each kind. Nothing is executed and nothing is unpickled."""

from __future__ import annotations

import csv
import json
import pickle
import tarfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import Infeasible, said, shown
from ..inputs.arrays import as_array
from ..readings import check_column, library, reading_file
from .folder import Folder
from .tar import names_of_shard, rows_of_shard

__all__ = [
    "READERS",
    "Parts",
    "Texts",
    "arrow_reader",
    "check_lines",
    "column_names",
    "csv_options",
    "delimiter_of",
    "parts_of_saved",
    "shard_rows",
]


class Texts(NamedTuple):
    """A column whose values are written as text, so that their type is still to be found.

    Attributes:
        values: a list of texts, or an Arrow dictionary of them.
    """

    values: Any


class Parts(NamedTuple):
    """A column whose values are of one type in some files and of another in others.

    Attributes:
        parts: the values of each file, an array of Arrow or of NumPy.
    """

    parts: list[Any]


_AS_TEXT = "write the file again, as CSV in UTF-8"
_AS_LINES = "write one JSON object a line, in UTF-8"
_AGAIN = "write the file again"
_SAVED_AGAIN = "save the data set again"


def _reading(file: Path, way_out: str) -> AbstractContextManager[None]:
    """Refuse a file that is damaged: what the libraries raise for it differs."""
    errors = ValueError, RuntimeError, EOFError, csv.Error, pickle.UnpicklingError, tarfile.TarError
    return reading_file(file, way_out, errors)


def _csv(files: Sequence[Path], name: str) -> Any:
    """Texts, or an Arrow dictionary of texts where pyarrow is installed: twenty times faster."""
    try:
        import pyarrow
        from pyarrow import csv as arrow
    except ImportError:
        return Texts([value for file in files for value in _csv_values(file, name)])
    chunks = []
    for file in files:
        _require(name, _csv_names(file), file)
        with _reading(file, _AS_TEXT):
            try:
                read = arrow.read_csv(
                    file,
                    parse_options=csv_options(file),
                    convert_options=arrow.ConvertOptions(include_columns=[name], column_types={name: pyarrow.string()}),
                )
            except ValueError:
                deque(_csv_values(file, name), maxlen=0)  # it refuses a row of another width by its number
                raise
        chunks += read[name].chunks
    return Texts(pyarrow.chunked_array(chunks, pyarrow.string()).dictionary_encode())


def _csv_values(file: Path, name: str) -> Iterator[str]:
    place = _require(name, _csv_names(file), file)
    with _reading(file, _AS_TEXT), file.open(encoding="utf-8-sig", newline="") as opened:
        rows = csv.reader(opened, delimiter=delimiter_of(file))
        width = len(next(rows))
        for number, row in enumerate(rows):
            if not row and width == 1:
                yield ""  # an empty line is the empty value of the only column
            if row and len(row) != width:
                raise Infeasible(
                    f"row {number} of {shown(str(file))} has {len(row)} values, there are {width} columns",
                    "write one value for every column in every row",
                )
            if row:
                yield row[place]


def _csv_names(file: Path) -> list[str]:
    with _reading(file, _AS_TEXT), file.open(encoding="utf-8-sig", newline="") as opened:
        return next(csv.reader(opened, delimiter=delimiter_of(file)), [])


def csv_options(file: Path) -> Any:
    """How pyarrow takes a file of CSV apart: an empty line is the empty value of an only column, else no row."""
    from pyarrow import csv as arrow

    return arrow.ParseOptions(
        delimiter=delimiter_of(file), newlines_in_values=True, ignore_empty_lines=len(_csv_names(file)) > 1
    )


def delimiter_of(file: Path | str) -> str:
    """What separates the values of a file of CSV or TSV, by its name."""
    return "\t" if str(file).lower().endswith(".tsv") else ","


def _parquet(files: Sequence[Path], name: str) -> Any:
    dataset, parquet = _arrow("dataset"), _arrow("parquet")
    types = []
    for file in files:
        with _reading(file, _AGAIN):
            schema = parquet.read_schema(file)
        types.append(schema.types[_require(name, schema.names, file)])
    # One data set takes the type of its first file for all files, and casts the others to it.
    alike = types.count(types[0]) == len(types)
    parts = []
    for some in [files] if alike else [[file] for file in files]:
        with _reading(some[0].parent if len(some) > 1 else some[0], _AGAIN):
            parts.append(dataset.dataset([str(file) for file in some], format="parquet").to_table(columns=[name])[name])
    return parts[0] if alike else Parts(parts)


def _parquet_names(file: Path) -> list[str]:
    parquet = _arrow("parquet")
    with _reading(file, _AGAIN):
        return list(parquet.read_schema(file).names)


def _lines(files: Sequence[Path], name: str) -> list[Any]:
    return [value for file in files for value in _line_values(file, name)]


def _line_values(file: Path, name: str) -> Iterator[Any]:
    key = json.dumps(name)
    for number, row, line in _rows(file):
        twice = line.count(key) > 1  # perhaps, as it may stand in a value too
        if twice or name not in row:
            keys = [one for one, _ in json.loads(line, object_pairs_hook=list)] if twice else row
            _require(name, list(keys), file, f"line {number} of ")
        yield row[name]


def check_lines(file: Path, called: str) -> None:
    """Refuse a file with a line that is no JSON object, by the number of the first.

    Args:
        file: the file on this machine.
        called: its path or URL, for the message.
    """
    deque(_rows(file, called), maxlen=0)


def _rows(file: Path, called: str = "") -> Iterator[tuple[int, dict[str, Any], str]]:
    """The number of each line from 1, the object in it, and the line."""
    name = shown(called or str(file))
    with _reading(file, _AS_LINES), file.open(encoding="utf-8-sig") as opened:
        for number, line in enumerate(opened, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise Infeasible(f"line {number} of {name} is no JSON: {said(error)}", _AS_LINES) from None
            if not isinstance(row, dict):
                raise Infeasible(f"line {number} of {name} is {shown(row)}", _AS_LINES)
            yield number, row, line


def _line_names(file: Path) -> list[str]:
    return next((list(row) for _, row, _ in _rows(file)), [])


def _npy(files: Sequence[Path], name: str) -> np.ndarray | Parts:
    parts = []
    for file in files:
        with _reading(file, "save an array of numbers or text"):
            parts.append(np.atleast_1d(np.load(file, mmap_mode="r", allow_pickle=False)))
    return _array(parts)


def _array(parts: list[np.ndarray]) -> np.ndarray | Parts:
    """Arrays as one; of several types as they are, as NumPy would make floats of integers and text of numbers."""
    if len(parts) == 1:
        return np.asarray(parts[0])
    alike = all(part.dtype == parts[0].dtype or part.dtype.kind == parts[0].dtype.kind == "U" for part in parts)
    return np.concatenate(parts) if alike else Parts(parts)


def _pt(files: Sequence[Path], name: str) -> np.ndarray | Parts:
    return _array([_tensor(file, name) for file in files])


def _tensor(file: Path, name: str) -> np.ndarray:
    tensors = _tensors(file)
    called = _required(name, tensors, file)
    return np.atleast_1d(as_array(tensors[called], called=called))


def _tensors(file: Path) -> dict[str, Any]:
    """The tensors of a file by name; of a file of one tensor, the name is that of the file."""
    import torch

    with _reading(file, "save a tensor, or tensors by name"):
        held = torch.load(file, weights_only=True, map_location="cpu", mmap=True)
    tensors = held if isinstance(held, dict) else {file.stem: held}
    return {str(name): value for name, value in tensors.items() if isinstance(value, torch.Tensor)}


def _arrow_files(files: Sequence[Path], name: str) -> Any:
    _arrow("ipc")
    import pyarrow

    parts = []
    for file in files:
        _require(name, _arrow_names(file), file)
        with _reading(file, _AGAIN), arrow_reader(file) as reader:
            parts.append(reader.read_all()[name])
    if any(part.type != parts[0].type for part in parts):
        return Parts(parts)
    return pyarrow.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)


def _arrow_names(file: Path) -> list[str]:
    _arrow("ipc")
    with _reading(file, _AGAIN), arrow_reader(file) as reader:
        return list(reader.schema.names)


@contextmanager
def arrow_reader(file: Path | str) -> Iterator[Any]:
    """A file of Arrow, with or without the table of its batches at its end."""
    import pyarrow

    with pyarrow.memory_map(str(file)) as opened:
        indexed = opened.read(6) == b"ARROW1"
        opened.seek(0)
        yield (pyarrow.ipc.open_file if indexed else pyarrow.ipc.open_stream)(opened)


def _saved(files: Sequence[Path], name: str) -> Any:
    import pyarrow

    _require(name, _saved_names(files[0]), files[0].parent)
    with pyarrow.memory_map(str(parts_of_saved(files[0])[0])) as first:
        field = pyarrow.ipc.open_stream(first).schema.field(name)
    chunks = []
    for part in parts_of_saved(files[0]):
        with _reading(part, _SAVED_AGAIN), pyarrow.memory_map(str(part)) as opened:
            chunks += [batch.column(name) for batch in pyarrow.ipc.open_stream(opened)]
    return pyarrow.chunked_array(chunks, field.type)


def parts_of_saved(state: Path) -> list[Path]:
    """The files of a saved Hugging Face data set; a name that leads out of its folder is refused."""
    _arrow("ipc")
    with reading_file(state, _SAVED_AGAIN, (ValueError, KeyError, TypeError)):
        held = json.loads(state.read_bytes())
        names = [part["filename"] for part in held["_data_files"]]
    if not names or any(Path(name).name != name for name in names):
        raise Infeasible(f"{shown(str(state))} names the files {shown(names)}", _SAVED_AGAIN)
    return [state.parent / name for name in names]


def _saved_names(state: Path) -> list[str]:
    import pyarrow

    first = parts_of_saved(state)[0]
    with _reading(first, _SAVED_AGAIN), pyarrow.memory_map(str(first)) as opened:
        return list(pyarrow.ipc.open_stream(opened).schema.names)


def shard_rows(file: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The samples of a tar shard, see `rows_of_shard`; a column must be one that its first sample has."""
    for name in names:
        _require(name, _shard_names(file), file)
    with _reading(file, _AGAIN):
        yield from rows_of_shard(file, names)


def _shard_names(file: Path) -> list[str]:
    with _reading(file, _AGAIN):
        return names_of_shard(file)


def _arrow(part: str) -> Any:
    return library(f"pyarrow.{part}", "reading this file")


def _require(name: str, names: Sequence[str], file: Path, where: str = "") -> int:
    check_column(f"{where}{shown(str(file))}", name, names)
    return list(names).index(name)


def _required(name: str, names: Iterable[str], file: Path) -> str:
    """The name of a column; of a file with only one, it may be left out."""
    known = list(names)
    if name or len(known) != 1:
        _require(name, known, file)
        return name
    return known[0]


READERS: dict[str, Callable[[Sequence[Path], str], Any]] = {
    "arrow": _arrow_files,
    "csv": _csv,
    "lines": _lines,
    "npy": _npy,
    "parquet": _parquet,
    "pt": _pt,
    "saved": _saved,
    "tar": lambda files, name: [row[name] for file in files for row in shard_rows(file, [name])],
}
_NAMES: dict[str, Callable[[Path], Iterable[str]]] = {
    "arrow": _arrow_names,
    "csv": _csv_names,
    "images": lambda file: ["class"],
    "index": lambda file: Folder(file.parent).columns,
    "lines": _line_names,
    "npy": lambda file: [file.stem],
    "parquet": _parquet_names,
    "pt": _tensors,
    "saved": _saved_names,
    "tar": _shard_names,
}


def column_names(files: Sequence[Path], kind: str) -> list[str]:
    """The names of the columns of the first of these files.

    Raises:
        Infeasible: it has none.
    """
    names = list(_NAMES[kind](files[0]))
    if not names:
        raise Infeasible(f"{shown(str(files[0]))} has no columns", "pass a file that has the names of its columns")
    return names
