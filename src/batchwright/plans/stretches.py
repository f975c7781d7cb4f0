"""Windows that are stretches of an order: each takes what its micro-batches hold, and the next goes on behind it."""

from __future__ import annotations

import numpy as np

from ..orders import Order
from .admission import Admission
from .cut import Cut, Cutter, Integers
from .windows import Begin

__all__ = ["stretch"]


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
    stop = max(line, begin.place + 1)
    samples = order.take(begin.place, stop)
    ends = admission.counts(samples).cumsum() - begin.skipped  # items taken by the end of each place
    while ends[-1] < least:
        further = order.take(stop, stop + least)
        samples, stop = np.concatenate([samples, further]), stop + least
        ends = admission.counts(samples).cumsum() - begin.skipped
    reached = int(ends[line - begin.place - 1]) if line > begin.place else 0
    count = max(reached, least)
    items = admission.items(samples)[begin.skipped :]
    cut = cutter.cut(items[:count], wanted, multiple)
    while len(cut) > wanted:
        count = max(wanted, min(count * wanted // len(cut), count - 1))
        cut = cutter.cut(items[:count], wanted, multiple)
    whole = int(np.searchsorted(ends, count, side="right"))  # places of which every item is taken
    before = int(ends[whole - 1]) if whole else -begin.skipped
    return items[:count], cut, Begin(begin.place + whole, count - before)
