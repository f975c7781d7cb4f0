"""The page on DGL runs where DGL is."""

from __future__ import annotations

from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "dgl.md"


@pytest.mark.filterwarnings("ignore")  # of DGL's own
def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("DGLDEFAULTDIR", str(tmp_path))  # where it keeps its settings
    monkeypatch.setenv("DGLBACKEND", "pytorch")
    examples = list(Sybil(parsers=[PythonCodeBlockParser()]).parse(PAGE))
    assert len(examples) == 2
    for example in examples:
        example.evaluate()
