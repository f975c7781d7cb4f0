"""`python -m batchwright.kernels`: compile every kernel now, for container images and first batches without a wait."""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from . import __path__
from .compile import DECLARED

__all__ = ["CompiledKernels", "compile_all"]


class CompiledKernels(NamedTuple):
    """The result of compiling every kernel.

    Attributes:
        kernels: how many there are.
        seconds: how long it took.
        folder: where they are kept; None if no folder can be written.
    """

    kernels: int
    seconds: float
    folder: str | None

    def __str__(self) -> str:
        where = f"kept in {self.folder}" if self.folder else "kept nowhere, since no folder can be written"
        return f"{self.kernels} kernels ready in {self.seconds:.1f} s, {where}"


def compile_all(
    watch: Callable[[Iterator[int], int], Iterator[int]] = lambda numbers, count: numbers,
) -> CompiledKernels:
    """Compile every kernel, or find it compiled.

    Args:
        watch: called with the numbers of the kernels and how many there are, and returns an iterator over them.
    """
    from .cache import kept_in

    began = time.perf_counter()
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f".{module.name}", __package__)
    folder, each = None, list(DECLARED.values())
    for number in watch(iter(range(len(each))), len(each)):
        folder = kept_in(each[number]())
    return CompiledKernels(len(DECLARED), time.perf_counter() - began, None if folder is None else str(folder))


if __name__ == "__main__":
    print(compile_all())
