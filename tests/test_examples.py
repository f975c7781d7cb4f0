"""Every script in examples/ runs; each asserts what it shows, or prints it."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
NOTEBOOKS = sorted(FOLDER.glob("notebooks/*.ipynb"))
SMALL = {  # the arguments of `main` for a test; trainers' own are in tests/trainers
    "graphs": {"epochs": 1},
    "image_sizes": {"epochs": 1},
    "long_tail": {"epochs": 1},
    "metric_learning": {"epochs": 1},
    "packed_text": {"files": 3},
    "stream": {"samples": 3000},
    "tasks": {"epochs": 1},
}
IN_PROCESSES, OF_TRAINERS = {"ddp_resume"}, {"lightning_run", "hf_trainer"}


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(script):
    runpy.run_path(str(script), run_name="__main__")


@pytest.mark.parametrize("name", SMALL)
def test_training_runs_at_a_small_setting(name, capsys):
    runpy.run_path(str(FOLDER / "training" / f"{name}.py"))["main"](**SMALL[name])
    assert any(character.isdigit() for character in capsys.readouterr().out)


def test_training_on_two_processes_goes_on_with_three():
    script = FOLDER / "training" / "ddp_resume.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "all 1,797 samples came" in done.stdout


def test_every_training_script_is_run_by_a_test():
    scripts = {path.stem for path in (FOLDER / "training").glob("*.py")}
    assert scripts == SMALL.keys() | IN_PROCESSES | OF_TRAINERS
    assert len(scripts) == 10


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(notebook):
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(
        cell["outputs"] for cell in cells if "print(" in "".join(cell["source"])
    )  # they are kept as they were run
    main = ModuleType("__main__")
    with warnings.catch_warnings():
        for cell in cells:
            exec(compile("".join(cell["source"]), str(notebook), "exec"), vars(main))
