"""`batchwright inspect`: counts of labels and quantiles of lengths in data files."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import Infeasible, shown
from ..files import Column
from ..groups import Groups
from ..inputs.columns import as_numbers, one_dimensional

__all__ = ["describe_files", "lengths_of"]


def describe_files(files: str, label: str | None, length: str | None, by: list[str]) -> dict[str, Any]:
    """What is in data files: counts and imbalance of labels, quantiles of lengths."""
    names = Column.names(files)
    facts: dict[str, Any] = {"files": files, "columns": names}
    for name in [*([label] if label is not None else []), *by]:
        column = Column(files, name)
        facts.setdefault("labels", {})[name] = _label_counts(column)
        facts["samples"] = len(column)
    if length is not None:
        column = Column(files, length)
        numbers, missing = _known_lengths(column, files, length)
        facts["samples"] = len(column)
        facts["lengths"] = {
            "column": length,
            "missing": missing,
            "total": float(numbers.sum()),
            "mean": float(numbers.mean()),
            "quantiles": {str(at): float(np.quantile(numbers, at)) for at in (0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)},
        }
    if "samples" not in facts:
        facts["samples"] = len(Column(files, names[0]))
    return facts


def lengths_of(values: Any, files: str, name: str) -> np.ndarray:
    """The values of a column as lengths; refused if they are no numbers, or none."""
    try:
        called = f"column {shown(name)}"
        lengths = as_numbers(one_dimensional(values, called=called), called=called, each="sample")
    except Infeasible as error:
        raise Infeasible(error.fact, "pass the name of a column of numbers as --length") from None
    if not lengths.size:
        raise Infeasible(f"column {name} of {files} has 0 values", "pass a file of at least one sample")
    return lengths


def _known_lengths(column: Column, files: str, name: str) -> tuple[np.ndarray, int]:
    """The lengths that are there, and how many are missing; a value that is no number is named by its sample."""
    values = one_dimensional(column, called=f"column {shown(name)}")
    if values.dtype.kind == "O":
        values = lengths_of([math.nan if value is None else value for value in values.tolist()], files, name)
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.size, bool)
    return lengths_of(values[~missing], files, name), int(missing.sum())


def _present(column: Column) -> tuple[Any, int]:
    """The values of a column that are there, and how many are missing."""
    if column.coded() is not None:
        return column, 0
    values = one_dimensional(column, called=f"column {shown(column.name)}")
    if values.dtype.kind not in "Of":
        return column, 0
    empty = np.fromiter((value is None or value != value for value in values.tolist()), bool, values.size)
    return values[~empty].tolist() if values.dtype.kind == "O" else values[~empty], int(empty.sum())


def _label_counts(column: Column) -> dict[str, Any]:
    labels, missing = _present(column)
    groups = Groups.from_keys(labels, called="labels")
    sizes, order = groups.sizes, np.argsort(-groups.sizes, kind="stable")
    shares = sizes / sizes.sum()
    return {
        "groups": groups.group_count,
        "imbalance": float(sizes.max() / sizes.min()),
        "effective_groups": float(math.exp(-(shares * np.log(shares)).sum())),
        "counts": [[groups.names[group], int(sizes[group])] for group in order.tolist()],
        "missing": missing,
    }
