"""What is written with a recipe: its paths, as they are seen from its folder, and the index beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..index_files import write_deal, write_index
from ..orders import Dealt
from ..plans.fixed import FixedPlan
from ..plans.plan import Plan

__all__ = ["relative_to", "write_index_of"]


def relative_to(written: Any, folder: Path) -> Any:
    """A recipe whose relative paths begin at `folder` instead of the working directory."""
    if isinstance(written, list):
        return [relative_to(part, folder) for part in written]
    if not isinstance(written, dict):
        return written
    if "column" in written and not os.path.isabs(written["in"]):
        return written | {"in": Path(os.path.relpath(written["in"], folder)).as_posix()}
    return {key: relative_to(part, folder) for key, part in written.items()}


def write_index_of(plan: Plan, recipe: Path, arguments: Mapping[str, Any]) -> Path:
    """Write the index of a recipe's labels beside it, and what its micro-batches are dealt from if they are simple."""
    folder = write_index(recipe, arguments, recipe.parent)
    deal = plan.order.deal if isinstance(plan, FixedPlan) and isinstance(plan.order, Dealt) else None
    if deal is not None:
        write_deal(recipe, arguments, plan.fingerprint, deal, plan.epoch_batches)
    return folder
