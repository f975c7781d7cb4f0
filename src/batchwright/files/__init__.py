"""Columns of data files, by reference: the path, the name, and a fingerprint of the values."""

from __future__ import annotations

from .column import Column
from .paths import stamps

__all__ = ["Column", "stamps"]
