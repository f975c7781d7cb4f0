"""The quick way of `rewind`: the same words as the whole command, in a process without NumPy, and only where it is right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

import batchwright as bw
from batchwright.cli import quick

from .commands import run

COMMAND = [
    sys.executable,
    "-c",
    "import sys; from batchwright.cli import main; main(); print(*sys.modules, file=sys.stderr)",
]


@pytest.fixture(params=[{"target": "sqrt"}, {"target": "uniform", "per_class": 2}], ids=str)
def recipe(request, tmp_path):
    labels = np.random.default_rng(3).choice(40, 9000, p=np.arange(1, 41) / 820)
    np.save(tmp_path / "labels.npy", labels)
    path = tmp_path / "r.json"
    held = bw.balanced(bw.Column(tmp_path / "labels.npy", "labels"), 32, **request.param).to_recipe()
    held["arguments"]["labels"]["in"] = "labels.npy"
    path.write_text(json.dumps(held | {"run": {"world_size": 3, "accumulate": 2}}))
    run("recipe", "index", path)
    return path


def without_time(text):
    return {key: value for key, value in json.loads(text).items() if key != "seconds"}


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["--step", "40"], ["--step=77", "--rank=2"], ["--step", "5", "--world-size", "8", "--accumulate", "1"],
        ["--step", "123456789", "--rank", "0"],
    ],
    ids=str,
)  # fmt: skip
def test_it_tells_what_the_whole_command_tells(recipe, arguments):
    told = quick.rewound([str(recipe), *arguments, "--json"], time.perf_counter())
    assert without_time(told) == without_time(run("rewind", recipe, *arguments, "--json").stdout)
    text = quick.rewound([*arguments, str(recipe)], time.perf_counter())
    assert text.split() == run("rewind", recipe, *arguments).stdout.split()


def test_it_loads_none_of_the_large_libraries(recipe):
    done = subprocess.run([*COMMAND, "rewind", str(recipe), "--step", "9"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("step 9")
    assert not {"numpy", "numba", "torch", "typer", "rich"} & set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--sample", "3"], ["--show", "x"], ["--step", "-1"], ["--rank", "3"],
    ["--step", "soon"], ["--help"], ["--world-size", "0"], ["--step"], [f"--step={2**40}"]], ids=str)  # fmt: skip
def test_it_leaves_all_other_arguments_to_the_whole_command(recipe, arguments):
    assert quick.rewound([str(recipe), *arguments], time.perf_counter()) is None


CHANGES = {
    "argument": lambda held: held["arguments"].update(seed=4) or held.pop("fingerprint"),
    "fingerprint": lambda held: held.update(fingerprint="0" * 16),
    "key": lambda held: held.update(more=1),
    "version": lambda held: held.update(batchwright=2),
    "run": lambda held: held.update(run={"world_size": 0}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_recipe_is_left_to_the_whole_command(recipe, change):
    held = json.loads(recipe.read_text())
    CHANGES[change](held)
    recipe.write_text(json.dumps(held))
    assert quick.rewound([str(recipe)], time.perf_counter()) is None


def test_changed_data_and_a_damaged_index_are_left_to_the_whole_command(recipe):
    folder = recipe.with_name("r.json.index")
    assert quick.rewound([str(recipe)], time.perf_counter())
    kept = (folder / "0.index.npy").read_bytes()
    for damaged in (kept[:-4], b"", kept[:40], b"x" + kept[1:]):
        (folder / "0.index.npy").write_bytes(damaged)
        assert quick.rewound([str(recipe)], time.perf_counter()) is None
    (folder / "0.index.npy").write_bytes(kept)
    data = recipe.with_name("labels.npy")
    later = data.stat().st_mtime_ns + 1
    os.utime(data, ns=(later, later))
    assert quick.rewound([str(recipe)], time.perf_counter()) is None


def test_a_reader_that_wants_no_more_is_no_error(recipe):
    command = [sys.executable, "-c", "from batchwright.cli import main; main()", "rewind", str(recipe), "--json"]
    shell = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    shell.stdout.close()
    assert (shell.wait(), shell.stderr.read()) == (0, b"")
    shell.stderr.close()
