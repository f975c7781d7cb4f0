"""Compiles kernels: each for one signature, when it is first called, cached on disk if that is possible."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from ..fork import COMPILING

__all__ = ["DECLARED", "allocating", "inner", "interpreted", "kernel"]

Function = TypeVar("Function", bound=Callable[..., Any])

# inner functions are not called from Python: without the wrappers for that, a cold start is a fifth shorter
_INNER: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}

DECLARED: dict[str, Callable[[], Any]] = {}
"""Every kernel of the modules imported so far: its name, and the function that compiles it."""

_INTERPRETED: ContextVar[bool] = ContextVar("interpreted", default=False)


@contextmanager
def interpreted() -> Iterator[None]:
    """Run kernels as the Python functions that they are, without numba, whose import takes longer than a few batches.

    The results are the same bits; each takes a few hundred times as long. Use it where a process ends after a few
    micro-batches.
    """
    import numpy as np

    before = _INTERPRETED.set(True)
    try:
        with np.errstate(over="ignore"):  # hashes are computed modulo 2^64
            yield
    finally:
        _INTERPRETED.reset(before)


def kernel(signature: str, *, allocates: bool = True) -> Callable[[Function], Function]:
    """Compile an entry point for exactly `signature` when it is first called, releasing the GIL while it runs.

    The machine code is kept in a cache on disk, see `kernels.cache`. If that cannot be written (a read-only container) or
    is damaged, every process compiles once, and nothing else changes.

    One signature and no more: numba would silently compile another version for other types, in the middle of training.

    Args:
        signature: the types of the result and of the arguments, as numba writes them.
        allocates: whether it makes arrays. Without, a call takes a third of a microsecond less; see `inner`.
    """

    def declare(function: Function) -> Function:
        @functools.cache
        def compiled() -> Any:
            with COMPILING:
                return _compiled(function, signature, allocates)

        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            if _INTERPRETED.get():
                return function(*arguments)
            try:
                return compiled()(*arguments)
            except SystemError as error:
                raised = _raised_by_handler(error)
            raise raised  # here, so that it keeps a cause of its own

        DECLARED[f"{function.__module__}.{function.__qualname__}"] = compiled
        return cast(Function, call)

    return declare


def _compiled(function: Callable[..., Any], signature: str, allocates: bool) -> Any:
    import numba

    from .cache import use_checked_cache

    made: Any = numba.njit(nogil=True, error_model="numpy", **({} if allocates else _without_counting()))
    dispatcher: Any = made(function)
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
    """Compile a function that only kernels call, and that makes no arrays: types follow from the caller, LLVM inlines it.

    It does not count the references to the arrays it is given. To count them is an atomic operation for each array and call,
    even where LLVM inlines it: 10 ns a call, more than most of these functions take.
    """
    return cast(Function, _Inner(function))


def allocating(function: Function) -> Function:
    """Compile a function that only kernels call, and that makes arrays or takes their `min`: numba refuses `inner` then."""
    return cast(Function, _Allocating(function))


@functools.cache
def _without_counting() -> dict[str, Any]:
    """The option of numba for code without reference counts; none in a release that lacks it, which costs time only."""
    from numba.core.options import DefaultOptions

    return {"_nrt": False} if hasattr(DefaultOptions, "_nrt") else {}


class _Inner(functools.partial[Any]):
    """A Python function that numba takes for one of its own: it is compiled when a kernel that calls it is compiled."""

    @functools.cached_property
    def _dispatcher(self) -> Any:
        import numba

        made: Any = numba.njit(**_INNER, **self._options())  # its annotations leave some options out
        return made(self.func)

    def _options(self) -> dict[str, Any]:
        return _without_counting()

    @property
    def _numba_type_(self) -> Any:
        """The type that numba gives this function where a kernel names it."""
        return self._dispatcher._numba_type_


class _Allocating(_Inner):
    """The same for a function that makes arrays."""

    def _options(self) -> dict[str, Any]:
        return {}
