"""How a batch gets from a worker to the process that trains: small tensors as bytes, the others in shared memory.

Torch makes a file of shared memory for each tensor and passes its descriptor through a socket, which takes half a
millisecond however small the tensor is. The bytes of a small one are sent in a hundredth of that.
"""

from __future__ import annotations

import io
import pickle
from ctypes import string_at
from multiprocessing.reduction import ForkingPickler
from typing import Any, NoReturn

import torch
from torch._utils import ExceptionWrapper

from ..collate.memory import SMALL
from ..errors import Infeasible, said

__all__ = ["Sent"]


class Sent:
    """A batch that a worker sends; what is received is the batch itself.

    A batch that cannot be pickled raises in the loop that waits for it. Torch would only print the error, and the loop would
    never get a batch.

    Args:
        batch: any object that torch can send.
        fresh: whether no tensor of it is anybody else's, so that also those in shared memory may be copied.
    """

    def __init__(self, batch: Any, *, fresh: bool) -> None:
        self._batch = batch
        self._fresh = fresh

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            pickled = _pickled(self._batch, self._fresh)
        except Exception as error:
            pickled = pickle.dumps(_NotSent(said(error)))
        return pickle.loads, (pickled,)


class _NotSent(ExceptionWrapper):
    """What arrives in place of a batch that cannot be pickled; torch's loader calls `reraise` where its loop waits.

    Args:
        error: what pickling raised.
    """

    def __init__(self, error: str) -> None:
        self._error = error

    def reraise(self) -> NoReturn:
        """Refuse the batch."""
        raise Infeasible(
            f"a worker cannot send a batch: {self._error}",
            "let collate return what can be pickled, or pass num_workers=0",
        )


def _pickled(value: Any, fresh: bool) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, fresh).dump(value)
    return buffer.getvalue()


class _Pickler(ForkingPickler):
    """Pickles small tensors by their bytes; tensors that share memory in a batch share it where it is received."""

    def __init__(self, buffer: io.BytesIO, fresh: bool) -> None:
        super().__init__(buffer, pickle.HIGHEST_PROTOCOL)
        self._fresh = fresh

    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        if kind is torch.Tensor:
            if (
                value.is_cpu
                and value.layout is torch.strided
                and not (value.requires_grad or value.is_quantized or value.is_conj() or value.is_neg())
                and self._is_small(value.untyped_storage())
            ):
                shape, strides = tuple(value.shape), value.stride()
                return _tensor, (value.untyped_storage(), value.dtype, value.storage_offset(), shape, strides)
        elif kind is torch.UntypedStorage and value.device.type == "cpu" and self._is_small(value):
            return _storage, (bytearray(string_at(value.data_ptr(), value.nbytes())),)
        return NotImplemented

    def _is_small(self, storage: torch.UntypedStorage) -> bool:
        return 0 < storage.nbytes() < SMALL and (self._fresh or not storage.is_shared())  # torch has a way for none


def _storage(content: bytearray) -> torch.UntypedStorage:
    return torch.frombuffer(content, dtype=torch.uint8).untyped_storage()


def _tensor(
    storage: torch.UntypedStorage, dtype: torch.dtype, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> torch.Tensor:
    return torch.empty(0, dtype=dtype).set_(storage, offset, shape, strides)
