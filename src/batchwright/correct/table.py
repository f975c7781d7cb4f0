"""Tables as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["text_table"]


def text_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Format rows as text: the first column aligned left, the others right; floats with three digits.

    Example:
        >>> print(text_table(["layer", "shift"], [["first", 0.5], ["second", 1e-06]]))
        layer   shift
        first     0.5
        second  1e-06
    """
    cells = [list(head), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for first, *others in cells:
        columns = [
            first.ljust(widths[0]),
            *(cell.rjust(w) for cell, w in zip(others, widths[1:], strict=True)),
        ]
        lines.append("  ".join(columns).rstrip())
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
