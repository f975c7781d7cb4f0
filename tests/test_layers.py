"""The layers of the package: what stands higher imports what stands lower, never the other way round."""

from __future__ import annotations

import ast
import re
import sys
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


def folders_imported(file: Path) -> set[str]:
    """The folders and files at the top of the package that a file imports; at type checking and within functions too."""
    package = ("batchwright", *file.relative_to(SOURCE).parts[:-1])
    imported: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            inside = (*base[1:], *(node.module or "").split(".")) if node.module else base[1:]
            imported |= {inside[0]} if inside else {alias.name for alias in node.names}
    return imported


def test_what_stands_lower_imports_nothing_that_stands_higher():
    upward = []
    for file in SOURCE.rglob("*.py"):
        own = file.relative_to(SOURCE).parts[0].removesuffix(".py")
        upward += [f"{file}: {other}" for other in folders_imported(file) if LAYERS.index(other) > LAYERS.index(own)]
    assert upward == []
    assert {file.stem for file in SOURCE.iterdir() if file.suffix == ".py" or (file / "__init__.py").exists()} == set(
        LAYERS
    )


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
    way = min((walk for walk in walks if walk[0] == "ConstantShares.deal"), key=len)
    assert way[-1] == "EpochIterator.__next__"
    assert len(way) <= 8, way


WRAPPERS = {"call", "<listcomp>", "<dictcomp>", "<genexpr>"}
