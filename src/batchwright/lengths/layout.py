"""How an epoch is laid out in windows before any of it is planned: known lengths, room for what chance brings."""

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
"""Of the search that a window may take: one is for each of the cuts that lay out an epoch, up to about 200 of them."""

_PROBES = (16, 64)  # the fewest and the most stretches that are looked at
_TRIED = (0, -1, 1, -2, *range(2, 17))  # sixteenths by which windows are longer than asked for
_NEAR = 1.005  # times the fewest micro-batches an epoch can have: near enough to take the window asked for
_PROBED_SAMPLES = 4096
_SIGMAS_MEAN = 3.0  # how sure the mean need of a window is
_SIGMAS = 6.0  # room of an epoch
_ROOMY = 4  # times the room: the micro-batches at the end of an epoch that have it


@dataclass(frozen=True)
class Layout:
    """An epoch as windows: all but the last give `batches` micro-batches.

    So every micro-batch of every epoch has a known window, and planning one window is all it costs to be anywhere.

    Attributes:
        windows: how many.
        batches: micro-batches in a window but the last.
        last_batches: micro-batches in the last window.
        multiple: what all numbers of micro-batches are a multiple of.
        steady: windows that are to take `places` of the order each, where windows are stretches of it; the others share the
            rest of an epoch and have room for what chance leaves to them.
        places: see `steady`.
        firsts: how the longest items of all layers are cut, where windows are made of layers: any window may be cut so.
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
        """The place of an epoch of so many, up to which a window that is a stretch of the order takes what it holds."""
        if window < self.steady:
            return (window + 1) * self.places
        begun, ended = self.steady * self.batches, window * self.batches + self.wanted(window)
        rest = epoch_samples - self.steady * self.places
        return self.steady * self.places + rest * (ended - begun) // (self.length - begun)


def whole(needed: Callable[[int, int], int], items: int, epoch_samples: int, *, multiple: int, settled: bool) -> Layout:
    """One window for all of an epoch; with room where an epoch may need more micro-batches than the first.

    Args:
        needed: micro-batches for so many places of the order from one on.
        items: how many an epoch has.
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
    """Windows made of layers, about `window` micro-batches each; None where an epoch is hardly two.

    The number of micro-batches is that of the dearest of all layers, so no window needs more. Windows may be up to twice as
    long where that makes the epoch shorter.
    """
    items = layers.falling.size
    total = len(cutter.for_window(PARTS).cut(layers.falling, 0, multiple))
    asked = 1.0 if window == "epoch" else total / whole_steps(window, multiple)
    found: list[Layout] = []
    for step in _TRIED:
        windows = math.floor(asked / (1 + step / 16))
        if windows < 1 or (windows == 1) != (window == "epoch") or windows in {layout.windows for layout in found}:
            continue
        dearest = cutter.over_layers(layers.falling, windows)
        assert dearest is not None  # else there were no layers
        cut = dearest.for_window(PARTS).cut(np.arange(-(-items // windows)), 0, multiple)
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
    """Windows that are stretches of a plain shuffle, about `window` micro-batches each; None where an epoch is hardly two.

    A window takes what it holds, up to what it is to take on average; the last ones have room for what chance then leaves to
    them. What windows need is estimated from stretches of the order.

    Args:
        needed: micro-batches for so many places of the order from one on.
        items: how many an epoch has, about.
        epoch_samples: places of the order in an epoch.
        window: micro-batches in a window.
        multiple: micro-batches in a step.
        least_steps: of a window.
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
    """Room for what the need of a whole epoch may be above that of the first; see `in_stretches`."""
    probed = min(epoch_samples, _PROBED_SAMPLES)
    needs = _probed(needed, probed, epoch_samples)
    return 1 + _SIGMAS * float(needs.std(ddof=1)) * math.sqrt(epoch_samples / probed)


def _probed(needed: Callable[[int, int], int], probed: int, epoch_samples: int) -> np.ndarray:
    """The need of stretches of `probed` places from all over an epoch."""
    probes = min(max(epoch_samples // probed, _PROBES[0]), _PROBES[1])
    apart = max(probed, epoch_samples // (probes - 1))
    return np.array([needed(probe * apart, probed) for probe in range(probes)], float)


def whole_steps(batches: float, multiple: int) -> int:
    """The next multiple of `multiple`, one at least."""
    return max(1, math.ceil(batches / multiple - 1e-9)) * multiple
