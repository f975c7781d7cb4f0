"""Reads chosen columns of data files as batches of Arrow, by the library that the user names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import no_column, said, shown
from ..files.readers import READERS, arrow_reader, check_lines, column_names, csv_options, delimiter_of, shard_rows
from ..inputs.columns import one_dimensional
from ..inputs.tables import quoted
from ..inputs.values import INTEGER
from ..readings import check_column, library, reading_file
from .sources import DataFile

__all__ = ["READ", "ArrowColumns", "AsTyped", "batches", "image_batches", "library_of", "one_database"]

ROWS = 1 << 18  # of a batch: large enough for the overhead of a batch, small enough for any memory
ArrowColumns = dict[str, Any]
"""Columns of Arrow by name, all of one length."""
AsTyped = str
"""How the values of a column are written: "typed" for values of Arrow, "text" as in CSV, "json" for JSON as text."""


def batches(engine: str, kind: str, file: DataFile, names: Sequence[str]) -> Iterator[tuple[AsTyped, ArrowColumns]]:
    """The columns of a file of rows, batch by batch in the order of its rows, and how their values are written.

    Raises:
        Infeasible: the file has no such column, or it cannot be read.
    """
    # A file behind a URL is copied, except Parquet, of which parts are read.
    with nullcontext(file.path) if kind == "parquet" else file.on_this_machine() as path:
        inside = _names_in(file, path, kind, names)
        wanted = [name for name in names if name in inside]
        known = [*inside, *(name for name in file.partition if name not in inside)]
        for name in names:
            check_column(shown(file.path), name, known)
        # Of a file whose columns are all in its path, some column tells how many rows it has.
        chosen = wanted or inside[:1]
        if engine == "duckdb" and ("" in names or len({name.casefold() for name in inside}) < len(inside)):
            engine = "pyarrow"  # to DuckDB, names that differ in case alone are one column, and an empty one is none
        with reading_file(file.path):
            if file.system is not None and kind == "parquet":
                yield from _remote_parquet(engine, file, chosen)
            else:
                try:
                    yield from (READ[engine].get(kind) or _COMMON.get(kind) or _whole)(path, chosen)
                except Exception:
                    # Each library has words of its own for a line that is no JSON, and no true number of it.
                    if kind == "lines":
                        check_lines(Path(path), called=file.path)
                    raise


def _names_in(file: DataFile, path: str, kind: str, names: Sequence[str]) -> list[str]:
    if kind == "npy":  # an array in a file of its own has no name: it is the column that is asked for
        return list(names)
    if file.system is None or kind != "parquet":
        return column_names([Path(path)], kind)
    parquet = library_of("pyarrow.parquet", "pyarrow")
    with reading_file(file.path), file.system.open(file.path, "rb") as opened:
        return list(parquet.read_schema(opened).names)


def _remote_parquet(engine: str, file: DataFile, names: Sequence[str]) -> Iterator[tuple[AsTyped, ArrowColumns]]:
    """Parquet behind a URL: DuckDB reads through the file system; for polars, which has its own, pyarrow reads."""
    if engine == "duckdb":
        yield from _duckdb_parquet(file.path, names, file.system)
        return
    parquet = library_of("pyarrow.parquet", "pyarrow")
    with file.system.open(file.path, "rb") as opened:
        for batch in parquet.ParquetFile(opened).iter_batches(ROWS, columns=list(names)):
            yield "typed", dict(zip(batch.schema.names, batch.columns, strict=True))


def library_of(module: str, engine: str) -> Any:
    """Import a module of the library of an engine.

    Raises:
        Infeasible: it is not installed.
    """
    return library(module, f"engine={engine!r}", or_else=", or pass engine='pyarrow'")


_DATABASES: ContextVar[list[Any] | None] = ContextVar("databases", default=None)


@contextmanager
def one_database() -> Iterator[None]:
    """Let DuckDB read local files with one database within: to open one takes as long as to read 300,000 rows."""
    opened: list[Any] = []
    token = _DATABASES.set(opened)
    try:
        yield
    finally:
        _DATABASES.reset(token)
        for database in opened:
            database.close()


@contextmanager
def _database(system: Any) -> Iterator[Any]:
    """A database in memory: nothing of the user's is touched."""
    duckdb, opened = library_of("duckdb", "duckdb"), _DATABASES.get()
    if opened is None or system is not None:
        with duckdb.connect() as connection:
            if system is not None:
                connection.register_filesystem(system)
            yield connection
        return
    if not opened:
        opened.append(duckdb.connect())
    yield opened[0]


def _duckdb(query: str, path: str, system: Any = None) -> Iterator[ArrowColumns]:
    with _database(system) as connection:
        relation = connection.sql(query, params=[path])
        # DuckDB 1.5 brought the first name and DuckDB 2 took the second away.
        reader_of = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader
        for batch in reader_of(ROWS):
            yield dict(zip(batch.schema.names, batch.columns, strict=True))


