"""A name means one thing: whoever meets a class in a traceback, a pickle or a search finds one definition of it."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import batchwright

SOURCE = Path(batchwright.__file__).parent


def test_no_two_classes_share_a_name():
    """Nor do `_Reader` and `Reader`: nobody remembers which of two ideas has the underscore."""
    homes = defaultdict(list)
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                homes[node.name.strip("_")].append(f"{file.relative_to(SOURCE)}:{node.lineno}")
    assert len(homes) > 400
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}
