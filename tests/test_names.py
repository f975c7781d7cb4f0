"""Every class has a name of its own, so a name in a traceback or a search leads to one definition."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import batchwright

SOURCE = Path(batchwright.__file__).parent


def test_no_two_classes_share_a_name():
    """`_Reader` and `Reader` count as one name: an underscore does not say what a class is."""
    homes = defaultdict(list)
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                homes[node.name.strip("_")].append(f"{file.relative_to(SOURCE)}:{node.lineno}")
    assert len(homes) > 400
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}
