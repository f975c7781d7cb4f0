"""The text of a summary: a head, a table, notes; the same for every kind of plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["Column", "Printed", "table"]

_SHOWN = 12
_NAME = 20  # characters; a longer name is cut


class Column(NamedTuple):
    """A column of numbers.

    Attributes:
        title: above it.
        number: the attribute of a line that it shows.
        width: in characters.
        form: of the numbers, as in a format string.
    """

    title: str
    number: str
    width: int
    form: str


class Printed(ABC):
    """A plan in numbers; `print` it.

    Attributes:
        notes: what the numbers do not say, in words.
    """

    notes: list[str]

    @abstractmethod
    def head(self) -> list[str]:
        """The lines above the notes."""

    def __str__(self) -> str:
        return "\n".join([*self.head(), *(f"note: {note}" for note in self.notes)])


def table(title: str, columns: Sequence[Column], rows: Sequence[Any], count: int | None = None) -> list[str]:
    """A line of titles and one for each row, which has a `name`; the first and last ones where there are many.

    Args:
        title: of the names.
        columns: what to show of each row.
        rows: the largest first.
        count: how many rows there would be, if these are not all of them.
    """
    shown = rows if len(rows) <= _SHOWN else [*rows[: _SHOWN // 2], *rows[-_SHOWN // 2 :]]
    lines = [_line(title, (f"{column.title:>{column.width}}" for column in columns))]
    lines += [
        _line(str(row.name), (f"{getattr(row, column.number):>{column.width}{column.form}}" for column in columns))
        for row in shown
    ]
    missing = (len(rows) if count is None else count) - len(shown)
    return (
        lines if not missing else [*lines[: _SHOWN // 2 + 1], f"... {missing} more {title}s", *lines[_SHOWN // 2 + 1 :]]
    )


def _line(name: str, cells: Any) -> str:
    return f"{name[: _NAME - 1]:<{_NAME}}" + "".join(cells)
