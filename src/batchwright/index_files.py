"""The index of a recipe's labels on disk, beside the recipe, so that a plan of many samples is made at once."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import Infeasible
from .files import stamps
from .plain_engine import Deal

if TYPE_CHECKING:
    from .files import Column

__all__ = ["KeptPlan", "has_small_index", "kept_deal", "read_index", "write_deal", "write_index"]

_FEW_GROUPS = 10_000  # in a step, a kernel that is not compiled takes about 20 us a group
_FORM = 1  # of deal.json: raised where the same entries would stand for other micro-batches


class KeptPlan(NamedTuple):
    """A plan as it was kept beside its recipe.

    Attributes:
        deal: what its micro-batches are dealt from.
        ordered: its samples group by group.
        epoch_batches: micro-batches in an epoch of one rank.
        run: ranks and accumulation, as far as the recipe names them.
    """

    deal: Deal
    ordered: memoryview[int]
    epoch_batches: int
    run: Mapping[str, int]


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
    from .indexes import index

    labels = arguments.get("labels")
    if not isinstance(labels, Mapping) or "column" not in labels:
        raise Infeasible("an index is of labels in a file", "write the index of a plan balanced by a bw.Column")
    index(str(home / labels["in"]), label=labels["column"], path=_folder(recipe))
    return _folder(recipe)


def _write(path: Path, known: Mapping[str, Any]) -> None:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(known))
    unfinished.replace(path)


def write_deal(recipe: Path, arguments: Mapping[str, Any], fingerprint: str, deal: Deal, epoch_batches: int) -> None:
    """Write what the micro-batches of a plan are dealt from into the folder of its index.

    Args:
        recipe: the path of the recipe; `write_index` was called with it.
        arguments: the arguments in it.
        fingerprint: of the plan.
        deal: what its micro-batches are dealt from.
        epoch_batches: micro-batches in an epoch of one rank.
    """
    folder = _folder(recipe)
    known = {
        "form": _FORM, "arguments": dict(arguments), "fingerprint": fingerprint, "epoch_batches": epoch_batches,
        "stamps": stamps(str(recipe.parent / arguments["labels"]["in"])), "deal": deal,
    }  # fmt: skip
    _write(folder / "deal.json", known)


def kept_deal(recipe: Path) -> KeptPlan | None:
    """What was kept of the plan of a JSON recipe; None if nothing was, or its arguments or data files have changed."""
    folder = _folder(recipe)
    try:
        known = json.loads((folder / "deal.json").read_bytes())
        held = json.loads(recipe.read_bytes())
        home, run = recipe.parent, held.pop("run", {})
        wanted = {
            "batchwright": 1, "plan": "balanced", "arguments": known["arguments"], "fingerprint": known["fingerprint"],
        }  # fmt: skip
        if known["form"] != _FORM or {"fingerprint": known["fingerprint"], **held} != wanted:
            return None
        if known["stamps"] != stamps(str(home / known["arguments"]["labels"]["in"])):
            return None
        if not set(run) <= {"world_size", "accumulate"} or any(type(at) is not int or at < 1 for at in run.values()):
            return None
        index = _array(folder / "0.index.npy")
        deal = Deal(*known["deal"])
        return KeptPlan(deal, index, known["epoch_batches"], run) if deal.starts[-1] == len(index) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, Infeasible):
        return None


def _array(path: Path) -> memoryview[int]:
    """An array of integers that `numpy.save` wrote, as a view of the file.

    Raises:
        ValueError: it is none of those that an index holds.
    """
    with path.open("rb") as opened:
        begin = opened.read(10)
        header = opened.read(int.from_bytes(begin[8:10], "little"))
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    values = memoryview(mapped)[len(begin) + len(header) :]
    if begin[:8] == b"\x93NUMPY\x01\x00" and b"'fortran_order': False" in header:
        if b"'descr': '<u4'" in header:
            return values.cast("I")
        if b"'descr': '<u8'" in header:
            return values.cast("Q")
    raise ValueError(path)


def has_small_index(recipe: Path) -> bool:
    """Whether there is an index beside a recipe, of so few groups that kernels need not be compiled to look at a step."""
    try:
        return (_folder(recipe) / "0.starts.npy").stat().st_size < _FEW_GROUPS * 8
    except OSError:
        return False


def read_index(recipe: Path, arguments: Any, home: Path) -> Column | None:
    """The column of labels in a recipe, whose values are those of the index beside it.

    None if there is no index, it is damaged, or the data files were written since.
    """
    if not _folder(recipe).is_dir():
        return None
    from .indexes.build import index_of
    from .indexes.sources import source_of

    try:
        labels = arguments["labels"]
        path, name = str(home / labels["in"]), labels["column"]
        found = index_of(_folder(recipe), source_of(path), label=name)
        if found is None:
            return None
        column = found.labels
        column.path = path  # a recipe names the data files, not their index
        return column
    except (OSError, ValueError, KeyError, TypeError, ImportError, Infeasible):
        return None
