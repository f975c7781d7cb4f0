"""Rank, world size and communication: the only module that asks `torch.distributed` who this process is.

Two modules besides communicate, each with one all-reduce: of batch statistics, and of whether a stream goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from .errors import Infeasible, listed, shown, typed

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

__all__ = [
    "Over", "data_groups", "gathered", "has_process_group", "meet", "mesh_ranks", "model_groups", "over",
    "process_groups", "ranks", "ranks_of_mesh", "summed", "this_process",
]  # fmt: skip

Over = dist.ProcessGroup | tuple[dist.ProcessGroup, ...] | None
"""The processes that communicate: a group; one for each dimension of a mesh, outermost first; None for all processes."""

_MODEL = frozenset(
    [
        *("tp", "tensor", "tensor_parallel", "cp", "context", "context_parallel"),
        *("pp", "pipe", "pipeline", "pipeline_parallel", "mp", "model", "model_parallel"),
        *("tensor_model_parallel_group", "context_parallel_group", "pipeline_model_parallel_group"),
        *("model_parallel_group", "tensor_and_context_parallel_group"),
    ]
)
"""What torch's meshes, Lightning, Accelerate, torchtitan and Megatron call groups whose processes need the same batch."""


_BUILT_IN = dist.is_available()


def has_process_group() -> bool:
    """Whether this process belongs to a process group."""
    return _BUILT_IN and dist.is_initialized()


def ranks(group: Over = None) -> tuple[int, int]:
    """The rank of this process and the world size; 0 and 1 without a process group.

    Args:
        group: the processes that count; all of them if left out.
    """
    rank, world_size = 0, 1
    for part in process_groups(group) if has_process_group() else ():
        size = dist.get_world_size(part)
        rank, world_size = rank * size + dist.get_rank(part), world_size * size
    return rank, world_size


_PATIENCE = timedelta(minutes=5)  # for processes that come late to a meeting; unequal machines differ by far less


def meet() -> int:
    """Wait until every process has called this as often as this one has, for some minutes at most.

    A collective would wait for half an hour, and then abort the process.

    Returns:
        How many processes have come: the world size, or fewer if others did not come in time.
    """
    # All of it is in the store: a count in the process would be wrong in a group that it joins later.
    store, size = dist.distributed_c10d._get_default_store(), dist.get_world_size()
    key = f"batchwright/{store.add(f'batchwright/of/{dist.get_rank()}', 1)}"
    if store.add(key, 1) >= size:
        store.set(f"{key}/all", "")
        return size
    try:
        store.wait([f"{key}/all"], min(store.timeout, _PATIENCE))  # type: ignore[attr-defined]  # torch's stubs lack it
    except RuntimeError:  # the timeout; of a store that was lost, the next line raises again
        return store.add(key, 0)
    return size


def this_process() -> int:
    """The number of this process among all; 0 without a process group."""
    return dist.get_rank() if has_process_group() else 0


def process_groups(group: Over) -> tuple[dist.ProcessGroup | None, ...]:
    """The groups to communicate in, one after the other."""
    return group if isinstance(group, tuple) else (group,)


def over(group: dist.ProcessGroup | None, mesh: DeviceMesh | None, dims: Sequence[str] | None) -> Over:
    """The processes that communicate, from the arguments of a function: a group, or a mesh and its data-parallel dimensions.

    Raises:
        Infeasible: both are given, `dims` without a mesh, or they name no dimensions of the mesh.
    """
    if not _has_mesh(mesh, dims, "a process group", group is not None):
        return group
    assert mesh is not None
    return data_groups(mesh, dims)


def ranks_of_mesh(
    rank: int | None, world_size: int | None, mesh: DeviceMesh | None, dims: Sequence[str] | None
) -> tuple[int, int] | None:
    """Rank and world size in a mesh, from the arguments of a function; None if no mesh was given.

    Raises:
        Infeasible: a mesh and rank or world size are given, `dims` without a mesh, or they name no dimensions of the mesh.
    """
    if not _has_mesh(mesh, dims, "rank or world_size", rank is not None or world_size is not None):
        return None
    assert mesh is not None
    return mesh_ranks(mesh, dims)


def _has_mesh(mesh: DeviceMesh | None, dims: Sequence[str] | None, other: str, other_given: bool) -> bool:
    if mesh is None and dims is not None:
        raise Infeasible(f"dims is {shown(dims)} without a mesh", "pass mesh=, the device mesh with these dimensions")
    if mesh is not None and other_given:
        raise Infeasible(f"mesh was given, and {other} too", "pass the mesh alone")
    return mesh is not None


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


def data_groups(mesh: DeviceMesh, dims: Sequence[str] | None) -> tuple[dist.ProcessGroup, ...]:
    """The process groups of this process along the data-parallel dimensions of a device mesh, outermost first.

    Together they hold one process of each data-parallel rank: those that differ from this one in these dimensions only.

    Raises:
        Infeasible: see `mesh_ranks`.
    """
    mesh_ranks(mesh, dims)
    return (mesh.get_group(),) if dims is None else tuple(mesh.get_group(name) for name in dims)


def model_groups() -> list[tuple[str, list[int]]]:
    """The groups of this process over which a model is split, as far as names say so: the name and the processes of each."""
    if not has_process_group():
        return []
    named = [(group.group_desc.removeprefix("mesh_"), group) for group in dist.distributed_c10d._world.pg_names]
    found = [(name, dist.get_process_group_ranks(group)) for name, group in named if name.lower() in _MODEL]
    return [(name, processes) for name, processes in found if len(processes) > 1]


def gathered(value: Any, group: Over = None) -> list[Any]:
    """Gather a value that can be pickled from every process of the group, in the order of ranks."""
    if not has_process_group():
        return [value]
    values = [value]
    for part in reversed(process_groups(group)):
        lists: list[Any] = [None] * dist.get_world_size(part)
        dist.all_gather_object(lists, values, group=part)
        values = [value for gathered_before in lists for value in gathered_before]
    return values


def summed(values: torch.Tensor, group: Over = None) -> torch.Tensor:
    """The sum over all processes of the group, on the CPU, with the same bits on every one."""
    if not has_process_group():
        return values.clone()
    for part in process_groups(group):
        values = _summed(values, part)
    return values


def _summed(values: torch.Tensor, group: dist.ProcessGroup | None) -> torch.Tensor:
    # NCCL reduces only tensors on its own device, other backends those on the CPU.
    nccl = dist.get_backend(group) == "nccl"
    total = values.to(torch.device("cuda", torch.cuda.current_device()) if nccl else "cpu", copy=True)
    dist.all_reduce(total, group=group)
    # An all-reduce may add in another order on every rank, and so round differently.
    dist.broadcast(total, group=group, group_src=0)
    return total.cpu()
