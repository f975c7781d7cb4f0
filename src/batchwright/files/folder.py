"""The format of an index on disk: a folder of `.npy` arrays, two kinds of Parquet files, and `meta.json`.

This module only reads it; `batchwright.indexes` writes it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import Infeasible, no_column, said, shown
from ..inputs.tables import Coded
from ..readings import reading
from .paths import META

__all__ = ["FORMAT", "CheckSum", "Folder", "StoredGroups", "sealed", "stamp_of"]

FORMAT = 1
_ALWAYS_CHECKED = 1 << 25  # bytes: an index of so many is read and compared whenever it is opened, which takes 20 ms
_CHUNK = 1 << 22  # bytes that are hashed at once
_COMPARED = 1024  # source files whose size and time are compared when an index is opened; all of them with check=True
_AGAIN = "remove the folder of the index, and write it again with bw.index"


class StoredGroups(NamedTuple):
    """An index of samples by group, as it stands on disk; `entries` is the `index` of `Groups`."""

    names: list[Any]
    starts: np.ndarray
    entries: np.ndarray
    codes: np.ndarray
    sample_count: int
    digest: str


class CheckSum:
    """The size and the SHA-256 of a file, from its bytes in order."""

    def __init__(self) -> None:
        self.bytes, self._hash = 0, hashlib.sha256()

    def add(self, part: Any) -> None:
        """Count more bytes."""
        self.bytes += memoryview(part).nbytes
        self._hash.update(part)

    @classmethod
    def of(cls, file: Path) -> CheckSum:
        """Of a file on disk."""
        found = cls()
        with file.open("rb") as opened:
            while part := opened.read(_CHUNK):
                found.add(part)
        return found

    def as_json(self) -> dict[str, Any]:
        """As it stands in `meta.json`."""
        return {"bytes": self.bytes, "sha256": self._hash.hexdigest()}


def sealed(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What `meta.json` holds, with a checksum of the rest of it."""
    rest = {key: value for key, value in meta.items() if key != "seal"}
    return {**rest, "seal": hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()}


def stamp_of(file: str | os.PathLike[str]) -> str:
    """Size and time of the last change of a local file, as text; it differs if the file was written again."""
    status = os.stat(file)
    return f"{status.st_size} {status.st_mtime_ns}"


