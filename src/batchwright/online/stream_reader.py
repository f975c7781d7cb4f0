"""Reads the samples of a stream, for another stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .pieces import Left
from .replicas import Replica
from .run import Run

if TYPE_CHECKING:
    from .stream import Stream

__all__ = ["StreamReader"]


class StreamReader:
    """One replica's way through a stream of samples."""

    can_fetch = False

    def __init__(self, stream: Stream, replica: Replica, epoch: int) -> None:
        self._stream = stream
        self._replica = replica
        self._epoch = epoch
        self._run: Run | None = None

    def open(self, position: Any) -> Iterator[Any]:
        """The samples from a position on: the state of a pass."""
        self._run = Run(self._stream._recipe, self._replica, self._epoch, position, self._stream._state_bytes)
        self._stream._run = self._run
        return self._stream._samples_of(self._run)

    def position(self, taken: int) -> Any:
        """The state of the pass."""
        return None if self._run is None else self._run.state()

    def fetch(self, ordinals: Sequence[int]) -> list[Any]:
        """Not possible: a stream has no way back."""
        raise NotImplementedError

    def left(self, taken: int, again: Sequence[int], remembered: Sequence[int], *, ended: bool) -> Left:
        """The pass itself, from which `Stream.deal` takes what is left; None if it has ended and is not known any more."""
        if self._run is None and not ended:
            self.open(None)
        return {"run": self._run}
