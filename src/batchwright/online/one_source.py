"""What the arguments of streams of one source have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .feed import Feed, OnError
from .made_of import contents_of
from .replicas import Replica
from .sources import Source

__all__ = ["OneSource"]


@dataclass(frozen=True)
class OneSource:
    """The arguments of a stream that say what it reads; see `Recipe`."""

    source: Source
    name: str | None
    on_error: OnError
    seed: int

    def feed(
        self, source: Source, replica: Replica, epoch: int, measure: Callable[[Any], Any], argument: str, **more: Any
    ) -> Feed:
        """Reads the part of a replica; `measure` was passed as `argument`."""
        return Feed(
            source, replica, epoch, measure=measure, argument=argument, on_error=self.on_error, name=self.name, **more
        )

    def sources(self) -> Sequence[Source]:
        """The source that is read."""
        return [self.source]

    def contents(self) -> dict[str, Any]:
        """What the source holds."""
        return {"sources": {self.source.name: contents_of(self.source)}}
