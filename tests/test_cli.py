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
from batchwright.cli.demos import DEMOS


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from batchwright.cli import main; main()", *arguments]
    wide = {**os.environ, "COLUMNS": "160"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=wide)


def run_here(monkeypatch, *arguments: str) -> None:
    """The same without the seconds that a new process takes to import torch."""
    monkeypatch.setattr(sys, "argv", ["batchwright", *arguments])
    monkeypatch.setenv("COLUMNS", "160")
    with pytest.raises(SystemExit) as ended:
        batchwright.cli.main()
    assert not ended.value.code


SHOWN = {
    "balance": ["WeightedRandomSampler", "uniform", "square", "progressive", "unseen"],
    "correct": ["balanced"],
    "lengths": ["shuffled", "budgeted", "packed"],
    "long": ["equal tokens 3", "equal work 3", "idle, rank 1"],
}


def check_what_is_printed(name, printed):
    for text in SHOWN[name]:
        assert text in " ".join(printed.split()), printed
    assert max(map(len, printed.splitlines())) <= 80, printed


@pytest.mark.parametrize("name", ["balance", "long"])
def test_a_demo_runs_and_prints_its_table(name):
    finished = run("demo", name, "--quick")
    assert finished.returncode == 0, finished.stderr
    check_what_is_printed(name, finished.stdout)


@pytest.mark.parametrize("name", ["correct", "lengths"])
def test_so_it_does_within_a_program(name, capsys, monkeypatch):
    run_here(monkeypatch, "demo", name, "--quick")
    check_what_is_printed(name, capsys.readouterr().out)


def test_a_demo_tells_its_table_as_json(capsys, monkeypatch):
    run_here(monkeypatch, "demo", "balance", "--quick", "--json")
    told = json.loads(capsys.readouterr().out)
    schemas = json.loads(files(batchwright.cli).joinpath("schemas.json").read_text())
    Draft202012Validator({"$ref": "#/$defs/demo", **schemas}).validate(told)
    assert len(told["tables"][0]["rows"]) == 5


def test_every_demo_is_tested():
    assert set(DEMOS) == set(SHOWN)


def test_an_unknown_demo_is_named():
    finished = run("demo", "everything")
    assert finished.returncode == 2
    assert "everything" in finished.stderr
