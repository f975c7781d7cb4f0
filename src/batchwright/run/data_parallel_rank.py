"""Which part of a plan a process takes: its rank of how many, and how many micro-batches it takes at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch.distributed
import torch.utils.data

from ..distributed import data_groups, ranks_of_mesh
from ..errors import Infeasible, check_integer, shown

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

__all__ = ["DataParallelRank", "Fetch", "micro_batches_fetched"]

Fetch = Literal["micro", "step"] | int


class DataParallelRank(NamedTuple):
    """Which micro-batches of every step a process takes, as the arguments of a sampler say.

    Attributes:
        fixed_ranks: rank and world size; None if they are read from `torch.distributed` at every use.
        copies: see `BatchSampler`.
        follows_group: see `BatchSampler`.
        groups: the process groups of the ranks along the data-parallel dimensions; None without a mesh.
    """

    fixed_ranks: tuple[int, int] | None
    copies: int
    follows_group: bool
    groups: tuple[torch.distributed.ProcessGroup, ...] | None = None

    @classmethod
    def of(
        cls, rank: int | None, world_size: int | None, mesh: DeviceMesh | None, dims: Sequence[str] | None, sampler: Any
    ) -> DataParallelRank:
        """Check the arguments of a sampler that say which process this is; see `BatchSampler`.

        Raises:
            Infeasible: they contradict each other, or the rank is outside the world.
        """
        placed = ranks_of_mesh(rank, world_size, mesh, dims)
        if placed is not None and mesh is not None:
            return cls(placed, mesh.size() // placed[1], True, data_groups(mesh, dims))
        if rank is None and world_size is None and isinstance(sampler, torch.utils.data.DistributedSampler):
            rank, world_size = sampler.rank, sampler.num_replicas
        rank = rank if rank is None else check_integer(rank, "rank")
        world_size = world_size if world_size is None else check_integer(world_size, "world_size")
        if rank is None and world_size is None:
            return cls(None, 1, True)
        if rank is None or world_size is None:
            raise Infeasible(f"rank is {rank} and world_size is {world_size}", "pass both or neither")
        if world_size < 1:
            raise Infeasible(
                f"world_size is {world_size}, the least is 1", "pass world_size=1 or more, how many processes there are"
            )
        if not 0 <= rank < world_size:
            raise Infeasible(
                f"rank {rank} is outside a world of {world_size}", f"pass a rank from 0 to {world_size - 1}"
            )
        return cls((rank, world_size), 1, False)


def micro_batches_fetched(fetch: Fetch, accumulate: int) -> int:
    """The number of micro-batches in one batch, from the argument `fetch` of a sampler."""
    if isinstance(fetch, str) and fetch in ("micro", "step"):
        return 1 if fetch == "micro" else accumulate
    try:
        return check_integer(fetch, "fetch", least=1)
    except Infeasible:
        raise Infeasible(
            f"fetch is {shown(fetch)}", 'pass "micro", "step", or a number of micro-batches, 1 or more'
        ) from None
