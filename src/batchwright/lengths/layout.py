"""How many windows an epoch has, and how many micro-batches each: decided before any of them is planned."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..errors import Infeasible
from .cut import Cut, Cutter
from .length_strata import Layers

__all__ = ["PARTS", "Layout", "Window", "in_layers", "in_stretches", "whole", "whole_steps"]

Window = int | Literal["epoch"]
PARTS = 16
"""Each cut that lays out an epoch may use 1/16 of a window's work limit. There are up to about 200 such cuts."""

_PROBES = (16, 64)  # measure at least and at most this many stretches
_TRIED = (0, -1, 1, -2, *range(2, 17))  # sixteenths by which windows are made longer than asked for
_NEAR = 1.005  # accept an epoch of at most this many times the fewest micro-batches, to stay near the window asked for
_PROBED_SAMPLES = 4096  # places in a stretch that is measured, at most
_SIGMAS_MEAN = 3.0  # standard errors that are added to the measured mean
_SIGMAS = 6.0  # spare room of an epoch, in standard deviations
_ROOMY = 4  # the spare room is spread over the last micro-batches of an epoch: this many times the room


@dataclass(frozen=True)
class Layout:
    """The windows of an epoch: all but the last have `batches` micro-batches.

    So the window of every micro-batch is known from its number.

    Attributes:
        windows: windows in an epoch.
        batches: micro-batches in every window but the last.
        last_batches: micro-batches in the last window.
        multiple: micro-batches in a step; all windows are a multiple of it long.
        steady: where windows are stretches of the order: how many of them take about `places` of it each. The others, the
            last ones, share the rest of the epoch and have spare room.
        places: see `steady`.
        firsts: where windows are made of layers: how the longest items of all layers are cut. Any window can be cut so.
    """

    windows: int
    batches: int
    last_batches: int
    multiple: int
    steady: int = 0
    places: int = 0
    firsts: Cut | None = field(default=None, repr=False)

    @property
    def length(self) -> int:
        """Micro-batches in an epoch."""
        return (self.windows - 1) * self.batches + self.last_batches

    def window_of(self, batch: int) -> tuple[int, int]:
        """The window of a micro-batch, and its place there."""
        window = min(batch // self.batches, self.windows - 1)
        return window, batch - window * self.batches

    def wanted(self, window: int) -> int:
        """Micro-batches in a window."""
        return self.last_batches if window == self.windows - 1 else self.batches

    def line(self, window: int, epoch_samples: int) -> int:
        """The place within an epoch up to which a window that is a stretch of the order takes items, unless it is full."""
        if window < self.steady:
            return (window + 1) * self.places
        begun, ended = self.steady * self.batches, window * self.batches + self.wanted(window)
        rest = epoch_samples - self.steady * self.places
        return self.steady * self.places + rest * (ended - begun) // (self.length - begun)


def whole(needed: Callable[[int, int], int], items: int, epoch_samples: int, *, multiple: int, settled: bool) -> Layout:
    """One window for a whole epoch; with spare room if another epoch may need more micro-batches than the first.

    Args:
        needed: how many micro-batches `needed(first, count)` places of the order need.
        items: items in an epoch.
        epoch_samples: places of the order in an epoch.
        multiple: micro-batches in a step.
        settled: whether every epoch needs as many micro-batches as the first.

    Raises:
        Infeasible: an epoch has too few samples for one step.
    """
    first = needed(0, epoch_samples)
    room = 0.0 if settled else _room_of_whole(needed, epoch_samples)
    batches = min(whole_steps(first + room, multiple), max(items // multiple * multiple, whole_steps(first, multiple)))
    if batches > items:
        raise Infeasible(
            f"{items} samples cannot fill {batches} micro-batches, the next multiple of {multiple}",
            "pass a smaller world_size or accumulate",
        )
    return Layout(1, batches, batches, multiple)


def in_layers(layers: Layers, cutter: Cutter, *, window: Window, multiple: int) -> Layout | None:
    """Windows made of layers, about `window` micro-batches each; None if an epoch is too short for two.

    A window has as many micro-batches as the most expensive items of all layers need, so no window needs more. Windows may
    be up to twice as long as asked for if that makes the epoch shorter. With `window="epoch"` there is one.
    """
    items = layers.falling.size
    total = len(cutter.for_window(PARTS).cut(layers.falling, 0, multiple))
    asked = 1.0 if window == "epoch" else total / whole_steps(window, multiple)
    found: list[Layout] = []
    for step in _TRIED:
        windows = math.floor(asked / (1 + step / 16))
        if windows < 1 or (windows == 1) != (window == "epoch") or windows in {layout.windows for layout in found}:
            continue
        largest = cutter.over_layers(layers.falling, windows)
        assert largest is not None  # there are layers only if the cutter has this
        cut = largest.for_window(PARTS).cut(np.arange(-(-items // windows)), 0, multiple)
        batches = whole_steps(len(cut), multiple)
        if items // windows >= batches:
            found.append(Layout(windows, batches, batches, multiple, firsts=cut))
    shortest = min((layout.length for layout in found), default=0)
    return next((layout for layout in found if layout.length <= _NEAR * shortest), None)


def in_stretches(
    needed: Callable[[int, int], int],
    *,
    items: int,
    epoch_samples: int,
    window: int,
    multiple: int,
    least_steps: int,
) -> Layout | None:
    """Windows that are stretches of a plain shuffle, about `window` micro-batches each; None if not even two fit.

    A window takes items up to a fixed place, or fewer if it is full. The last windows have spare room for what is left. How
    many micro-batches a stretch needs is measured on stretches from all over the epoch.

    Args:
        needed: how many micro-batches `needed(first, count)` places of the order need.
        items: items in an epoch, about.
        epoch_samples: places of the order in an epoch.
        window: micro-batches in a window.
        multiple: micro-batches in a step.
        least_steps: the fewest steps in a window.
    """
    batches = max(whole_steps(window, multiple), least_steps * multiple)
    probed = min(epoch_samples, _PROBED_SAMPLES)
    rate = max(needed(0, probed), 1) / probed
    for _ in range(2):  # a second look at windows of the size the first suggested
        probed = max(1, min(math.floor(batches / rate), epoch_samples // 2))
        needs = _probed(needed, probed, epoch_samples)
        spread = float(needs.std(ddof=1))
        rate = float(needs.mean() + _SIGMAS_MEAN * spread / math.sqrt(needs.size)) / probed
    places = math.floor(batches / rate)
    if places < 1 or epoch_samples // places < 2:
        return None
    room = least_steps * multiple / 2 + _SIGMAS * spread * math.sqrt(epoch_samples / probed)
    length = whole_steps(rate * epoch_samples + room, multiple)
    if length > items:
        return None
    windows = length // batches
    last = length - (windows - 1) * batches
    roomy = min(windows - 1, math.ceil(_ROOMY * room / batches))
    return Layout(windows, batches, last, multiple, min(windows - 1 - roomy, epoch_samples // places), places)


def _room_of_whole(needed: Callable[[int, int], int], epoch_samples: int) -> float:
    """Spare micro-batches, since another epoch may need more than the first; see `in_stretches`."""
    probed = min(epoch_samples, _PROBED_SAMPLES)
    needs = _probed(needed, probed, epoch_samples)
    return 1 + _SIGMAS * float(needs.std(ddof=1)) * math.sqrt(epoch_samples / probed)


def _probed(needed: Callable[[int, int], int], probed: int, epoch_samples: int) -> np.ndarray:
    """How many micro-batches stretches of `probed` places from all over an epoch need, float64 (stretches,)."""
    probes = min(max(epoch_samples // probed, _PROBES[0]), _PROBES[1])
    apart = max(probed, epoch_samples // (probes - 1))
    return np.array([needed(probe * apart, probed) for probe in range(probes)], float)


def whole_steps(batches: float, multiple: int) -> int:
    """The next multiple of `multiple`, at least `multiple` itself."""
    return max(1, math.ceil(batches / multiple - 1e-9)) * multiple
