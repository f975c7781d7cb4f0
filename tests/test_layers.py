"""The layers of the package: what stands higher imports what stands lower, never the other way round."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import batchwright
from batchwright.kernels import deal

from . import laws

SOURCE = Path(batchwright.__file__).parent
DESIGN = (Path(__file__).parents[1] / "docs" / "design.md").read_text()
ROWS = re.findall(r"^\| (`[^|]*`) \|", DESIGN.split("## Layers")[1].split("## ")[0], re.MULTILINE)
LAYERS = [*(name for row in ROWS for name in re.findall(r"`(\w+)`", row)), "__init__"]


def modules_imported(file: Path) -> Iterator[Path]:
    """The files of the package that a file imports; at type checking and within functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for name in (alias.name for alias in node.names):
                places = (
                    folder / f"{name}.py",
                    folder / name / "__init__.py",
                    folder.with_suffix(".py"),
                    folder / "__init__.py",
                )
                yield next(place for place in places if place.exists())


@cache
def imports() -> dict[Path, set[Path]]:
    return {file: {*modules_imported(file)} for file in SOURCE.rglob("*.py")}


def at_the_top(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def test_what_stands_lower_imports_nothing_that_stands_higher():
    layer = {file: LAYERS.index(at_the_top(file)) for file in imports()}
    assert [(file, other) for file, others in imports().items() for other in others if layer[other] > layer[file]] == []
    assert {at_the_top(file) for file in imports()} == set(LAYERS)


def test_no_files_import_each_other_in_a_circle():
    left = dict(imports())
    while ends := [file for file in left if not left[file] & left.keys() or not any(map({file}.__le__, left.values()))]:
        for file in ends:
            del left[file]
    assert sorted(left) == []


LABELS = np.random.default_rng(0).integers(0, 10, 4000)
LENGTHS = np.random.default_rng(1).integers(10, 900, 4000)


@pytest.mark.parametrize(
    "make",
    [
        lambda bw: bw.balanced(LABELS, 32),
        lambda bw: bw.alternating({"a": bw.balanced(LABELS, 32), "b": bw.shuffled(500, 16)}),
        lambda bw: bw.alternating({"a": bw.balanced(LABELS, 32), "b": bw.shuffled(500, 16)}, unit="step"),
        lambda bw: bw.budgeted(LENGTHS, 16384),
        lambda bw: bw.budgeted(LENGTHS, 16384, order=bw.balanced(LABELS, 32)),
        lambda bw: bw.packed(LENGTHS, 4096, order=bw.balanced(LABELS, 32)),
    ],
)
def test_from_the_loop_to_the_kernel_that_deals_there_are_few_functions(make):
    """A reader follows a position through at most 8; comprehensions and wrappers of calls are none."""
    rank = laws.quietly(lambda: make(batchwright)).sampler(rank=3, world_size=8)
    batches, walks = iter(rank), []

    def seen(frame, event, _):
        if event == "call" and frame.f_code is dealt:
            walk = []
            while (frame := frame.f_back) is not None:
                code = frame.f_code
                if frame.f_globals.get("__name__", "").startswith("batchwright.") and code.co_name not in WRAPPERS:
                    walk.append(code.co_qualname)
            walks.append(walk)

    dealt = deal.deal_heavy.__code__  # the wrapper that runs the compiled code, the same for every kernel
    sys.setprofile(seen)
    try:
        next(batches)
    finally:
        sys.setprofile(None)
    way = min((walk for walk in walks if walk[0] in DEALS), key=len)
    assert way[-1] == "_batches"
    assert len(way) <= 8, way


DEALS = {
    "ConstantShares.deal",
    "Dealt._shuffled",
}  # what calls the kernel: of shares, and of a plain shuffle, which has none
WRAPPERS = {"call", "<listcomp>", "<dictcomp>", "<genexpr>"}
