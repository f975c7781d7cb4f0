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
        identified,
        opaque,
        ragged,
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
    "identified": "collate",
    "opaque": "collate",
    "ragged": "collate",
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
    "identified",
    "opaque",
    "ragged",
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
