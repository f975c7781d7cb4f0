"""Demonstrations on data that comes with scikit-learn; each prints what it measured, whichever wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["as_table", "console"]

_TERMINAL = 80  # columns


def console() -> Console:
    """What a demonstration prints to; as wide as a terminal where that is a file."""
    from rich.console import Console

    found = Console()
    return found if found.is_terminal else Console(width=_TERMINAL)


def as_table(columns: Sequence[Any], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """A printed table as JSON values, all of them text."""
    return {"columns": list(map(str, columns)), "rows": [list(map(str, row)) for row in rows]}
