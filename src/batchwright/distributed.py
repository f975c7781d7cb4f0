"""Rank, world size and communication: the only module that uses `torch.distributed`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from .errors import Infeasible, listed, shown, typed

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

__all__ = ["gathered", "joined", "mesh_ranks", "ranks", "summed"]


def joined() -> bool:
    """Whether this process belongs to a process group."""
    return dist.is_available() and dist.is_initialized()


def ranks(group: dist.ProcessGroup | None = None) -> tuple[int, int]:
    """The rank of this process and the world size; 0 and 1 without a process group.

    Args:
        group: the process group; the default one if left out.
    """
    return (dist.get_rank(group), dist.get_world_size(group)) if joined() else (0, 1)


def mesh_ranks(mesh: DeviceMesh, dims: Sequence[str] | None) -> tuple[int, int]:
    """The data-parallel rank of this process in a device mesh, and the number of data-parallel ranks.

    Processes that differ only in other dimensions (tensor, context, pipeline) have the same rank: they need one batch.

    Args:
        mesh: a device mesh that this process is part of.
        dims: names of the data-parallel dimensions, outermost first; they are flattened in this order, as
            HSDP does with ("dp_replicate", "dp_shard"). May be left out for a mesh of one dimension.

    Raises:
        Infeasible: a name in `dims` is not of the mesh; `dims` is None and the mesh has several dimensions; or this
            process is not part of the mesh.
    """
    if not hasattr(mesh, "get_coordinate"):
        raise Infeasible(f"mesh is {typed(mesh)}", "pass a torch.distributed.device_mesh.DeviceMesh")
    names, sizes, place = mesh.mesh_dim_names or (), tuple(mesh.shape), mesh.get_coordinate()
    if place is None:
        raise Infeasible("this process is not part of the device mesh", "pass the mesh that this process is part of")
    if dims is None:
        if len(sizes) != 1:
            raise Infeasible(
                f"the device mesh has dimensions {listed(names) or sizes}, and none is named as data-parallel",
                'pass dims=, the names of the data-parallel ones, for example dims=("dp",)',
            )
        return place[0], sizes[0]
    unknown = [name for name in dims if name not in names]
    if unknown or not dims or isinstance(dims, str) or len(set(dims)) != len(tuple(dims)):
        raise Infeasible(
            f"dims is {shown(dims)}, the device mesh has {listed(names) or 'no names'}",
            "pass a tuple of names of its data-parallel dimensions, each once, outermost first",
        )
    rank, world_size = 0, 1  # the last dimension changes fastest, as in torch
    for number in map(names.index, dims):
        rank, world_size = rank * sizes[number] + place[number], world_size * sizes[number]
    return rank, world_size


def gathered(value: Any, group: dist.ProcessGroup | None = None) -> list[Any]:
    """Gather a value that can be pickled from every process of the group, in the order of ranks."""
    if not joined():
        return [value]
    values: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(values, value, group=group)
    return values


def summed(values: torch.Tensor, group: dist.ProcessGroup | None = None) -> torch.Tensor:
    """The sum over all processes of the group, on the CPU, with the same bits on every one."""
    if not joined():
        return values.clone()
    # NCCL reduces only tensors on its own device, other backends those on the CPU.
    nccl = dist.get_backend(group) == "nccl"
    total = values.to(torch.device("cuda", torch.cuda.current_device()) if nccl else "cpu", copy=True)
    dist.all_reduce(total, group=group)
    # An all-reduce may add in another order on every rank, and so round differently.
    dist.broadcast(total, group=group, group_src=0)
    return total.cpu()
