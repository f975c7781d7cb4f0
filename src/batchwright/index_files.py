"""The index of a recipe's labels on disk, beside the recipe, so that a plan of many samples is made at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import Infeasible
from .groups import Groups
from .indexes import index
from .indexes.build import index_of
from .indexes.sources import source_of

__all__ = ["read_index", "write_index"]


def _folder(recipe: Path) -> Path:
    return recipe.with_name(recipe.name + ".index")


def write_index(recipe: Path, arguments: Mapping[str, Any], home: Path) -> Path:
    """Write the index of the labels of a recipe of `balanced` beside the recipe.

    Args:
        recipe: the path of the recipe.
        arguments: the arguments in it.
        home: the folder that paths in the recipe begin at.

    Returns:
        The folder that holds it.

    Raises:
        Infeasible: the labels are no column of a file.
    """
    labels = arguments.get("labels")
    if not isinstance(labels, Mapping) or "column" not in labels:
        raise Infeasible("an index is of labels in a file", "write the index of a plan balanced by a bw.Column")
    index(str(home / labels["in"]), label=labels["column"], path=_folder(recipe))
    return _folder(recipe)


def read_index(recipe: Path, arguments: Any, home: Path) -> Groups | None:
    """The index beside a recipe; None if there is none, it is damaged, or the data files were written since."""
    if not _folder(recipe).is_dir():
        return None
    try:
        labels = arguments["labels"]
        found = index_of(_folder(recipe), source_of(str(home / labels["in"])), label=labels["column"])
        return None if found is None else Groups.from_labels(found.labels)
    except (OSError, ValueError, KeyError, TypeError, ImportError, Infeasible):
        return None
