"""What a signal handler raises while a kernel is compiled or runs comes out as it was raised."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest

from batchwright.kernels.counting_sort import sorted_by_counting
from batchwright.kernels.cuts import cut_longest
from batchwright.kernels.packing import best_fit_vectors, most_valuable_pack

RANDOM = np.random.default_rng(0)
SHARES = RANDOM.random((5_000, 2))
FALLING = -np.sort(-RANDOM.random(300_000))
LENGTHS = RANDOM.integers(1, 1000, 300_000)
FEW = np.arange(1, 200)
KERNELS = {
    "two arrays": lambda: best_fit_vectors(SHARES, np.array([50.0, 50.0]), 1000),
    "an array and a number": lambda: most_valuable_pack(FEW, 1.0 / FEW, FEW, 2000, 0),
    "two arrays, by counting": lambda: sorted_by_counting(LENGTHS, 1000),
    "one array": lambda: cut_longest(FALLING, 5.0, 1000, 1),
}


CAUSE = ValueError("why the handler raises")


class Stopped(Exception):
    """What the handler raises."""


@contextmanager
def raising(error, seconds):
    """The handler raises `error` so many seconds from now."""

    def handler(*_):
        raise error from CAUSE

    earlier = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


def parts(made):
    return [np.asarray(part).tolist() for part in (made if isinstance(made, tuple) else (made,))]


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("error", [Stopped("a reason"), KeyboardInterrupt(), TimeoutError("late")], ids=repr)
def test_what_a_handler_raises_while_a_kernel_runs_is_raised(kernel, error):
    right = parts(kernel())

    def often():  # however long `needed` came to be on a busy machine, the handler raises while this runs
        until = time.monotonic() + 60
        while time.monotonic() < until:
            kernel()

    begun = time.perf_counter()
    kernel()
    needed = time.perf_counter() - begun
    for share in (0.3, 0.7):
        with pytest.raises(type(error)) as found, raising(error, max(needed * share, 1e-5)):
            often()
        assert found.value is error
        assert found.value.__cause__ is CAUSE
    assert parts(kernel()) == right


COMPILING = """
import signal
import pathlib
import numpy as np
from numba.core import event
from batchwright.kernels import cache
from batchwright.kernels.indexing import tally

class AtTheStart(event.Listener):
    def on_start(self, event):
        signal.raise_signal(signal.SIGTERM)
    def on_end(self, event):
        pass

def handler(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise {error}("from the handler")

signal.signal(signal.SIGTERM, handler)
counts = np.zeros(3, np.int64)
cache._BESIDE = pathlib.Path("where nothing was compiled before")
with event.install_listener("numba:compile", AtTheStart()):
    try:
        tally(np.array([2, 0, 2]), counts)
    except {error} as error:
        print(error, counts.tolist())
tally(np.array([2, 0, 2]), counts)
print(counts.tolist())
"""


@pytest.mark.parametrize("error", ["RuntimeError", "TimeoutError"])
def test_what_a_handler_raises_while_a_kernel_is_compiled_is_raised(tmp_path, error):
    found = subprocess.run(
        [sys.executable, "-c", COMPILING.format(error=error)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.stdout == "from the handler [0, 0, 0]\n[1, 0, 2]\n"
    assert [line[:20] for line in found.stderr.splitlines()] == ["kernels are compiled"]


HUGE = {
    "too much memory": (lambda: most_valuable_pack(FEW, 1.0 / FEW, FEW, 1 << 50, 0), MemoryError),
    "too large an array": (lambda: most_valuable_pack(FEW, 1.0 / FEW, FEW, 1 << 61, 0), ValueError),
    "below nothing": (lambda: sorted_by_counting(FEW, -9), ValueError),
}


@pytest.mark.parametrize(("kernel", "error"), HUGE.values(), ids=HUGE)
def test_what_cannot_be_allocated_in_a_kernel_is_said(kernel, error):
    with pytest.raises(error, match=r"Allocation failed|array is too big|negative dimensions"):
        kernel()
