"""An epoch as a sequence: what every kind of plan shares of it."""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Sequence
from typing import overload

import numpy as np

from ..errors import Infeasible, shown
from ..kernels.apportion import MOST_ROUNDS
from ..kernels.deal import HANDS
from .position import AS_IT_WAS, Position

__all__ = ["LAST", "MicroBatches", "check_stretch", "counted"]

LAST = MOST_ROUNDS * HANDS - 1


def counted(batch: int) -> int:
    """The number of a micro-batch of an endless plan.

    Raises:
        IndexError: it is negative.
        Infeasible: it is past the last that can be dealt.
    """
    number = operator.index(batch)
    if number < 0:
        raise IndexError(f"micro-batch {number}: an endless plan counts from 0")
    if number > LAST:
        raise Infeasible(f"micro-batch {number} is past the last, {LAST}", f"ask for 0 to {LAST}")
    return number


def check_stretch(position: Position, begin: int, length: int) -> None:
    """Refuse a position in an epoch of `length` micro-batches that begins at micro-batch `begin` of an endless plan.

    What came before the position may be said to lie below 0, where a larger world began the epoch.

    Raises:
        Infeasible: the position is not in the epoch, or the rest of the epoch is none that can be dealt.
    """
    if position.consumed > length or begin + position.consumed < 0 or position.trail:
        raise Infeasible(
            f"the state has consumed {position.consumed} micro-batches of an epoch of {length} from {shown(begin)} on"
            + (f", with a trail of {len(position.trail)} numbers" if position.trail else ""),
            AS_IT_WAS,
        )
    if begin + length > LAST + 1:
        raise Infeasible(
            f"epoch {position.epoch} ends at micro-batch {shown(begin + length)}, the last is {LAST}",
            "ask for an earlier epoch",
        )


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
