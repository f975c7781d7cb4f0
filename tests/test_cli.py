"""The command line, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator

import batchwright.cli
from batchwright.cli import DEMOS


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from batchwright.cli import main; main()", *arguments]
    wide = {**os.environ, "COLUMNS": "160"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=wide)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("balance", ["WeightedRandomSampler", "uniform", "square", "progressive", "unseen"]),
        ("correct", ["balanced"]),
        ("lengths", ["shuffled", "budgeted", "packed"]),
        ("long", ["of equal tokens", "of equal work, cost=", "idle, rank 1"]),
    ],
)
def test_every_demo_runs_and_prints_its_table(name, shown):
    finished = run("demo", name, "--quick")
    assert finished.returncode == 0, finished.stderr
    for text in shown:
        assert text in " ".join(finished.stdout.split()), finished.stdout
    assert max(map(len, finished.stdout.splitlines())) <= 80, finished.stdout


def test_a_demo_tells_its_table_as_json():
    finished = run("demo", "balance", "--quick", "--json")
    assert finished.returncode == 0, finished.stderr
    told = json.loads(finished.stdout)
    schemas = json.loads(files(batchwright.cli).joinpath("schemas.json").read_text())
    Draft202012Validator({"$ref": "#/$defs/demo", **schemas}).validate(told)
    assert len(told["tables"][0]["rows"]) == 5


def test_every_demo_is_tested():
    assert set(DEMOS) == {"balance", "correct", "lengths", "long"}


def test_an_unknown_demo_is_named():
    finished = run("demo", "everything")
    assert finished.returncode == 2
    assert "everything" in finished.stderr
