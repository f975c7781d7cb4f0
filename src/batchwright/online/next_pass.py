"""Where the next pass of a stream begins: its epoch, or the states that were loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .loaded import Begun, Loaded
from .replicas import Replica
from .run import Recipe

__all__ = ["NextPass"]


class NextPass:
    """Where the next pass begins.

    Attributes:
        epoch: its epoch, if it goes on from no state.
        loaded: the state of this reader that it goes on from.
        states: all that were loaded, until it is known which reader this process is.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.loaded: dict[str, Any] | None = None
        self.states: Loaded | None = None

    @property
    def due(self) -> int:
        """Its epoch, also if a state was loaded."""
        loaded = self._any_loaded()
        return self.epoch if loaded is None else int(loaded["epoch"])

    def _any_loaded(self) -> dict[str, Any] | None:
        return self.loaded if self.states is None else self.states.states[0]

    def set_epoch(self, epoch: int) -> None:
        """Begin at the start of an epoch, unless what was loaded is of this epoch."""
        loaded = self._any_loaded()
        if loaded is None or loaded["epoch"] != epoch:
            self.epoch, self.loaded, self.states = epoch, None, None

    def load(self, states: list[dict[str, Any]]) -> None:
        """Begin where these states of readers were taken."""
        self.loaded, self.states = None, Loaded(states)
        self.epoch = self.states.next

    def settle(
        self, replica: Replica, recipe: Recipe, state_bytes: int, state_of: Callable[..., dict[str, Any]]
    ) -> None:
        """Take this reader's state from those that were loaded; with another number of readers, divide what is left."""
        if self.states is None:
            return
        found = self.states.of(replica, recipe, state_bytes)
        self.states = None
        self.loaded = None if found["run"] is None else state_of(**found, replica=replica)
        self.epoch = found["epoch"] if self.loaded is None else found["next_epoch"]

    def settle_all(
        self, here: Sequence[Replica], recipe: Recipe, state_bytes: int, state_of: Callable[..., dict[str, Any]]
    ) -> Begun:
        """The same for all workers of this rank at once, in the process that starts them."""
        if self.states is None:
            return Begun([None] * len(here), self.epoch, self.epoch + 1, 0)
        found = self.states.of_all(here, recipe, state_bytes)
        self.states = Loaded([state_of(**one, replica=it) for one, it in zip(found, here, strict=True)])
        return Begun.of(found)
