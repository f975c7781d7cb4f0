"""An epoch that goes on with another multiple: what is left of the old list, its end split to fit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import Infeasible
from .cut import Cut, Cutter, Integers, split_to
from .position import AS_IT_WAS
from .windows import Begin, Layout

if TYPE_CHECKING:
    from .length_epoch import Windows

__all__ = ["Remainder", "Trail", "spare_for"]


class Trail(NamedTuple):
    """What a position of a length plan says beside where it is.

    Attributes:
        epoch: the plan's epoch that this is about; a run of many refits may have begun it in another epoch of its own.
        window: a window of that epoch whose beginning is known.
        begin: where in the order it begins.
        refits: (multiple, micro-batches taken under it) of the epoch before each refit.
    """

    epoch: int
    window: int
    begin: Begin
    refits: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, numbers: tuple[int, ...]) -> Trail | None:
        """The inverse of `numbers`; None for none.

        Example:
            >>> Trail.of((3, 2, 500, 0, 8, 40)).refits
            ((8, 40),)
        """
        if not numbers:
            return None
        if len(numbers) < 4 or len(numbers) % 2:
            raise Infeasible(f"the state's trail has {len(numbers)} numbers", AS_IT_WAS)
        epoch, window, place, skipped, *refits = numbers
        pairs = tuple(zip(refits[::2], refits[1::2], strict=True))
        return cls(epoch, window, Begin(place, skipped), pairs)

    @property
    def numbers(self) -> tuple[int, ...]:
        """All of it in whole numbers, as a position holds it."""
        return (self.epoch, self.window, *self.begin, *(number for refit in self.refits for number in refit))


def spare_for(refits: Sequence[tuple[int, int]], multiple: int, layout: Layout) -> int:
    """How many micro-batches the last window is to be split into more, by refits that came before it began."""
    left, last, spare = layout.length, layout.last_batches, 0
    for (_, taken), (following, _) in pairwise([*refits, (multiple, 0)]):
        left -= taken
        more = -left % following
        spare += more if left >= last else 0
        left, last = left + more, last + more
    return spare


class Remainder:
    """The micro-batches of an epoch from `taken` on, their number rounded up to a multiple.

    All windows but the last stay as they were; of what is left of the last one, the dearest micro-batches are split to make
    up the number.

    Attributes:
        kept: where the last window begins.
        spare: how many micro-batches more the last window can be split into.

    Raises:
        Infeasible: fewer samples are left than a step needs.
    """

    def __init__(self, epoch: Windows | Remainder, taken: int, multiple: int, cutter: Cutter) -> None:
        if not 0 <= taken <= len(epoch):
            raise Infeasible(f"the state has taken {taken} of {len(epoch)} micro-batches", AS_IT_WAS)
        self._epoch, self._taken, self._cutter = epoch, taken, cutter
        self._left = len(epoch) - taken
        self._more = -self._left % multiple
        self.kept: int = max(0, epoch.kept - taken)
        self._tail: list[Integers] = []
        spare = epoch.spare if self.kept else sum(batch.size - 1 for batch in self._last())
        self.spare: int = spare - self._more
        self._multiple = multiple
        if self.spare < 0:
            raise self._too_few(spare)

    def __len__(self) -> int:
        return self._left + self._more

    def __getitem__(self, number: int) -> Integers:
        if number < self.kept:
            return self._epoch[self._taken + number]
        return self.split()[number - self.kept]

    def split(self) -> list[Integers]:
        """The micro-batches of the last window, as many as are to be made of what is left of it.

        Raises:
            Infeasible: it has fewer samples than that.
        """
        if not self._tail and len(self) > self.kept:
            self._tail = self._split()
        return self._tail

    def begin_before(self, number: int) -> tuple[int, Begin]:
        """The window that is needed to go on from a micro-batch, and where in the order it begins."""
        return self._epoch.begin_before(self._taken + min(number, self.kept))

    def begin(self, window: int) -> Begin:
        """Where a window of the epoch as it began begins."""
        return self._epoch.begin(window)

    def end(self) -> Begin:
        """Where the epoch that follows begins."""
        return self._epoch.end()

    def _too_few(self, spare: int) -> Infeasible:
        return Infeasible(
            f"{self._left} micro-batches are left of the epoch, a step has {self._multiple}, and splitting the last ones "
            f"gives {spare} more at most",
            "go on with a smaller world_size or accumulate, or call set_epoch with the next epoch instead",
        )

    def _last(self) -> list[Integers]:
        """What is left of the last window, as it was."""
        return [self._epoch[self._taken + number] for number in range(self.kept, self._left)]

    def _split(self) -> list[Integers]:
        last = self._last()
        samples = np.concatenate(last)
        offsets = np.concatenate([[0], np.cumsum([batch.size for batch in last])])
        cut = Cut(np.arange(samples.size), offsets, np.array([self._cutter.cost(batch) for batch in last]))
        if samples.size < len(last) + self._more:
            raise self._too_few(samples.size - len(last))
        cut = split_to(cut, len(last) + self._more, samples, self._cutter)
        return [samples[cut.batch(number)] for number in range(len(cut))]
