"""Time and memory of a block of code, and how they are written in a table; for `scale.py`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A run that takes more ends, before the system ends others.
MOST_MEMORY = float(os.environ.get("SCALE_MEMORY_MB", "19000"))
RANDOM = 200  # batches whose mean time is that of a random one
Row = dict[str, float | str]
"""What was measured, by name; a text says in place of a number why there is none, or what was computed."""


def anonymous() -> float:
    """Anonymous memory of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


class Peak:
    """The most anonymous memory while a block runs, beyond what there was before, and the seconds that it took."""

    def __enter__(self) -> Peak:
        self.before, self.most, self.ended = anonymous(), 0.0, threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        self.began, self.cpu = time.perf_counter(), time.process_time()
        return self

    def _watch(self) -> None:
        while not self.ended.wait(0.02):
            self.most = max(self.most, anonymous())
            if self.most > MOST_MEMORY:
                print(f"ended: more than {MOST_MEMORY:g} MB", flush=True)
                os._exit(1)

    def __exit__(self, *error: object) -> None:
        self.seconds, self.cpu = time.perf_counter() - self.began, time.process_time() - self.cpu
        self.ended.set()
        self.thread.join()
        self.most = max(self.most, anonymous()) - self.before


def written() -> float:
    """Memory of this process in MB that it wrote to since it was forked, so that it shares it with no other process."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    value = function()
    return time.perf_counter() - began, value


def power(count: int) -> str:
    return f"10^{len(str(count)) - 1}" if str(count).strip("0") == "1" else f"{count:,}"


def seconds(value: float) -> str:
    for least, factor, unit in ((3600, 1 / 3600, "h"), (1, 1, "s"), (1e-3, 1e3, "ms"), (0, 1e6, "us")):
        if value >= least:
            return f"{value * factor:.2g} {unit}" if value * factor < 99.5 else f"{value * factor:.0f} {unit}"
    return "0"


def memory(megabytes: float) -> str:
    if megabytes < 0.5:
        return "0"
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"
