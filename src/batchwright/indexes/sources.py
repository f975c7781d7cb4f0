"""The files that the source of an index stands for, in the order of its samples."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from ..errors import Infeasible, shown, typed
from ..files.folder import stamp_of
from ..files.paths import files_of, image_classes, kind_of, suffix_kind
from ..files.readers import parts_of_saved
from ..readings import reading_file

__all__ = ["DataFile", "IndexSource", "source_of"]


@dataclass(frozen=True)
class DataFile:
    """One file of a source.

    Attributes:
        number: its place in the order of the files.
        name: its path from the folder of the source, with "/".
        path: its path on this machine, or its URL.
        stamp: size and time of its last change, as text; of a URL what its file system tells of it.
        size: its bytes.
        system: the file system of a URL, of fsspec; None for a file on this machine.
        image_class: of an image, its class.
    """

    number: int
    name: str
    path: str
    stamp: str
    size: int
    system: Any = None
    image_class: str = ""

    @property
    def partition(self) -> dict[str, str]:
        """The columns in its path, as Hive writes them: `language=en/part.parquet`."""
        pairs = [part.partition("=") for part in PurePosixPath(self.name).parts[:-1]]
        return {name: unquote(value) for name, equal, value in pairs if equal and name}

    @contextmanager
    def on_this_machine(self) -> Iterator[str]:
        """Its path on this machine; a file behind a URL is copied."""
        if self.system is None:
            yield self.path
            return
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / PurePosixPath(self.name).name)
            self.system.get_file(self.path, path)
            yield path


@dataclass(frozen=True)
class IndexSource:
    """The data that an index is made of.

    Attributes:
        kind: what its files are, a key of the readers.
        root: the folder, or the URL, that the names of the files begin at; empty for a dataset.
        files: the files, in the order of the samples.
    """

    kind: str
    root: str
    files: tuple[DataFile, ...]


def source_of(source: Any, storage_options: Mapping[str, Any] | None = None) -> IndexSource:
    """The files of a path, a pattern, a folder, a URL, or a list of paths; of a list, sorted by path.

    Raises:
        Infeasible: it is no path, there is no such file, a file is named twice, or files are of several kinds.
    """
    if isinstance(source, str) and "://" in source:
        return _of_url(source, dict(storage_options or {}))
    if storage_options is not None:
        raise Infeasible(
            f"storage_options are given for {shown(source)}, which is no URL", "leave them out, or pass a URL"
        )
    if isinstance(source, (str, os.PathLike)):
        return _of_files([_found(os.fspath(source))])
    if not isinstance(source, Sequence) or not all(isinstance(part, (str, os.PathLike)) for part in source):
        raise Infeasible(
            f"the source of an index is {typed(source)}", "pass a path, a pattern, a folder, or a list of these"
        )
    if not source:
        raise Infeasible("the source of an index is a list of 0 paths", "pass one path at least")
    parts = [_found(os.fspath(part)) for part in source]
    kinds = sorted({part.kind for part in parts})
    if len(kinds) > 1:
        raise Infeasible(f"the source has files of several kinds: {', '.join(kinds)}", "make an index of each kind")
    every = sorted(file for part in parts for file in part.files)
    twice = next((file for file, after in pairwise(every) if file == after), None)
    if twice is not None:
        raise Infeasible(f"{shown(str(twice))} is named twice", "name every file once")
    return _of_files(parts)


class _Found(NamedTuple):
    """The files of one path.

    Attributes:
        kind: what they are, a key of the readers.
        files: the files, in their order.
        classes: of images, the class of each; of other files, empty texts.
        root: the folder that their names begin at.
    """

    kind: str
    files: list[Path]
    classes: list[str]
    root: Path


def _found(path: str) -> _Found:
    files = [Path(os.path.abspath(file)) for file in files_of(path)]
    kind = kind_of(files)
    if kind == "saved":
        parts = [Path(os.path.abspath(part)) for part in parts_of_saved(files[0])]
        return _Found("arrow", parts, [""] * len(parts), files[0].parent)
    if kind == "index":
        raise Infeasible(f"{shown(path)} is an index already", "open it with bw.Index.open, or index the data")
    root = (
        Path(os.path.abspath(path))
        if Path(path).is_dir()
        else Path(os.path.commonpath([file.parent for file in files]))
    )
    classes = image_classes(os.path.abspath(path), files) if kind == "images" else [""] * len(files)
    return _Found(kind, files, classes, root)


def _of_files(parts: Sequence[_Found]) -> IndexSource:
    """The files of all paths; those of several paths sorted, those of one path in its own order."""
    root = parts[0].root
    found = [(file, each) for part in parts for file, each in zip(part.files, part.classes, strict=True)]
    if len(parts) > 1:
        root = Path(os.path.commonpath([file.parent for file, _ in found]))
        found.sort(key=lambda pair: pair[0])
    held = []
    for number, (file, image_class) in enumerate(found):
        stamp = stamp_of(file)
        name = file.relative_to(root).as_posix()
        held.append(DataFile(number, name, str(file), stamp, int(stamp.split()[0]), None, image_class))
    return IndexSource(parts[0].kind, str(root), tuple(held))


def _of_url(url: str, options: Mapping[str, Any]) -> IndexSource:
    """The files of a URL: of one file, of a folder, or of a pattern."""
    import fsspec

    way_out = "install the library of its file system, pass storage_options, or a URL that is there"
    with reading_file(url, way_out):
        system, path = fsspec.core.url_to_fs(url, **options)
        pattern = any(sign in path for sign in "*?[")
        found = sorted(system.glob(path) if pattern else [path] if system.isfile(path) else system.find(path))
        stamps = [system.ukey(file) for file in found]
        sizes = [int(system.info(file)["size"] or 0) for file in found]
    files = [Path(file) for file in found if suffix_kind(file)]
    if not files:
        raise Infeasible(
            f"{shown(url)} has no data files", "pass the URL of a file, a folder, or a pattern such as '*.parquet'"
        )
    kinds = sorted({suffix_kind(str(file)) for file in files})
    if len(kinds) > 1:
        raise Infeasible(
            f"{shown(url)} has files of several kinds: {', '.join(kinds)}", "pass a pattern such as '*.parquet'"
        )
    if kinds[0] in ("images", "npy", "pt"):
        raise Infeasible(
            f"{shown(url)} has files of the kind {kinds[0]}", "copy them to this machine, and index them there"
        )
    root = path if not pattern and not system.isfile(path) else os.path.commonpath([file.parent for file in files])
    held = [
        DataFile(
            number, PurePosixPath(file).relative_to(root).as_posix(), system.unstrip_protocol(file), stamp, size, system
        )
        for number, (file, stamp, size) in enumerate(
            each for each in zip(found, stamps, sizes, strict=True) if suffix_kind(each[0])
        )
    ]
    return IndexSource(kinds[0], system.unstrip_protocol(root), tuple(held))
