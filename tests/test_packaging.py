"""What goes out with a release says the same in every place."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import batchwright

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_version_comes_from_one_place():
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "src/batchwright/__init__.py"
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == batchwright.__version__


def test_the_pinned_set_is_one_that_the_package_allows():
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    groups = PROJECT["dependency-groups"], PROJECT["project"]["optional-dependencies"]
    asked = [
        *PROJECT["project"]["dependencies"],
        *(each for group in groups for names in group.values() for each in names),
    ]
    for requirement in asked:
        name, least = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", requirement).groups()
        have, floor = ([int(part) for part in re.findall(r"\d+", text)] for text in (pinned[name], least))
        assert have >= floor, requirement


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/**/*.yml")), ids=lambda path: path.name)
def test_templates_are_forms(path):
    form = yaml.safe_load(path.read_text())
    assert path.name == "config.yml" or all(field["attributes"]["label"] for field in form["body"])
