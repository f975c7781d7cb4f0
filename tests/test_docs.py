"""Every code block of the README and the docs, and every docstring's example, runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

import batchwright

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
_OF_TRAINERS = (
    "lightning",
    "hugging-face",
    "ignite",
    "trl",
    "sentence-transformers",
    "torchtitan",
    "other-loaders",
    "ray-data",
    "dgl",
)
OF_TRAINERS = {DOCS / "trainers.md", *(DOCS / "how-to" / f"{name}.md" for name in _OF_TRAINERS)}
WRITTEN = {ROOT / "README.md", *DOCS.rglob("*.md")} - {DOCS / "messages.md"}  # that one follows from the source
PAGES = sorted(WRITTEN - OF_TRAINERS - set((DOCS / "reference").rglob("generated/*.md")))  # see tests/trainers
SYBIL = Sybil(parsers=[PythonCodeBlockParser(), SkipParser()])
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(batchwright.__path__, "batchwright.")
    if not module.name.startswith(("batchwright.demo", "batchwright.kernels", "batchwright.adapters"))
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = SYBIL.parse(page)
    examples = list(document.examples())
    for example in examples:
        example.evaluate()
    if "\n```python" in page.read_text():
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


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#{1,4} (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", sorted(WRITTEN), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_pages_and_headings_that_exist(page):
    text = re.sub(r"```python.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)|^```\{image\} (\S+)", text, re.MULTILINE):
        path, _, anchor = (target[0] or target[1]).partition("#")
        if path.startswith(("http:", "https:")):
            continue
        there = (page.parent / path).resolve() if path else page
        if there == DOCS / "messages.md":
            continue
        assert there.exists(), target
        if anchor and there.suffix == ".md" and "reference" not in there.parts and page.parent.name != "reference":
            assert anchor in anchors(there), target


def public_names() -> set[str]:
    """Names of the package and of its public modules."""
    names = {f"batchwright.{name}" for name in batchwright.__all__ if not name.startswith("__")}
    modules = ["correct", "costs", "feedback", "online", "targets", "attention"]
    for module in modules:
        names |= {f"batchwright.{module}.{name}" for name in getattr(batchwright, module).__all__}
    return names - {f"batchwright.{module}" for module in modules}


def test_every_public_name_is_in_the_reference():
    pages = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    documented = set(re.findall(r"^\.\. auto\w+:: (\S+)$", pages, re.MULTILINE))
    assert public_names() - {name.replace("loader.Loader", "Loader") for name in documented} == set()


def test_every_page_is_in_the_site_and_the_site_has_no_other():
    listed = set()
    for page in WRITTEN:
        for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.splitlines():
                if line and not line.startswith(":"):
                    listed.add((page.parent / f"{line.split('<')[-1].rstrip('>')}.md").resolve())
    assert listed == (WRITTEN | {DOCS / "messages.md"}) - {ROOT / "README.md", DOCS / "index.md"}


def test_the_page_of_messages_has_those_of_the_source():
    messages = runpy.run_path(str(DOCS / "messages.py"))
    page = messages["page"]()
    assert "batch\\_size is" in page
    raised = sum(file.read_text().count("raise Infeasible") for file in messages["SOURCE"].rglob("*.py"))
    assert page.count("\n| ") > raised / 2
    with pytest.raises(batchwright.Infeasible) as refusal:
        batchwright.balanced([0, 1], 0)
    assert refusal.value.way_out.split()[0] in page


def test_the_page_of_guarantees_has_every_name_that_an_audit_prints():
    source = "".join(path.read_text() for path in sorted(ROOT.glob("src/batchwright/audit/*.py")))
    page = (ROOT / "docs/concepts/guarantees.md").read_text()
    rows = {
        row.split()[1]: row for row in page.partition("| what must hold |")[2].splitlines() if row.startswith("| G")
    }
    names = set(re.findall(r'"(G\d) ([a-z ]+)"', source))
    assert len(names) > 15
    assert [name for name in names if f"`{name[1]}`" not in rows[name[0]]] == []
    assert {(number, word) for number, row in rows.items() for word in re.findall("`([^`]+)`", row)} == names


def test_the_pictures_are_those_of_the_script(tmp_path):
    pictures = runpy.run_path(str(DOCS / "pictures.py"))
    written = pictures["main"](tmp_path)
    assert {path.name for path in written} == {path.name for path in (DOCS / "pictures").iterdir()}
    for path in written:
        assert len(list(ElementTree.parse(path).iter())) > 20
