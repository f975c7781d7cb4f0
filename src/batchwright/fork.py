"""Delays a fork of the process while another thread imports modules or compiles kernels.

A forked child has only the thread that forked. Locks that other threads held stay locked in it forever, and the child
hangs at its next import or compilation. Loaders fork their workers, often while a kernel is still being compiled.
"""

from __future__ import annotations

import logging  # noqa: F401 - imported first, so that its handler at a fork runs after ours: a compilation may log
import os
import threading
from importlib import _bootstrap  # private, but there is no public way to learn which locks of modules are held

__all__ = ["COMPILING"]

COMPILING = threading.RLock()
"""Held while a kernel is compiled or read from the cache."""

_TRIES = 100  # then fork anyway: the other thread may itself wait for this fork


def _before_fork() -> None:
    """Wait until other threads have ended their imports and compilations."""
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
