"""Decide exactly what goes into every training batch.

Everything public is reachable from here and loaded on first use: `import batchwright` itself loads neither torch nor
the compiler.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .collate import (
        Batch,
        Collate,
        Layout,
        Ragged,
        aside,
        attention,
        block_diagonal,
        identified,
        media,
        opaque,
        ragged,
        resized,
        scalar,
        stack,
    )
    from .errors import Infeasible, PoorWarning

__version__ = "0.1.0"

_HOME = {
    "Batch": "collate",
    "Collate": "collate",
    "Infeasible": "errors",
    "Layout": "collate",
    "PoorWarning": "errors",
    "Ragged": "collate",
    "aside": "collate",
    "attention": "collate",
    "block_diagonal": "collate",
    "identified": "collate",
    "media": "collate",
    "opaque": "collate",
    "ragged": "collate",
    "resized": "collate",
    "scalar": "collate",
    "stack": "collate",
}

__all__ = [
    "Batch",
    "Collate",
    "Infeasible",
    "Layout",
    "PoorWarning",
    "Ragged",
    "__version__",
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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'batchwright' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
