"""Demonstrations on data that comes with scikit-learn; each prints what it measured, whichever wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["TERMINAL", "as_table"]

TERMINAL = 80  # columns of a terminal


def as_table(columns: Sequence[Any], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """A printed table as JSON values, all of them text."""
    return {"columns": list(map(str, columns)), "rows": [list(map(str, row)) for row in rows]}
