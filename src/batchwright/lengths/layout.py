"""Decides how many windows an epoch has, and how many micro-batches each, before any of them is planned.

So once a plan is laid out for a step size, the length of an epoch is known, and the window of any micro-batch follows from
its number. A plan without an order is laid out when that is first needed. The layout needs spare room, micro-batches beyond
those that an epoch needs on average: if windows are cut from a shuffle, it depends on chance how many micro-batches their
samples need.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..errors import Infeasible
from .cut import Cut
from .cutter import Cutter
from .length_strata import LengthStrata

__all__ = [
    "LAYOUT_WORK", "EpochLayout", "Window", "layout_of_one_window", "layout_of_shuffle", "layout_of_strata",
    "least_batches",
]  # fmt: skip

Window = int | Literal["epoch"]
LAYOUT_WORK = 16
"""Each cut that lays out an epoch may use 1/16 of the work limit of a window (see `exact.Allowance`).

There are at most 194 such cuts, 1 + 2 x 64 in `layout_of_shuffle` and, if it finds no layout, 1 + 64 more in
`layout_of_one_window`. So a layout takes as long as 13 windows at most.
"""

# The number of micro-batches that a range of the order needs is measured, not derived: it depends on all lengths. Its
# standard deviation is known to 1 / sqrt(2 n) of itself after n ranges: 18 % from 16 of them, 9 % from 64.
_PROBES = (16, 64)  # ranges that are measured, at least and at most
# Windows of strata may be longer or shorter than asked for by these sixteenths, tried in this order: near ones first.
# Their length is rounded up to whole steps. How much that adds depends on the lengths of samples, so several are tried.
# It adds less than a step to every window, which is a smaller part of a longer one: so longer windows are tried up to
# double, and of shorter ones, which pad more too, only two.
_TRIED = (0, -1, 1, -2, *range(2, 17))
# Take the first of these windows whose epoch is at most this many times the shortest one that was found. So an epoch is
# up to half a percent longer than it could be, and the window stays near the one that was asked for.
_NEAR = 1.005
_PROBED_SAMPLES = 4096  # places in a range that is measured, at most: cutting 64 of these takes some ten milliseconds
_SIGMAS_MEAN = 3.0  # standard errors that are added to the measured mean: it is too small once in 700 plans
# Spare room of an epoch, in standard deviations of what all its ranges need. For a normal distribution one epoch in
# 10^9 needs more; if the measured deviation is 18 % too small, one in 10^6. Even then all last windows are first cut as
# one, which mostly fits (`windows.ShuffleWindows`).
_SIGMAS = 6.0
# The spare room is spread over the last micro-batches of an epoch, four times as many as the room itself. So these are
# three quarters full on average, and all others are full. Four was chosen by trial.
_ROOMY = 4


@dataclass(frozen=True)
class EpochLayout:
    """The windows of an epoch: all but the last have `batches` micro-batches.

    So the window of every micro-batch is known from its number. A `window_in_epoch` is the number of a window, counted from
    the start of its epoch.

    Attributes:
        window_count: windows in an epoch.
        batches: micro-batches in every window but the last.
        last_batches: micro-batches in the last window.
        step_size: micro-batches in a step; all windows are a multiple of it long.
        regular_windows: if windows are ranges of the shuffle: this many windows, the first ones, take about
            `window_places` places of it each. The other windows, the last ones, share the rest of the epoch and have spare
            room. 0 if the epoch is one window, as that of a small dataset is.
        window_places: see `regular_windows`.
        largest_cut: if windows are made of strata: a cut of the longest items of all strata. Any window can be cut in this
            way.
    """

    window_count: int
    batches: int
    last_batches: int
    step_size: int
    regular_windows: int = 0
    window_places: int = 0
    largest_cut: Cut | None = field(default=None, repr=False)

    @property
    def epoch_batches(self) -> int:
        """Micro-batches in an epoch."""
        return (self.window_count - 1) * self.batches + self.last_batches

    def window_and_place(self, place_in_epoch: int) -> tuple[int, int]:
        """The window in the epoch that has the micro-batch at this place of the epoch, and its place in the window."""
        window_in_epoch = min(place_in_epoch // self.batches, self.window_count - 1)
        return window_in_epoch, place_in_epoch - window_in_epoch * self.batches

    def batches_in(self, window_in_epoch: int) -> int:
        """Micro-batches in a window."""
        return self.last_batches if window_in_epoch == self.window_count - 1 else self.batches

    def end(self, window_in_epoch: int, epoch_samples: int) -> int:
        """The place in the shuffle, counted from where the epoch begins, where a window ends unless it is full before."""
        if window_in_epoch < self.regular_windows:
            return (window_in_epoch + 1) * self.window_places
        before = self.regular_windows * self.batches
        ended = window_in_epoch * self.batches + self.batches_in(window_in_epoch)
        rest = epoch_samples - self.regular_windows * self.window_places
        # The last windows share the rest in proportion to their micro-batches.
        return self.regular_windows * self.window_places + rest * (ended - before) // (self.epoch_batches - before)


def layout_of_one_window(
    batches_needed: Callable[[int, int], int],
    items: int,
    epoch_samples: int,
    *,
    step_size: int,
    count_ignores_order: bool,
) -> EpochLayout:
    """The layout with one window, the whole epoch; with spare room if another epoch may need more micro-batches.

    Args:
        batches_needed: the number of micro-batches that `count` places of the order need, from place `first` on.
        items: items in an epoch.
        epoch_samples: places of the order in an epoch.
        step_size: micro-batches in a step.
        count_ignores_order: whether every epoch needs as many micro-batches as the first.

    Raises:
        Infeasible: an epoch has too few samples for one step.
    """
    first = batches_needed(0, epoch_samples)
    spare = 0.0 if count_ignores_order else _spare_of_epoch(batches_needed, epoch_samples)
    # No more than one micro-batch an item, unless the first epoch alone needs that.
    batches = min(
        least_batches(first + spare, step_size), max(items // step_size * step_size, least_batches(first, step_size))
    )
    if batches > items:
        raise Infeasible(
            f"{items} samples cannot fill {batches} micro-batches, the next multiple of {step_size}",
            "pass a smaller world_size or accumulate",
        )
    return EpochLayout(1, batches, batches, step_size)


def layout_of_strata(strata: LengthStrata, cutter: Cutter, *, window: Window, step_size: int) -> EpochLayout | None:
    """The layout with windows made of strata, of about `window` micro-batches each; None if not even two fit.

    A window has as many micro-batches as the most expensive items of all strata need, so no window needs more. Windows
    may be up to 1/8 shorter than asked for, or up to twice as long, if that makes the epoch shorter. With
    `window="epoch"` there is one.
    """
    items = strata.descending.size
    total = cutter.batches_needed_for_copies(strata.one_of_each_length, np.diff(strata.starts))
    if total is None:
        total = len(cutter.for_window(LAYOUT_WORK).cut(strata.descending.astype(np.int64), None, step_size))
    wanted = 1.0 if window == "epoch" else total / least_batches(window, step_size)  # windows in an epoch
    found: list[EpochLayout] = []
    for sixteenths in _TRIED:
        window_count = math.floor(wanted / (1 + sixteenths / 16))
        known = {layout.window_count for layout in found}
        if window_count < 1 or (window_count == 1) != (window == "epoch") or window_count in known:
            continue
        largest = cutter.over_strata(strata.descending, window_count)
        assert largest is not None  # there are strata only if the cutter has this
        cut = largest.for_window(LAYOUT_WORK).cut(np.arange(-(-items // window_count)), None, step_size)
        batches = least_batches(len(cut), step_size)
        if items // window_count >= batches:  # else a micro-batch would have no item
            found.append(EpochLayout(window_count, batches, batches, step_size, largest_cut=cut))
    shortest = min((layout.epoch_batches for layout in found), default=0)
    return next((layout for layout in found if layout.epoch_batches <= _NEAR * shortest), None)


def layout_of_shuffle(
    batches_needed: Callable[[int, int], int],
    *,
    items: int,
    epoch_samples: int,
    window: int,
    step_size: int,
    least_steps: int,
) -> EpochLayout | None:
    """The layout with windows that are ranges of a shuffle, of about `window` micro-batches; None if not even two fit.

    A window takes items up to a fixed place, or fewer if it is full. The last windows have spare room for what is left.
    How many micro-batches a range needs is measured on ranges from all over the epoch.

    Args:
        batches_needed: the number of micro-batches that `count` places of the order need, from place `first` on.
        items: items in an epoch, about.
        epoch_samples: places of the order in an epoch.
        window: micro-batches in a window.
        step_size: micro-batches in a step.
        least_steps: the fewest steps in a window.
    """
    batches = max(least_batches(window, step_size), least_steps * step_size)
    probed = min(epoch_samples, _PROBED_SAMPLES)
    rate = max(batches_needed(0, probed), 1) / probed  # micro-batches that a place of the order needs, on average
    for _ in range(2):  # twice: the first round finds how long a window is, the second measures windows of that length
        probed = max(1, min(math.floor(batches / rate), epoch_samples // 2))
        needs = _probed(batches_needed, probed, epoch_samples)
        deviation = float(needs.std(ddof=1))
        rate = float(needs.mean() + _SIGMAS_MEAN * deviation / math.sqrt(needs.size)) / probed
    places = math.floor(batches / rate)
    if places < 1 or epoch_samples // places < 2:
        return None
    # The first term is for rounding to whole steps, the second for chance. The needs of ranges add up like independent
    # ones: the deviation of their sum grows with the root of their number.
    spare = least_steps * step_size / 2 + _SIGMAS * deviation * math.sqrt(epoch_samples / probed)
    epoch_batches = least_batches(rate * epoch_samples + spare, step_size)
    if epoch_batches > items:
        return None
    window_count = epoch_batches // batches
    last = epoch_batches - (window_count - 1) * batches
    roomy = min(window_count - 1, math.ceil(_ROOMY * spare / batches))
    regular = min(window_count - 1 - roomy, epoch_samples // places)
    return EpochLayout(window_count, batches, last, step_size, regular, places)


def _spare_of_epoch(batches_needed: Callable[[int, int], int], epoch_samples: int) -> float:
    """Spare micro-batches of an epoch that is one window, as another epoch may need more; see `layout_of_shuffle`."""
    probed = min(epoch_samples, _PROBED_SAMPLES)
    needs = _probed(batches_needed, probed, epoch_samples)
    # One more, since the whole epoch may be rounded up where its ranges were not.
    return 1 + _SIGMAS * float(needs.std(ddof=1)) * math.sqrt(epoch_samples / probed)


def _probed(batches_needed: Callable[[int, int], int], probed: int, epoch_samples: int) -> np.ndarray:
    """The micro-batches that ranges of `probed` places from all over an epoch need, float64 (ranges,)."""
    probes = min(max(epoch_samples // probed, _PROBES[0]), _PROBES[1])
    apart = max(probed, epoch_samples // (probes - 1))
    return np.array([batches_needed(probe * apart, probed) for probe in range(probes)], float)


def least_batches(batches: float, step_size: int) -> int:
    """The fewest micro-batches of a window that has room for so many: whole steps, at least one."""
    steps = math.ceil(batches / step_size - 1e-9)  # a product of floats may be just above an integer
    return max(1, steps) * step_size
