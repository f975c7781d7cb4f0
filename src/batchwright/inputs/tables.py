"""Reads columns of lazy tables, and columns that are kept as codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import getitem
from typing import Any, NamedTuple

import numpy as np

from ..errors import Infeasible, shown, typed
from ..readings import reading
from .values import COMPLETE, plain

__all__ = [
    "Coded",
    "by_column",
    "coded",
    "column_names",
    "columns_of_frame",
    "is_frame",
    "is_unread",
    "only_column",
    "picking",
    "quoted",
    "read_column",
    "unread_names",
]


class Coded(NamedTuple):
    """A column of a few distinct values, kept as codes.

    Args:
        names: the values that may occur, each once, sorted if possible.
        codes: the index of each sample's value in `names`, an array of integers of shape (samples,).
        order: the values in the order that the column declares (an ordered categorical of pandas, an `Enum` of polars); None
            if it declares none.
    """

    names: list[Any]
    codes: np.ndarray
    order: list[Any] | None = None

    @property
    def size(self) -> int:
        """The number of samples."""
        return self.codes.size

    def array(self) -> np.ndarray:
        """The value of each sample, an array of objects."""
        array: np.ndarray = np.array(self.names, object)[self.codes]
        return array


def column_names(source: Any) -> list[Any] | None:
    """The names of the columns of a table or a mapping of columns; None for other objects."""
    names = getattr(source, "column_names", None)
    if names is None:
        names = getattr(source, "columns", None)
    if names is None and isinstance(source, Mapping):
        names = source.keys()
    if names is None or callable(names) or not hasattr(source, "__getitem__"):
        return None
    if isinstance(names, Mapping):  # of each part of a dictionary of datasets
        names = names.keys()
    return list(names) if not isinstance(names, (str, bytes)) and hasattr(names, "__iter__") else None


class _Columns(Mapping[Any, Any]):
    """The columns of a table by name; a lazy table is read one column at a time."""

    def __init__(self, table: Any, names: list[Any], read: Callable[[Any, Any], Any]) -> None:
        self._table, self._names, self._read = table, names, read

    def __getitem__(self, name: Any) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._read(self._table, name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def by_column(table: Any) -> Any:
    """Turn a table into a mapping of its columns; a mapping and what is no table are returned as they are.

    Args:
        table: a frame of pandas, polars or narwhals, also a lazy one, an Arrow table or dataset, a dataset of Hugging Face.

    Example:
        >>> by_column({"a": [1, 2]}), by_column([1, 2])
        ({'a': [1, 2]}, [1, 2])
    """
    if isinstance(table, Mapping):
        return table
    if is_unread(table):
        return _Columns(table, unread_names(table), read_column)
    names = column_names(table)
    return table if names is None else _Columns(table, names, getitem)


def columns_of_frame(source: Any) -> list[Any]:
    """The columns of a data frame or an Arrow table; anything else is one column, a dataset that knows its labels too."""
    return list(by_column(source).values()) if is_frame(source) else [source]


def is_unread(source: Any) -> bool:
    """Whether this is a table that has not been read yet: a lazy frame, a DuckDB relation, an Arrow dataset."""
    if _is_arrow_dataset(source):
        return True
    lazy = callable(getattr(source, "collect", None)) and not hasattr(source, "__len__")
    return (lazy or _is_relation(source)) and _lazy(source) is not None


def _is_arrow_dataset(source: Any) -> bool:
    return all(hasattr(source, name) for name in ("to_table", "scanner", "schema"))


def unread_names(table: Any) -> list[str]:
    """The names of the columns of a lazy table."""
    with reading(table, "a lazy table", "pass one whose query runs"):
        return list(table.schema.names) if _is_arrow_dataset(table) else _lazy(table).collect_schema().names()


def read_column(table: Any, name: str) -> Any:
    """Read one column of a lazy table, and no other."""
    if _is_arrow_dataset(table):
        return table.to_table(columns=[name])[name]
    with reading(table, "a lazy table", "pass one whose query runs"):
        # Narwhals hands a name to DuckDB as it is, and DuckDB before 2 reads the column "1" as the number.
        picked = _lazy(table.select(quoted(name))) if _is_relation(table) else _lazy(table).select(name)
        return picked.collect()[name].to_native()


def is_frame(table: Any) -> bool:
    """Whether this is a table that stands for its columns: no dataset of samples, and no mapping.

    Example:
        >>> is_frame({"a": [1, 2]}), is_frame([1, 2])
        (False, False)
    """
    if isinstance(table, Mapping) or isinstance(getattr(table, "features", None), Mapping):
        return False
    return is_unread(table) or column_names(table) is not None


def only_column(table: Any, called: str) -> Any:
    """The column of a frame that has no other.

    Raises:
        Infeasible: it has several columns, or none.
    """
    unread = is_unread(table)
    names = unread_names(table) if unread else column_names(table) or []
    if len(names) != 1:
        raise Infeasible(
            f"{called} is {typed(table)} and holds the columns {shown(names)}, one is needed",
            f"pass one of them, such as {picking(table, called, names[0])}" if names else "pass a column",
        )
    return read_column(table, names[0]) if unread else table[names[0]]


def picking(table: Any, called: str, name: Any) -> str:
    """How one column of a table is written in Python, as its library does it.

    Example:
        >>> picking({"a": [1]}, "labels", "a")
        "labels['a']"
    """
    if not is_unread(table):
        return f"{called}[{shown(name)}]"
    if _is_arrow_dataset(table):
        return f"{called}.to_table(columns=[{shown(name)}])[{shown(name)}]"
    return f"{called}.select({shown(quoted(name) if _is_relation(table) else name)})"


def quoted(name: str) -> str:
    """A column of this name as an expression of SQL, which is what a DuckDB relation selects.

    Example:
        >>> print(quoted('a "b" c'))
        "a ""b"" c"
    """
    return '"' + name.replace('"', '""') + '"'


def _is_relation(table: Any) -> bool:
    return any(callable(getattr(table, name, None)) for name in ("to_arrow_table", "fetch_arrow_table"))


def _lazy(table: Any) -> Any:
    """The table through narwhals, one interface to all libraries of lazy tables; None if narwhals does not know it."""
    import narwhals

    frame = narwhals.from_native(table, pass_through=True)
    return frame.lazy() if isinstance(frame, (narwhals.LazyFrame, narwhals.DataFrame)) else None


def coded(values: Any) -> Coded | None:
    """A dictionary column as codes, without making a value for each sample; None for others, and if values are missing."""
    if hasattr(values, "coded"):  # a column of a file
        own: Coded | None = values.coded()
        return own
    parts = _of_pandas(values) or _of_arrow(values)
    if parts is None:
        return None
    codes, categories = parts
    if not codes.size or codes.min() < 0:
        return None
    held = list(map(plain, categories))
    names = list(dict.fromkeys(held))  # an Arrow dictionary may name a value twice
    if not set(map(type, names)) <= COMPLETE:  # missing ones, measurements, types that are looked into elsewhere
        return None
    try:
        names.sort()
    except TypeError:  # labels of types that do not compare are put in order of appearance elsewhere
        return None
    place = {name: number for number, name in enumerate(names)}
    width = np.min_scalar_type(len(names))
    kind = getattr(values, "dtype", None)
    ordered = bool(getattr(kind, "ordered", False)) or str(kind).startswith("Enum")
    return Coded(names, np.array([place[name] for name in held], width)[codes], held if ordered else None)


def _of_pandas(values: Any) -> tuple[np.ndarray, list[Any]] | None:
    """Codes and categories of a pandas categorical, or of an index or series of one."""
    held: Any = getattr(values, "cat", values) if hasattr(getattr(values, "dtype", None), "categories") else None
    if not (hasattr(held, "codes") and hasattr(held, "categories")):
        return None
    return np.asarray(held.codes), list(held.categories)


def _of_arrow(values: Any) -> tuple[np.ndarray, list[Any]] | None:
    """Codes and categories of an Arrow dictionary array, in chunks or not, or of a polars series, which gives one."""
    if str(getattr(values, "dtype", "")).startswith(("Categorical", "Enum")) and hasattr(values, "to_arrow"):
        values = values.to_arrow()
    if not str(getattr(values, "type", "")).startswith("dictionary<"):
        return None
    if values.null_count:
        return None
    if hasattr(values, "unify_dictionaries"):
        values = values.unify_dictionaries().combine_chunks()
    if hasattr(values, "chunks"):  # of no chunk at all
        return None
    return values.indices.to_numpy(zero_copy_only=False), values.dictionary.to_pylist()
