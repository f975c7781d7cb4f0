"""The windows of a plan by lengths: consecutive micro-batches that are planned together.

A window takes a number of items and cuts them into a known number of micro-batches. Three kinds:

- `OrderWindows`, with `order=`: windows are ranges of the order. Each is filled with as many items as fit, and the next
  window begins with the item after them. An epoch is a fixed number of micro-batches; the next epoch continues in the
  order.
- `StratumWindows`, without `order=`, if an epoch has at least two windows, or there are several limits: every epoch has the
  same samples, and each window has one sample of every stratum of lengths. No window depends on another.
- `ShuffleWindows`, without `order=`, for buckets, and if one window is a whole epoch: every epoch has the same samples, and
  windows are ranges of a plain shuffle, that of `bw.shuffled(n, 1, seed=seed)`.

The last two are `EpochWindows`. `plans/laid_out.py` decides which kind a plan has: budgets without `order=` always have
strata, and only buckets have several windows of the shuffle.

A *boundary* is a micro-batch at which a run can change to another step size without losing or repeating anything: with
`order=` the start of a window, otherwise the start of an epoch. `plans/changed_steps.py` shows how a run changes there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from ..errors import Infeasible
from ..kernels.array_types import Integers
from ..micro_batches import AS_IT_WAS
from ..orders import Order
from .admission import Admission
from .cut import Cut
from .cutter import Cutter, Prefixes
from .layout import EpochLayout
from .length_strata import LengthStrata

_ITEMS_READY = 1 << 20  # items that `PlannedWindows` keeps at most: 16 MB
# Cuts of a window in which items are left out in proportion to the excess; then bisection. Most windows need one or
# two; if the first items are far longer than the others, proportion alone took 84 cuts.
_IN_PROPORTION = 16

__all__ = ["PlannedWindows", "ShuffleWindows", "StratumWindows", "Windows", "fitting", "most_that_fit"]


class Windows(ABC):
    """The windows of an endless sequence of micro-batches.

    A `window` is the number of a window, counted through all epochs. A `window_in_epoch` is counted from the start of
    its epoch.

    Attributes:
        epoch_batches: micro-batches in an epoch.
    """

    epoch_batches: int

    @abstractmethod
    def window_and_place(self, batch: int) -> tuple[int, int]:
        """The window of a micro-batch, and its place in that window."""

    @abstractmethod
    def cut_window(self, window: int) -> tuple[Integers, Cut]:
        """The items of a window and how they are cut, before costs are made equal within steps and all is shuffled."""

    @abstractmethod
    def next_boundary(self, batch: int) -> int:
        """The first boundary at or after `batch`: no window (without `order=`: no epoch) extends across it."""

    @abstractmethod
    def expected_items(
        self, first: int, last: int, items: Callable[[Integers], Integers]
    ) -> Iterator[tuple[int, int, Integers]]:
        """For an audit: which items the micro-batches from `first` to `last` must hold, boundary by boundary.

        Yields:
            The first micro-batch of a part, the one behind its last, and the items that it must hold, in any order.
        """

    @property
    @abstractmethod
    def places_per_batch(self) -> float:
        """How many places of the order a micro-batch takes, on average."""

    def places_before(self, batch: int) -> float:
        """How many places of the order were taken before a micro-batch; within a window, an estimate."""
        return batch * self.places_per_batch

    @property
    @abstractmethod
    def batches_between_boundaries(self) -> int:
        """Micro-batches between two boundaries."""

    @abstractmethod
    def batch_at(self, before: Windows, at: int) -> int:
        """The micro-batch of this sequence that follows boundary `at` of `before`, other windows of the same plan."""

    def starts_after(self, at: int, number: int) -> list[list[int]]:
        """Where in the order the window before boundary `at` ends: window `number` of another sequence begins there.

        Returns:
            As `known_starts`; empty if the number of a window says where it begins.
        """
        return []

    @property
    def first_batch(self) -> int:
        """The first micro-batch that this sequence can give; see `MicroBatches.first`."""
        return 0

    def epoch_and_window(self, window: int) -> tuple[int, int]:
        """The epoch of a window, and its `window_in_epoch`: the shuffle of its steps depends on these and the seed.

        With `order=`, where windows extend over epochs, all windows count as of epoch 0: it returns 0 and `window`.
        """
        return 0, window

    def epoch_of(self, batch: int) -> int:
        """The epoch of the window that has a micro-batch."""
        return self.epoch_and_window(self.window_and_place(batch)[0])[0]

    def known_starts(self, since: int, batch: int) -> list[list[int]]:
        """Where a few windows begin, for a state, so that a run can resume at `batch` in constant time.

        Args:
            since: the micro-batch that the run's epoch began with.
            batch: the micro-batch that comes next.

        Returns:
            For each window its number, the place in the order where it begins and the items skipped there, ascending;
            empty if the number of a window says where it begins.
        """
        return []

    def knows(self, starts: Sequence[Sequence[int]], window: int) -> bool:
        """Whether `starts`, as a state holds it, is enough to resume at a window."""
        return not starts or starts[-1][0] <= window

    def with_starts(self, starts: Sequence[Sequence[int]]) -> Windows:
        """The same windows, given where some of them begin; the inverse of `known_starts`."""
        return self


class PlannedWindows:
    """Keeps windows that were planned on the way to a later one. Each is returned once; the oldest are dropped."""

    def __init__(self) -> None:
        self._windows: dict[int, tuple[Integers, Cut]] = {}
        self._items = 0

    def put(self, window: int, items: Integers, cut: Cut) -> None:
        """Keep a window until it is returned."""
        self.pop(window)
        self._windows[window] = items, cut
        self._items += items.size
        while self._items > _ITEMS_READY:
            self.pop(next(iter(self._windows)))

    def pop(self, window: int) -> tuple[Integers, Cut] | None:
        """Return a window and keep it no longer; None if it is not kept."""
        found = self._windows.pop(window, None)
        self._items -= 0 if found is None else found[0].size
        return found

    def __reduce__(self) -> tuple[type[PlannedWindows], tuple[()]]:
        return PlannedWindows, ()  # pickled empty: another process plans its own windows


class EpochWindows(Windows):
    """Windows of epochs that all have the same samples."""

    def __init__(self, layout: EpochLayout, epoch_samples: int) -> None:
        self.layout, self._epoch_samples = layout, epoch_samples
        self.epoch_batches = layout.epoch_batches

    def window_and_place(self, batch: int) -> tuple[int, int]:
        """See `Windows`."""
        epoch, place_in_epoch = divmod(batch, self.epoch_batches)
        window_in_epoch, place_in_window = self.layout.window_and_place(place_in_epoch)
        return epoch * self.layout.window_count + window_in_epoch, place_in_window

    def next_boundary(self, batch: int) -> int:
        """See `Windows`: where an epoch ends."""
        return -(-batch // self.epoch_batches) * self.epoch_batches

    @property
    def places_per_batch(self) -> float:
        """See `Windows`."""
        return self._epoch_samples / self.epoch_batches

    @property
    def batches_between_boundaries(self) -> int:
        """See `Windows`."""
        return self.epoch_batches

    def expected_items(
        self, first: int, last: int, items: Callable[[Integers], Integers]
    ) -> Iterator[tuple[int, int, Integers]]:
        """See `Windows`: every epoch is a part, and must hold all items."""
        wanted = items(np.arange(self._epoch_samples))
        for start in range(first, last, self.epoch_batches):
            yield start, start + self.epoch_batches, wanted

    def batch_at(self, before: Windows, at: int) -> int:
        """See `Windows`: the start of the same epoch."""
        return at // before.epoch_batches * self.epoch_batches

    def epoch_and_window(self, window: int) -> tuple[int, int]:
        """See `Windows`."""
        return divmod(window, self.layout.window_count)


class StratumWindows(EpochWindows):
    """Windows of which each has one sample of every stratum of lengths. No window depends on another."""

    def __init__(self, layout: EpochLayout, epoch_samples: int, strata: LengthStrata, cutter: Cutter) -> None:
        super().__init__(layout, epoch_samples)
        self._strata, self._cutter = strata, cutter

    def cut_window(self, window: int) -> tuple[Integers, Cut]:
        """See `Windows`."""
        layout = self.layout
        assert layout.largest_cut is not None
        items = self._strata.items_of_window(*self.epoch_and_window(window), layout.window_count)
        cut = self._cutter.cut(items, layout.batches, layout.step_size)
        # A heuristic (packs, several budgets, `round_count`) may need one more for shorter samples. Then the cut of the
        # longest items of all strata is taken: item i of the window is of stratum i, so it fits where the longest of this
        # stratum did. Some windows have no item of the last stratum.
        if len(cut) > layout.batches:
            cut = self._cutter.split_to(layout.largest_cut.below(items.size), layout.batches, items)
        return items, cut


class ShuffleWindows(EpochWindows):
    """Windows that are ranges of a plain shuffle; each epoch has all samples.

    A window takes items up to a fixed place, or fewer if it is full; the next window begins with the item after them.
    The last windows of an epoch have spare room for the items that are left, and are planned together. If the items do
    not fit when the windows are filled one after the other, all last windows are cut as one window.

    Args:
        layout: the windows of an epoch.
        epoch_samples: places of the order in an epoch.
        order: the shuffle.
        admission: which samples are items.
        cutter: how items are cut.
        starts: for some windows, the place of the order where they begin.
    """

    def __init__(
        self,
        layout: EpochLayout,
        epoch_samples: int,
        order: Order,
        admission: Admission,
        cutter: Cutter,
        starts: Mapping[int, int] | None = None,
    ) -> None:
        super().__init__(layout, epoch_samples)
        self._order, self._admission, self._cutter = order, admission, cutter
        self._starts = dict(starts or {})  # only of one epoch, the one planned last: a run goes through them one by one
        self._last: tuple[int, list[tuple[Integers, Cut]]] = -1, []  # an epoch, and its last windows
        self._ready = PlannedWindows()

    def cut_window(self, window: int) -> tuple[Integers, Cut]:
        """See `Windows`."""
        ready = self._ready.pop(window)
        if ready is not None:
            return ready
        epoch, window_in_epoch = self.epoch_and_window(window)
        if window_in_epoch < self.layout.regular_windows:
            start = self._start(window)
            end = epoch * self._epoch_samples + self.layout.end(window_in_epoch, self._epoch_samples)
            wanted = self.layout.batches_in(window_in_epoch)
            # Only buckets have such windows, and of buckets every sample is an item: `start + held` is a place of the order.
            items = self._order.take(start, max(end, start + wanted))
            held, cut = fitting(self._cutter.prefixes(items, self.layout.step_size), items.size, wanted)
            self._starts[window + 1] = start + held
            return items[:held], cut
        if self._last[0] != epoch:
            start = self._start(window - window_in_epoch + self.layout.regular_windows)
            items = self._admission.items(self._order.take(start, (epoch + 1) * self._epoch_samples))
            self._last = epoch, self._rest(items, start - epoch * self._epoch_samples)
        return self._last[1][window_in_epoch - self.layout.regular_windows]

    def known_starts(self, since: int, batch: int) -> list[list[int]]:
        """See `Windows`."""
        window, _ = self.window_and_place(batch)
        _, window_in_epoch = self.epoch_and_window(window)
        window -= max(0, window_in_epoch - self.layout.regular_windows)  # the last windows are planned together
        return [[window, self._start(window), 0]] if window_in_epoch else []

    def with_starts(self, starts: Sequence[Sequence[int]]) -> ShuffleWindows:
        """See `Windows`."""
        for window, place, skipped in starts:
            epoch, window_in_epoch = self.epoch_and_window(window)
            epoch_start = epoch * self._epoch_samples
            known = epoch >= 0 and 0 <= place - epoch_start <= self._epoch_samples and skipped == 0
            # What is left of the epoch must fill the micro-batches that are left, and they must hold it.
            if known and window_in_epoch:
                left = self._admission.items(self._order.take(place, epoch_start + self._epoch_samples))
                batches = self.epoch_batches - window_in_epoch * self.layout.batches
                known = left.size >= batches >= self._cutter.batches_needed(left, self.layout.step_size)
            if not known:
                raise Infeasible(f"the state says that window {window} begins at place {place}", AS_IT_WAS)
        found = {window: place for window, place, _ in starts}
        return ShuffleWindows(self.layout, self._epoch_samples, self._order, self._admission, self._cutter, found)

    def _start(self, window: int) -> int:
        """Where a window begins: plans the windows before it, from the nearest one whose start is known."""
        epoch, window_in_epoch = self.epoch_and_window(window)
        first = window - window_in_epoch
        if first not in self._starts:
            of_epoch = range(first, first + self.layout.window_count)
            self._starts = {known: place for known, place in self._starts.items() if known in of_epoch}
            self._starts[first] = epoch * self._epoch_samples
        nearest = max(known for known in self._starts if first <= known <= window)
        for earlier in range(nearest, window):
            self._ready.put(earlier, *self.cut_window(earlier))
        return self._starts[window]

    def _rest(self, items: Integers, before: int) -> list[tuple[Integers, Cut]]:
        """Cut the last windows of an epoch; `items` are what is left of it after `before` places."""
        layout = self.layout
        found, taken = [], 0
        for window_in_epoch in range(layout.regular_windows, layout.window_count):
            wanted, last = layout.batches_in(window_in_epoch), window_in_epoch == layout.window_count - 1
            end = items.size if last else layout.end(window_in_epoch, self._epoch_samples) - before
            own = items[taken : max(end, taken + wanted)]
            if own.size < wanted:
                break
            held, cut = fitting(self._cutter.prefixes(own, layout.step_size), own.size, wanted)
            found.append((own[:held], cut))
            taken += held
        return found if taken == items.size else self._cut_as_one_window(items)

    def _cut_as_one_window(self, items: Integers) -> list[tuple[Integers, Cut]]:
        """Cut the last windows of an epoch as one window."""
        layout = self.layout
        wanted = [layout.batches_in(number) for number in range(layout.regular_windows, layout.window_count)]
        cut = self._cutter.cut(items, sum(wanted), layout.step_size)
        if len(cut) > sum(wanted):  # a heuristic's result may depend on the order of the items: try another
            items = np.sort(items)
            cut = self._cutter.cut(items, sum(wanted), layout.step_size)
        if len(cut) > sum(wanted):
            raise Infeasible(
                f"the last {items.size} samples of an epoch need {len(cut)} micro-batches, and {sum(wanted)} are left of it",
                'pass window="epoch"',
            )
        ends = np.cumsum(wanted)
        return [(items, cut.chosen(np.arange(end - count, end))) for end, count in zip(ends, wanted, strict=True)]


def fitting(prefixes: Prefixes, count: int, wanted: int) -> tuple[int, Cut]:
    """Take as many of the first `count` items as fit into `wanted` micro-batches: how many that are, and their cut.

    All cuts share the work limit of one window. Cutting the same items twice may then give different cuts; so the cut
    that was found to fit is returned, and the items are not cut again.

    While there are too many items, some are left out in proportion to the excess. If the first items are much longer
    than the others, that would take very many cuts; so after some cuts the number that fits is found by bisection.
    """
    prefixes = prefixes.for_window()
    cut = prefixes.cut(count, wanted)
    for _ in range(_IN_PROPORTION):
        if len(cut) <= wanted:
            return count, cut
        count = max(wanted, min(count * wanted // len(cut), count - 1))
        cut = prefixes.cut(count, wanted)
    if len(cut) <= wanted:
        return count, cut
    cut = prefixes.cut(wanted, wanted)  # one item in each micro-batch always fits

    def fits(some: int) -> bool:
        nonlocal cut
        tried = prefixes.cut(some, wanted)
        cut = tried if len(tried) <= wanted else cut
        return len(tried) <= wanted

    return most_that_fit(fits, wanted, count), cut


def most_that_fit(fits: Callable[[int], bool], fit: int, too_many: int, finest: int = 1) -> int:
    """Find the largest number that fits, or up to `finest` - 1 less, by bisection.

    Args:
        fits: whether a number fits.
        fit: a number that fits.
        too_many: a number that does not.
        finest: stop when the two differ by this much.
    """
    while too_many - fit > finest:
        middle = (fit + too_many) // 2
        if fits(middle):
            fit = middle
        else:
            too_many = middle
    return fit