def _duckdb_parquet(path: str, names: Sequence[str], system: Any = None) -> Iterator[tuple[AsTyped, ArrowColumns]]:
    query = f"SELECT {', '.join(map(quoted, names))} FROM read_parquet(?, hive_partitioning=false)"
    for batch in _duckdb(query, path, system):
        yield "typed", batch


def _by_place(path: str, names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Names for the columns of a file of CSV by their places, and for each of `names` which it is.

    DuckDB cuts off the spaces of a name in the header, and polars leaves quotes in it twice.
    """
    header = column_names([Path(path)], "csv")
    return [f"c{place}" for place in range(len(header))], {name: f"c{header.index(name)}" for name in names}


def _duckdb_csv(path: str, names: Sequence[str]) -> Iterator[tuple[AsTyped, ArrowColumns]]:
    every, place = _by_place(path, names)
    options = f"all_varchar=true, header=true, names={every}, delim='{delimiter_of(path)}', quote='\"', escape='\"'"
    for batch in _duckdb(f"SELECT {', '.join(place.values())} FROM read_csv(?, {options})", path):
        yield "text", {name: batch[place[name]] for name in names}


def _duckdb_lines(path: str, names: Sequence[str]) -> Iterator[tuple[AsTyped, ArrowColumns]]:
    columns = ", ".join(f"{quoted(name)}: 'JSON'" for name in names)
    chosen = ", ".join(f"{quoted(name)}::VARCHAR AS {quoted(name)}" for name in names)
    query = f"SELECT {chosen} FROM read_json(?, format='newline_delimited', records=true, columns={{{columns}}})"
    for batch in _duckdb(query, path):
        yield "json", batch


def _polars(lazy: Any, names: Sequence[str]) -> Iterator[ArrowColumns]:
    for frame in lazy.select(names).collect_batches(chunk_size=ROWS, maintain_order=True):
        table = frame.to_arrow()
        yield {name: table[name].combine_chunks() for name in names}


def _polars_parquet(path: str, names: Sequence[str]) -> Iterator[tuple[AsTyped, ArrowColumns]]:
    polars = library_of("polars", "polars")
    for batch in _polars(polars.scan_parquet(path, glob=False, hive_partitioning=False), names):
        yield "typed", batch


def _polars_csv(path: str, names: Sequence[str]) -> Iterator[tuple[AsTyped, ArrowColumns]]:
    polars = library_of("polars", "polars")
    every, place = _by_place(path, names)
    lazy = polars.scan_csv(path, infer_schema=False, separator=delimiter_of(path), glob=False, new_columns=every)
    for batch in _polars(lazy, list(place.values())):
        yield "text", {name: batch[place[name]] for name in names}


def _polars_lines(path: str, names: Sequence[str]) -> Iterator[tuple[AsTyped, ArrowColumns]]:
    polars = library_of("polars", "polars")
    lazy = polars.scan_ndjson(path, infer_schema_length=None)
    texts = [name for name, kind in lazy.collect_schema().items() if name in names and kind == polars.String]
    # polars turns a mixture of text and numbers into text: where text looks like a number, pyarrow tells which it is
    for name in texts:
        if any(_is_scalar(text) for text in lazy.select(polars.col(name).drop_nulls().unique()).collect()[name]):
            yield from _arrow_lines(path, names)
            return
    for batch in _polars(lazy, names):
        yield "typed", batch


def _is_scalar(text: str) -> bool:
    try:
        return not isinstance(json.loads(text), (str, list, dict))
    except ValueError:
        return False


def _arrow_parquet(path: str, names: Sequence[str]) -> Iterator[tuple[AsTyped, ArrowColumns]]:
    parquet = library_of("pyarrow.parquet", "pyarrow")
    with parquet.ParquetFile(path) as opened:
        for batch in opened.iter_batches(ROWS, columns=list(names)):
            yield "typed", dict(zip(batch.schema.names, batch.columns, strict=True))


def _arrow_csv(path: str, names: Sequence[str]) -> Iterator[tuple[AsTyped, ArrowColumns]]:
    csv = library_of("pyarrow.csv", "pyarrow")
    import pyarrow

    with csv.open_csv(
        path,
        parse_options=csv_options(Path(path)),
        convert_options=csv.ConvertOptions(
            include_columns=list(names), column_types={name: pyarrow.string() for name in names}
        ),
    ) as reader:
        for batch in reader:
            yield "text", dict(zip(batch.schema.names, batch.columns, strict=True))


def _arrow_lines(path: str, names: Sequence[str]) -> Iterator[tuple[AsTyped, ArrowColumns]]:
    """JSON lines, one column after the other tried as text, integers, floats, booleans: pyarrow guesses dates too."""
    arrow = library_of("pyarrow.json", "pyarrow")
    import pyarrow

    columns = {}
    for name in names:
        for kind in (pyarrow.string(), pyarrow.int64(), pyarrow.float64(), pyarrow.bool_()):
            options = arrow.ParseOptions(
                explicit_schema=pyarrow.schema([(name, kind)]), unexpected_field_behavior="ignore"
            )
            try:
                columns[name] = arrow.read_json(path, parse_options=options)[name].combine_chunks()
                break
            except pyarrow.ArrowInvalid as error:
                refused = error
        else:
            raise refused
    yield "typed", columns


def _arrow_file(path: str, names: Sequence[str]) -> Iterator[tuple[AsTyped, ArrowColumns]]:
    with arrow_reader(path) as reader:
        count = getattr(reader, "num_record_batches", None)  # a stream does not say how many it has
        for batch in reader if count is None else map(reader.get_batch, range(count)):
            yield "typed", {name: batch.column(name) for name in names}


def _tar(path: str, names: Sequence[str]) -> Iterator[tuple[AsTyped, ArrowColumns]]:
    """A tar shard; values are written as JSON, for those of `.cls` and of `.json` have no type of Arrow."""
    import pyarrow

    rows = shard_rows(Path(path), names)
    while held := list(islice(rows, 4096)):
        yield (
            "json",
            {name: pyarrow.array([_json_of(row[name]) for row in held], pyarrow.string()) for name in names},
        )


def _json_of(value: Any) -> str | None:
    """A value of a shard as JSON; a number that stands in a text, as in `.cls`, is a number."""
    if isinstance(value, str) and INTEGER.fullmatch(value):
        return value
    return None if value is None else json.dumps(value)


def image_batches(
    files: Sequence[DataFile], names: Sequence[str]
) -> Iterator[tuple[Sequence[DataFile], ArrowColumns | str]]:
    """Some images at once, one row each, from their paths, sizes and headers; or one image, and what it raised.

    Raises:
        Infeasible: a name that images do not have.
    """
    import pyarrow

    unknown = next((name for name in names if name not in ("", *_OF_IMAGES)), None)
    if unknown is not None:
        raise no_column("an index of images", unknown, _OF_IMAGES)
    headers = any(name in ("width", "height", "pixels") for name in names)
    held: list[tuple[DataFile, tuple[int, int]]] = []

    def flush() -> Iterator[tuple[Sequence[DataFile], ArrowColumns]]:
        if held:
            columns = {
                name: pyarrow.array([_OF_IMAGES[name or "class"](file, size) for file, size in held]) for name in names
            }
            yield [file for file, _ in held], columns
            held.clear()

    for file in files:
        try:
            held.append((file, _size_of_image(file.path) if headers else (0, 0)))
        except (OSError, ValueError, SyntaxError) as error:  # what pillow raises for files that are damaged
            yield from flush()
            yield [file], said(error)
        if len(held) == 4096:
            yield from flush()
    yield from flush()


def _size_of_image(path: str) -> tuple[int, int]:
    """Width and height, from the header of the file: nothing is decoded."""
    image = library_of("PIL.Image", "pyarrow")
    with image.open(path) as opened:
        width, height = opened.size
    return width, height


_OF_IMAGES: dict[str, Callable[[DataFile, tuple[int, int]], Any]] = {
    "class": lambda file, size: file.image_class,
    "bytes": lambda file, size: file.size,
    "width": lambda file, size: size[0],
    "height": lambda file, size: size[1],
    "pixels": lambda file, size: size[0] * size[1],
}
"""The columns of images, from the file and its width and height."""


def _whole(path: str, names: Sequence[str]) -> Iterator[tuple[AsTyped, ArrowColumns]]:
    """Files of other kinds, through the readers of `bw.Column`: `.npy` and `.pt`."""
    import pyarrow

    kind = "pt" if path.endswith((".pt", ".pth")) else "npy"
    arrays = {name: one_dimensional(READERS[kind]([Path(path)], name), called=shown(path)) for name in names}
    yield "typed", {name: pyarrow.array(array) for name, array in arrays.items()}


Reader = Callable[[str, Sequence[str]], Iterator[tuple[AsTyped, ArrowColumns]]]
_ARROW: dict[str, Reader] = {"parquet": _arrow_parquet, "csv": _arrow_csv, "lines": _arrow_lines}
READ: dict[str, dict[str, Reader]] = {
    "duckdb": {"parquet": _duckdb_parquet, "csv": _duckdb_csv, "lines": _duckdb_lines},
    "polars": {"parquet": _polars_parquet, "csv": _polars_csv, "lines": _polars_lines},
    "pyarrow": _ARROW,
}
"""The readers of each engine; files of other kinds are read alike by all."""
_COMMON: dict[str, Reader] = {"arrow": _arrow_file, "tar": _tar}
