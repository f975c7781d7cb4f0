"""A table of 500 rows, and a recipe of a plan of it."""

from __future__ import annotations

import random

import pytest

from .commands import run


@pytest.fixture
def data(tmp_path):
    draw = random.Random(1)
    rows = [
        (f"{i}.png", draw.choices("abcd", [60, 25, 10, 5])[0], draw.randint(5, 99), i % 3, 499 - i, i // 2, 8 + i % 5)
        for i in range(500)
    ]
    path = tmp_path / "t.csv"
    path.write_text("file,label,n,k,i,pair,n2\n" + "\n".join(",".join(map(str, row)) for row in rows))
    return path


@pytest.fixture
def recipe(data):
    path = data.parent / "r.json"
    run("plan", data, "--label", "label", "--batch-size", 8, "--target", "sqrt", "--world-size", 2,
        "--accumulate", 2, "--save", path)  # fmt: skip
    return path
