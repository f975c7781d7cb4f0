"""Decide exactly what goes into every training batch.

Everything public is reachable from here and loaded on first use: `import batchwright` itself loads neither torch nor
the compiler.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import Infeasible, PoorWarning

__version__ = "0.1.0"

_HOME = {
    "Infeasible": "errors",
    "PoorWarning": "errors",
}

__all__ = ["Infeasible", "PoorWarning", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'batchwright' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
