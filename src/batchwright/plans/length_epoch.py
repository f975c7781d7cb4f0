"""An epoch of a plan that cuts by cost: its windows one after the other, and what a run is given of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .cut import Cut, Integers, arranged
from .micro_batches import MicroBatches
from .refit import Remainder, Trail
from .windows import Begin, Layout

if TYPE_CHECKING:
    from .lengthwise import LengthPlan

__all__ = ["LengthEpoch", "Section", "Windows"]

_WINDOWS_KEPT = 2


class Windows:
    """The items of every micro-batch of an epoch, as a run has them that began it with this multiple.

    Where windows are stretches of an order, each begins where the one before it ended; the beginnings that were found are
    kept with the plan.

    Attributes:
        spare: how many micro-batches more the last window can be split into.

    Args:
        plan: whose epoch it is.
        epoch: which.
        layout: its windows.
        known: a window, and where it begins; the first one, at the epoch's own place, if left out.
        spare: so many items more than micro-batches the last window is to have.
    """

    def __init__(
        self,
        plan: LengthPlan,
        epoch: int,
        layout: Layout,
        *,
        known: Callable[[], tuple[int, Begin]] | None = None,
        spare: int = 0,
    ) -> None:
        self._plan, self._epoch, self.layout = plan, epoch, layout
        self._known = known
        self._ready: dict[int, tuple[Integers, Cut]] = {}
        self.spare = spare if layout.firsts is None else plan.spare_of_last(layout)

    def __len__(self) -> int:
        return self.layout.length

    def __getitem__(self, number: int) -> Integers:
        window, place = self.layout.window_of(number)
        items, cut = self.window(window)
        return items[cut.batch(place)]

    @property
    def kept(self) -> int:
        """Where the last window begins."""
        return (self.layout.windows - 1) * self.layout.batches

    def begin_before(self, number: int) -> tuple[int, Begin]:
        """A window from whose beginning a micro-batch is found soonest, and that beginning.

        It is the window of the micro-batch; the first one where the epoch itself began elsewhere than at its own place, or
        windows need no others to begin.
        """
        if self.layout.firsts is not None or self.begin(0) != self._plan.begin_of(self._epoch):
            return 0, self.begin(0)
        window, _ = self.layout.window_of(number)
        return window, self.begin(window)

    def window(self, window: int) -> tuple[Integers, Cut]:
        """The items of a window and its micro-batches as they come; the last windows asked for are kept."""
        found = self._ready.get(window)
        if found is None:
            plan, layout = self._plan, self.layout
            items, cut = self._planned(window)
            if layout.multiple > 1:
                cut = plan.cutter.levelled(items, cut, layout.multiple)
            found = items, arranged(cut, layout.multiple, plan.key(self._epoch, window))
            self._ready[window] = found
            for old in list(self._ready)[:-_WINDOWS_KEPT]:
                self._ready.pop(old, None)
        return found

    @cached_property
    def _begins(self) -> dict[int, Begin]:
        """The beginnings of windows that are known by now."""
        own = {0: self._plan.begin_of(self._epoch)}
        return own if self._known is None else own | dict([self._known()])

    def begin(self, window: int) -> Begin:
        """Where a window begins; those before it are cut for it, from the nearest one that is known."""
        nearest = max(known for known in self._begins if known <= window)
        for earlier in range(nearest, window):
            self._planned(earlier)
        return self._begins[window]

    def end(self) -> Begin:
        """Where the last window ends, and the next epoch begins."""
        if self.layout.firsts is not None:
            return self._plan.begin_of(self._epoch + 1)
        return self.begin(self.layout.windows)

    def _planned(self, window: int) -> tuple[Integers, Cut]:
        """The items of a window and how they are cut, before they are levelled and arranged."""
        if self.layout.firsts is not None:
            return self._plan.layered(self._epoch, window, self.layout)
        items, cut, end = self._plan.stretch(self._epoch, window, self.layout, self.begin(window), self.spare)
        self._begins[window + 1] = end
        return items, cut


class Section(NamedTuple):
    """A stretch of a run that is one of the plan's epochs, or what is left of it.

    Attributes:
        first: the micro-batch of the run's epoch that this begins with; below 0 where it began before.
        epoch: of the plan.
        refits: see `Trail`.
        items: the items of its micro-batches.
    """

    first: int
    epoch: int
    refits: tuple[tuple[int, int], ...]
    items: Windows | Remainder


class LengthEpoch(MicroBatches):
    """The micro-batches of an epoch of a run: mostly one of the plan's epochs, or what is left of one.

    Attributes:
        consumed: where it begins: micro-batches before it are gone, given out under another multiple.
        planned: where what it is made of ends.
        sections: what it is made of, one or two.
    """

    def __init__(self, plan: LengthPlan, length: int, sections: Sequence[Section]) -> None:
        self._plan, self._length, self.sections = plan, length, sections
        self.consumed = max(0, sections[0].first)
        self.planned = sections[-1].first + len(sections[-1].items)

    def _section(self, number: int) -> Section:
        last = self.sections[-1]
        return last if last.first <= number else self.sections[0]

    def _micro_batch(self, number: int) -> np.ndarray:
        if number < self.consumed:
            raise IndexError(f"micro-batch {number} came before the run went on with another multiple")
        section = self._section(number)
        return self._plan.admission.emitted(section.items[number - section.first])

    def lists(self, first: int, stride: int) -> Iterator[list[int]]:
        """Micro-batches first, first + stride, ... to the end, each a fresh list of Python integers."""
        for place in range(first, self._length, stride):
            yield self._micro_batch(place).tolist()

    def standing(self, number: int) -> tuple[Trail, int]:
        """How the run has come to micro-batch `number`, and how many of the plan's epoch (or its rest) came before."""
        section = self._section(number)
        taken = number - section.first
        if taken == len(section.items):
            return Trail(section.epoch + 1, 0, section.items.end(), ()), 0
        return Trail(section.epoch, *section.items.begin_before(taken), section.refits), taken

    def __repr__(self) -> str:
        return f"<{self._length} micro-batches of {self._plan!r}>"
