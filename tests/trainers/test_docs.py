"""Pages and examples on trainers run where the trainers are; the table of `docs/trainers.md` names tests that exist."""

from __future__ import annotations

import re
import runpy
from importlib.metadata import version
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

from . import test_runs

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "trainers.md"
PAGES = [
    PAGE,
    *(
        DOCS / "how-to" / f"{name}.md"
        for name in ("lightning", "hugging-face", "ignite", "trl", "sentence-transformers", "other-loaders")
    ),
]
COMPLETE = {"hugging-face", "trl", "other-loaders"}
"""Pages with several scripts, each complete in one block."""


@pytest.mark.filterwarnings("ignore")  # of the trainers' own
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = list(Sybil(parsers=[PythonCodeBlockParser(), SkipParser()]).parse(page))
    assert examples
    for example in examples:
        example.evaluate()
        if page.stem in COMPLETE:
            example.namespace.clear()


OF_ADAPTERS = sorted(
    {*PAGES, *(DOCS / "how-to" / f"{name}.md" for name in ("torchtitan", "ray-data", "robots", "meshes", "dgl"))}
)


@pytest.mark.parametrize("page", OF_ADAPTERS, ids=lambda page: page.stem)
def test_every_script_is_of_fewer_than_25_lines(page):
    """Without empty lines and comments."""
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        lines = [line for line in block.splitlines() if line.strip() and not line.strip().startswith("#")]
        assert len(lines) < 25, lines[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["lightning_run", "hf_trainer"])
def test_the_example_runs(name, capsys):
    script = DOCS.parent / "examples" / "training" / f"{name}.py"
    runpy.run_path(str(script))["main"](epochs=2)
    assert "%" in capsys.readouterr().out


def test_every_cell_of_the_table_names_tests_that_exist():
    section = PAGE.read_text().split("## What is shown")[1].split("\n## ")[0]
    rows = [line.split("|")[2:-1] for line in section.splitlines() if line.startswith("|")]
    header, _, *trainers = rows
    assert len(trainers) == 11
    for cells in trainers:
        assert len(cells) == len(header)
        for cell in cells:
            assert re.findall(r"`(.+?)`", cell)
    named = {name for cells in trainers for cell in cells for name in re.findall(r"`(.+?)`", cell)}
    named |= {name for name in re.findall(r"`(test_\w+)`", section) if not hasattr(test_runs, name)}
    tests = Path(__file__).parent
    for name in named:
        assert (tests / f"{name}.py").exists() or (tests.parent / f"{name}.py").exists(), name
    columns = PAGE.read_text().split("The columns are these tests")[1].split("`test_kills`")[0]
    for name in set(re.findall(r"`(test_\w+)`", columns)) - {"test_runs"}:
        assert callable(getattr(test_runs, name)), name


def test_the_versions_on_the_page_are_those_that_are_installed():
    stated = PAGE.read_text().split("Versions: ")[1].split(".\n\n")[0]
    for package in re.split(r",\s+", stated):
        name, number = package.split()
        assert version(name).split("+")[0] == number
