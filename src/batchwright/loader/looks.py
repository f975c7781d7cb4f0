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
        self._runs: tuple[RunState, RunState] | None = None  # before and after the only batch of a loop
        self._in_turn = 0

    def begun(self, before: RunState) -> None:
        """A loop was given its first batch, before which the run was `before`."""
        self._runs = before, self._sampler.run

    def used(self) -> None:
        """What the latest loop was given was used: it asked for another batch, or its position was saved."""
        self._runs = None

    def undo(self, number: int | None) -> None:
        """Take the run back, if the latest loop only looked, as the next one begins, of epoch `number` if that was asked."""
        if self._runs is not None and self._sampler.run is self._runs[1]:
            self._sampler.run = self._runs[0]
            self._in_turn += 1
            # One look is ordinary. A plain loop that always stops after one batch would train on the same one each time.
            if self._in_turn == 2 and number is None:
                warn(
                    f"two loops in turn took one batch of epoch {self._sampler.epoch} and stopped, which counts as a look, "
                    "so both began with the same batch; if they trained on it, loop over loader.epochs(n)."
                )
        else:
            self._in_turn = 0
        self._runs = None

    def undone(self, question: Callable[[], Answer]) -> Answer:
        """What `question` returns where the next loop begins; the position of the run stays."""
        if self._runs is None or self._sampler.run is not self._runs[1]:
            return question()
        self._sampler.run, after = self._runs[0], self._sampler.run
        try:
            return question()
        finally:
            self._sampler.run = after
