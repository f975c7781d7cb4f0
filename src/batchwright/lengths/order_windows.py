"""Windows over a given order: each is filled, and the next begins with the item after its last."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import Infeasible, warn
from ..kernels.array_types import Integers
from ..kernels.cuts import count_within
from ..micro_batches import AS_IT_WAS, LAST, not_known, whole_steps
from ..orders import Order, ShardShuffle
from ..orders.shard_shuffle import LEAST_BATCHES
from .admission import Admission
from .cut import Cut
from .cutter import Cutter, Prefixes
from .layout import LAYOUT_WORK, Window, least_batches
from .windows import PlannedWindows, Windows, fitting, most_that_fit

__all__ = ["OrderWindows", "WindowStart"]

# How many places a window takes is measured by filling windows from all over the order: 4 at least, 16 at first, 64 at
# most; more than 4 only while they take no more than 32,768 places together, so that measuring takes less than a
# second. The mean of 64 is eight times as exact as one window.
_PROBES = 4, 16, 64
_PROBED = 1 << 15
# To fill a window, look at `_SLACK` x the mean places of a window, or at the mean + `_DEVIATIONS` x (the largest window
# that was measured - the mean), whichever is less; at twice as many if they are too few.
_SLACK = 9 / 8
_DEVIATIONS = 4
_ROOMY = 64  # look at the places of up to 64 mean windows for one: many short samples may follow each other
_SEARCHES = 3  # steps of the bisection of how much a search may add to a window: each is a search that takes seconds
# The number of items in a window is found to 1/1024 of it: finer takes more cuts and fills hardly more.
_FINEST = 1 << 10
_FIRST_REACH = 8  # that search leaves its guess by 1/8 of a micro-batch, and goes twice as far each time
_STARTS_KEPT = 1 << 12  # keep where this many windows begin at least, evenly spread; others are found from these
_SHORT_PASSES = 1 << 20  # samples: in passes over shards of so few, windows are no longer than an epoch from the start
_FILLED = 4  # an epoch of so many times the fewest steps for buckets is one window: short steps are an eighth at most
_FAR = 1 << 14  # filling more windows than this to find where one begins gives a warning: it takes some ten seconds


class WindowStart(NamedTuple):
    """Where in the order a window begins.

    Attributes:
        place: place of the order.
        skipped: how many pieces of the sample at `place` the window before already used.
    """

    place: int
    skipped: int = 0


class OrderWindows(Windows):
    """Windows that are filled with consecutive items of an order.

    How many items fit into a window depends on the items, so where a window begins depends on the windows before it.
    The places found so far are kept, and a state holds those that a run needs.

    Args:
        order: the order that is cut.
        admission: turns samples into items.
        cutter: how items are cut.
        epoch_samples: places in an epoch of the order.
        window: micro-batches in a window, or "epoch".
        step_size: micro-batches in a step.
        moves_over: epochs over which the composition of the order changes; 0 if it does not.
        in_steps_of_one: the same windows in steps of 1, which have measured how many places a window takes; measured here if
            left out.
    """

    def __init__(
        self,
        order: Order,
        admission: Admission,
        cutter: Cutter,
        *,
        epoch_samples: int,
        window: Window,
        step_size: int,
        moves_over: int,
        in_steps_of_one: OrderWindows | None = None,
    ) -> None:
        self._admission, self._cutter, self._step_size = admission, cutter, step_size
        self._orders: Sequence[tuple[WindowStart, Order]] = [(WindowStart(0), order)]  # see `over`
        self._starts = {0: WindowStart(0)}
        self._mean_size = 0.0  # mean sum of sizes in a window; 0 until measured
        self._first_known = 0  # the first window whose start is known
        self._ready = PlannedWindows()
        self._places_per_window = float(epoch_samples)  # places of the order in a window, on average
        self._slack = _SLACK  # places that are looked at to fill a window, as a multiple of that
        if in_steps_of_one is not None:
            self._follow(in_steps_of_one, window)
            return
        least = cutter.least_steps * step_size
        if window == "epoch":
            items = admission.items(order.take(0, epoch_samples))
            needed = cutter.batches_needed(items, step_size) if items.size else 0
            self.window_batches = self.epoch_batches = max(step_size, (needed - 1) // step_size * step_size)
            if cutter.least_steps == 1 or self.window_batches >= _FILLED * least:
                self._mean_size = float(cutter.sizes_of(items).sum())
                self._places_per_window *= self.window_batches / max(needed, 1)
                return
            self.window_batches = max(least_batches(needed, step_size), least)
        else:
            self.window_batches = max(least_batches(window, step_size), least)
        if isinstance(order, ShardShuffle) and epoch_samples <= _SHORT_PASSES:
            # To look at many passes for one window would take seconds, and it is shortened to an epoch in any case.
            needed = cutter.batches_needed(admission.items(order.take(0, epoch_samples)), step_size)
            if needed < LEAST_BATCHES:
                raise Infeasible(
                    f"the {epoch_samples} samples of the shards make {needed} micro-batches, fewer than {LEAST_BATCHES}",
                    "leave local out, or pass lower limits",
                )
            self.window_batches = max(min(self.window_batches, whole_steps(needed, step_size)), least)
        self._places_per_window = float(min(epoch_samples, self.window_batches))
        self._places_per_window, self._mean_size = self._measured(0)
        epochs, probed = max(1, moves_over), 0
        if self._places_per_window > epoch_samples / 2:  # the window may be longer than an epoch
            probed = self._probes(_PROBES[1])
            self._measure(epoch_samples, epochs, probed)
            if self.window_batches > self.epoch_batches:
                probed = 0  # a shorter window holds slightly less per micro-batch
            self._shorten()
        if self._probes(_PROBES[2]) > probed:
            self._measure(epoch_samples, epochs, self._probes(_PROBES[2]))
            self._shorten()

    def _probes(self, most: int) -> int:
        """How many windows are filled to measure what one takes: at most `most`."""
        return min(max(_PROBES[0], math.floor(_PROBED / self._places_per_window)), most)

    def _shorten(self) -> None:
        """Make a window no longer than an epoch, but as long as the cutter needs."""
        shorter = min(self.window_batches, max(self.epoch_batches, self._cutter.least_steps * self._step_size))
        self._places_per_window *= shorter / self.window_batches
        self.window_batches = shorter

    def _follow(self, measured: OrderWindows, window: Window) -> None:
        """Take over what windows in steps of 1 measured, so that a plan measures it once for all step sizes."""
        step_size = self._step_size
        self.epoch_batches = max(step_size, measured.epoch_batches // step_size * step_size)
        asked = self.epoch_batches if window == "epoch" else least_batches(window, step_size)
        self.window_batches = min(asked, self.epoch_batches)
        part = self.window_batches / measured.window_batches
        self._places_per_window, self._mean_size, self._slack = (
            measured._places_per_window * part,
            measured._mean_size * part,
            measured._slack,
        )

    def _measure(self, epoch_samples: int, epochs: int, probes: int) -> None:
        """Fill `probes` windows from all over these epochs: measures the places of a window and the epoch's length."""
        apart = max(1, epochs * epoch_samples // probes)
        places, sizes = zip(*(self._measured(at) for at in range(0, probes * apart, apart)), strict=True)
        # The harmonic mean: what counts is the number of windows in an epoch, and windows that take few places are more
        # frequent.
        self._places_per_window = probes / sum(1 / taken for taken in places)
        self._slack = min(_SLACK, 1 + _DEVIATIONS * (max(places) / self._places_per_window - 1))
        self._mean_size = sum(sizes) / probes
        batches = epoch_samples * self.window_batches / self._places_per_window
        self.epoch_batches = max(self._step_size, math.floor(batches / self._step_size) * self._step_size)

    def _measured(self, place: int) -> tuple[float, float]:
        """How many places a window takes that begins at a place, and the sum of the sizes of its items."""
        start = WindowStart(place)
        samples, prefixes, held, _ = self._filled(start, self._order.take(place, place + self._looked_at), LAYOUT_WORK)
        end = self._end(start, samples, held)
        return self._place_of(end) - place, float(self._cutter.sizes_of(prefixes.items[:held]).sum())

    def window_and_place(self, batch: int) -> tuple[int, int]:
        """See `Windows`."""
        return divmod(batch, self.window_batches)

    def next_boundary(self, batch: int) -> int:
        """See `Windows`: where a window ends."""
        return -(-batch // self.window_batches) * self.window_batches

    @property
    def places_per_batch(self) -> float:
        """See `Windows`: the mean over the windows that were measured."""
        return self._places_per_window / self.window_batches

    def places_before(self, batch: int) -> float:
        """See `Windows`: exact at the start of a window, since it is known where it begins."""
        window, place_in_window = self.window_and_place(batch)
        return self._place_of(self.start(window)) + place_in_window * self.places_per_batch

    @property
    def batches_between_boundaries(self) -> int:
        """See `Windows`."""
        return self.window_batches

    def expected_items(
        self, first: int, last: int, items: Callable[[Integers], Integers]
    ) -> Iterator[tuple[int, int, Integers]]:
        """See `Windows`: one part, all windows that have micro-batches between `first` and `last`."""
        numbers = range(first // self.window_batches, -(-last // self.window_batches))
        start, end = self.start(numbers.start), self.start(numbers.stop)
        samples = self._order.take(start.place, end.place + 1)
        cut_off = int(self._admission.counts(samples[-1:])[0]) - end.skipped  # pieces not used
        between = items(samples)
        yield (
            numbers.start * self.window_batches,
            numbers.stop * self.window_batches,
            between[start.skipped : between.size - cut_off],
        )

    def batch_at(self, before: Windows, at: int) -> int:
        """See `Windows`: `at` itself, or the next number at which a window of this sequence begins."""
        return self.next_boundary(at)

    def starts_after(self, at: int, number: int) -> list[list[int]]:
        """See `Windows`."""
        return [[number, *self.start(at // self.window_batches)]]

    @property
    def first_batch(self) -> int:
        """See `Windows`: the first micro-batch of the first window whose start is known."""
        return self._first_known * self.window_batches

    def cut_window(self, window: int) -> tuple[Integers, Cut]:
        """See `Windows`."""
        start = self.start(window)
        ready = self._ready.pop(window)
        if ready is not None:
            return ready
        samples = self._order_of(start).take(start.place, start.place + self._looked_at)
        samples, prefixes, held, cut = self._filled(start, samples)
        if cut is None:
            held, cut = fitting(prefixes, held, self.window_batches)
        self._keep(window + 1, self._end(start, samples, held))
        return prefixes.items[:held], cut

    def start(self, window: int) -> WindowStart:
        """Where a window begins: fills the windows before it, from the nearest one whose start is known."""
        if window in self._starts:
            return self._starts[window]
        if window < self._first_known:
            raise not_known(window * self.window_batches, self.first_batch, self.epoch_batches, self._step_size)
        nearest = max(known for known in self._starts if known <= window)
        if window - nearest > _FAR:
            warn(
                f"window {window} over an order begins where those before it end, and {window - nearest} of them are filled "
                "to find out; a state of the sampler knows the place: load it to go on at once"
            )
        for earlier in range(nearest, window):
            self._ready.pop(earlier)  # if it is kept, where it ends is not
            self._ready.put(earlier, *self.cut_window(earlier))
        return self._starts[window]

    def known_starts(self, since: int, batch: int) -> list[list[int]]:
        """See `Windows`: of the first known window, the first one of the epoch, and the one of `batch`."""
        epoch_start, current = since // self.window_batches, batch // self.window_batches
        wanted = sorted({self._first_known, max(self._first_known, epoch_start), current})
        return [[window, *self.start(window)] for window in wanted]

    def knows(self, starts: Sequence[Sequence[int]], window: int) -> bool:
        """See `Windows`: they say where the window begins, or the one before it.

        A run within one of its own steps may still need the window before; see `Rotated.plan_state`.
        """
        return bool(starts) and 0 <= window - starts[-1][0] <= 1

    def with_starts(self, starts: Sequence[Sequence[int]]) -> OrderWindows:
        """See `Windows`."""
        found: dict[int, WindowStart] = {}
        for window, place, skipped in starts:
            known = window >= 0 and 0 <= place <= LAST and skipped >= 0
            items = int(self._admission.counts(self._order.take(place, place + 1))[0]) if known else 0
            if not known or skipped >= max(1, items):
                raise Infeasible(
                    f"the state says that window {window} begins at item {skipped} of place {place}", AS_IT_WAS
                )
            found[window] = WindowStart(place, skipped)
        return self._with_known_starts(found)

    def over(self, orders: Sequence[tuple[WindowStart, Order]], alike: WindowStart) -> OrderWindows:
        """The same windows over an order whose shares were set during the run.

        Args:
            orders: the order that a window is filled from, by where it begins; ascending.
            alike: up to here windows begin where they do in this sequence. Those behind depend on other shares.
        """
        first = orders[0][0]
        known = {window: start for window, start in self._starts.items() if first <= start <= alike}
        other = self._with_known_starts(known or ({} if first > WindowStart(0) else {0: first}))
        other._orders = orders
        return other

    @property
    def _order(self) -> Order:
        """The order with all changes; up to the round of a change, it is as it was before."""
        return self._orders[-1][1]

    def _order_of(self, start: WindowStart) -> Order:
        """The order that a window is filled from, by where it begins."""
        return next((order for since, order in reversed(self._orders) if since <= start), self._orders[0][1])

    def _with_known_starts(self, starts: Mapping[int, WindowStart]) -> OrderWindows:
        other = object.__new__(OrderWindows)
        vars(other).update(vars(self))
        other._starts, other._first_known, other._ready = dict(starts), min(starts, default=LAST), PlannedWindows()
        return other

    def _place_of(self, start: WindowStart) -> float:
        """The place where a window begins; with a fraction if it begins between two pieces of a sample."""
        if not start.skipped:
            return start.place
        sample = self._order.take(start.place, start.place + 1)
        return start.place + start.skipped / int(self._admission.counts(sample)[0])

    def _keep(self, window: int, start: WindowStart) -> None:
        self._starts.setdefault(window, start)
        if len(self._starts) > 2 * _STARTS_KEPT:
            kept = sorted(self._starts)  # drop every other one, but neither the first, nor the last, nor this one
            self._starts = {known: self._starts[known] for known in [*kept[:1], *kept[2:-1:2], kept[-1], window]}

    @property
    def _looked_at(self) -> int:
        """The places of the order that are looked at first to fill a window."""
        # One more shows that it is full.
        return max(self.window_batches, math.ceil(self._places_per_window * self._slack)) + 1

    def _filled(
        self, start: WindowStart, samples: Integers, parts: int = 1
    ) -> tuple[Integers, Prefixes, int, Cut | None]:
        """How many items fill a window.

        Args:
            start: where the window begins.
            samples: the samples of the order from there on; more are read if they do not fill it.
            parts: the search, if the cutter is one, may take one part in this many of the work limit of a window.

        Returns:
            The samples that were read, their items, how many of these fill the window, and their cut if a search found it.
        """
        most = max(self.window_batches, math.ceil(_ROOMY * self._places_per_window))
        while True:
            items = self._admission.items(samples)[start.skipped :]
            prefixes = self._cutter.prefixes(items, self._step_size)
            held = self._count_that_fits(prefixes) if items.size >= self.window_batches else items.size
            if held < items.size or (items.size >= self.window_batches and samples.size >= most):
                break
            end = start.place + samples.size
            samples = np.concatenate([samples, self._order_of(start).take(end, end + samples.size)])
        found = self._searched(prefixes.for_window(parts), held) if self._cutter.searches else None
        return samples, prefixes, *(found or (held, None))

    def _end(self, start: WindowStart, samples: Integers, used: int) -> WindowStart:
        """Where a window ends that began at `start`, before these samples, and used this number of their items."""
        ends = self._admission.counts(samples).cumsum() - start.skipped  # items used up to each place
        whole = int(np.searchsorted(ends, used, side="right"))  # places of which all items are used
        before = int(ends[whole - 1]) if whole else -start.skipped
        return WindowStart(start.place + whole, used - before)

    def _count_that_fits(self, prefixes: Prefixes) -> int:
        """How many of the first items fit into a window; all of them if they fit."""
        wanted, items = self.window_batches, prefixes.items
        sizes = self._cutter.sizes_of(items)
        room = self._cutter.most_size * wanted * (1 + 1e-9)  # sums are rounded
        # One item in each micro-batch always fits.
        fit, too_many = wanted, (items.size if math.isinf(room) else count_within(sizes, room)) + 1
        # Cutting costs much more than adding sizes. So the search starts where the sum of sizes is that of a mean
        # window, which mostly is a few percent off.
        if self._mean_size:
            guess = count_within(sizes, self._mean_size)
        else:
            guess = items.size * wanted // max(wanted, prefixes.batches_needed(items.size))
        finest = max(1, items.size // _FINEST)
        reach = max(finest, items.size // wanted // _FIRST_REACH)
        guess = min(max(guess, fit + 1), too_many - 1)
        while fit < guess < too_many:  # from the guess outwards, until one fits and one does not
            if prefixes.batches_needed(guess) <= wanted:
                fit, guess = guess, min(guess + reach, max(too_many - 1, guess + 1))
            else:
                too_many, guess = guess, max(guess - reach, fit)
            reach *= 2
        return most_that_fit(lambda count: prefixes.batches_needed(count) <= wanted, fit, too_many, finest)

    def _searched(self, prefixes: Prefixes, held: int) -> tuple[int, Cut] | None:
        """Search how more than the first `held` items fit; None if none is found. All attempts share one work limit."""
        found, wanted, items = None, self.window_batches, prefixes.items

        def fits(count: int) -> bool:
            nonlocal found
            cut = prefixes.cut(count, wanted)
            if len(cut) <= wanted:
                found = count, cut
            return len(cut) <= wanted

        at_least = most_that_fit(
            lambda count: self._cutter.batches_at_least(items[:count]) <= wanted, held, items.size + 1
        )
        most_that_fit(fits, held, at_least + 1, max(1, (at_least - held) >> _SEARCHES))
        return found
