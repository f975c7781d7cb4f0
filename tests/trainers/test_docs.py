"""The examples of `docs/trainers.md` run where the trainers are."""

from __future__ import annotations

from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

PAGE = Path(__file__).parents[2] / "docs" / "trainers.md"


@pytest.mark.filterwarnings("ignore")  # of the trainers' own
def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = list(Sybil(parsers=[PythonCodeBlockParser(), SkipParser()]).parse(PAGE))
    assert len(examples) > 10
    for example in examples:
        example.evaluate()
