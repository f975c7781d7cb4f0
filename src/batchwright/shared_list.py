"""A list of Python objects that the workers of a loader share."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from pickle import loads
from typing import Any, Generic, TypeVar, overload

import torch

from .errors import Infeasible, said, typed
from .readings import check_count

__all__ = ["SharedList"]

Item = TypeVar("Item")


class SharedList(Sequence[Item], Generic[Item]):
    """An immutable list whose items are kept, pickled, in one block of shared memory.

    A forked worker that reads an item of a Python list writes to its reference count, and so copies the memory page. In
    time every worker has a copy of all file names and annotations. A spawned worker gets a copy at its start. Here
    nothing is written: all workers read the same block. An item is unpickled each time it is read.

    Args:
        items: an iterable of objects that can be pickled, usually strings, tuples or dictionaries; read once.

    Example:
        >>> import batchwright as bw
        >>> names = bw.SharedList(f"{i:06}.jpg" for i in range(1000))
        >>> names[17], names[-1], len(names), names[2:4]
        ('000017.jpg', '000999.jpg', 1000, ['000002.jpg', '000003.jpg'])
    """

    def __init__(self, items: Iterable[Item]) -> None:
        check_count(items, "items")
        block = bytearray()
        ends = [0]
        for item in items:
            try:
                block += pickle.dumps(item, protocol=pickle.HIGHEST_PROTOCOL)
            except (
                Exception
            ) as error:  # what pickle raises for a type that it cannot find, and the type itself, differs
                raise Infeasible(
                    f"item {len(ends) - 1} is {typed(item)}, which is not pickled ({said(error)})",
                    "pass items that can be pickled",
                ) from error
            ends.append(len(block))
        tensors = torch.frombuffer(block or bytearray(1), dtype=torch.uint8), torch.tensor(ends)
        for tensor in tensors:
            tensor.share_memory_()  # without a type in torch's stubs
        self.__setstate__(tensors)

    def __getstate__(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self._tensors  # torch shares their memory with the process that unpickles them

    def __setstate__(self, tensors: tuple[torch.Tensor, torch.Tensor]) -> None:
        self._tensors = tensors
        self._block, self._ends = (
            tensor.numpy().data for tensor in tensors
        )  # a memoryview is read faster than a tensor

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        """An item, or the list of the items of a slice."""
        ends, place = self._ends, index
        if type(place) is not int or not 0 <= place < len(ends) - 1:  # else it is used as it is, in half the time
            if isinstance(index, slice):
                return [self[i] for i in range(*index.indices(len(self)))]
            place = self._place(index)
        item: Item = loads(self._block[ends[place] : ends[place + 1]])
        return item

    def _place(self, index: int) -> int:
        """The number of an item, from 0, by an index of any type, which may count from the end."""
        try:
            return range(len(self))[index]
        except (TypeError, IndexError):
            raise
        except Exception as error:  # the user's own type, which cannot be converted
            raise TypeError(f"items are numbered by integers, this is {typed(index)} ({said(error)})") from error

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
