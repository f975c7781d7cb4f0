"""A stream of samples as the source of another stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..errors import Infeasible
from .pieces import Left
from .redeal import redealt
from .replicas import Replica
from .run import Run
from .sources import AT_END, Source
from .stream import Stream

__all__ = ["StreamSource"]


class StreamSource:
    """A stream of samples, read by the stream that has it as a source.

    Raises:
        Infeasible: it yields batches, or was made for one rank.
    """

    def __init__(self, stream: Stream) -> None:
        if stream._batches:
            raise Infeasible(
                f"stream {stream.name!r} gives batches", f"{stream._way_out_for_samples} to read samples from it"
            )
        if stream._rank is not None:
            raise Infeasible(
                f"stream {stream.name!r} is rank {stream._rank} of {stream._world_size} and another stream reads it",
                "pass rank and world_size to the outermost stream alone, which tells those that it reads",
            )
        self.name = stream.name
        self._stream = stream

    def arguments(self) -> dict[str, Any]:
        """What the samples depend on."""
        return self._stream.arguments()

    def contents(self) -> dict[str, Any]:
        """What its sources hold."""
        return self._stream.contents()

    def sources(self) -> Sequence[Source]:
        """The sources that it reads."""
        return self._stream.sources()

    def deal(self, left: Sequence[Left], readers: int) -> list[Any]:
        """Deal what was left to its readers to others: a position for each."""
        runs = [one["run"] for one in left if one["run"] is not None]
        if not runs:
            return [AT_END] * readers
        stream, epoch = self._stream, max(run.epoch for run in runs)
        return redealt(runs, stream._recipe, readers, epoch, stream._state_bytes, [0] * readers)

    def reader(self, replica: Replica, epoch: int) -> _StreamReader:
        """The samples of one replica."""
        stream = self._stream

        def begin(position: Any) -> Run:
            stream._run = Run(stream._recipe, replica, epoch, position, stream._state_bytes)
            return stream._run

        return _StreamReader(begin, stream._samples_of)


class _StreamReader:
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
        self._at_end = False

    def open(self, position: Any) -> Iterator[Any]:
        """The samples from a position on: the state of a pass."""
        self._at_end = position == AT_END
        if self._at_end:
            return iter(())
        self._run = self._begin(position)
        return self._samples(self._run)

    def position(self, taken: int) -> Any:
        """The state of the pass."""
        if self._at_end:
            return AT_END
        return None if self._run is None else self._run.state()

    def fetch(self, ordinals: Sequence[int]) -> list[Any]:
        """Not possible: a stream has no way back."""
        raise NotImplementedError

    def left(self, taken: int, again: Sequence[int], remembered: Sequence[int], *, ended: bool) -> Left:
        """The pass itself, from which `StreamSource.deal` takes what is left; None if it has ended and is not known."""
        if self._run is None and not (ended or self._at_end):
            self.open(None)
        return {"run": self._run}
