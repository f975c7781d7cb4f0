"""Where a collated tensor is written: in a DataLoader's worker straight into shared memory, once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

__all__ = ["destination", "settle"]


def destination(pieces: Sequence[Tensor], shape: Sequence[int]) -> Tensor | None:
    """An empty tensor in shared memory for the result of joining `pieces`, or None where torch should allocate it.

    Outside a worker, off the CPU, and where a gradient must flow, torch allocates.
    """
    if get_worker_info() is None:
        return None
    first = pieces[0]
    if first.device.type != "cpu" or any(piece.requires_grad for piece in pieces):
        return None
    return _shared(shape, first.dtype)


def settle(tensor: Tensor) -> Tensor:
    """`tensor` itself, or in a worker its copy in shared memory: for what was not made by joining."""
    if (
        get_worker_info() is None
        or tensor.untyped_storage().is_shared()
        or tensor.device.type != "cpu"
        or tensor.requires_grad
    ):
        return tensor
    return _shared(tensor.shape, tensor.dtype).copy_(tensor)


def _shared(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    byte_count = math.prod(shape) * dtype.itemsize
    storage: torch.UntypedStorage = torch.UntypedStorage._new_shared(byte_count)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=dtype).set_(storage).view(*shape)
