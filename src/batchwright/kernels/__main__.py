"""`python -m batchwright.kernels`: compile every kernel now, for container images and first batches without a wait."""

from __future__ import annotations

import importlib
import pkgutil
import time

from . import __path__
from .compile import DECLARED


def main() -> None:
    """Compile every kernel, or find it compiled."""
    began = time.perf_counter()
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f".{module.name}", __package__)
    for compiled in DECLARED.values():
        compiled()
    print(f"{len(DECLARED)} kernels ready in {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
