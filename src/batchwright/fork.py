"""A process is not forked while another of its threads imports modules or compiles kernels."""

from __future__ import annotations

import logging  # noqa: F401 - what it does at a fork is registered first and so done last: a compilation may want to log
import os
import threading
from importlib import _bootstrap  # which locks of modules are held is told nowhere else

__all__ = ["COMPILING"]

COMPILING = threading.RLock()
"""Held while a kernel is compiled or read from the cache."""

_TRIES = 100  # a fork in the middle of an import may be what the other thread waits for: then it is not waited for


def _before_fork() -> None:
    """Wait for the other threads: a child would inherit the locks they hold, and nobody in it would release them."""
    for _ in range(_TRIES):
        for name in _importing():
            _bootstrap._lock_unlock_module(name)  # type: ignore[attr-defined]  # returns when that import has ended
        COMPILING.acquire()
        if not _importing():
            return
        COMPILING.release()
    COMPILING.acquire()


def _importing() -> list[str]:
    """The modules that other threads are importing."""
    here = threading.get_ident()
    held = [(name, lock()) for name, lock in list(getattr(_bootstrap, "_module_locks", {}).items())]
    return [name for name, lock in held if getattr(lock, "owner", None) not in (None, here)]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=COMPILING.release, after_in_child=COMPILING.release)
