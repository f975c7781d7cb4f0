"""`bw.index`: reads data files once, and writes what plans need of them as an index on disk."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from functools import partial as partial_of
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import Infeasible, check_integer, one_of, shown, typed, warn
from ..files.folder import Folder
from ..files.paths import REQUEST, UNFINISHED, is_index
from ..readings import check_count, reading
from .clusters import CLUSTERS, scan_on_cluster
from .datasets import DatasetSource, read_dataset
from .merge import merge
from .opened import Index
from .parts import FinishedPart, Wanted, Writer
from .scans import batches, image_batches, library_of, one_database
from .sources import DataFile, IndexSource, source_of

__all__ = ["Engine", "index", "index_of"]

Engine = Literal["duckdb", "polars", "pyarrow", "ray", "spark"]
_ROLES = ("label", "length", "weight")
_UNIT_BYTES, _UNIT_FILES = 1 << 28, 1 << 12  # of a part: so much is read again after an interruption, for each process


def index(
    source: Any,
    *,
    path: str | os.PathLike[str],
    label: Any = None,
    length: Any = None,
    weight: Any = None,
    by: Any = (),
    engine: Engine | None = None,
    num_workers: int = 0,
    storage_options: Mapping[str, Any] | None = None,
) -> Index:
    r"""Index data files on disk, so that plans of any number of samples are made at once.

    Use it where reading labels or lengths takes long, or where they do not fit in memory. The data are read once, and only
    these columns. If the index is there already and the data did not change, it is opened. If a scan was interrupted, it
    goes on. The index is the same, byte for byte, whichever engine reads the data. Samples are numbered in the order of
    the files, sorted by path (images of a folder as torchvision's `ImageFolder` does), and of the rows in them.

    Args:
        source: a file, a folder, a pattern such as "data/*.parquet", or a list of these: Parquet, Arrow or Feather, CSV,
            JSON lines, `.npy`, `.pt`, tar shards, a folder of images or of `Dataset.save_to_disk`; or a URL such as
            "s3://bucket/data/*.parquet". In folders such as `language=en/`, `language` is a column. Or a map-style dataset,
            whose samples are read.
        path: the folder that the index is written to.
        label: the name of the column of labels, numbers or text; of a dataset, a function from a sample to its label, or a
            key of the sample, such as "label" or 0.
        length: the same for lengths.
        weight: the same for weights.
        by: more columns of labels, for `Index.groups`: a list of names; of a dataset, functions by name.
        engine: the library that reads: "duckdb", "polars" or "pyarrow"; or "ray" or "spark" for many machines. If left out,
            duckdb if it is installed.
        num_workers: processes that read the samples of a dataset.
        storage_options: of the file system of a URL, for fsspec: keys, endpoints.

    Returns:
        The index, opened.

    Raises:
        Infeasible: there are no such files or columns, a value is missing, labels are no numbers or text, lengths are no
            numbers, or the library is not installed.

    Warns:
        PoorWarning: samples of a dataset, or images, could not be read; they are in no group, see `Index.errors`.

    Example:
        >>> import tempfile, pathlib
        >>> import batchwright as bw
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "texts.csv").write_text("source,tokens\nweb,300\nbooks,500\nweb,200\n")
        >>> index = bw.index(folder / "texts.csv", label="source", length="tokens", path=folder / "texts.index")
        >>> plan = bw.budgeted(index.lengths, max_tokens=600, order=bw.balanced(index.labels, batch_size=1))
        >>> plan.groups.sample_count
        3
    """
    place, named = _place(path), _engine(engine)
    workers = check_integer(num_workers, "num_workers", least=0)
    dataset = (
        None if isinstance(source, (str, os.PathLike, list, tuple)) else _of_dataset(source, label, length, weight, by)
    )
    if dataset is not None:
        label, length, weight = (name if name in dataset.functions else None for name in _ROLES)
    elif isinstance(by, str) or not isinstance(by, Sequence):
        raise Infeasible(f"by is {shown(by)}", "pass a list of names of columns")
    check_count(source, "source")
    wanted, roles = _wanted(label, length, weight, list(by)), _roles(label, length, weight, list(by))
    found = source_of(source, storage_options) if dataset is None else dataset.source()
    ready = _ready(place, found, roles)
    if ready is not None and not _partial(place).exists():
        return ready
    with _locked(place) as partial:
        ready = _ready(place, found, roles)  # another process may have written it while this one waited
        if ready is not None:
            shutil.rmtree(partial)  # what a process left that died after its index was in place
            return ready
        parts = _parts(partial, found, roles, wanted, named, dataset, workers)
        try:
            _replace(place, partial, parts, wanted, roles, found)
        except Infeasible:  # what was read cannot be an index, so it is read again when the data are other
            shutil.rmtree(partial)
            raise
    made = Index.open(place)
    if made.errors:
        sample, error = next(iter(made.errors.items()))
        warn(
            f"{len(made.errors)} of {len(made)} samples raised and are in no group, the first is sample {sample}: {error}; "
            "index.errors has all of them"
        )
    return made


def _parts(
    partial: Path, source: IndexSource, roles: dict[str, Any], wanted: Sequence[Wanted], engine: Engine,
    dataset: DatasetSource | None, workers: int,
) -> list[FinishedPart]:  # fmt: skip
    """All parts of the data, those of an earlier scan among them."""
    try:
        if dataset is not None:
            _prepare(partial, source, roles, dataset.units())
            return read_dataset(dataset, partial, wanted, workers, _report)
        units = _units(source.files)
        _prepare(partial, source, roles, units)
        return _scan(partial, source.kind, units, wanted, engine)
    except Infeasible:
        if not any(partial.glob("[0-9]*.json")):  # no part is finished, so there is nothing to resume
            shutil.rmtree(partial)
        raise


def _of_dataset(source: Any, label: Any, length: Any, weight: Any, by: Any) -> DatasetSource:
    if not isinstance(by, Mapping) and by != ():
        raise Infeasible(f"by is {shown(by)}", "pass functions by name, such as by={'language': get_language}")
    named = dict(by or {})
    taken = next((name for name in _ROLES if name in named), None)
    if taken is not None:
        raise Infeasible(
            f"by has the name {taken!r}, which is an argument of its own", f"pass {taken}=, or another name"
        )
    roles = {"label": label, **named, "length": length, "weight": weight}
    return DatasetSource(
        source, {name: function for name, function in roles.items() if function is not None or name in named}
    )


def _place(path: Any) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise Infeasible(f"path is {typed(path)}", "pass the folder that the index is written to")
    place = Path(os.path.abspath(os.fspath(path)))
    with reading(path, "path", "pass the path of a new folder"):
        place.exists()  # the system refuses names that are too long
        if b"\0" in os.fsencode(place):
            raise ValueError("a zero byte in the path")
    if place.exists() and not is_index(place):
        raise Infeasible(f"{shown(str(place))} is there already, and is no index", "pass the path of a new folder")
    if not place.parent.is_dir():
        raise Infeasible(
            f"there is no folder {shown(str(place.parent))} to write the index in", "make it, or pass another path"
        )
    return place


def _wanted(label: Any, length: Any, weight: Any, by: Any) -> list[Wanted]:
    for role, name in (("label", label), ("length", length), ("weight", weight), *(("by", name) for name in by)):
        if not isinstance(name, str) and not (name is None and role != "by"):
            raise Infeasible(f"{role} is {shown(name)}, no name of a column", f"pass {role} as text")
    groups = [name for name in (label, *by) if name is not None]
    numbers = [name for name in (length, weight) if name is not None]
    wanted = [*(Wanted(name, "groups") for name in groups), *(Wanted(name, "numbers") for name in numbers)]
    if not wanted:
        raise Infeasible("the index has no columns", "pass label=, length=, weight= or by=, the names of columns")
    return list(dict.fromkeys(wanted))


def _engine(engine: Any) -> Engine:
    if engine is None:
        engine = "pyarrow" if find_spec("duckdb") is None else "duckdb"
    named: Engine = one_of(engine, "engine", get_args(Engine))
    library_of({"spark": "pyspark"}.get(named, named), named)
    library_of("pyarrow", named)
    return named


def _roles(label: str | None, length: str | None, weight: str | None, by: Sequence[str]) -> dict[str, Any]:
    return {"label": label, "length": length, "weight": weight, "by": list(by)}


def _source_facts(place: Path, source: IndexSource) -> dict[str, Any]:
    """What an index says about its data. Files of this machine are found from its folder, so that both can be moved."""
    local = source.files[0].system is None and source.root
    root = os.path.relpath(source.root, place) if local else source.root
    facts = {"kind": source.kind, "root": root, "stamp": "local" if local else "other"}
    if any(file.image_class != Path(file.path).parent.name for file in source.files if file.image_class):
        facts["classes"] = "of the root"  # an index without it had the folders that images are in for classes
    return facts


def index_of(place: Path, source: IndexSource, *, label: str) -> Index | None:
    """The index of the labels of a source, if it is there and the data did not change; else None."""
    return _ready(place, source, _roles(label, None, None, ()))


def _ready(place: Path, source: IndexSource, roles: dict[str, Any]) -> Index | None:
    """The index that is there, if it is of these columns of these files as they are now."""
    if not is_index(place):
        return None
    try:
        folder = Folder(place, source=None)
        same = folder.meta["roles"] == roles and folder.meta["source"] == _source_facts(place, source)
        same = same and folder.names == [file.name for file in source.files]
        same = same and folder.stamps == [file.stamp for file in source.files]
    except (Infeasible, OSError, ValueError, KeyError):  # it is written again
        return None
    return Index(folder) if same else None


def _partial(place: Path) -> Path:
    return place.with_name(place.name + UNFINISHED)


@contextmanager
def _locked(place: Path) -> Iterator[Path]:
    """The folder of the unfinished index, for one process at a time; others wait."""
    partial = _partial(place)
    while True:
        with reading(str(place), "path", "pass the path of a new folder, in a folder that can be written"):
            partial.mkdir(exist_ok=True)
            try:
                opened = os.open(partial, os.O_RDONLY)
            except FileNotFoundError:  # the process that held it has just finished
                continue
        try:
            fcntl.flock(opened, fcntl.LOCK_EX)
            if partial.exists() and os.path.samestat(os.fstat(opened), partial.stat()):
                yield partial
                return
        finally:
            os.close(opened)


def _prepare(partial: Path, source: IndexSource, roles: dict[str, Any], units: Sequence[Sized]) -> None:
    """Keep the parts of an earlier scan if it was of the same columns of the same files, cut alike."""
    files = [[file.name, file.stamp] for file in source.files]
    scan = {"roles": roles, "kind": source.kind, "files": files, "units": [len(unit) for unit in units]}
    request = partial / REQUEST
    try:
        same = json.loads(request.read_bytes()) == scan
    except (OSError, ValueError):
        same = False
    if same:
        return
    for file in partial.iterdir():
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    unfinished = partial / f"{REQUEST}.new"
    unfinished.write_text(json.dumps(scan))
    unfinished.replace(request)


def _units(files: Sequence[DataFile]) -> list[list[DataFile]]:
    """Consecutive files that are scanned as one part; a large file is a part of its own."""
    units: list[list[DataFile]] = [[]]
    size = 0
    for file in files:
        if units[-1] and (size + file.size > _UNIT_BYTES or len(units[-1]) == _UNIT_FILES):
            units.append([])
            size = 0
        units[-1].append(file)
        size += file.size
    return units


def _scan(
    partial: Path, kind: str, units: Sequence[Sequence[DataFile]], wanted: Sequence[Wanted], engine: Engine
) -> list[FinishedPart]:
    write = partial_of(_part, wanted=tuple(wanted), engine="pyarrow" if engine in CLUSTERS else engine, kind=kind)
    if engine in CLUSTERS:
        return scan_on_cluster(engine, partial, units, write, _report)
    parts: list[FinishedPart] = []
    for number, files in enumerate(units):
        path = partial / f"{number:06d}"
        parts.append(FinishedPart.read(path) or write(path, files))
        _report(number + 1, len(units), sum(sum(part.rows.values()) for part in parts))
    return parts


def _part(path: Path, files: Sequence[DataFile], *, wanted: Sequence[Wanted], engine: str, kind: str) -> FinishedPart:
    """Scan some files as one part."""
    names = list(dict.fromkeys(each.name for each in wanted))
    with Writer(path, wanted) as writer, one_database():
        _write(writer, engine, kind, files, names)
        return writer.finished(files)


def _write(writer: Writer, engine: str, kind: str, files: Sequence[DataFile], names: Sequence[str]) -> None:
    if kind == "images":
        for some, held in image_batches(files, names):
            if isinstance(held, str):
                writer.add_error(some[0], held)
            else:
                writer.add_files(some, held)
        return
    for file in files:
        for as_written, batch in batches(engine, kind, file, names):
            writer.add(file, as_written, batch)


def _report(done: int, count: int, rows: int) -> None:
    """One line on a terminal that says how far the scan is."""
    if sys.stderr.isatty():
        ended = "\n" if done == count else ""
        print(f"\rindexing: {done} of {count} parts, {rows:,} samples", end=ended, file=sys.stderr, flush=True)


def _replace(
    place: Path,
    partial: Path,
    parts: Sequence[FinishedPart],
    wanted: Sequence[Wanted],
    roles: dict[str, Any],
    source: IndexSource,
) -> None:
    """Merge the parts into a new folder, and put it in the place of the old index, if there is one."""
    made, old = partial / "index", partial / "old"
    for folder in made, old:  # of a process that died
        if folder.exists():
            shutil.rmtree(folder)
    made.mkdir()
    names, stamps = [file.name for file in source.files], [file.stamp for file in source.files]
    merge(made, parts, wanted, roles, _source_facts(place, source), names, stamps)
    if place.exists():
        place.rename(old)
    made.rename(place)
    shutil.rmtree(partial)
