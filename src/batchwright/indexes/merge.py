"""Merges the parts of a scan into the arrays of an index: the same bytes, however the parts were cut."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import Infeasible, listed, shown
from ..files.column import Digest, typed_texts
from ..files.folder import FORMAT, CheckSum, sealed
from ..files.paths import META
from ..group_parts import NARROW, digest_of, warn_of_singles
from ..inputs.arrays import EXACT_AS_FLOAT
from ..inputs.tables import Coded
from .parts import FinishedPart, Wanted

__all__ = ["merge"]

_ROWS = 1 << 20  # values that are merged at once
_TEXT = "use one type of labels in all files: cast the column and write the files again"


def merge(
    folder: Path, parts: Sequence[FinishedPart], wanted: Sequence[Wanted], roles: Mapping[str, Any],
    source: Mapping[str, Any], names: Sequence[str], stamps: Sequence[str],
) -> None:  # fmt: skip
    """Write an index into an empty folder.

    Args:
        folder: the folder.
        parts: the parts, in the order of their files.
        wanted: the columns in them.
        roles: which column is the label, the length and the weight, for `meta.json`.
        source: what is recorded of the data, for `meta.json`.
        names: the data files.
        stamps: size and time of each of them.

    Raises:
        Infeasible: there is no sample, or the labels have several types.
    """
    rows: dict[int, int] = {}
    for part in parts:
        for file, held in part.rows.items():
            rows[file] = rows.get(file, 0) + held
    count = sum(rows.values())
    if count == 0:
        raise Infeasible("the dataset is empty: the files have 0 rows", "pass files of at least one row")
    columns: dict[str, dict[str, Any]] = {}
    for number, each in enumerate(wanted):
        facts = columns.setdefault(each.name, {})
        if each.form == "groups":
            digest, facts["groups"] = _groups(folder, parts, number, each, count)
        else:
            digest, facts["numbers"] = _numbers(folder, parts, number, each, count)
        facts.setdefault("digest", digest)
    _write_files(folder, names, [rows[number] for number in range(len(names))], stamps)
    _write_errors(folder, parts)
    sums = {file.name: CheckSum.of(file).as_json() for file in sorted(folder.iterdir())}
    meta = {
        "batchwright_index": FORMAT, "samples": count, "roles": roles, "columns": columns, "source": source, "files": sums,
    }  # fmt: skip
    (folder / META).write_text(json.dumps(sealed(meta), indent=1) + "\n", encoding="utf-8")


def _raw(parts: Sequence[FinishedPart], number: int, form: str, dtype: str) -> Iterator[tuple[int, np.ndarray]]:
    """The values of a column, some at once, each time with the number of their part."""
    for place, part in enumerate(parts):
        with part.file(number, form).open("rb") as opened:
            while (values := np.fromfile(opened, dtype, _ROWS)).size:
                yield place, values


class _Npy:
    """Writes an array of known length to a `.npy` file, piece by piece."""

    def __init__(self, file: Path, dtype: Any, count: int) -> None:
        self.dtype = np.dtype(dtype)
        self.opened = file.open("wb")
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (count,)}
        np.lib.format.write_array_header_1_0(self.opened, header)

    def add(self, part: np.ndarray) -> None:
        self.opened.write(np.ascontiguousarray(part, self.dtype).data)

    def close(self) -> None:
        self.opened.close()


def _numbers(folder: Path, parts: Sequence[FinishedPart], number: int, wanted: Wanted, count: int) -> tuple[str, str]:
    """The numbers of a column: uint32 if they fit, else int64, float64 if some are no integers."""
    known = [part.columns[number] for part in parts]
    whole = all(column.types in ([], ["int"]) for column in known)
    fits = whole and min(column.low for column in known) >= 0 and max(column.high for column in known) < NARROW
    dtype = np.dtype("<u4" if fits else "<i8" if whole else "<f8")
    name = f"{number}.numbers.npy"
    written, digest = _Npy(folder / name, dtype, count), Digest([], "i" if whole else "f", (count,))
    for _, values in _raw(parts, number, "numbers", "<f8"):
        written.add(values.astype(dtype))
        digest.add(values)
    written.close()
    return digest.hexdigest(), name


def _groups(
    folder: Path, parts: Sequence[FinishedPart], number: int, wanted: Wanted, count: int
) -> tuple[str, dict[str, Any]]:
    """The labels of a column: their names, the code of every sample, and the samples by group."""
    from ..kernels import indexing

    names, places = _names(parts, number, wanted)
    errors = sum(len(part.errors) for part in parts)
    dtype = np.min_scalar_type(len(names))
    written = _Npy(folder / f"{number}.codes.npy", dtype, count)
    text = isinstance(names[0], str)
    values = None if text else np.array(names)
    digest = Digest(names, "u", ()) if values is None else Digest([], values.dtype.kind, (count,))
    counts = np.zeros(len(names) + 1, np.int64)
    for part, raw in _raw(parts, number, "groups", "<u4"):
        codes = places[part][np.minimum(raw, places[part].size - 1)]
        written.add(codes)
        indexing.tally(codes, counts)
        digest.add(codes if values is None else np.append(values, values[:1])[codes])
    written.close()
    starts = np.concatenate([[0], np.cumsum(counts[:-1])]).astype(np.int64)
    np.save(folder / f"{number}.starts.npy", starts)
    narrow = count < NARROW
    # Made as a file that is mapped, so that it may be larger than the memory.
    index = np.lib.format.open_memmap(
        folder / f"{number}.index.npy", "w+", np.uint32 if narrow else np.uint64, (count - errors,)
    )
    place: Callable[..., None] = indexing.place_narrow if narrow else indexing.place_wide
    free = np.append(starts[:-1], 0)
    every = np.load(folder / f"{number}.codes.npy", mmap_mode="r")
    plain = np.asarray(index) if narrow else np.asarray(index).view(np.int64)
    for begin in range(0, count, _ROWS):
        codes = every[begin : begin + _ROWS].astype(np.int64)
        if errors:  # they are in no group: each run of samples between two of them is placed by itself
            for low, high in _runs(codes, len(names)):
                place(codes[low:high], begin + low, free, plain)
        else:
            place(codes, begin, free, plain)
    index.flush()
    found = {"files": str(number), "digest": digest_of(count, len(names), starts, plain)}
    _write_names(folder / f"{number}.names.parquet", names, np.diff(starts))
    warn_of_singles(Coded(names, every[:_ROWS]), np.diff(starts))
    return digest.hexdigest(), found


def _runs(codes: np.ndarray, broken: int) -> Iterator[tuple[int, int]]:
    """The runs of samples that could be read."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], codes != broken, [0]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _names(parts: Sequence[FinishedPart], number: int, wanted: Wanted) -> tuple[list[Any], list[np.ndarray]]:
    """The labels, sorted, and for each part its codes as numbers of these; the last one is for rows without a label."""
    types = {kind for part in parts for kind in part.columns[number].types}
    if len(types) > 1 and types != {"int", "float"}:
        said = listed(sorted("text" if kind == "written" else kind for kind in types))
        raise Infeasible(f"the labels in column {shown(wanted.name)} are of several types: {said}", _TEXT)
    held = [part.columns[number].names for part in parts]
    if types == {"written"}:
        every = list(dict.fromkeys(name for names in held for name in names))
        read = typed_texts(Coded(every, np.arange(len(every))))
        values = every if isinstance(read, Coded) else read.tolist()
        value_of = dict(zip(every, values, strict=True))
        held = [[value_of[name] for name in names] for names in held]
    if not any(held):
        first = next(error for part in parts for _, error in part.errors)
        raise Infeasible(f"every sample raised, the first of them {first}", "look at what it raises, and index again")
    numbers = [name for names in held for name in names if isinstance(name, (int, float))]
    bad = next((name for name in numbers if not math.isfinite(name) or abs(name) > EXACT_AS_FLOAT), None)
    if bad is not None:
        raise Infeasible(
            f"a label in column {shown(wanted.name)} is {bad}",
            f"use labels from -{EXACT_AS_FLOAT} to {EXACT_AS_FLOAT}, or text",
        )
    if types == {"int", "float"}:  # only now: as floats, larger integers would be other labels
        held = [[float(name) for name in names] for names in held]
    names = sorted(set().union(*held))
    place = {name: code for code, name in enumerate(names)}
    return names, [np.array([*(place[name] for name in part), len(names)], np.int64) for part in held]


def _write_names(file: Path, names: list[Any], counts: np.ndarray) -> None:
    _parquet(file, {"label": names, "samples": counts})


def _write_files(folder: Path, names: Sequence[str], rows: Sequence[int], stamps: Sequence[str]) -> None:
    _parquet(folder / "files.parquet", {"file": names, "rows": np.array(rows, np.int64), "stamp": stamps})


def _write_errors(folder: Path, parts: Sequence[FinishedPart]) -> None:
    samples, errors, first = [], [], 0
    for part in parts:
        samples += [first + row for row, _ in part.errors]
        errors += [error for _, error in part.errors]
        first += sum(part.rows.values())
    if errors:
        _parquet(folder / "errors.parquet", {"sample": np.array(samples, np.int64), "error": errors})


def _parquet(file: Path, columns: Mapping[str, Any]) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({name: pyarrow.array(values) for name, values in columns.items()}), file)
