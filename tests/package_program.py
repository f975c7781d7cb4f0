"""What `make package` runs in a clean environment with the wheel: one program, with the package of that environment."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import batchwright as bw


def main() -> str:
    """What is wrong, or nothing."""
    home = Path(bw.__file__).resolve()
    if "site-packages" not in home.parts:
        return f"batchwright was imported from {home}, not from the wheel"
    if importlib.metadata.version("batchwright") != bw.__version__:
        return "the version of the wheel is not that of the package"
    plan = bw.balanced(["a"] * 90 + ["b"] * 10, batch_size=4)
    counts = sorted(plan.groups.group_of(plan[10**6]).tolist())
    if counts != [0, 0, 1, 1]:
        return f"micro-batch 1,000,000 has the groups {counts}"
    if sum(map(len, bw.packed([5, 3, 6, 2, 4, 4], capacity=8).packs(bw.packed([5, 3, 6, 2, 4, 4], 8)[0]))) < 1:
        return "a pack is empty"
    return ""


wrong = main()
print(f"Python {sys.version_info.major}.{sys.version_info.minor}: {wrong or 'imported from the wheel, and plans made'}")
sys.exit(bool(wrong))
