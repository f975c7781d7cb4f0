"""Samples to tensors and back: one batch, every representation."""

from __future__ import annotations

from .batch import Batch, SideChannel
from .collate import Collate
from .fields import aside, opaque, ragged, scalar, stack
from .identity import identified
from .layout import Layout
from .padding import Padding
from .representations import Ragged

__all__ = [
    "Batch",
    "Collate",
    "Layout",
    "Padding",
    "Ragged",
    "SideChannel",
    "aside",
    "identified",
    "opaque",
    "ragged",
    "scalar",
    "stack",
]
