"""Endless lists of micro-batches: what a run goes along, and the stretches of them that are its epochs."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np

from .errors import Infeasible
from .kernels.apportion import MOST_ROUNDS
from .kernels.deal import HANDS

__all__ = ["AS_IT_WAS", "LAST", "MicroBatches", "Stretch", "counted"]

AS_IT_WAS = "load what state_dict() gave, as it was"
LAST = MOST_ROUNDS * HANDS - 1  # the last micro-batch of an endless list: the kernels count in 64 bits


def counted(batch: int) -> int:
    """The number of a micro-batch of an endless list.

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


class MicroBatches(ABC):
    """An endless list of micro-batches, each made when it is asked for: a plan, or a plan whose step size changes.

    Attributes:
        epoch_batches: micro-batches in an epoch, before it is rounded up to a multiple of world size x accumulate.
        step: micro-batches that belong together, and begin at a multiple of their number: they have like costs, one bucket,
            or one task. 1 where that means nothing.
        first: the first micro-batch that is known. Above 0 only in a run that went on with another step size: what came
            before is not in its state.
    """

    epoch_batches: int
    step: int = 1
    first: int = 0

    @abstractmethod
    def __getitem__(self, batch: int) -> np.ndarray:
        """The samples of micro-batch `batch`, int64 (samples of the micro-batch,)."""

    @abstractmethod
    def stepped(self, step: int) -> MicroBatches:
        """The plan with steps of `step` micro-batches."""

    def lists(self, first: int, stride: int, count: int) -> Iterator[list[Any]]:
        """Micro-batches first, first + stride, ..., `count` of them, each a fresh list of Python integers."""
        for number in range(count):
            yield self[first + number * stride].tolist()

    def gone_on_from(self, batch: int, step: int) -> tuple[MicroBatches, int]:
        """This list with steps of `step` from the earliest place where nothing is lost or repeated for it.

        Args:
            batch: where the run stands; its steps begin there, `step` micro-batches later, and so on.
            step: micro-batches in a step of the run from there on.

        Returns:
            The list to go on with, and the number that micro-batch `batch` has in it.
        """
        return self, batch

    def reached(self, batch: int) -> tuple[MicroBatches, int]:
        """The simplest list that is the same from `batch` on, and the number that micro-batch `batch` has in it."""
        return self, batch

    def uneven(self, batch: int, step: int) -> str | None:
        """What it costs to go on from `batch` in steps of `step`, in words; None where it costs nothing."""
        return None

    def carried(self, batch: int, since: int) -> dict[str, Any]:
        """What a state holds beside the number `batch`, so that going on from there is exact and takes constant time.

        Args:
            batch: the micro-batch that comes next.
            since: the micro-batch that the run's epoch began with.
        """
        return {}

    def epochs_before(self, batch: int) -> float:
        """How many epochs came before this micro-batch."""
        return batch / self.epoch_batches

    def check_batch(self, batch: int) -> None:
        """Refuse to go on from a micro-batch of which nothing is known.

        Raises:
            Infeasible: on every rank alike.
        """
        if batch < self.first:
            raise Infeasible(
                f"micro-batch {batch} came before the run went on in another world, at micro-batch {self.first}",
                f"go on from micro-batch {self.first} or a later one, or with another epoch",
            )


class Stretch(Sequence[np.ndarray]):
    """Consecutive micro-batches of an endless list: an epoch of it, a sequence.

    Args:
        batches: the endless list.
        origin: its micro-batch that this begins with. It may be below 0 where a run went on in another world: those
            micro-batches are counted in the epoch, but are of no list.
        length: how many micro-batches.
    """

    def __init__(self, batches: MicroBatches, origin: int, length: int) -> None:
        self._batches, self._origin, self._length = batches, origin, length

    def lists(self, first: int, stride: int) -> Iterator[list[Any]]:
        """Micro-batches first, first + stride, ... to the end, each a fresh list of Python integers."""
        return self._batches.lists(self._origin + first, stride, max(0, -(-(self._length - first) // stride)))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[np.ndarray]:
        # Not by IndexError, as sequences do: a micro-batch that is not known is an error, not the end.
        return (self[number] for number in range(self._length))

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
        return self._batches[self._origin + place % self._length]

    def __repr__(self) -> str:
        return f"<{self._length} micro-batches of {self._batches!r}, from {self._origin} on>"
