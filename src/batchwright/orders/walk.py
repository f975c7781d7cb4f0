"""Finds the spans of an order whose shares follow a schedule, from epoch to epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import Infeasible
from ..kernels.deal_arguments import ROUND
from ..targets.target import MOST_EPOCHS
from .constant_shares import ConstantShares, after_change

__all__ = ["Walk"]

_MARKS = 1024  # the most epochs whose spans are kept: finding any of 131,072 epochs takes 128 steps at most
_MARKED_NUMBERS = 1 << 19  # numbers in all spans that are kept, for each array of a span: 4 MB
_FEWEST_MARKS = 16  # also where there are very many groups

ConstantSpans = tuple[ConstantShares, ...]


class Walk:
    """Finds the spans of any epoch.

    The spans of an epoch depend on the deficits of the epoch before, so that deficits never add up. So all earlier
    epochs are computed first, each once. Only the spans of some of them are kept, evenly spaced: memory is bounded, and
    going back to an earlier epoch takes few steps.

    Args:
        first: the first span of the order.
        line: from an epoch to its shares, as edges on the line of a round's tickets.
        epoch_batches: micro-batches in an epoch.
        settles_at: the epoch from which on shares no longer change; None if they may always change.
        looks_ahead: whether shares stay for many epochs, which are short, so that deficits are paid back in more than one.
    """

    def __init__(
        self,
        first: ConstantShares,
        line: Callable[[int], np.ndarray],
        *,
        epoch_batches: int,
        settles_at: int | None,
        looks_ahead: bool = False,
    ) -> None:
        self._line = line
        self._epoch_batches = epoch_batches
        self._settles_at = settles_at
        self._looks_ahead = looks_ahead
        self._most = max(_FEWEST_MARKS, min(_MARKS, _MARKED_NUMBERS // first.wanted.size))
        self._latest: tuple[int, ConstantSpans] = 0, (first,)  # the epoch that was needed last, and its spans
        # The distance between two kept epochs, and their spans.
        self._marks: tuple[int, tuple[ConstantSpans, ...]] = 1, ((first,),)

    def at(self, batch: int) -> tuple[ConstantShares, int | None]:
        """The span of a micro-batch, and the micro-batch where the span ends as far as is known; None if it never ends.

        Raises:
            Infeasible: the epoch is too far away.
        """
        epoch, ends = batch // self._epoch_batches, []
        if self._settles_at is not None and epoch >= self._settles_at:
            epoch = self._settles_at
        else:
            ends.append((epoch + 1) * self._epoch_batches)
        spans = self._of(epoch)
        ends += [span.first for span in spans if span.first > batch]
        return next(span for span in reversed(spans) if span.first <= batch), min(ends, default=None)

    def _of(self, epoch: int) -> ConstantSpans:
        """The spans of an epoch. Several threads may compute it at the same time: they find the same."""
        reached, spans = self._latest
        if reached == epoch:
            return spans
        if epoch > MOST_EPOCHS:
            raise Infeasible(
                f"epoch {epoch} is asked for, a target that moves is followed for {MOST_EPOCHS} epochs",
                "build the plan with a longer epoch=, or with a target that settles, such as targets.schedule(...)",
            )
        apart, marks = self._marks
        nearest = min(epoch // apart, len(marks) - 1)
        if not nearest * apart < reached < epoch:
            reached, spans = nearest * apart, marks[nearest]
        for following in range(reached + 1, epoch + 1):
            spans = self._after(spans, following)
            self._mark(following, spans)
        self._latest = epoch, spans
        return spans

    def _after(self, spans: ConstantSpans, epoch: int) -> ConstantSpans:
        """The spans of an epoch, given those of the one before it."""
        wanted = self._line(epoch)
        if np.array_equal(wanted, spans[-1].wanted):  # shares that stay make no new span, and deficits stay small in it
            return spans
        first = epoch * self._epoch_batches
        last = next(span for span in reversed(spans) if span.first < first)
        drawn, deficit = last.drawn(first - last.first), last.deficit_at(first - last.first)
        return after_change(
            last,
            first,
            wanted,
            drawn,
            deficit,
            change=last.change + 1,
            epoch=self._epoch_batches,
            stays=self._stays(epoch, wanted),
        )

    def _stays(self, epoch: int, wanted: np.ndarray) -> int:
        """The micro-batches from an epoch on that have its shares for certain; a round of them is enough to know."""
        following = epoch + 1
        while self._looks_ahead and (following - epoch) * self._epoch_batches < ROUND:
            if self._settles_at is not None and following > self._settles_at:
                return ROUND
            if not np.array_equal(self._line(following), wanted):
                break
            following += 1
        return (following - epoch) * self._epoch_batches

    def _mark(self, epoch: int, spans: ConstantSpans) -> None:
        """Keep the spans of an epoch, if it is the next one to keep; if there are then too many, drop every other one."""
        apart, marks = self._marks
        if epoch != apart * len(marks):
            return
        marks = (*marks, spans)
        self._marks = (apart, marks) if len(marks) <= self._most else (2 * apart, marks[::2])
