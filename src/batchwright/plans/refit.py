"""An epoch that goes on with another multiple: what is left of the old list, its end split to fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import Infeasible
from .cut import Cut, Cutter, split_to

__all__ = ["Remainder", "decoded", "encoded"]

_CONSUMED_BITS = 48
_MULTIPLE_BITS = 24
_STEP_BITS = _CONSUMED_BITS + _MULTIPLE_BITS


def encoded(refits: Sequence[tuple[int, int]]) -> int:
    """The (multiple, micro-batches taken under it) of an epoch before each refit, as one whole number; 0 for none.

    Example:
        >>> decoded(encoded([(8, 40), (2, 6)]))
        [(8, 40), (2, 6)]
    """
    number = 0
    for multiple, consumed in reversed(refits):
        number = (number << _STEP_BITS) | (multiple << _CONSUMED_BITS) | consumed
    return number


def decoded(number: int) -> list[tuple[int, int]]:
    """The inverse of `encoded`."""
    refits = []
    while number:
        step = number & ((1 << _STEP_BITS) - 1)
        refits.append((step >> _CONSUMED_BITS, step & ((1 << _CONSUMED_BITS) - 1)))
        number >>= _STEP_BITS
    return refits


class Remainder(Sequence[np.ndarray]):
    """The micro-batches of an epoch from `consumed` on, their number rounded up to a multiple.

    Nothing but the end is touched: as few of the last micro-batches as can be are split to make up the number.

    Raises:
        Infeasible: fewer samples are left than a step needs.
    """

    def __init__(self, epoch: Sequence[np.ndarray], consumed: int, multiple: int, cutter: Cutter) -> None:
        self._epoch, self._consumed = epoch, consumed
        left = len(epoch) - consumed
        self._length = -(-left // multiple) * multiple
        more = self._length - left
        tail: list[np.ndarray] = []
        spare = 0
        while spare < more and len(tail) < left:
            tail.append(epoch[len(epoch) - 1 - len(tail)])
            spare += tail[-1].size - 1
        if spare < more:
            raise Infeasible(
                f"{left} micro-batches of {left + spare} samples are left of the epoch, a step has {multiple}",
                "go on with a smaller world_size or accumulate, or at the next epoch",
            )
        self._kept = left - len(tail)
        self._tail: list[np.ndarray] = []
        if tail:
            tail.reverse()
            samples = np.concatenate(tail)
            offsets = np.concatenate([[0], np.cumsum([batch.size for batch in tail])])
            cut = Cut(np.arange(samples.size), offsets, np.array([cutter.cost(batch) for batch in tail]))
            cut = split_to(cut, len(tail) + more, samples, cutter)
            self._tail = [samples[cut.batch(number)] for number in range(len(cut))]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number):  # type: ignore[no-untyped-def]
        if number < self._kept:
            return self._epoch[self._consumed + number]
        return self._tail[number - self._kept]
