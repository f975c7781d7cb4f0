"""Finds the spans of an order whose shares follow a schedule, from one change to the next."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

import numpy as np

from ..errors import Infeasible
from ..kernels.deal_arguments import ROUND
from ..targets.target import MOST_EPOCHS
from .constant_shares import ConstantShares, after_change, after_settling

__all__ = ["Walk"]

_MARKS = 1024  # the most stages whose spans are kept: finding any of 131,072 stages takes 128 steps at most
_MARKED_NUMBERS = 1 << 19  # numbers in all spans that are kept, for each array of a span: 4 MB
_FEWEST_MARKS = 16  # also where there are very many groups

ConstantSpans = tuple[ConstantShares, ...]


class Walk:
    """Finds the spans of any epoch.

    A stage is the epochs from one possible change of the shares to the next: a single one, unless the target says when it
    changes. The spans of a stage depend on the deficits of the stage before, so that deficits never add up. So all earlier
    stages are computed first, each once. Only the spans of some of them are kept, evenly spaced: memory is bounded, and
    going back to an earlier stage takes few steps.

    Args:
        first: the first span of the order.
        line: from an epoch to its shares, as edges on the line of a round's tickets.
        epoch_batches: micro-batches in an epoch.
        firsts: the epochs at which shares may change, ascending from 0; None if they may change at each without end.
        looks_ahead: whether shares stay for many epochs, which are short, so that deficits are paid back in more than one.
    """

    def __init__(
        self,
        first: ConstantShares,
        line: Callable[[int], np.ndarray],
        *,
        epoch_batches: int,
        firsts: Sequence[int] | None,
        looks_ahead: bool = False,
    ) -> None:
        self._line = line
        self._epoch_batches = epoch_batches
        self._firsts = firsts
        self._looks_ahead = looks_ahead
        self._most = max(_FEWEST_MARKS, min(_MARKS, _MARKED_NUMBERS // first.wanted.size))
        self._latest: tuple[int, ConstantSpans] = 0, (first,)  # the stage that was needed last, and its spans
        # The distance between two kept stages, and their spans.
        self._marks: tuple[int, tuple[ConstantSpans, ...]] = 1, ((first,),)

    def at(self, batch: int) -> tuple[ConstantShares, int | None]:
        """The span of a micro-batch, and the micro-batch where the span ends as far as is known; None if it never ends.

        Raises:
            Infeasible: the epoch is too far away.
        """
        epoch, ends = batch // self._epoch_batches, []
        stage = epoch if self._firsts is None else bisect_right(self._firsts, epoch) - 1
        if self._firsts is None or stage + 1 < len(self._firsts):
            ends.append(self._begins(stage + 1) * self._epoch_batches)
        spans = self._of(stage)
        ends += [span.first for span in spans if span.first > batch]
        return next(span for span in reversed(spans) if span.first <= batch), min(ends, default=None)

    def _begins(self, stage: int) -> int:
        """The first epoch of a stage; of the one behind the last, the epoch after the last change."""
        if self._firsts is None:
            return stage
        return self._firsts[stage] if stage < len(self._firsts) else self._firsts[-1] + 1

    def _of(self, stage: int) -> ConstantSpans:
        """The spans of a stage. Several threads may compute it at the same time: they find the same."""
        reached, spans = self._latest
        if reached == stage:
            return spans
        if stage > MOST_EPOCHS:
            raise Infeasible(
                f"epoch {stage} is asked for, a target that moves is followed for {MOST_EPOCHS} epochs",
                "build the plan with a longer epoch=, or with a target that settles, such as targets.schedule(...)",
            )
        apart, marks = self._marks
        nearest = min(stage // apart, len(marks) - 1)
        if not nearest * apart < reached < stage:
            reached, spans = nearest * apart, marks[nearest]
        for following in range(reached + 1, stage + 1):
            spans = self._after(spans, following)
            self._mark(following, spans)
        self._latest = stage, spans
        return spans

    def _after(self, spans: ConstantSpans, stage: int) -> ConstantSpans:
        """The spans of a stage, given those of the one before it."""
        epoch = self._begins(stage)
        wanted = self._line(epoch)
        first, latest = epoch * self._epoch_batches, spans[-1]
        if np.array_equal(wanted, latest.wanted):  # no change, and deficits stay small in the spans of the last one
            ended = latest.settles and latest.first + latest.epoch <= first
            return (*spans, after_settling(latest, self._epoch_batches)) if ended else spans
        last = next(span for span in reversed(spans) if span.first < first)
        drawn, deficit = last.before(first - last.first)
        found = after_change(
            last,
            first,
            wanted,
            drawn,
            deficit,
            change=last.change + 1,
            epoch=self._epoch_batches,
            stays=self._stays(stage, wanted),
        )
        # No stage follows that would add what comes after the settling.
        endless = self._firsts is not None and stage + 1 == len(self._firsts)
        return (*found, after_settling(found[-1], self._epoch_batches)) if endless and found[-1].settles else found

    def _stays(self, stage: int, wanted: np.ndarray) -> int:
        """The micro-batches from a stage on that have its shares for certain; a round of them is enough to know."""
        following = stage + 1
        while self._looks_ahead and self._between(stage, following) < ROUND:
            if self._firsts is not None and following == len(self._firsts):
                return ROUND
            if not np.array_equal(self._line(self._begins(following)), wanted):
                break
            following += 1
        return self._between(stage, following)

    def _between(self, stage: int, following: int) -> int:
        """The micro-batches from the beginning of a stage to that of a later one."""
        return (self._begins(following) - self._begins(stage)) * self._epoch_batches

    def _mark(self, stage: int, spans: ConstantSpans) -> None:
        """Keep the spans of a stage, if it is the next one to keep; if there are then too many, drop every other one."""
        apart, marks = self._marks
        if stage != apart * len(marks):
            return
        marks = (*marks, spans)
        self._marks = (apart, marks) if len(marks) <= self._most else (2 * apart, marks[::2])
