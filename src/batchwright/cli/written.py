"""Tables of the commands as files: CSV, Parquet, Markdown."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from ..errors import Infeasible, shown
from ..exported import Table
from .shared import check_folder

__all__ = ["check_plan_table", "check_recipe", "check_table", "table_of_description", "write_table"]

_KINDS = ".csv", ".parquet", ".md"


def check_table(path: Path | None) -> None:
    """Refuse a path that no table can be written to, before anything is read."""
    check_folder("--out", path)
    if path is not None and path.suffix not in _KINDS:
        raise Infeasible(
            f"--out {shown(path.name)} ends in none of {', '.join(_KINDS)}",
            "pass a name that ends in one of them; --json gives the same numbers as JSON",
        )


def check_plan_table(path: Path | None) -> None:
    """Refuse a path that the table of a plan cannot be written to, before anything is read."""
    check_folder("--out", path)
    if path is not None and path.suffix != ".parquet":
        raise Infeasible(
            f"--out {shown(path.name)} does not end in .parquet, and the table of a plan is written as Parquet",
            "pass a name that ends in it",
        )


def check_recipe(path: Path | None) -> None:
    """Refuse a path that no recipe can be read from, before anything is read."""
    check_folder("--save", path)
    if path is not None and path.suffix.lower() != ".json":
        raise Infeasible(
            f"--save {shown(path.name)} does not end in .json, and a recipe is written as JSON",
            "pass a name that ends in it",
        )


def write_table(table: Table, path: Path) -> None:
    """Write a table in the format that the name of the file ends in."""
    columns = table.columns()
    rows = list(zip(*columns.values(), strict=True))
    if path.suffix == ".parquet":
        arrow = table.to_arrow()
        from pyarrow import parquet  # after what says that pyarrow is missing

        parquet.write_table(arrow, path)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([list(columns), *rows])
    else:
        lines = [list(columns), ["---"] * len(columns), *rows]
        path.write_text("".join(_markdown(line) for line in lines), encoding="utf-8")


def _markdown(cells: Any) -> str:
    texts = ("" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in cells)
    return "| " + " | ".join(" ".join(text.split()).replace("|", "\\|") for text in texts) + " |\n"


def table_of_description(facts: dict[str, Any]) -> Table:
    """What `inspect` tells, one number a row: its column, what it is, of which label or quantile, and the number."""
    rows: list[tuple[str | None, str, Any, float]] = [(None, "samples", None, float(facts["samples"]))]
    for column, labels in facts.get("labels", {}).items():
        rows += [
            (column, name, None, float(labels[name])) for name in ("groups", "imbalance", "effective_groups", "missing")
        ]
        rows += [(column, "count", str(label), float(count)) for label, count in labels["counts"]]
    if "lengths" in facts:
        lengths = facts["lengths"]
        rows += [(lengths["column"], name, None, lengths[name]) for name in ("total", "mean", "missing")]
        rows += [(lengths["column"], "quantile", at, length) for at, length in lengths["quantiles"].items()]
    columns = zip(*rows, strict=True)
    return Table(dict(zip(("column", "what", "name", "value"), columns, strict=True)))
