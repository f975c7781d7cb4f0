"""Damaged cache files, and forks while another thread compiles."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import batchwright

ONE_KERNEL = "from batchwright.kernels.indexing import tally; import numpy as np; c = np.zeros(3, np.int64); "
ONE_KERNEL += "tally(np.array([2, 0, 2]), c); print(c.tolist())"


ANYONE = 65534  # the number of the user "nobody"
COMPILED = r"kernels are compiled, .* once on this machine; python -m batchwright.kernels does it ahead\n"
NOWHERE = r"kernels are compiled, .* in every process: no folder can be written .*\n"


def run(code: str, package: Path, *options: str, **changes: object) -> subprocess.CompletedProcess[str]:
    """Run code with a copy of the package, whose kernels are kept beside it."""
    environment = {**os.environ, "PYTHONPATH": str(package)}
    environment.pop("NUMBA_CACHE_DIR", None)
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        **{"env": environment, "cwd": package} | changes,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def copied(folder: Path) -> Path:
    source = Path(batchwright.__file__).parent
    shutil.copytree(source, folder / "batchwright", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


# A superuser may write anywhere, so the process becomes another user; what it then imports itself is loaded before.
AS_ANYONE = f"""
import os, numba, numpy, numba.core.caching
numba.njit("int64(int64)")(lambda number: number)
if os.geteuid() == 0:
    os.setgroups([]); os.setgid({ANYONE}); os.setuid({ANYONE})
"""


def without_a_home(code: str, package: Path) -> subprocess.CompletedProcess[str]:
    places = {"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none", "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"} | places
    return run(code, package, env=environment | {"PYTHONPATH": str(package)}, cwd="/")


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
    package = copied(tmp_path_factory.mktemp("kernels"))
    found = run(ONE_KERNEL, package)
    assert found.stdout == "[1, 0, 2]\n", found.stderr
    assert re.fullmatch(COMPILED, found.stderr)
    assert run(ONE_KERNEL, package).stderr == ""
    return package


# Each child has read no kernel; what they share is the compiler, which takes longer to load than to run.
SERVER = f"""
import os, sys, traceback, numba, numpy, batchwright.kernels.indexing
numba.njit("int64(int64)")(lambda number: number)
for folder in sys.stdin:
    child = os.fork()
    if child == 0:
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(os.path.join(folder.strip(), name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        try:
            exec({ONE_KERNEL!r})
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def one_kernel(cached):
    """Runs `ONE_KERNEL` in a process of its own."""
    if not hasattr(os, "fork"):
        yield lambda folder: run(ONE_KERNEL, cached)
        return
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        env=environment | {"PYTHONPATH": str(cached)},
        cwd=cached, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    ) as server:  # fmt: skip

        def forked(folder: Path) -> subprocess.CompletedProcess[str]:
            server.stdin.write(f"{folder}\n")
            code = int(server.stdout.readline())
            return subprocess.CompletedProcess([], code, *((folder / name).read_text() for name in ("out", "err")))

        yield forked
        server.stdin.close()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("ending", [".nbc", ".nbi"])
def test_a_damaged_cache_file_is_compiled_anew_and_said_in_one_line(cached, one_kernel, damage, ending, tmp_path):
    files = [file for file in cached.rglob(f"*{ending}") if "tally" in file.name]
    assert len(files) == 1
    files[0].write_bytes(DAMAGES[damage](files[0].read_bytes()))
    first, second = one_kernel(tmp_path), one_kernel(tmp_path)
    assert (first.stdout, first.returncode) == ("[1, 0, 2]\n", 0), first.stderr
    if not (damage == "one bit" and ending == ".nbi"):  # a bit of the index may be one that makes it another version's
        damaged = r"the cached kernel .*tally.* is damaged \(.*\), it is compiled again\n"
        assert re.fullmatch(damaged + COMPILED, first.stderr)
    assert (second.stdout, second.stderr) == ("[1, 0, 2]\n", "")  # the cache is sound again


def test_kernels_that_another_user_compiled_are_found_where_nothing_can_be_written(cached, tmp_path):
    package = tmp_path / "copy"
    shutil.copytree(cached, package)
    open_to_read(tmp_path)
    found = without_a_home(AS_ANYONE + ONE_KERNEL, package)
    assert (found.stdout, found.stderr) == ("[1, 0, 2]\n", "")


def test_a_cache_that_cannot_be_used_costs_the_compile_time_and_one_line(tmp_path):
    package = copied(tmp_path)
    (package / "batchwright" / "kernels" / "__pycache__").write_text("where the folder should be")
    found = without_a_home(ONE_KERNEL, package)
    assert found.stdout == "[1, 0, 2]\n"
    assert re.fullmatch(NOWHERE, found.stderr)


def test_kernels_of_other_sources_are_not_used(cached, tmp_path):
    package = tmp_path / "copy"
    shutil.copytree(cached, package)
    with (package / "batchwright" / "kernels" / "hashing.py").open("a") as source:
        source.write("# changed\n")
    assert re.fullmatch(COMPILED, run(ONE_KERNEL, package).stderr)
    assert run(ONE_KERNEL, package).stderr == ""


def open_to_read(folder: Path) -> None:
    """Make a folder readable for all users and writable for none; all users may also enter its parent folders."""
    for path in folder.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for above in (folder, *folder.parents):
        if (
            above.owner() == folder.owner()
            and above != Path(tempfile.gettempdir())
            and above.is_relative_to(tempfile.gettempdir())
        ):
            above.chmod(0o755)


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
    found = run(code, copied(tmp_path), "-W", "ignore::DeprecationWarning")  # of forks where there are threads
    assert (found.stdout.split(), found.returncode) == (["3"] * 3, 0), found.stderr
