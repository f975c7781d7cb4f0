"""One epoch of a loader of a stream, or what is left of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from .sent_batches import LoadedStream

__all__ = ["StreamEpoch"]


class _EpochsOf(Protocol):
    """What an epoch needs of its loader; the attributes are those of `StreamLoader`."""

    stream: LoadedStream

    def _pass(self, epoch: int | None) -> Iterator[Any]: ...
    def _steps_left(self, epoch: int) -> int: ...


class StreamEpoch:
    """One epoch of a loader of a stream, to be looped over once; made by `StreamLoader.epochs`.

    Attributes:
        number: which epoch it is, from 0.
    """

    _gives = "batches"  # see `no_samples`

    def __init__(self, loader: _EpochsOf, number: int) -> None:
        self._loader = loader
        self.number = number
        self._steps: int | None = None  # how many a loop over it gives; not known until it is asked for

    def __len__(self) -> int:
        """Batches that a loop over it gives, of a stream with `steps=`: fewer where a run resumed within the epoch."""
        if self._steps is None:
            self._steps = self._loader._steps_left(self.number)
        return self._steps

    def __iter__(self) -> Iterator[Any]:
        if self._loader.stream._steps is not None:
            len(self)  # while the loaded state, which tells it, is there
        return self._loader._pass(self.number)

    def __repr__(self) -> str:
        return f"<epoch {self.number} of {self._loader!r}>"
