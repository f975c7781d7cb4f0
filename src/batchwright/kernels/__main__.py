"""`python -m batchwright.kernels`: compile every kernel now, for container images and first batches without a wait."""

from __future__ import annotations

import importlib
import pkgutil
import time

from . import __path__


def main() -> None:
    """Import every kernel module, which compiles it or finds it compiled."""
    began = time.perf_counter()
    names = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
    for name in names:
        importlib.import_module(f".{name}", __package__)
    print(f"{len(names)} kernel modules ready in {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
