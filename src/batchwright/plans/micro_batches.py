"""An epoch as a sequence: what every kind of plan shares of it."""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Sequence
from typing import overload

import numpy as np

from ..errors import Infeasible
from ..kernels.apportion import MOST_ROUNDS
from ..kernels.deal import HANDS

__all__ = ["MicroBatches", "counted"]

_LAST = MOST_ROUNDS * HANDS - 1


def counted(batch: int) -> int:
    """The number of a micro-batch of an endless plan.

    Raises:
        IndexError: it is negative.
        Infeasible: it is past the last that can be dealt.
    """
    number = operator.index(batch)
    if number < 0:
        raise IndexError(f"micro-batch {number}: an endless plan counts from 0")
    if number > _LAST:
        raise Infeasible(f"micro-batch {number} is past the last, {_LAST}", f"ask for 0 to {_LAST}")
    return number


class MicroBatches(Sequence[np.ndarray]):
    """A sequence of micro-batches, each made when it is asked for.

    Attributes:
        _length: how many there are, set by whoever implements it.
    """

    _length: int

    @abstractmethod
    def _micro_batch(self, number: int) -> np.ndarray:
        """The samples of micro-batch `number`, 0 to length - 1."""

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, number: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, number: slice) -> list[np.ndarray]: ...
    def __getitem__(self, number: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(self._length))]
        place = operator.index(number)
        if not -self._length <= place < self._length:
            raise IndexError(f"micro-batch {place} of an epoch of {self._length}")
        return self._micro_batch(place % self._length)
