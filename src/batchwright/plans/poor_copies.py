"""A problem of plans by lengths: micro-batches that hold a sample twice or more."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..kernels.array_types import Integers
from ..lengths.cut import Cut
from ..lengths.layout import LAYOUT_WORK

if TYPE_CHECKING:
    from ..kinds import LengthKind

__all__ = ["copies_within_batches"]

# Windows that are examined, and items in them: repeats show in a part of a window, too. Of 150 plans over small groups, 27
# had copies in a fifth of their micro-batches or more. Eight windows show them in all of these, four in 26.
_WINDOWS = 8
_MEASURED = 1 << 16
_STAGES = 8  # that are examined after the first, and windows and items in each of them
_WINDOWS_LATER = 4
_MEASURED_LATER = _MEASURED // _STAGES

# Standard deviations above what is expected: chance explains as many in one of 700 plans, by the normal law. For a part of
# 5 % these are 2 of 4 micro-batches, 4 of 16, 9 of 64, 14 of 128.
_DEVIATIONS = 3

_Window = tuple[Integers, Cut]


class _Copies(NamedTuple):
    """What was found in some windows.

    Attributes:
        batches: micro-batches that were looked at.
        hit: how many of them hold a sample twice or more.
        item: the item that a micro-batch holds most often.
        times: how often.
    """

    batches: int
    hit: int
    item: int
    times: int

    @property
    def part(self) -> float:
        """The part of the micro-batches that hold a sample twice or more."""
        return self.hit / max(self.batches, 1)

    def more_than(self, part: float) -> bool:
        """Whether more were hit than chance explains if `part` of all micro-batches of the plan were.

        Few micro-batches show little of the plan: of 16 that are looked at, two with copies are no sign yet.
        """
        return self.hit > part * self.batches + _DEVIATIONS * math.sqrt(self.batches * part * (1 - part))


def copies_within_batches(plan: LengthKind, first: _Window, *, least: float) -> list[str]:
    """The problem as at most two texts: of the first windows, and of the later stage with the most, if it has more.

    One window would show too few: every pass begins with the first, and samples come again where the next pass does. Later
    stages of the order's target are looked at too, at most 8 of them, spread evenly. The cost is bounded: 65,536 items of
    the first windows, and as many of all later stages together. Only one window that has more is planned as a whole.

    Args:
        plan: a plan with `order=`.
        first: its first window, planned.
        least: the part of the plan's micro-batches, 0 to 1, that must hold a sample twice before this is told; 0 tells all.
    """
    found = _copies(_first_windows(plan, first, _WINDOWS))
    told = [_text(plan, f"of the first {found.batches}", found)] if found.more_than(least) else []
    later = [(batch, _copies(_windows_between(plan, batch, stop))) for batch, stop in _later_stages(plan)]
    batch, worst = max(later, key=lambda stage: stage[1].part, default=(0, found))
    if worst.more_than(least) and worst.part > found.part:
        told.append(_text(plan, f"of {worst.batches} looked at from micro-batch {batch} of the order on", worst))
    return told


def _first_windows(plan: LengthKind, first: _Window, most: int) -> Iterator[_Window]:
    looked_at = 0
    for number in range(most):
        if looked_at >= _MEASURED:  # planning one more may take long
            return
        if number and plan.cutter.searches:  # a search may take seconds for each window
            yield _cut_from(plan, number * _places(plan), _MEASURED - looked_at)
            looked_at += _places(plan)
            continue
        items, cut = plan.windows.cut_window(number) if number else first
        kept = items[: _MEASURED - looked_at]
        looked_at += kept.size
        yield (items, cut) if kept.size == items.size else _cut(plan, kept)


def _later_stages(plan: LengthKind) -> Iterator[tuple[int, int | None]]:
    """Stages of the order's target after the first: the first micro-batch of each, and the one behind its last."""
    order = plan.order_plan.order
    firsts = order.shares.firsts or (0,)
    chosen = np.unique(np.linspace(1, len(firsts) - 1, min(_STAGES, len(firsts) - 1)).astype(np.int64))
    for stage in chosen.tolist():
        stop = firsts[stage + 1] * order.epoch_batches if stage + 1 < len(firsts) else None
        yield firsts[stage] * order.epoch_batches, stop


def _windows_between(plan: LengthKind, batch: int, stop: int | None) -> Iterator[_Window]:
    """Windows of a stage, cut where they may begin: to find where they do, all windows before them would be filled."""
    place, places, size = batch * plan.order_plan.batch_size, _places(plan), plan.order_plan.batch_size
    for number in range(_WINDOWS_LATER):
        here = place + number * places
        left = _MEASURED_LATER - number * places
        if number and (left <= 0 or (stop is not None and here + places > stop * size)):
            return
        yield _cut_from(plan, here, left)


def _places(plan: LengthKind) -> int:
    """The places of the order that a window takes, on average."""
    return max(1, round(plan.windows.places_per_batch * plan.windows.batches_between_boundaries))


def _cut_from(plan: LengthKind, place: int, most: int) -> _Window:
    """The items of a window that begins at a place of the order, `most` at most, as they would be cut."""
    order = plan.order_plan.order
    return _cut(plan, plan.admission.items(order.take(place, place + min(_places(plan), most)))[:most])


def _cut(plan: LengthKind, items: Integers) -> _Window:
    return items, plan.cutter.for_window(LAYOUT_WORK).cut(items, None, 1)


def _copies(windows: Iterable[_Window]) -> _Copies:
    found = _Copies(0, 0, 0, 1)
    for items, cut in windows:
        batches = found.batches + len(cut)
        found = found._replace(batches=batches)
        if np.unique(items).size == items.size:
            continue
        batch_of = np.repeat(np.arange(len(cut)), np.diff(cut.offsets))
        held, counts = np.unique(np.column_stack([batch_of, items[cut.places]]), axis=0, return_counts=True)
        most = int(counts.argmax())
        item, times = max(found[2:], (int(held[most, 1]), int(counts[most])), key=lambda pair: pair[1])
        found = _Copies(batches, found.hit + np.unique(held[counts > 1, 0]).size, item, times)
    return found


def _text(plan: LengthKind, which: str, found: _Copies) -> str:
    smaller = "a smaller window or" if plan.cutter.least_steps == 1 else "a smaller window, fewer buckets or"
    return (
        f"samples repeat within a micro-batch: {which}, {found.hit} hold a sample twice or more, item {found.item} "
        f"{found.times} times; what a window draws of a sample is cut together, so {smaller} an order that draws "
        "it less often avoids it"
    )
