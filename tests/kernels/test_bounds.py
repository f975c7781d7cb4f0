"""Every kernel reads and writes within its arrays: their tests again, compiled so that each index is checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
CHECKED = "import numba, numpy; numba.njit(lambda column: column[1])(numpy.zeros(1))"


def run(arguments, tmp_path):
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "CI": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return subprocess.run(
        [sys.executable, *arguments], cwd=FOLDER.parents[1], env=environment, capture_output=True, text=True
    )


def checked(tmp_path, *tests):
    assert "IndexError" in run(["-c", CHECKED], tmp_path).stderr  # else nothing is checked
    ran = run(
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--ignore", __file__, *tests], tmp_path
    )
    assert ran.returncode == 0, ran.stdout[-5000:]
    assert " passed" in ran.stdout


def test_no_kernel_that_deals_reads_or_writes_past_the_end(tmp_path):
    checked(tmp_path, str(FOLDER / "test_deal.py"), str(FOLDER / "test_passes.py"))


@pytest.mark.long
def test_no_kernel_reads_or_writes_past_the_end(tmp_path):
    checked(tmp_path, str(FOLDER))
