"""Reads the samples of a stream, for another stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .pieces import Left
from .run import Run

__all__ = ["StreamReader"]


class StreamReader:
    """One replica's way through a stream of samples.

    Args:
        begin: starts a pass at a position: the state of a pass, or None for its start.
        samples: the samples of a pass.
    """

    can_fetch = False

    def __init__(self, begin: Callable[[Any], Run], samples: Callable[[Run], Iterator[Any]]) -> None:
        self._begin = begin
        self._samples = samples
        self._run: Run | None = None

    def open(self, position: Any) -> Iterator[Any]:
        """The samples from a position on: the state of a pass."""
        self._run = self._begin(position)
        return self._samples(self._run)

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
