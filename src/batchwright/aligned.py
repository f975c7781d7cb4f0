"""Tables as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .errors import escaped

__all__ = ["aligned"]


def aligned(rows: Sequence[Sequence[Any]], sides: str = "<>") -> list[str]:
    r"""Format rows, of which the first has the titles, as lines of text in columns; floats with three digits.

    Args:
        rows: the cells, which are numbers or texts; control characters in texts are escaped, so that a row stays a line.
        sides: for each column "<" if it is aligned left, or ">"; the last of them stands for all columns that follow, too.

    Example:
        >>> print(*aligned([["layer", "shift"], ["first", 0.5], ["second", 1e-06]]), sep="\n")
        layer   shift
        first     0.5
        second  1e-06
    """
    columns = [
        [f"{cell:.3g}" if isinstance(cell, float) else escaped(str(cell)) for cell in cells]
        for cells in zip(*rows, strict=True)
    ]
    widths = [max(map(len, cells)) for cells in columns]
    forms = [f"{side}{width}" for side, width in zip(sides.ljust(len(columns), sides[-1]), widths, strict=True)]
    return ["  ".join(map(format, cells, forms)).rstrip() for cells in zip(*columns, strict=True)]
