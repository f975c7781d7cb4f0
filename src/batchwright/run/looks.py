"""Loops that only look: they are given one batch, and the next loop begins with the same one."""

from __future__ import annotations

import weakref
from typing import Any

from ..errors import warn
from .run_state import RunState

__all__ = ["Looks"]


class Looks:
    """Whether the latest loop only looked: it was given one batch, and nothing has shown since that the batch was used."""

    def __init__(self) -> None:
        self._before_and_after: tuple[RunState, RunState] | None = None  # before and after the only batch of a loop
        self._loop: weakref.ref[Any] | None = None  # the iterator of that loop
        self._looks_in_a_row = 0

    def note_first_batch(self, loop: Any, before: RunState, after: RunState) -> None:
        """A loop was given its first batch, which moved the run from `before` to `after`."""
        self._before_and_after, self._loop = (before, after), weakref.ref(loop)

    def count_as_training(self) -> None:
        """What the latest loop was given was used: it asked for another batch, or its position was saved."""
        self._before_and_after = None

    def looked(self, run: RunState) -> bool:
        """Whether the present run, `run`, is that after a look."""
        return self._before_and_after is not None and run is self._before_and_after[1]

    def may_go_on(self) -> bool:
        """Whether something still refers to the iterator of the latest loop, which may thus take another batch."""
        return self._loop is not None and self._loop() is not None

    def run_if_taken_back(self, run: RunState) -> RunState:
        """The run before the latest loop, if that only looked; `run`, which is the present one, if not."""
        return self._before_and_after[0] if self._before_and_after is not None and self.looked(run) else run

    def replace(self, before: RunState, after: RunState) -> None:
        """The run before and after a look are now these, as shares were set."""
        self._before_and_after = before, after

    def count(self, looked: bool, epoch: int, *, plain: bool) -> None:
        """A loop begins in this epoch; `looked` is whether the one before it looked. Warns of looks in plain loops."""
        self._before_and_after = None
        self._looks_in_a_row = self._looks_in_a_row + 1 if looked else 0
        # One look is ordinary. A plain loop that always stops after one batch would train on the same one each time.
        if self._looks_in_a_row == 2 and plain:
            warn(
                f"two loops in turn took one batch of epoch {epoch} and stopped, which counts as a look, so both began with "
                "the same batch; if they trained on it, loop over loader.epochs(n)."
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_loop": None}  # a loop stays in its process
