"""Compiles kernels: each for one signature, when it is first called, cached on disk if that is possible."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from ..fork import COMPILING
from .cache import use_checked_cache

__all__ = ["DECLARED", "inner", "kernel"]

Function = TypeVar("Function", bound=Callable[..., Any])

# inner functions are not called from Python: without the wrappers for that, a cold start is a fifth shorter
_njit: Any = numba.njit  # its annotations leave some options out
_INNER: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}

DECLARED: dict[str, Callable[[], Any]] = {}
"""Every kernel of the modules imported so far: its name, and the function that compiles it."""


def kernel(signature: str) -> Callable[[Function], Function]:
    """Compile an entry point for exactly `signature` when it is first called, releasing the GIL while it runs.

    The machine code is kept in numba's cache on disk. If that cannot be written (a read-only container) or is damaged,
    every process compiles once, and nothing else changes.

    One signature and no more: numba would silently compile another version for other types, in the middle of training.
    """

    def declare(function: Function) -> Function:
        @functools.cache
        def compiled() -> Any:
            with COMPILING:
                return _compiled(function, signature)

        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            try:
                return compiled()(*arguments)
            except SystemError as error:
                raised = _raised_by_handler(error)
            raise raised  # here, so that it keeps a cause of its own

        DECLARED[f"{function.__module__}.{function.__qualname__}"] = compiled
        return cast(Function, call)

    return declare


def _compiled(function: Callable[..., Any], signature: str) -> Any:
    dispatcher = _njit(nogil=True, error_model="numpy")(function)
    # Around the cache alone: a signal handler may raise one of these in the middle of a compilation.
    with suppress(RuntimeError, OSError):  # no place where the cache may be kept
        use_checked_cache(dispatcher)
    dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher


def _raised_by_handler(error: BaseException) -> BaseException:
    """The exception of a signal handler, or the error itself if there is none.

    Numba makes Python arrays of what a kernel returns, and that runs signal handlers. Where one raises, numba goes on
    to the next array, and Python reports a `SystemError` with the exception of the handler as its cause.
    """
    while isinstance(error, SystemError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def inner(function: Function) -> Function:
    """Compile a function that only kernels call: types follow from the caller, LLVM inlines it."""
    return cast(Function, _njit(**_INNER)(function))


def _forget_stale() -> None:
    """Delete cached kernels that are older than any source file here.

    Numba compares a kernel with its own file only; but kernels call functions in other files.
    """
    folder = Path(__file__).parent
    newest = max(source.stat().st_mtime for source in folder.glob("*.py"))
    for cached in folder.glob("__pycache__/*.nb[ci]"):
        if cached.stat().st_mtime < newest:
            cached.unlink(missing_ok=True)


with suppress(OSError):  # a folder that cannot be read or written keeps its caches, and numba its own check of them
    _forget_stale()
