"""Writes what was scanned of some files as one part: codes of labels and numbers, in the order of the rows.

A part stands on disk until all of them are merged, so that an interrupted scan can go on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import Infeasible, shown
from ..inputs.arrays import EXACT_AS_FLOAT
from ..inputs.values import FLOAT, INTEGER
from .scans import ArrowColumns, AsTyped
from .sources import DataFile

__all__ = ["NO_LABEL", "ColumnFacts", "FinishedPart", "Wanted", "Writer"]

NO_LABEL = (1 << 32) - 1  # the code of a sample that could not be read
_SUFFIX = {"groups": ".codes.u4", "numbers": ".numbers.f8"}


class Wanted(NamedTuple):
    """A column that an index holds: as groups of labels, or as numbers."""

    name: str
    form: str  # "groups" or "numbers"


class ColumnFacts(NamedTuple):
    """What a part knows of a column besides its values.

    Attributes:
        names: the labels, in the order of their codes; empty for numbers.
        types: the types of the values: "text", "written" (in CSV), "int", "float", "bool".
        low: the smallest number.
        high: the largest number.
    """

    names: list[Any]
    types: list[str]
    low: float
    high: float


class FinishedPart(NamedTuple):
    """A finished part on disk.

    Attributes:
        path: its files begin with this.
        rows: the rows of each of its files, by their numbers.
        columns: what is known of each column, in the order of those wanted.
        errors: pairs of a row of the part and what it raised.
    """

    path: Path
    rows: dict[int, int]
    columns: list[ColumnFacts]
    errors: list[tuple[int, str]]

    @classmethod
    def read(cls, path: Path) -> FinishedPart | None:
        """A part that an earlier scan finished; None if it did not."""
        try:
            facts = json.loads(path.with_suffix(".json").read_bytes())
            rows = {int(number): count for number, count in facts["rows"].items()}
            columns = [ColumnFacts(**column) for column in facts["columns"]]
            whole = all(
                path.with_name(path.name + name).stat().st_size == size for name, size in facts["files"].items()
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return cls(path, rows, columns, [tuple(error) for error in facts["errors"]]) if whole else None

    def file(self, number: int, form: str) -> Path:
        """The raw file of one of the columns."""
        return self.path.with_name(f"{self.path.name}.{number}{_SUFFIX[form]}")


class _Values:
    """Collects the values of one column, batch by batch."""

    def __init__(self, wanted: Wanted, path: Path) -> None:
        self.wanted, self.path = wanted, path
        self.opened = path.open("wb")
        self.code: dict[Any, int] = {}
        self.types: set[str] = set()
        self.low, self.high = np.inf, -np.inf

    def add(self, array: Any, as_written: AsTyped, file: str, before: int) -> None:
        """Add the next values; `before` is how many rows of the file came earlier."""
        (self._labels if self.wanted.form == "groups" else self._numbers)(array, as_written, file, before)

    def add_missing(self) -> None:
        """A row that could not be read."""
        self.opened.write(np.uint32(NO_LABEL).tobytes() if self.wanted.form == "groups" else np.float64(0).tobytes())

    def _labels(self, array: Any, as_written: AsTyped, file: str, before: int) -> None:
        import pyarrow.compute as pc
        from pyarrow import types

        kind = array.type.value_type if types.is_dictionary(array.type) else array.type
        self._refuse_missing(array, as_written, file, before)
        if as_written == "typed":
            self._know({_arrow_type(kind)}, file)  # before it is encoded: Arrow encodes no lists
        encoded = array if types.is_dictionary(array.type) else array.dictionary_encode()
        names = encoded.dictionary.to_pylist()
        if as_written == "json":
            names = [json.loads(name) for name in names]
        if as_written != "typed":
            self._know({"written"} if as_written == "text" else {_type_of(name) for name in names}, file)
        place = np.array([self.code.setdefault(name, len(self.code)) for name in names], np.uint32)
        codes = place[pc.cast(encoded.indices, "int64").to_numpy(zero_copy_only=False)] if names else place[:0]
        self.opened.write(np.ascontiguousarray(codes, "<u4").data)

    def _know(self, types: set[str], file: str) -> None:
        """Note the types of labels; refuse those that labels cannot have."""
        self.types |= types
        bad = types - {"text", "written", "int", "float", "bool"}
        if bad:
            raise Infeasible(
                f"column {shown(self.wanted.name)} of {shown(file)} is of type {shown(sorted(bad)[0])}",
                "use labels that are numbers or text: cast the column and write the file again",
            )

    def _numbers(self, array: Any, as_written: AsTyped, file: str, before: int) -> None:
        import pyarrow.compute as pc
        from pyarrow import types

        self._refuse_missing(array, as_written, file, before)
        kind = array.type
        if as_written != "typed":
            whole = pc.all(pc.match_substring_regex(array, f"^({INTEGER.pattern})$")).as_py() is not False
            real = whole or pc.all(pc.match_substring_regex(array, f"^({FLOAT.pattern})$")).as_py() is not False
            if real:
                self.types.add("int" if whole else "float")
                array = pc.cast(array, "int64" if whole else "float64")
        else:
            real = types.is_integer(kind) or types.is_floating(kind)
            self.types.add("int" if types.is_integer(kind) else "float")
        if not real:
            fact, way_out = (
                f"is of type {kind}, numbers are needed",
                "pass the name of a column of numbers as length or weight",
            )
            if as_written != "typed":
                row = pc.index(pc.match_substring_regex(array, f"^({FLOAT.pattern})$"), False).as_py()
                fact = f"is {shown(array[row].as_py())} at row {before + row}, which is no number"
                way_out = f"write a number in every row, or {way_out}"
            raise Infeasible(f"column {shown(self.wanted.name)} of {shown(file)} {fact}", way_out)
        numbers = array.to_numpy(zero_copy_only=False)
        if numbers.size:
            # Compared before they become floats, which hold no larger integers.
            low, high = numbers.min(), numbers.max()
            if not (low >= -EXACT_AS_FLOAT and high <= EXACT_AS_FLOAT):
                row = before + int(np.flatnonzero(~((numbers >= -EXACT_AS_FLOAT) & (numbers <= EXACT_AS_FLOAT)))[0])
                raise Infeasible(
                    f"column {shown(self.wanted.name)} is {numbers[row - before]} at row {row} of {shown(file)}",
                    f"use numbers from -{EXACT_AS_FLOAT} to {EXACT_AS_FLOAT}",
                )
            self.low, self.high = min(self.low, float(low)), max(self.high, float(high))
        self.opened.write(np.ascontiguousarray(numbers, "<f8").data)

    def _refuse_missing(self, array: Any, as_written: AsTyped, file: str, before: int) -> None:
        import pyarrow.compute as pc
        from pyarrow import types

        absent, value = array.is_null(), "null"
        if types.is_dictionary(array.type) and not array.null_count:
            absent = pc.take(array.dictionary.is_null(), array.indices)
        elif as_written == "text" and not array.null_count:
            absent, value = pc.equal(array, ""), "empty"
        elif as_written == "json" and not array.null_count:
            absent = pc.equal(array, "null")
        elif types.is_floating(array.type) and not array.null_count:
            absent, value = pc.is_nan(array), "NaN"
        if pc.any(absent).as_py():
            row = before + pc.index(absent, True).as_py()
            raise Infeasible(
                f"column {shown(self.wanted.name)} has no value at row {row} of {shown(file)} ({value})",
                "give every row a value, and write the file again",
            )

    def finished(self) -> ColumnFacts:
        """What is known of the column."""
        return ColumnFacts(list(self.code), sorted(self.types), float(self.low), float(self.high))


class Writer:
    """Writes one part.

    Args:
        path: what its files begin with.
        wanted: the columns.
    """

    def __init__(self, path: Path, wanted: Sequence[Wanted]) -> None:
        self.part = FinishedPart(path, {}, [], [])
        self.wanted = wanted
        self.values = [_Values(each, self.part.file(number, each.form)) for number, each in enumerate(wanted)]

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *error: object) -> None:
        for values in self.values:
            values.opened.close()

    def add(self, file: DataFile, as_written: AsTyped, batch: ArrowColumns, first: int = 0) -> None:
        """The next rows of a file, of which `first` stand in earlier parts."""
        count = len(next(iter(batch.values())))
        before = self.part.rows.get(file.number, 0)
        for values in self.values:
            name = values.wanted.name
            if name in batch:
                values.add(batch[name], as_written, file.path, first + before)
            else:
                values.add(_constant(file.partition[name], count), "text", file.path, first + before)
        self.part.rows[file.number] = before + count

    def add_files(self, files: Sequence[DataFile], batch: ArrowColumns) -> None:
        """The next files, of one row each."""
        for values in self.values:
            values.add(batch[values.wanted.name], "typed", files[0].path, 0)
        self.part.rows.update((file.number, 1) for file in files)

    def add_error(self, file: DataFile, error: str) -> None:
        """A row that raised: it is counted, and belongs to no group."""
        self.part.errors.append((sum(self.part.rows.values()), error))
        for values in self.values:
            values.add_missing()
        self.part.rows[file.number] = self.part.rows.get(file.number, 0) + 1

    def finished(self, files: Sequence[DataFile]) -> FinishedPart:
        """The part, complete on disk."""
        for values in self.values:
            values.opened.close()
        rows = {file.number: self.part.rows.get(file.number, 0) for file in files}
        part = self.part._replace(rows=rows, columns=[values.finished() for values in self.values])
        sizes = {values.path.name.removeprefix(part.path.name): values.path.stat().st_size for values in self.values}
        facts: Mapping[str, Any] = {
            "rows": part.rows,
            "columns": [column._asdict() for column in part.columns],
            "errors": part.errors,
            "files": sizes,
        }
        unfinished = part.path.with_suffix(".json.new")
        unfinished.write_text(json.dumps(facts))
        os.replace(unfinished, part.path.with_suffix(".json"))  # written last: a part that has this file is complete
        return part


def _constant(value: str, count: int) -> Any:
    """A column of one value, as the path of a file names it."""
    import pyarrow

    names = [None] if value == "__HIVE_DEFAULT_PARTITION__" else [value]
    return pyarrow.DictionaryArray.from_arrays(np.zeros(count, np.int8), pyarrow.array(names, pyarrow.string()))


def _type_of(value: Any) -> str:
    kinds = {str: "text", bool: "bool", int: "int", float: "float"}
    return kinds.get(type(value), type(value).__name__)


def _arrow_type(kind: Any) -> str:
    from pyarrow import types

    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if types.is_integer(kind):
        return "int"
    if types.is_floating(kind):
        return "float"
    return "bool" if types.is_boolean(kind) else str(kind)
