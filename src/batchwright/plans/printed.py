"""The text of summaries, the same for every kind of plan: a head, a table, notes."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from ..aligned import aligned
from ..errors import shortened
from ..exported import Exported, of_one_type

__all__ = ["MOST_MEASURED", "Printed", "PrintedColumn", "columns_of", "in_steps", "table"]

MOST_MEASURED = (
    1 << 18
)  # samples after which no further window or step is measured: then a summary takes seconds at most
_SHOWN = 12  # rows: half of them the largest, half the smallest


class PrintedColumn(NamedTuple):
    """A column of numbers.

    Attributes:
        title: the title above it.
        number: the attribute of a row that it shows.
        form: the format of the numbers, as in a format string.
    """

    title: str
    number: str
    form: str


class Printed(Exported):
    """A plan in numbers; `print` it, or export its table with `to_pandas()`, `to_polars()` or `to_arrow()`.

    Attributes:
        notes: remarks beside the numbers.
    """

    notes: list[str]

    @abstractmethod
    def head(self) -> list[str]:
        """The lines above the notes."""

    def columns(self) -> dict[str, list[Any]]:
        """See `Exported`: the name and the value of each number."""
        held = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]  # every summary is a dataclass
        numbers = {name: value for name, value in held.items() if isinstance(value, (int, float))}
        return {"number": list(numbers), "value": [float(value) for value in numbers.values()]}

    def __str__(self) -> str:
        return "\n".join([*self.head(), *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return f"<p>{escape(self.head()[0])}</p>{super()._repr_html_()}" + (f"<ul>{notes}</ul>" if notes else "")


def columns_of(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """The fields of rows, which are dataclasses of one class, as columns of a table."""
    names = [field.name for field in dataclasses.fields(rows[0])] if rows else []
    return {name: of_one_type([getattr(row, name) for row in rows]) for name in names}


def in_steps(step_size: int) -> str:
    """How an epoch is divided, behind the number of its micro-batches; nothing where a step is one of them."""
    return f" in steps of {step_size}" if step_size > 1 else ""


def table(title: str, columns: Sequence[PrintedColumn], rows: Sequence[Any], count: int | None = None) -> list[str]:
    """A line of titles, and one line for each row, by its `name`; only the first and last ones if there are many.

    Args:
        title: the title of the names.
        columns: what is shown of each row.
        rows: the rows, the largest first.
        count: the number of all rows, if these are not all.
    """
    shown = rows if len(rows) <= _SHOWN else [*rows[: _SHOWN // 2], *rows[-_SHOWN // 2 :]]
    cells = [[shortened(row.name), *(format(getattr(row, one.number), one.form) for one in columns)] for row in shown]
    lines = aligned([[title, *(column.title for column in columns)], *cells])
    missing = (len(rows) if count is None else count) - len(shown)
    if missing:
        lines.insert(_SHOWN // 2 + 1, f"... {missing} more {title}s")
    return lines
