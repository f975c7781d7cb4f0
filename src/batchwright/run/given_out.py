"""Which micro-batches of its plan a run has not given out: what was left of epochs that ended early."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from ..errors import Infeasible, shown
from ..micro_batches import AS_IT_WAS, LAST

__all__ = ["LeftOut", "given_out", "left_out_at", "left_out_in"]


class LeftOut(NamedTuple):
    """Stretches of micro-batches never given out, equally long and equally far apart: those of alike epochs are one.

    Attributes:
        first: the first micro-batch of the first stretch, as the plan counts them in steps of 1.
        batches: micro-batches in each.
        apart: from the start of one to that of the next.
        times: how many stretches there are.
    """

    first: int
    batches: int
    apart: int
    times: int

    @property
    def stop(self) -> int:
        """The micro-batch behind the last stretch."""
        return self.first + (self.times - 1) * self.apart + self.batches

    def before(self, stop: int) -> Iterator[LeftOut]:
        """What of it lies before a micro-batch."""
        whole = min(self.times, max(0, (stop - self.first - self.batches) // self.apart + 1))
        if whole:
            yield self._replace(times=whole)
        begun = self.first + whole * self.apart
        if whole < self.times and begun < stop:
            yield LeftOut(begun, stop - begun, stop - begun, 1)


def left_out_at(left_out: tuple[LeftOut, ...], before: int, start: int) -> tuple[LeftOut, ...]:
    """What a run has left out that was at micro-batch `before` and goes on at `start`.

    If it goes back, what lies behind `start` has not come yet.
    """
    stop, kept = min(before, start), list(left_out)
    while kept and kept[-1].stop > stop:
        kept[-1:] = kept[-1].before(stop)
    if start > before:
        last = kept[-1] if kept else None
        if last is not None and last.batches == start - before:
            apart = before - last.first if last.times == 1 else last.apart
            if before == last.first + last.times * apart:
                return *kept[:-1], last._replace(apart=apart, times=last.times + 1)
        kept.append(LeftOut(before, start - before, start - before, 1))
    return tuple(kept)


def given_out(left_out: tuple[LeftOut, ...], stop: int) -> Iterator[tuple[int, int]]:
    """The micro-batches before `stop` that were given out: ranges, each from its first to the one behind its last."""
    start = 0
    for first, batches, apart, times in left_out:
        for number in range(times):
            begun = first + number * apart
            if begun > start:
                yield start, begun
            start = begun + batches
    if stop > start:
        yield start, stop


def left_out_in(state: Mapping[str, Any]) -> tuple[LeftOut, ...]:
    """What a state says was left out.

    Raises:
        Infeasible: no run has left that out.
    """
    found = state.get("left_out", [])
    entries = tuple(LeftOut(*entry) for entry in found if _is_entry(entry)) if isinstance(found, list) else ()
    ascending = all(one.stop <= other.first for one, other in pairwise(entries))
    if not isinstance(found, list) or len(entries) < len(found) or not ascending:
        raise Infeasible(f"the state's left_out is {shown(found)}, which no run has left out", AS_IT_WAS)
    return entries


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, (list, tuple)) or [type(number) for number in entry] != [int] * 4:
        return False
    found = LeftOut(*entry)
    return found.first >= 0 and min(found[1:]) > 0 and found.apart >= found.batches and found.stop <= LAST + 1
