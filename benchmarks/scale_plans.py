"""The plans of `scale.py`. Run by itself with an index and kinds of plans, it prints what a process of them holds."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scale_measures import anonymous

import batchwright as bw

PLANS: dict[str, Callable[[Any], Any]] = {
    "shuffled": lambda index: bw.shuffled(len(index), 64),
    "balanced": lambda index: bw.balanced(index, 64),
    "balanced, local": lambda index: bw.balanced(index, 64, local=bw.Shards(index, open=4)),
    "weighted": lambda index: bw.weighted(index.lengths, 64),
    "budgeted": lambda index: bw.budgeted(index.lengths, 32_768),
    "packed": lambda index: bw.packed(index.lengths, 8192, packs=4),
}


def made_of(path: Path, kind: str) -> Any:
    """A plan of an index."""
    return PLANS[kind](bw.Index.open(path))


def main(path: Path, kinds: list[str]) -> None:
    """Print the memory that each plan takes in this process, in MB."""
    warnings.simplefilter("ignore")  # small groups and rare samples are meant
    bw.balanced([0, 1, 2], 2)[0], bw.weighted([1.0, 2.0], 2)[0]  # the kernels are loaded
    bw.budgeted([1, 2], 4)[0], bw.packed([1, 2], 4)[0]
    bw.Index.open(path).labels.grouping()
    found = {}
    for kind in kinds:
        before = anonymous()
        plan = made_of(path, kind)
        for place in range(500):
            plan[place]
        found[kind] = anonymous() - before
        del plan
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
