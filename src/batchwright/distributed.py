"""Rank, world size and communication: the only module that uses `torch.distributed`."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

__all__ = ["gathered", "joined", "ranks", "summed"]


def joined() -> bool:
    """Whether this process belongs to a process group."""
    return dist.is_available() and dist.is_initialized()


def ranks(group: dist.ProcessGroup | None = None) -> tuple[int, int]:
    """The rank of this process and the world size; 0 and 1 without a process group.

    Args:
        group: the process group; the default one if left out.
    """
    return (dist.get_rank(group), dist.get_world_size(group)) if joined() else (0, 1)


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
