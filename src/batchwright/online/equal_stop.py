"""Stops all ranks after equally many steps: a step is taken only if every rank has a batch for it.

Torch's `Join` lets ranks end at different steps and replaces their communication. That works only for the collectives
it knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

import torch
import torch.distributed as dist

from ..distributed import has_process_group
from ..run.moved import Moved
from ..run.sampler_of import moved_by_loops
from .worker_info import stepped

__all__ = ["equal_stop"]

B = TypeVar("B")


def equal_stop(loader: Iterable[B], *, group: dist.ProcessGroup | None = None) -> EqualStop[B]:
    """Iterate over a loader until the first rank has no more batches, so that all ranks take equally many steps.

    Use it if ranks may have different numbers of batches and a step waits for all ranks. Each rank fetches one batch
    ahead; one all-reduce of a flag in each step tells all ranks whether every rank has a batch. When a rank has none,
    the batches of the others are dropped and their sources are read no further; `left` counts them. All ranks begin the
    next epoch together.

    Args:
        loader: the loader of this rank.
        group: the process group; the default one if left out. Without a process group, all batches are returned.
    """
    return EqualStop(loader, group)


class EqualStop(Generic[B]):
    """Returned by `equal_stop`; iterate it once per epoch.

    Attributes:
        left: batches that this rank had ready and dropped in the last epoch, 0 or 1.
    """

    def __init__(self, loader: Iterable[B], group: dist.ProcessGroup | None) -> None:
        self.left = 0
        self._loader = loader
        self._group = group

    def __iter__(self) -> Iterator[B]:
        self.left = 0
        iterator = stepped(iter(self._loader))
        while True:
            ahead = list(islice(iterator, 1))
            if not self._all_ranks_have(ahead):
                self.left = len(ahead)
                return
            yield ahead.pop()

    def moved_by_loops(self) -> list[Moved]:
        """The objects whose attributes say where a loop over the loader is; see `sampler_of.unmoved`."""
        return list(moved_by_loops(self._loader))

    def _all_ranks_have(self, ahead: list[B]) -> bool:
        if not has_process_group():
            return bool(ahead)
        device = "cuda" if dist.get_backend(self._group) == "nccl" else "cpu"  # NCCL reduces only tensors on its device
        flag = torch.tensor(len(ahead), device=device)
        dist.all_reduce(flag, op=dist.ReduceOp.MIN, group=self._group)
        return bool(flag.item())
