"""Every code block of the README and the docs, and every docstring's example, runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

import batchwright

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    {ROOT / "README.md", *(ROOT / "docs").glob("*.md")} - {ROOT / "docs" / "trainers.md"}
)  # see tests/trainers
SYBIL = Sybil(parsers=[PythonCodeBlockParser(), SkipParser()])
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(batchwright.__path__, "batchwright.")
    if not module.name.startswith(("batchwright.demo", "batchwright.kernels", "batchwright.adapters"))
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = SYBIL.parse(page)
    examples = list(document.examples())
    for example in examples:
        example.evaluate()
    if "```python" in page.read_text():
        assert examples


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
def test_docstring_examples_run(name):
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


def test_no_page_has_a_gap_left_to_fill():
    for page in PAGES:
        assert "@@" not in page.read_text(), page


def test_the_glossary_has_few_words_each_of_them_once():
    rows = [line.split("|")[1:-1] for line in (ROOT / "docs" / "glossary.md").read_text().splitlines() if "|" in line]
    words = [word.strip() for word, _ in rows[2:]]
    assert 0 < len(words) == len(set(words)) <= 25
