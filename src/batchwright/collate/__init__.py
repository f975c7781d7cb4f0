"""Samples to tensors and back: one batch, every representation."""

from __future__ import annotations

import sys

from ..public import opened
from . import attention, registered  # noqa: F401  # batches are known to torch wherever there are any
from .batch import Batch
from .collate import Collate
from .fields import aside, opaque, scalar, stack
from .identity import identified
from .layout import Layout
from .media_field import media
from .padding import Padding
from .ragged_field import ragged
from .ragged_value import Ragged
from .resized_field import resized
from .side_channel import SideChannel
from .sparse import block_diagonal
from .values import Fill

__all__ = [
    "Batch",
    "Collate",
    "Fill",
    "Layout",
    "Padding",
    "Ragged",
    "SideChannel",
    "aside",
    "attention",
    "block_diagonal",
    "identified",
    "media",
    "opaque",
    "ragged",
    "resized",
    "scalar",
    "stack",
]

opened(sys.modules[__name__])
