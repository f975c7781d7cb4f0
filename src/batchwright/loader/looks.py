"""Loops that only look: they are given one batch, and the next loop begins with the same one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..errors import warn
from ..run_state import RunState
from ..sampler import BatchSampler

__all__ = ["Looks"]

Answer = TypeVar("Answer")


class Looks:
    """Whether the latest loop only looked: it was given one batch, and nothing has shown since that the batch was used."""

    def __init__(self, sampler: BatchSampler) -> None:
        self._sampler = sampler
        self._before_and_after: tuple[RunState, RunState] | None = None  # before and after the only batch of a loop
        self._looks_in_a_row = 0

    def note_first_batch(self, before: RunState) -> None:
        """A loop was given its first batch, before which the run was `before`."""
        self._before_and_after = before, self._sampler.run

    def count_as_training(self) -> None:
        """What the latest loop was given was used: it asked for another batch, or its position was saved."""
        self._before_and_after = None

    def take_back(self, number: int | None) -> None:
        """Take the run back, if the latest loop only looked, as the next one begins, of epoch `number` if that was asked."""
        if self._before_and_after is not None and self._sampler.run is self._before_and_after[1]:
            self._sampler.run = self._before_and_after[0]
            self._looks_in_a_row += 1
            # One look is ordinary. A plain loop that always stops after one batch would train on the same one each time.
            if self._looks_in_a_row == 2 and number is None:
                warn(
                    f"two loops in turn took one batch of epoch {self._sampler.epoch} and stopped, which counts as a look, "
                    "so both began with the same batch; if they trained on it, loop over loader.epochs(n)."
                )
        else:
            self._looks_in_a_row = 0
        self._before_and_after = None

    def asked_as_if_taken_back(self, question: Callable[[], Answer]) -> Answer:
        """What `question` returns where the next loop begins; the position of the run stays."""
        if self._before_and_after is None or self._sampler.run is not self._before_and_after[1]:
            return question()
        self._sampler.run, after = self._before_and_after[0], self._sampler.run
        try:
            return question()
        finally:
            self._sampler.run = after
