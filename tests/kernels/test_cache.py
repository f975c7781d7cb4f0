"""Damaged cache files, and forks while another thread compiles."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ONE_KERNEL = "from batchwright.kernels.indexing import tally; import numpy as np; c = np.zeros(3, np.int64); "
ONE_KERNEL += "tally(np.array([2, 0, 2]), c); print(c.tolist())"


def run(code: str, cache: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "garbage": lambda content: bytes(i * 157 % 251 for i in range(len(content))),
    "one bit": flipped,
}


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    found = run(ONE_KERNEL, folder)
    assert found.stdout == "[1, 0, 2]\n", found.stderr
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("ending", [".nbc", ".nbi"])
def test_a_damaged_cache_file_is_compiled_anew_and_said_in_one_line(cached, damage, ending):
    files = [file for file in cached.rglob(f"*{ending}") if "tally" in file.name]
    assert len(files) == 1
    files[0].write_bytes(DAMAGES[damage](files[0].read_bytes()))
    first, second = run(ONE_KERNEL, cached), run(ONE_KERNEL, cached)
    assert (first.stdout, first.returncode) == ("[1, 0, 2]\n", 0), first.stderr
    if not (damage == "one bit" and ending == ".nbi"):  # a bit of the index may be one that makes it another version's
        assert re.fullmatch(r"the cached kernel .*tally.* is damaged \(.*\), it is compiled again\n", first.stderr)
    assert (second.stdout, second.stderr) == ("[1, 0, 2]\n", "")  # the cache is sound again


def test_a_cache_that_cannot_be_used_costs_the_compile_time_and_nothing_else(tmp_path):
    (tmp_path / "file").write_text("where the folder should be")
    for cache in (tmp_path / "file" / "below", Path("/proc/none")):
        found = run(ONE_KERNEL, cache)
        assert (found.stdout, found.stderr) == ("[1, 0, 2]\n", "")


FORK = """
import os, threading, time
import batchwright

def one_kernel():
    from batchwright.kernels.indexing import tally
    import numpy as np
    counts = np.zeros(3, np.int64)
    tally(np.array([2, 0, 2]), counts)
    return counts.tolist()

thread = threading.Thread(target=one_kernel)
thread.start()
for _ in range(3):
    time.sleep(PAUSE)
    child = os.fork()
    if child == 0:
        print(sum(one_kernel()), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("pause", [0.0, 0.05, 0.5])
def test_a_fork_waits_for_the_first_imports_and_compilations_of_another_thread(tmp_path, pause):
    code = FORK.replace("PAUSE", str(pause))
    found = run(code, tmp_path / "cache", "-W", "ignore::DeprecationWarning")  # of forks where there are threads
    assert (found.stdout.split(), found.returncode) == (["3"] * 3, 0), found.stderr
