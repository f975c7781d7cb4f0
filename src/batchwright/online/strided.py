"""A source that every reader reads completely, and of which each keeps its part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from typing import Any

from ..errors import Infeasible
from .no_samples import check_samples
from .numbered import Numbered
from .once import once_only
from .pieces import Left, Piece, PieceReader, dealt_pieces
from .replicas import Replica
from .sources import PlainReader, Reader, Turned, iterated
from .worker_info import caller_for

__all__ = ["Strided"]


class Strided(Turned):
    """A source that every replica reads completely; each keeps every `count`-th sample.

    Use it if the source has a repeatable order and no shards. Every replica has the cost of reading all samples. If
    groups come with a fixed period that has a common factor with the number of replicas, some replicas get no sample of
    some groups.

    Args:
        source: an iterable that gives the same samples in the same order whenever it is read, or a map-style dataset.
        name: the name of the source in errors.

    Raises:
        Infeasible: it holds no samples.
    """

    def __init__(self, source: Iterable[Any], *, name: str = "source") -> None:
        super().__init__(source, name=name)
        check_samples(source, self.name)

    def contents(self) -> dict[str, Any] | None:
        """What it says of itself."""
        return self._said

    def reader(self, replica: Replica, epoch: int) -> Reader:
        """Samples index, index + count, ... of all."""
        if once_only(self.iterable):
            raise Infeasible(
                f"source {self.name!r} is an iterator: it can be read once, not by {replica.count} replicas",
                "pass what makes the iterator, or online.Sharded",
            )
        return _StridedReader(self, self.turned(epoch, replica, caller_for(replica)), replica, epoch)

    indexed = False

    def open(self, shard: int) -> Iterable[Any]:
        """All samples of an epoch, whose number is that of its one shard: the source may have another order in each."""
        self.turned(shard, Replica())
        return iterated(self.iterable)

    def title(self, shard: int) -> str:
        """What errors call it."""
        return f"source {self.name!r}"

    def deal(self, left: Sequence[Left], readers: int) -> list[Any]:
        """Deal what was left to readers to others: a position for each."""
        return dealt_pieces(left, readers)


class _StridedReader:
    """Keeps every `count`-th sample; after dealing, those of its pieces, for which the source is read from its start."""

    can_fetch = False
    lasts = True

    def __init__(self, source: Strided, inner: PlainReader, replica: Replica, epoch: int) -> None:
        self._inner = inner
        self._epoch = epoch
        self._index = replica.index
        self._count = replica.count
        self._pieces = PieceReader(source, [], caller_for(replica), skips=replica.skips, can_fetch=False)
        self._skips = replica.skips
        self._is_dealt = False

    def open(self, position: Any) -> Iterator[Any]:
        self._is_dealt = position is not None and "pieces" in position
        if self._is_dealt:
            return self._pieces.open(position)
        first = self._index if position is None else position["first"]
        samples = self._inner.open(None if position is None else position["whole"])
        if self._skips:  # `islice` ends where a reading fails
            return Numbered(samples, count(first, self._count), skips=True)
        return islice(samples, first, None, self._count)

    def position(self, taken: int) -> Any:
        if self._is_dealt:
            return self._pieces.position(taken)
        if taken == 0:
            return None
        read = self._index + (taken - 1) * self._count + 1  # islice has read up to its last sample, no further
        return {"whole": self._inner.position(read), "first": self._count - 1}

    @property
    def rereads(self) -> bool:
        """Whether going on reads the source up to there: its pieces always do."""
        return self._is_dealt or self._inner.rereads

    def fetch(self, ordinals: Sequence[int]) -> list[Any]:
        """Never called, as `can_fetch` is False: each sample would cost another reading of the source from its start."""
        raise NotImplementedError

    def left(self, taken: int, again: Sequence[int], remembered: Sequence[int], *, ended: bool) -> Left:
        if self._is_dealt:
            return self._pieces.left(taken, again, remembered, ended=ended)
        runs = [] if ended else [[self._index + taken * self._count, self._count]]
        return {"pieces": [Piece(self._epoch, runs, [], epoch=self._epoch)], "remembered": []}