class Folder:
    """An opened index.

    Args:
        path: the folder.
        source: the folder or file that the data are in now; True for where they were, None to compare nothing.
        check: whether to read all of the index and compare its checksums; if left out, only of a small index.

    Raises:
        Infeasible: it is no index of this version, is damaged, or the data changed.
    """

    def __init__(self, path: Path, *, source: Any = True, check: bool | None = None) -> None:
        self.path = path
        self.meta = self._read()
        self._check(check)
        if source is not None:
            self._compare(source, whole=bool(check))

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "meta": self.meta}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self.meta = self._read()
        if self.meta["seal"] != state["meta"]["seal"]:  # it is that of the checksums of all files of the index
            raise Infeasible(
                f"the index {shown(str(self.path))} was written again since this was sent",
                "make the plan again from the index as it is now, and send that",
            )

    def _read(self) -> dict[str, Any]:
        with reading(str(self.path), "path", "pass the path of the folder that bw.index wrote"):
            there = (self.path / META).is_file()  # a path that is too long for the system raises
        if not there:
            raise Infeasible(f"there is no index at {shown(str(self.path))}", "write it with bw.index(..., path=...)")
        try:
            meta = json.loads((self.path / META).read_bytes())
            version = meta["batchwright_index"]
            whole = sealed(meta)["seal"] == meta["seal"]
        except (ValueError, KeyError, TypeError) as error:
            raise Infeasible(f"{META} of {shown(str(self.path))} cannot be read: {said(error)}", _AGAIN) from None
        if type(version) is not int or version != FORMAT:
            raise Infeasible(
                f"the index {shown(str(self.path))} is of version {shown(version)}, this batchwright reads {FORMAT}",
                _AGAIN,
            )
        if not whole:
            raise Infeasible(f"{META} of {shown(str(self.path))} is not as it was written", _AGAIN)
        found: dict[str, Any] = meta
        return found

    def _check(self, check: bool | None) -> None:
        files: dict[str, dict[str, Any]] = self.meta["files"]
        everything = sum(known["bytes"] for known in files.values()) <= _ALWAYS_CHECKED if check is None else check
        for name, known in files.items():
            file = self.path / name
            size = file.stat().st_size if file.is_file() else 0
            if size != known["bytes"]:
                raise Infeasible(f"{shown(str(file))} has {size} bytes, it was written with {known['bytes']}", _AGAIN)
            if everything and CheckSum.of(file).as_json() != known:
                raise Infeasible(f"{shown(str(file))} is not as it was written: its checksum differs", _AGAIN)

    def _compare(self, source: Any, *, whole: bool) -> None:
        """Compare size and time of the data files with those of when the index was written."""
        recorded = self.meta["source"]
        if recorded["stamp"] != "local":
            return
        with reading(source, "source", "pass the path of the data files, or True for where they were"):
            home = self.root if source is True else Path(source)
            if home.is_file() and len(self.names) == 1:  # a path that is too long for the system raises here
                home = home.parent
        count = len(self.names)
        step = 1 if whole else -(-count // _COMPARED)
        for number in {*range(0, count, step), count - 1}:
            file = home / self.names[number]
            now = stamp_of(file) if file.exists() else ""
            if now == self.stamps[number]:
                continue
            if not now:
                raise Infeasible(
                    f"{shown(str(file))}, which the index {shown(str(self.path))} was made of, is not there",
                    "pass source='where/the/data/are' to bw.Index.open, or source=None to compare nothing",
                )
            raise Infeasible(
                f"{shown(str(file))} changed since the index {shown(str(self.path))} was made: size and time (ns) were "
                f"{self.stamps[number]}, they are {now}",
                "write the index again with bw.index; for a copy with the same content pass source=None to bw.Index.open",
            )

    @property
    def root(self) -> Path:
        """The folder that the names of the data files begin at."""
        return Path(os.path.normpath(self.path / self.meta["source"]["root"]))

    @property
    def sample_count(self) -> int:
        """The number of samples."""
        count: int = self.meta["samples"]
        return count

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        """What the index has of each column."""
        found: dict[str, dict[str, Any]] = self.meta["columns"]
        return found

    @cached_property
    def _files(self) -> Any:
        from pyarrow import parquet

        return parquet.read_table(self.path / "files.parquet", memory_map=True)

    @cached_property
    def names(self) -> list[str]:
        """The data files, relative to `root`, in the order of the samples."""
        found: list[str] = self._files["file"].to_pylist()
        return found

    @cached_property
    def stamps(self) -> list[str]:
        """Size and time of each data file when the index was made."""
        found: list[str] = self._files["stamp"].to_pylist()
        return found

    @cached_property
    def first(self) -> np.ndarray:
        """The number of the first sample of each file, and behind the last one; int64 (files + 1)."""
        return np.concatenate([[0], np.cumsum(self._files["rows"].to_numpy())]).astype(np.int64)

    @cached_property
    def errors(self) -> dict[int, str]:
        """The samples that could not be read, and what they raised."""
        from pyarrow import parquet

        if "errors.parquet" not in self.meta["files"]:
            return {}
        table = parquet.read_table(self.path / "errors.parquet")
        return dict(zip(table["sample"].to_pylist(), table["error"].to_pylist(), strict=True))

    def _column(self, name: str) -> dict[str, Any]:
        if name not in self.columns:
            or_else = ", or write the index again with this column"
            raise no_column(f"the index {shown(str(self.path))}", name, self.columns, or_else=or_else)
        return self.columns[name]

    def array(self, file: str) -> np.ndarray:
        """A `.npy` file of the index, mapped from the disk."""
        # Mode "c", copy on write, since the kernels take only arrays that can be written; none of them writes.
        found = np.asarray(np.load(self.path / file, mmap_mode="c", allow_pickle=False))
        # Numbers of samples are unsigned in the file. The kernels count in int64, which has the same bits below 2^63.
        return found.view(np.int64) if found.dtype == np.uint64 else found

    def grouping(self, name: str) -> StoredGroups | None:
        """The samples by group of this column; None of a column of numbers."""
        entry = self._column(name).get("groups")
        if entry is None:
            return None
        starts = np.asarray(np.load(self.path / f"{entry['files']}.starts.npy", allow_pickle=False))
        index, codes = self.array(f"{entry['files']}.index.npy"), self.array(f"{entry['files']}.codes.npy")
        found = StoredGroups(self.labels(name), starts, index, codes, self.sample_count, entry["digest"])
        if not _may_be_read(found):  # checksums fit, so this is no damage: it was written so
            raise Infeasible(f"the groups of column {shown(name)} in {shown(str(self.path))} are no index", _AGAIN)
        return found

    def labels(self, name: str) -> list[Any]:
        """The label of each group of a column."""
        from pyarrow import parquet

        found: list[Any] = parquet.read_table(self.path / f"{self._column(name)['groups']['files']}.names.parquet")[
            "label"
        ].to_pylist()
        return found

    def values(self, name: str) -> np.ndarray | Coded:
        """The values of a column: numbers, or the labels of samples."""
        entry = self._column(name)
        if "numbers" in entry:
            return self.array(entry["numbers"])
        names, codes = self.labels(name), self.array(f"{entry['groups']['files']}.codes.npy")
        if self.errors:  # their code is that of no group
            names.append(None)
        if isinstance(names[0], str) and None not in names:
            return Coded(names, codes)
        values: np.ndarray = np.array(names)[codes]
        return values

    def digest(self, name: str) -> str:
        """The fingerprint of the values of a column, that of the same column of the data files."""
        found: str = self._column(name)["digest"]
        return found


def _may_be_read(found: StoredGroups) -> bool:
    """Whether the kernels can read these arrays: they do not check the places that they read."""
    starts, count = found.starts, found.sample_count
    typed = starts.dtype == np.int64 and found.entries.dtype in (np.uint32, np.int64) and found.codes.dtype.kind == "u"
    complete = (
        starts.size == len(found.names) + 1 and found.codes.size == count and starts[-1] == found.entries.size <= count
    )
    return bool(typed and complete and starts[0] == 0 and (np.diff(starts) >= 0).all())
