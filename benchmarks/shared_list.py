"""What four forked workers add to memory by reading a million file names once, and what a read costs.

Memory is each worker's private memory (Linux), summed. Peers: a plain list, and numpy's array of byte strings, which shares
too but holds only strings, each as wide as the widest.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from limits import Limits

import batchwright as bw

WORKERS = 4


def private_megabytes() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def measured(items: Sequence[str]) -> tuple[float, float]:
    """Megabytes that all workers add, and the nanoseconds a read takes."""
    pipes = []
    for _ in range(WORKERS):
        reads, writes = os.pipe()
        if os.fork() == 0:
            before, began = private_megabytes(), time.perf_counter()
            for i in range(len(items)):
                items[i]
            taken = (time.perf_counter() - began) / len(items) * 1e9
            os.write(writes, json.dumps([private_megabytes() - before, taken]).encode())
            os._exit(0)
        os.wait()  # one after the other, so that they do not take each other's time
        pipes.append(reads)
    found = [json.loads(os.read(pipe, 100)) for pipe in pipes]
    return sum(megabytes for megabytes, _ in found), min(nanoseconds for _, nanoseconds in found)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    names = [f"images/train/n{i % 1000:08}/{i:09}.jpg" for i in range(count)]
    rows = {
        "list": measured(names),
        "numpy bytes": measured(np.array(names, "S")),
        "SharedList": measured(bw.SharedList(names)),
    }
    own = rows["SharedList"]
    for name, (megabytes, nanoseconds) in rows.items():
        print(f"{name:<12} {megabytes:9.1f} MB in {WORKERS} workers {nanoseconds:8.0f} ns a read")
    for name in ("list", "numpy bytes"):
        Limits().beside(f"ours / {name}: memory that {WORKERS} workers add", own[0] / rows[name][0])
        Limits().beside(f"ours / {name}: time of a read", own[1] / rows[name][1])


if __name__ == "__main__":
    main()
