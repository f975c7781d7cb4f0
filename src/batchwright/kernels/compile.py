"""How kernels are compiled: one signature each, cached on disk, never at the mercy of the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

__all__ = ["inner", "kernel"]

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(signature: str) -> Callable[[Function], Function]:
    """Compile an entry point for exactly `signature`, releasing the GIL while it runs.

    The machine code is kept in numba's on-disk cache. A cache that cannot be written (a read-only container)
    costs the compile time, once a process, and nothing else.
    """

    def compile_it(function: Function) -> Function:
        compiled: Any
        try:
            compiled = numba.njit(signature, cache=True, nogil=True)(function)
        except RuntimeError:  # numba found no place where it may keep the cache
            compiled = numba.njit(signature, nogil=True)(function)
        return compiled  # type: ignore[no-any-return]

    return compile_it


def inner(function: Function) -> Function:
    """Compile a function that only kernels call: types follow from the caller, LLVM inlines it."""
    compiled: Any = numba.njit(nogil=True)(function)
    return compiled  # type: ignore[no-any-return]
