"""A list of Python objects that a loader's workers share instead of copying."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar, overload

import torch

__all__ = ["SharedList"]

Item = TypeVar("Item")


class SharedList(Sequence[Item], Generic[Item]):
    """An immutable list whose items lie pickled, side by side, in one block of shared memory.

    A forked worker that only looks at an item of a plain list writes to it (its reference count), so that in time every
    worker holds a copy of all file names and annotations; a spawned worker is sent one at once. Here there is nothing
    to write to: forked and spawned workers look at the same block. An item is unpickled again each time it is asked for.

    Args:
        items: anything that can be pickled, usually strings, tuples or dictionaries; consumed once.

    Example:
        >>> import batchwright as bw
        >>> names = bw.SharedList(f"{i:06}.jpg" for i in range(1000))
        >>> names[17], names[-1], len(names), names[2:4]
        ('000017.jpg', '000999.jpg', 1000, ['000002.jpg', '000003.jpg'])
    """

    def __init__(self, items: Iterable[Item]) -> None:
        block = bytearray()
        ends = [0]
        for item in items:
            block += pickle.dumps(item, protocol=pickle.HIGHEST_PROTOCOL)
            ends.append(len(block))
        tensors = torch.frombuffer(block or bytearray(1), dtype=torch.uint8), torch.tensor(ends)
        for tensor in tensors:
            tensor.share_memory_()  # torch leaves it untyped
        self.__setstate__(tensors)

    def __getstate__(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self._tensors  # which stay shared when they are pickled

    def __setstate__(self, tensors: tuple[torch.Tensor, torch.Tensor]) -> None:
        self._tensors = tensors
        self._block, self._ends = (tensor.numpy().data for tensor in tensors)  # quicker to read than tensors

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        """An item, or a list of those of a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        item: Item = pickle.loads(self._block[self._ends[place] : self._ends[place + 1]])
        return item

    @property
    def nbytes(self) -> int:
        """Bytes of shared memory, however many workers there are."""
        return self._block.nbytes + self._ends.nbytes

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(_same, self, other))

    def __repr__(self) -> str:
        return f"<SharedList of {len(self)} items in {self.nbytes} bytes>"


def _same(one: Any, other: Any) -> bool:
    return bool(one == other)
