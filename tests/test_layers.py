"""The strata of the package: what stands higher imports what stands lower, never the other way round."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import batchwright

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
