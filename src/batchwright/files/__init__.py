"""Columns of data files by reference: the path, the name, and a fingerprint of the values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .paths import stamps

if TYPE_CHECKING:
    from .column import Column

__all__ = ["Column", "stamps"]


def __getattr__(name: str) -> Any:
    if name != "Column":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .column import Column  # it needs NumPy, which the stamps of files do without

    return Column
