"""Tables that pandas, polars and Arrow take, and that a notebook shows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from .aligned import aligned
from .errors import escaped, shortened
from .readings import library

__all__ = ["Exported", "Table", "html_table", "of_one_type"]

_ROWS_SHOWN = 20  # in a notebook: half of them the first, half the last


class Exported(ABC):
    """Something with a table: `to_pandas()`, `to_polars()`, `to_arrow()`; any library of Arrow tables takes it as it is."""

    @abstractmethod
    def columns(self) -> dict[str, list[Any]]:
        """The table: for each column its name and its values, all of one length."""

    def to_arrow(self) -> Any:
        """The table as a `pyarrow.Table`.

        Raises:
            Infeasible: pyarrow is not installed.
        """
        return library("pyarrow", "an Arrow table").table(self.columns())

    def to_pandas(self) -> Any:
        """The table as a `pandas.DataFrame`.

        Raises:
            Infeasible: pandas is not installed.
        """
        return library("pandas", "this table").DataFrame(self.columns())

    def to_polars(self) -> Any:
        """The table as a `polars.DataFrame`.

        Raises:
            Infeasible: polars is not installed.
        """
        return library("polars", "this table").DataFrame(self.columns())

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The Arrow PyCapsule interface, by which `polars.DataFrame(table)` and others take a table without a copy."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def _repr_html_(self) -> str:
        return html_table(self.columns())


@dataclass(frozen=True)
class Table(Exported):
    """A table of numbers and names.

    Attributes:
        held: for each column its name and its values, all of one length.
        title: what the table shows; may be empty.

    Example:
        >>> table = Table({"group": ["cat", "dog"], "size": [90, 10]})
        >>> len(table), table["size"]
        (2, [90, 10])
        >>> print(table)
        group  size
        cat      90
        dog      10
    """

    held: Mapping[str, Any]
    title: str = ""

    def columns(self) -> dict[str, list[Any]]:
        """See `Exported`."""
        return {name: of_one_type(values) for name, values in self.held.items()}

    def __len__(self) -> int:
        return len(next(iter(self.held.values()), ()))

    def __getitem__(self, column: str) -> list[Any]:
        return self.columns()[column]

    def __str__(self) -> str:
        columns = self.columns()
        cells = [[name, *map(_text, _ends(values))] for name, values in columns.items()]
        lines = aligned([*zip(*cells, strict=True)], "".join("<>"[_is_number(values)] for values in columns.values()))
        if len(self) > _ROWS_SHOWN:
            lines.insert(_ROWS_SHOWN // 2 + 1, f"... {len(self) - _ROWS_SHOWN:,} more rows")
        return "\n".join(lines)


def of_one_type(values: Sequence[Any]) -> list[Any]:
    """The values as a list of Python values of one type; as text if their types differ, as labels of groups may."""
    found = [one.item() if isinstance(one, np.generic) else one for one in values]
    types = {type(one) for one in found if one is not None}
    if (len(types) <= 1 and types <= {bool, int, float, str}) or types == {int, float}:
        return found
    return [None if one is None else str(one) for one in found]


def html_table(columns: Mapping[str, Sequence[Any]], caption: str = "") -> str:
    """A table as HTML for a notebook: the first rows and the last ones."""
    names, count = list(columns), len(next(iter(columns.values()), ()))
    right, left = ' style="text-align:right"', ' style="text-align:left"'
    sides = {name: right if _is_number(columns[name]) else left for name in names}
    head = "".join(f"<th{sides[name]}>{escape(name)}</th>" for name in names)
    shown = {name: _ends(columns[name]) for name in names}
    rows = [
        "<tr>" + "".join(f"<td{sides[name]}>{escape(_text(shown[name][row]))}</td>" for name in names) + "</tr>"
        for row in range(min(count, _ROWS_SHOWN))
    ]
    if count > _ROWS_SHOWN:
        more = f'<tr><td colspan="{len(names)}">... {count - _ROWS_SHOWN:,} more rows</td></tr>'
        rows.insert(_ROWS_SHOWN // 2, more)
    said = f"<caption{left}>{escape(caption)}</caption>" if caption else ""
    return f"<table>{said}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _ends(values: Sequence[Any]) -> list[Any]:
    half = _ROWS_SHOWN // 2
    return list(values) if len(values) <= _ROWS_SHOWN else [*values[:half], *values[-half:]]


def _is_number(values: Sequence[Any]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values if value is not None)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escaped(shortened(value))
