"""The index of a recipe's labels on disk, beside the recipe, so that a plan of many samples is made at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import Infeasible, shown
from .files import stamps
from .groups import Groups

__all__ = ["read_index", "write_index"]

_SCALARS = (bool, int, float, str)


def _folder(recipe: Path) -> Path:
    return recipe.with_name(recipe.name + ".index")


def write_index(recipe: Path, arguments: Mapping[str, Any], groups: Groups, home: Path) -> Path:
    """Write the index of the labels of a recipe of `balanced` beside the recipe.

    Args:
        recipe: the path of the recipe.
        arguments: the arguments in it.
        groups: the groups of its plan.
        home: the folder that paths in the recipe begin at.

    Returns:
        The folder that holds it.

    Raises:
        Infeasible: the labels are no column of a file.
    """
    labels = arguments.get("labels")
    if not isinstance(labels, Mapping) or "column" not in labels:
        raise Infeasible("an index is of labels in a file", "write the index of a plan balanced by a bw.Column")
    if groups.index is None or not all(type(name) in _SCALARS for name in groups.names):
        raise Infeasible(f"the labels are {shown(list(groups.names[:3]))}", "use labels that are numbers or text")
    folder = _folder(recipe)
    folder.mkdir(exist_ok=True)
    (folder / "index.json").unlink(missing_ok=True)  # of an earlier index, which is no longer complete from here on
    np.save(folder / "starts.npy", groups.starts)
    np.save(folder / "index.npy", groups.index)
    known = {
        "labels": dict(labels), "stamps": stamps(str(home / labels["in"])), "names": list(groups.names),
        "samples": groups.sample_count, "digest": groups.digest,
    }  # fmt: skip
    unfinished = folder / f"index.json.{os.getpid()}"
    unfinished.write_text(json.dumps(known))
    unfinished.replace(folder / "index.json")  # written last, so that an index that has this file is complete
    return folder


def read_index(recipe: Path, arguments: Any, home: Path) -> Groups | None:
    """The index beside a recipe; None if there is none, it is damaged, or the data files were written since."""
    folder = _folder(recipe)
    try:
        known = json.loads((folder / "index.json").read_bytes())
        if known["labels"] != arguments["labels"] or known["stamps"] != stamps(str(home / known["labels"]["in"])):
            return None
        starts = np.load(folder / "starts.npy", allow_pickle=False)
        # Mode "c", copy on write, since the kernels take only arrays that can be written; none of them writes.
        index = np.asarray(np.load(folder / "index.npy", mmap_mode="c", allow_pickle=False))
        typed = starts.dtype == np.int64 and index.dtype in (np.uint32, np.int64)
        complete = starts.size == len(known["names"]) + 1 and starts[-1] == index.size == known["samples"]
        if not (typed and complete and starts[0] == 0 and (np.diff(starts) >= 0).all()):
            return None
        return Groups.of_index(known["names"], starts, index, known["samples"], known["digest"])
    except (OSError, ValueError, KeyError, TypeError, IndexError, Infeasible):
        return None
