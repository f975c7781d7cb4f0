"""Refuses a sampler of one rank to what would divide its batches among the ranks again; no trainer is imported for that."""

from __future__ import annotations

import sys
from types import FrameType

from ..errors import Infeasible

__all__ = ["refuse_to_be_divided"]

_DIVIDE = {
    "BatchSamplerShard._iter_with_no_split",
    "BatchSamplerShard._iter_with_split",
    "DataLoaderDispatcher._fetch_batches",
}
"""Functions of accelerate that draw batches and divide them among processes; they are made for several processes only."""
_DEEPEST = 16  # frames between these and a sampler that is asked for its first batch; there are fewer than ten


def refuse_to_be_divided(world_size: int) -> None:
    """Refuse to give batches of one rank to what would divide them among the processes again.

    Raises:
        Infeasible: accelerate's wrapper of a `DataLoader` is the caller, and the sampler is of several ranks.
    """
    frame: FrameType | None = sys._getframe(2) if world_size > 1 and "accelerate" in sys.modules else None
    for _ in range(_DEEPEST):
        if frame is None:
            return
        if frame.f_code.co_qualname in _DIVIDE and frame.f_globals.get("__name__") == "accelerate.data_loader":
            raise Infeasible(
                f"the sampler takes 1 of {world_size} micro-batches, and accelerate gives this process a part of those: "
                f"{frame.f_code.co_qualname.partition('.')[0]} divides what a DataLoader yields",
                "pass plan.loader(dataset), which accelerate leaves as it is",
            )
        frame = frame.f_back
