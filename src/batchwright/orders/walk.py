"""The spans of an order with scheduled shares, found by walking from epoch to epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import Infeasible
from ..targets.target import MOST_EPOCHS
from .constant_shares import ConstantShares, after_change

__all__ = ["Walk"]

_MARKS = 1024  # epochs from which a walk may begin, at most
_MARKED_NUMBERS = 1 << 19  # in all of them, of each array of a span
_FEWEST_MARKS = 16

Spans = tuple[ConstantShares, ...]


class Walk:
    """Finds the spans of any epoch.

    What an epoch is dealt from depends on what was dealt before it, so that nothing is skipped and drift does not add up.
    So the epochs before it are gone through, each once. Of those that were gone through only some are kept, evenly spaced:
    memory is bounded, and going back takes few steps.

    Args:
        first: the span that the order begins with.
        line: the groups on the line of a round's tickets, in an epoch.
        epoch_batches: micro-batches in an epoch.
        settles_at: the epoch from which shares no longer change; None for never.
    """

    def __init__(
        self, first: ConstantShares, line: Callable[[int], np.ndarray], *, epoch_batches: int, settles_at: int | None
    ) -> None:
        self._line = line
        self._epoch_batches = epoch_batches
        self._settles_at = settles_at
        self._most = max(_FEWEST_MARKS, min(_MARKS, _MARKED_NUMBERS // first.wanted.size))
        self._known: tuple[int, Spans] = 0, (first,)  # the epoch asked for last
        self._marks: tuple[int, tuple[Spans, ...]] = 1, ((first,),)  # how many epochs lie between two, and they

    def at(self, batch: int) -> tuple[ConstantShares, int | None]:
        """The span that holds a micro-batch, and the micro-batch up to which it is known to last; None if it has no end.

        Raises:
            Infeasible: so many epochs are not followed.
        """
        epoch, ends = batch // self._epoch_batches, []
        if self._settles_at is not None and epoch >= self._settles_at:
            epoch = self._settles_at
        else:
            ends.append((epoch + 1) * self._epoch_batches)
        spans = self._of(epoch)
        ends += [span.first for span in spans if span.first > batch]
        return next(span for span in reversed(spans) if span.first <= batch), min(ends, default=None)

    def _of(self, epoch: int) -> Spans:
        """The spans of an epoch. Threads that compute it at the same time find the same."""
        known, spans = self._known
        if known == epoch:
            return spans
        if epoch > MOST_EPOCHS:
            raise Infeasible(
                f"epoch {epoch} is asked for, a target that moves is followed for {MOST_EPOCHS} epochs",
                "build the plan with a longer epoch=, or with a target that settles, such as targets.schedule(...)",
            )
        apart, marks = self._marks
        nearest = min(epoch // apart, len(marks) - 1)
        if not nearest * apart < known < epoch:
            known, spans = nearest * apart, marks[nearest]
        for following in range(known + 1, epoch + 1):
            spans = self._after(spans, following)
            self._mark(following, spans)
        self._known = epoch, spans
        return spans

    def _after(self, spans: Spans, epoch: int) -> Spans:
        """The spans of an epoch, given those of the one before it."""
        wanted = self._line(epoch)
        if np.array_equal(wanted, spans[-1].wanted):
            return spans
        first = epoch * self._epoch_batches
        last = next(span for span in reversed(spans) if span.first < first)
        drawn, deficit = last.drawn(first - last.first), last.deficit_at(first - last.first)
        return after_change(
            last, first, wanted, drawn, deficit, change=last.change + 1, epoch=self._epoch_batches, may_change=True
        )

    def _mark(self, epoch: int, spans: Spans) -> None:
        """Keep the spans of an epoch if it is the next to keep; if that makes too many, keep those of every other one."""
        apart, marks = self._marks
        if epoch != apart * len(marks):
            return
        marks = (*marks, spans)
        self._marks = (apart, marks) if len(marks) <= self._most else (2 * apart, marks[::2])
