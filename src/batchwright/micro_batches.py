"""Endless sequences of micro-batches, and slices of them, such as epochs."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, overload

import numpy as np

from .errors import Infeasible, said, typed
from .kernels.apportion import MOST_ROUNDS
from .kernels.deal_arguments import ROUND
from .public import internal

__all__ = [
    "AS_IT_WAS",
    "LAST",
    "MOST_RANKS",
    "MicroBatches",
    "Slice",
    "counted",
    "later_epoch",
    "not_known",
    "whole_steps",
]

AS_IT_WAS = "load what state_dict() gave, as it was"
# The last micro-batch of an endless sequence: 89 * 2**32 - 1, since `kernels.apportion` counts 2**32 rounds of 89.
LAST = MOST_ROUNDS * ROUND - 1
MOST_RANKS = 1 << 17  # no run has so many: a larger number is a mistake, or of a damaged state


def counted(batch: int) -> int:
    """Check the number of a micro-batch.

    Raises:
        IndexError: it is negative.
        Infeasible: it is past the last that can be dealt.
    """
    try:
        number = operator.index(batch)
    except TypeError:
        raise
    except Exception as error:  # the user's own type, which cannot be converted
        raise TypeError(f"micro-batches are numbered by integers, this is {typed(batch)} ({said(error)})") from error
    if number < 0:
        raise IndexError(f"micro-batch {number}: an endless plan counts from 0")
    if number > LAST:
        raise Infeasible(f"micro-batch {number} is past the last, {LAST}", f"ask for 0 to {LAST}")
    return number


def whole_steps(batches: int, step_size: int) -> int:
    """A number of micro-batches, rounded up to whole steps."""
    return -(-batches // step_size) * step_size


def later_epoch(first: int, epoch_batches: int) -> str:
    """What to ask for, in a message, where micro-batches before `first` are not known any more."""
    epoch = -(-first // epoch_batches)
    return f"a later epoch: report(epoch={epoch}), sampler.audit(first={epoch})"


def not_known(batch: int, first: int, epoch_batches: int, step_size: int) -> Infeasible:
    """The refusal of a micro-batch that came before the first that is known, in steps of this size; LAST if none is."""
    if first >= LAST:
        return Infeasible(
            f"shares were set so often that micro-batches in steps of {step_size} are not known any more",
            "ask with the world_size and the accumulate of the run",
        )
    return Infeasible(
        f"micro-batch {batch} came before micro-batch {first}, the first that the run still knows",
        f"go on from micro-batch {first}, or ask for {later_epoch(first, epoch_batches)}",
    )


class MicroBatches(ABC):
    """An endless sequence of micro-batches, each computed when needed: a plan, or a plan whose step size changes.

    Attributes:
        epoch_batches: micro-batches in an epoch, before rounding up to a multiple of world size x accumulate.
        step_size: micro-batches in a step: those numbered k * step_size to (k + 1) * step_size - 1 belong together. They
            have like costs, one bucket, or one task. 1 where steps mean nothing.
        first: the first micro-batch that this sequence can give. Above 0 only after the run changed its step size: its
            state does not hold what came before.
        set_shares: the shares that were set during a run, of plans by lengths; see `plans.set_shares`.
        whole_epochs: whether an epoch of a run always ends where one of this sequence ends, as in evaluation. Otherwise
            a run that resumes with another step size rounds the rest of its epoch, and the next epoch begins after it.
    """

    epoch_batches: int
    step_size: int = 1
    first: int = 0
    set_shares: tuple[Any, ...] = ()
    whole_epochs: bool = False

    @abstractmethod
    def __getitem__(self, batch: int) -> np.ndarray:
        """The samples of micro-batch `batch`, int64 (samples of the micro-batch,)."""

    @abstractmethod
    def stepped(self, step_size: int) -> MicroBatches:
        """The same plan with steps of `step_size` micro-batches."""

    def draw_number(self, batch: int) -> int:
        """A part of the seeds of samples: it differs between micro-batches that share a sample.

        Where each sample comes once in an epoch it is the number of the epoch, so it stays the same when a change of the
        step size puts a sample into another micro-batch.
        """
        return batch

    def real(self, batch: int) -> int:
        """How many samples of a micro-batch count: all, but where plans for evaluation fill up; fillers stand last."""
        return len(self[batch])

    @internal
    def arrays(self, first: int, stride: int, count: int) -> Iterator[np.ndarray]:
        """Micro-batches first, first + stride, ..., `count` of them, each as `self[...]` gives it."""
        return (self[first + number * stride] for number in range(count))

    def lists(self, first: int, stride: int, count: int) -> Iterator[list[Any]]:
        """Micro-batches first, first + stride, ..., `count` of them, each a fresh list of Python integers."""
        return chain.from_iterable(self.computed_together(first, stride, count))

    @internal
    def computed_together(self, first: int, stride: int, count: int) -> Iterator[list[list[Any]]]:
        """Micro-batches first, first + stride, ..., `count` of them, as lists of integers, a few at a time."""
        for number in range(count):
            yield [self[first + number * stride].tolist()]

    def with_step_size_from(self, batch: int, step_size: int) -> tuple[MicroBatches, int]:
        """The same sequence; its step size changes as soon as that is possible without losing or repeating a sample.

        Args:
            batch: the micro-batch that comes next. The run's steps begin there, `step_size` micro-batches later, and so on.
            step_size: size of the run's steps from there on.

        Returns:
            The sequence for the rest of the run, and the number of micro-batch `batch` in it.
        """
        return self, batch

    @internal
    def without_past(self, batch: int) -> tuple[MicroBatches, int]:
        """Drop parts of the sequence that end before `batch`: the remaining sequence, and the number of `batch` in it."""
        return self, batch

    def retargeted(self, batch: int, shares: Any, *, in_samples: bool = False) -> tuple[MicroBatches, int, int]:
        """The sequence with other shares from the first round on that begins at `batch` or later.

        See `BatchSampler.retarget`.

        Returns:
            The sequence, its first micro-batch that may be another than before, and the first from which on all have these
            shares.

        Raises:
            Infeasible: the shares cannot be set.
        """
        raise Infeasible(
            f"the shares of {self!r} cannot be set",
            "retarget a plan of balanced or mixed with target=targets.moving(...), or one by lengths with such an order",
        )

    @internal
    def new_shares_at(self, batch: int) -> int:
        """The first micro-batch from which on all have the shares that were set last: `batch` or less if it has them."""
        return 0

    def with_shares_of(self, plan: Any) -> MicroBatches:
        """The same sequence with the shares that were set in `plan`, a plan of the same kind."""
        return self

    def warning_of_run(self, batch: int, end: int, step_size: int, world_size: int) -> str | None:
        """A warning of what it costs to run from `batch` on in steps of `step_size`, on so many ranks; None if nothing.

        The epoch of the run ends before micro-batch `end`.
        """
        return None

    def plan_state(self, batch: int, since: int) -> dict[str, Any]:
        """What a state must hold beside the number `batch`, so that a run can resume there in constant time.

        Args:
            batch: the micro-batch that comes next.
            since: the first micro-batch of the run's epoch.
        """
        return {}

    def epochs_before(self, batch: int) -> float:
        """The number of epochs before this micro-batch, with a fraction."""
        return batch / self.epoch_batches

    def check_batch(self, batch: int) -> None:
        """Refuse a micro-batch before `first`.

        Raises:
            Infeasible: the micro-batch is before `first`; all ranks raise it, or none.
        """
        if batch < self.first:
            if self.set_shares:
                raise not_known(batch, self.first, self.epoch_batches, self.step_size)
            raise Infeasible(
                f"micro-batch {batch} came before the run went on in another world, at micro-batch {self.first}",
                f"go on from micro-batch {self.first} or a later one, or with another epoch",
            )


class Slice(Sequence[np.ndarray]):
    """Consecutive micro-batches of an endless sequence, for example an epoch, as a sequence.

    Args:
        sequence: the endless sequence.
        origin: the first micro-batch. It may be below 0 after a change of the world size: those micro-batches count for
            the epoch's length only.
        count: how many micro-batches.
    """

    def __init__(self, sequence: MicroBatches, origin: int, count: int) -> None:
        self._sequence, self._origin, self._count = sequence, origin, count

    def lists(self, first: int, stride: int) -> Iterator[list[Any]]:
        """Micro-batches first, first + stride, ... to the end, each a fresh list of Python integers."""
        return self._sequence.lists(self._origin + first, stride, max(0, -(-(self._count - first) // stride)))

    def real(self, number: int) -> int:
        """How many samples of a micro-batch of these count; see `MicroBatches`."""
        return self._sequence.real(self._origin + number)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[np.ndarray]:
        # Without this, Python would take an IndexError for the end; here it may be a micro-batch that cannot be given.
        return self._arrays(range(self._count))

    def _arrays(self, numbers: range) -> Iterator[np.ndarray]:
        if self._origin < 0 or self._origin + self._count > LAST + 1:  # some of them are refused
            return (self[number] for number in numbers)
        return self._sequence.arrays(self._origin + numbers.start, numbers.step, len(numbers))

    @overload
    def __getitem__(self, number: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, number: slice) -> list[np.ndarray]: ...
    def __getitem__(self, number: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(number, slice):
            chosen = range(*number.indices(self._count))
            rising = chosen if chosen.step > 0 else chosen[::-1]
            found = list(self._arrays(rising))
            return found if rising is chosen else found[::-1]
        place = operator.index(number)
        if not -self._count <= place < self._count:
            raise IndexError(f"micro-batch {place} of an epoch of {self._count}")
        return self._sequence[self._origin + place % self._count]

    def __repr__(self) -> str:
        return f"<{self._count} micro-batches of {self._sequence!r}, from {self._origin} on>"
