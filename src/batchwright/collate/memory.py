"""Allocates collated tensors: in a worker of a DataLoader large ones directly in shared memory, elsewhere in large pages.

A worker sends large tensors through shared memory. A tensor that is made there is not copied again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.compiler import is_compiling
from torch.utils.data import get_worker_info

__all__ = [
    "INTEGERS",
    "NUMPY_DTYPES",
    "SMALL",
    "Pieces",
    "are_calls_plain",
    "cat",
    "lasting",
    "settle",
    "stack",
    "unfilled",
]

Made = TypeVar("Made")
Pieces = list[Tensor] | tuple[Tensor, ...]

_REALS = (torch.float16, torch.float32, torch.float64)
INTEGERS = (torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32, torch.int64)
NUMPY_DTYPES = {
    dtype: np.dtype(str(dtype).removeprefix("torch."))
    for dtype in (torch.bool, *INTEGERS, *_REALS, torch.complex64, torch.complex128)
}
"""The dtypes of torch that numpy has too."""

# There are no public functions for what is active of torch's modes and of the transforms of `torch.func`.
_modes, _transform = torch._C._len_torch_dispatch_stack, torch._C._functorch.peek_interpreter_stack

SMALL = 1 << 16
"""Bytes below which a worker of `plan.loader` sends a tensor as bytes: there, that takes a quarter of the time.

Torch sends it through shared memory all the same, as fast as if it had been made there.
"""

_LARGE = 1 << 22
"""Bytes from which numpy requests huge pages from the system. Torch does not, and spends most of its time in page faults."""


def stack(pieces: Pieces) -> Tensor:
    """`torch.stack`, into memory chosen as described above."""
    if len(pieces) * pieces[0].nbytes < (_LARGE if get_worker_info() is None else SMALL):
        return torch.stack(pieces)
    return torch.stack(pieces, out=_destination(pieces, [len(pieces), *pieces[0].shape]))


def cat(pieces: Pieces, dim: int = 0, size: int | None = None) -> Tensor:
    """`torch.cat`, in a worker into shared memory; elsewhere, computing its size first takes more time than it saves.

    Compiled functions may call it without `size`, which is that of the result along `dim`, where it is known.
    """
    if (size is None and is_compiling()) or get_worker_info() is None:
        return torch.cat(pieces, dim)
    shape = list(pieces[0].shape)
    shape[dim] = sum(piece.shape[dim] for piece in pieces) if size is None else size
    return torch.cat(pieces, dim, out=_destination(pieces, shape))


def unfilled(shape: Sequence[int], dtype: torch.dtype) -> tuple[np.ndarray, Tensor]:
    """Memory with nothing in it yet, of one of `NUMPY_DTYPES`: an array, and a tensor that shares it."""
    if get_worker_info() is not None and math.prod(shape) * dtype.itemsize >= SMALL:
        tensor = _shared(shape, dtype)
        return tensor.numpy(), tensor
    array = np.empty(shape, NUMPY_DTYPES[dtype])
    return array, torch.from_numpy(array)


def _destination(pieces: Pieces, shape: Sequence[int]) -> Tensor | None:
    """An empty tensor for joined `pieces`: shared in a worker, else in huge pages; None if torch must allocate it.

    Torch allocates on other devices, if a gradient is needed, and for small tensors.
    """
    first = pieces[0]
    byte_count = math.prod(shape) * first.dtype.itemsize
    in_worker = get_worker_info() is not None
    if byte_count < (SMALL if in_worker else _LARGE):
        return None
    # `out=` cannot record a gradient, nor be batched.
    if not first.is_cpu or any(piece.requires_grad for piece in pieces) or not are_calls_plain():
        return None
    if in_worker:
        return _shared(shape, first.dtype)
    return torch.from_numpy(np.empty(byte_count, np.uint8)).view(first.dtype).view(*shape)


def are_calls_plain() -> bool:
    """Whether torch only computes: nothing traces, fakes, batches or differentiates forwards what is called now.

    What is computed otherwise is of other kinds than `Tensor`, some of which look like one, and must not be kept.
    """
    return not is_compiling() and not _modes() and _transform() is None and forward_ad._current_level < 0


def lasting(make: Callable[[], Made]) -> Made:
    """The result of `make`, computed outside of inference mode: tensors made in that mode cannot be used in training."""
    if is_compiling() or not torch.is_inference_mode_enabled():
        return make()
    with torch.inference_mode(False):
        return make()


def settle(tensor: Tensor) -> Tensor:
    """`tensor` itself, or in a worker its copy, large ones in shared memory; for tensors that were not made by joining."""
    if get_worker_info() is None or tensor.untyped_storage().is_shared() or not tensor.is_cpu or tensor.requires_grad:
        return tensor
    if tensor.nbytes < SMALL:
        return tensor.clone(memory_format=torch.contiguous_format)
    return _shared(tensor.shape, tensor.dtype).copy_(tensor)


def _shared(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    byte_count = math.prod(shape) * dtype.itemsize
    # As torch's `default_collate` does it; there is no public function.
    storage: torch.UntypedStorage = torch.UntypedStorage._new_shared(byte_count)
    return torch.empty(0, dtype=dtype).set_(storage).view(*shape)
