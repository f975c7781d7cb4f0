"""Replicas: the processes that read one source, by rank and worker."""

from __future__ import annotations

from dataclasses import dataclass

import torch.utils.data

from .. import distributed
from ..errors import Infeasible, check_integer

__all__ = ["Replica"]


@dataclass(frozen=True, slots=True)
class Replica:
    """One of `world_size * workers` processes that share a source, numbered rank by rank.

    Attributes:
        rank: the rank.
        world_size: the number of ranks.
        worker: the number of the loader's worker.
        workers: the number of workers of the loader.
        all_read: whether every replica needs a part of the source: it then is an error if one gets none.
        skips: whether readings that fail are skipped.
        past: whether this is a replica of a run that has stopped, whose state is taken over by others.
    """

    rank: int = 0
    world_size: int = 1
    worker: int = 0
    workers: int = 1
    all_read: bool = False
    skips: bool = False
    past: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise Infeasible(
                f"rank is {self.rank} of a world of {self.world_size}",
                "pass 0 <= rank < world_size, both or neither",
            )

    @property
    def index(self) -> int:
        """The number of this replica, 0 to count - 1."""
        return self.rank * self.workers + self.worker

    @property
    def count(self) -> int:
        """The number of replicas."""
        return self.world_size * self.workers

    @classmethod
    def here(cls, rank: int, world_size: int) -> Replica:
        """The replica of this process: a worker of torch's loader, or the main process."""
        info = torch.utils.data.get_worker_info()
        if info is None:
            return cls(rank, world_size)
        return cls(rank, world_size, info.id, info.num_workers)


def resolve_ranks(rank: int | None, world_size: int | None, *, otherwise: tuple[int, int] = (0, 1)) -> tuple[int, int]:
    """The rank and world size as passed, else those of the process group, else `otherwise`."""
    if (rank is None) != (world_size is None):
        raise Infeasible(f"rank is {rank} and world_size is {world_size}", "pass both or neither")
    if rank is not None and world_size is not None:
        return check_integer(rank, "rank"), check_integer(world_size, "world_size", least=1)
    return distributed.ranks() if distributed.has_process_group() else otherwise
