"""Windows that are stretches of an order: each takes what its micro-batches hold, and the next goes on behind it."""

from __future__ import annotations

import numpy as np

from ..orders import Order
from .admission import Admission
from .cut import Cut, Cutter, Integers
from .windows import Begin

__all__ = ["stretch"]

_IN_PROPORTION = 16  # cuts of a window whose items are left out in proportion


def stretch(
    order: Order,
    admission: Admission,
    cutter: Cutter,
    begin: Begin,
    line: int,
    wanted: int,
    multiple: int,
    *,
    spare: int = 0,
) -> tuple[Integers, Cut, Begin]:
    """The items from `begin` up to place `line`, or as many as `wanted` micro-batches hold; how they are cut; the end.

    What does not fit is left to the window that follows. A stretch of fewer items than micro-batches and `spare` reaches
    beyond the line.
    """
    least = wanted + spare
    if admission.admits_all:  # places are items: nothing to count
        count = max(line - begin.place, least)
        items = order.take(begin.place, begin.place + count)
        items, cut = _fitting(items, cutter, wanted, multiple)
        return items, cut, Begin(begin.place + items.size)
    stop = max(line, begin.place + 1)
    samples = order.take(begin.place, stop)
    ends = admission.counts(samples).cumsum() - begin.skipped  # items taken by the end of each place
    while ends[-1] < least:
        further = order.take(stop, stop + least)
        samples, stop = np.concatenate([samples, further]), stop + least
        ends = admission.counts(samples).cumsum() - begin.skipped
    reached = int(ends[line - begin.place - 1]) if line > begin.place else 0
    items = admission.items(samples)[begin.skipped :]
    items, cut = _fitting(items[: max(reached, least)], cutter, wanted, multiple)
    whole = int(np.searchsorted(ends, items.size, side="right"))  # places of which every item is taken
    before = int(ends[whole - 1]) if whole else -begin.skipped
    return items, cut, Begin(begin.place + whole, items.size - before)


def _fitting(items: Integers, cutter: Cutter, wanted: int, multiple: int) -> tuple[Integers, Cut]:
    """As many of the first items as `wanted` micro-batches hold, and how they are cut.

    All cuts are of one window. A search that ends at a limit may cut the same items differently a second time, so the cut
    that was seen to fit is the one that is returned.

    Mostly items are left out in proportion. Where the first items are much longer than those behind them, that would take a
    cut for every few items: after some cuts the items that fit are found by bisection.
    """
    cutter = cutter.for_window()
    cut = cutter.cut(items, wanted, multiple)
    for _ in range(_IN_PROPORTION):
        if len(cut) <= wanted:
            return items, cut
        items = items[: max(wanted, min(items.size * wanted // len(cut), items.size - 1))]
        cut = cutter.cut(items, wanted, multiple)
    if len(cut) <= wanted:
        return items, cut
    fitting, too_many = wanted, items.size
    cut = cutter.cut(items[:fitting], wanted, multiple)  # one item a micro-batch fits
    while too_many - fitting > 1:
        middle = (fitting + too_many) // 2
        tried = cutter.cut(items[:middle], wanted, multiple)
        if len(tried) <= wanted:
            fitting, cut = middle, tried
        else:
            too_many = middle
    return items[:fitting], cut
