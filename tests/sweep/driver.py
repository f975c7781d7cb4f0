"""Runs the sweep in a process of its own; `python -m tests.sweep.driver LOWEST HIGHEST` prints what it found."""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def sweep(lowest: float, highest: float, only: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The outcome of every case of a part of the sweep: of all, those between two numbers from 0 to 1."""
    with tempfile.TemporaryDirectory() as elsewhere:
        Path(elsewhere, "inner").mkdir()  # what a case writes beside its folder goes when the sweep ends
        return _swept(lowest, highest, only, elsewhere)


def _swept(lowest: float, highest: float, only: tuple[str, ...], elsewhere: str) -> list[dict[str, Any]]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    child = subprocess.run(
        [sys.executable, "-m", "tests.sweep.child", str(lowest), str(highest), *only],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=Path(elsewhere, "inner"),
        env=os.environ
        | {
            "PYTHONPATH": path,
            "TMPDIR": elsewhere,
            "POLARS_MAX_THREADS": "1",
            "PYTHONWARNINGS": "ignore",
        },
    )
    *told, end = [json.loads(line) for line in child.stdout.splitlines() if line.startswith("{")]
    assert len(told) == 2 * end["end"], "a case has no outcome"
    return [case | outcome for case, outcome in zip(told[::2], told[1::2], strict=True)]


WANTED = {"result", "refused", "own error"}


def bare(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in found if one["is"] not in WANTED]


if __name__ == "__main__":
    all_of_them = sweep(float(sys.argv[1]), float(sys.argv[2]), tuple(sys.argv[3:]))
    print(len(all_of_them), dict(collections.Counter(one["is"] for one in all_of_them)))
    by_place = collections.defaultdict(list)
    for one in bare(all_of_them):
        by_place[one["is"], one.get("where", "")].append(one)
    print(len(bare(all_of_them)), "bare")
    for place, those in sorted(by_place.items(), key=lambda item: -len(item[1])):
        shown = [(one["call"], one["argument"], one["value"], one.get("said", "")[:70]) for one in those[:3]]
        print(len(those), *place, shown)
    slow = sorted((one for one in all_of_them if one.get("seconds", 0) > 1.5), key=lambda one: -one["seconds"])
    print(len(slow), "slow", [(one["call"], one["argument"], one["value"], one["seconds"]) for one in slow[:12]])
    print(*(one for one in bare(all_of_them)), sep="\n")
