"""Which of several processes this is: the one place that asks `torch.distributed`."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

__all__ = ["gathered", "joined", "ranks", "summed"]


def joined() -> bool:
    """Whether this process belongs to a process group."""
    return dist.is_available() and dist.is_initialized()


def ranks(group: dist.ProcessGroup | None = None) -> tuple[int, int]:
    """This process's number and how many there are: 0 and 1 without a process group.

    Args:
        group: the processes that count; all of them if left out.
    """
    return (dist.get_rank(group), dist.get_world_size(group)) if joined() else (0, 1)


def gathered(value: Any, group: dist.ProcessGroup | None = None) -> list[Any]:
    """What every process of the group passed, in the order of their numbers; one gather of what pickles."""
    if not joined():
        return [value]
    values: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(values, value, group=group)
    return values


def summed(values: torch.Tensor, group: dist.ProcessGroup | None = None) -> torch.Tensor:
    """The sum over all processes of the group, on the CPU, the same bits on every one; one all-reduce and one broadcast."""
    if not joined():
        return values.clone()
    # NCCL reduces on its own device only, other backends on the CPU
    nccl = dist.get_backend(group) == "nccl"
    total = values.to(torch.device("cuda", torch.cuda.current_device()) if nccl else "cpu", copy=True)
    dist.all_reduce(total, group=group)
    dist.broadcast(total, group=group, group_src=0)
    return total.cpu()
