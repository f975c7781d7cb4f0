"""How an epoch is laid out in windows before any of it is planned: known lengths, room for what chance brings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..errors import Infeasible
from .cut import Cut, Cutter
from .layers import Layers

__all__ = ["Layout", "Window", "in_layers", "in_stretches", "spread_of_whole", "whole"]

Window = int | Literal["epoch"]
_PROBES = 16
_TRIED = 16  # lengths of windows between that asked for and twice that
_PROBED_SAMPLES = 4096
_SIGMAS_MEAN = 3.0  # how sure the mean need of a window is
_SIGMAS = 1.0  # room of a window; what a window lacks beyond it, the last one takes over
_SIGMAS_LAST = 6.0  # room of the last window


@dataclass(frozen=True)
class Layout:
    """An epoch as windows: all but the last give `batches` micro-batches.

    So every micro-batch of every epoch has a known window, and planning one window is all it costs to be anywhere.

    Attributes:
        windows: how many.
        batches: micro-batches in a window but the last.
        last_batches: micro-batches in the last window.
        multiple: what all numbers of micro-batches are a multiple of.
        samples: places of the order in a window but the last.
        last_samples: places of the order in the last window.
        firsts: how the longest items of all layers are cut, where windows are made of layers: any window may be cut so.
    """

    windows: int
    batches: int
    last_batches: int
    multiple: int
    samples: int
    last_samples: int
    firsts: Cut | None = field(default=None, repr=False)

    @property
    def length(self) -> int:
        """Micro-batches in an epoch."""
        return (self.windows - 1) * self.batches + self.last_batches

    def window_of(self, batch: int) -> tuple[int, int]:
        """The window of a micro-batch, and its place there."""
        window = min(batch // self.batches, self.windows - 1)
        return window, batch - window * self.batches

    def places(self, window: int) -> tuple[int, int]:
        """The places of the epoch that a window takes, first and one past the last."""
        first = window * self.samples
        return first, first + (self.last_samples if window == self.windows - 1 else self.samples)


def whole(places: int, items: int, needed: int, room: float, multiple: int) -> Layout:
    """One window for all places of an epoch, with room for more micro-batches than the first epoch's items need.

    Raises:
        Infeasible: an epoch has too few samples for one step.
    """
    batches = min(
        _whole_steps(needed + room, multiple), max(items // multiple * multiple, _whole_steps(needed, multiple))
    )
    if batches > items:
        raise Infeasible(
            f"{items} samples cannot fill {batches} micro-batches, the next multiple of {multiple}",
            "pass a smaller world_size or accumulate",
        )
    return Layout(1, batches, batches, multiple, places, places)


def in_layers(layers: Layers, cutter: Cutter, *, window: Window, multiple: int) -> Layout | None:
    """Windows made of layers, about `window` micro-batches each; None where an epoch is hardly two.

    The number of micro-batches is that of the dearest of all layers, so no window needs more. Windows may be half as long
    again, where that makes the epoch shorter.
    """
    items = layers.falling.size
    total = len(cutter.cut(layers.falling, 0, multiple))
    asked = 1.0 if window == "epoch" else total / _whole_steps(window, multiple)
    best: Layout | None = None
    for windows in sorted({math.floor(asked / (1 + step / _TRIED)) for step in range(_TRIED // 2 + 1)}, reverse=True):
        if windows < 1 or (windows == 1) != (window == "epoch"):
            continue
        dearest = cutter.over_layers(layers.falling, windows)
        assert dearest is not None  # else there were no layers
        cut = dearest.cut(np.arange(-(-items // windows)), 0, multiple)
        batches = _whole_steps(len(cut), multiple)
        if items // windows >= batches and (best is None or windows * batches < best.length):
            best = Layout(windows, batches, batches, multiple, 0, 0, firsts=cut)
    return best


def in_stretches(needed: Callable[[int, int], int], *, epoch_samples: int, window: int, multiple: int) -> Layout | None:
    """Windows that are stretches of an order, about `window` micro-batches each; None where an epoch is hardly two.

    What windows need is estimated from the beginning of the order: `needed(first, count)`. A window has room for most;
    the last window takes over what others cannot hold.
    """
    batches = _whole_steps(window, multiple)
    probed = min(epoch_samples, _PROBED_SAMPLES)
    rate = max(needed(0, probed), 1) / probed
    for _ in range(2):  # a second look at windows of the size the first suggested
        probed = max(1, min(math.floor(batches / rate), epoch_samples // 2))
        needs = np.array([needed(probe * probed, probed) for probe in range(_PROBES)], float)
        deviation = float(needs.std(ddof=1))
        rate = (float(needs.mean()) + _SIGMAS_MEAN * deviation / math.sqrt(_PROBES)) / probed
    spread = deviation * math.sqrt(batches / (rate * probed))
    samples = math.floor((batches - _SIGMAS * spread) / rate)
    if samples < batches or epoch_samples // samples < 2:
        return None
    windows = epoch_samples // samples
    last_samples = epoch_samples - (windows - 1) * samples
    # A normal variable exceeds one sigma by .0833 sigma in the mean; the second moment of that is .0754 sigma^2.
    taken_over = (windows - 1) * 0.0833 * spread
    unsure = spread * math.sqrt(last_samples / samples + (windows - 1) * 0.0754)
    last = _whole_steps(rate * last_samples + taken_over + _SIGMAS_LAST * unsure + 1, multiple)
    return Layout(windows, batches, last, multiple, samples, last_samples) if last <= last_samples else None


def spread_of_whole(needed: Callable[[int, int], int], epoch_samples: int) -> float:
    """Room for what the need of a whole epoch may be above that of the first."""
    probed = min(epoch_samples, _PROBED_SAMPLES)
    needs = [needed(probe * probed, probed) for probe in range(_PROBES)]
    return 1 + _SIGMAS_LAST * float(np.std(needs, ddof=1)) * math.sqrt(epoch_samples / probed)


def _whole_steps(batches: float, multiple: int) -> int:
    return max(1, math.ceil(batches / multiple - 1e-9)) * multiple
