"""Sources of samples, and readers: one replica's way through a source, with its position."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from itertools import chain, count
from typing import Any, Protocol, runtime_checkable

from ..errors import Infeasible, shortened
from ..readings import call_in_loop
from .idle import Idle
from .made_of import of_iterable
from .no_samples import check_samples
from .numbered import SAME_SOURCE, Numbered
from .once import OneReading, has_state, once_only
from .pieces import Left, Piece, PieceReader, dealt_pieces, skip
from .replicas import Replica
from .worker_info import Call, call_directly, caller_as, caller_for, stepped

__all__ = [
    "AT_END",
    "Indexed",
    "OneReader",
    "PlainReader",
    "Reader",
    "SelfSplit",
    "Source",
    "Turned",
    "check_deal",
    "deal",
    "iterated",
]


_SPLIT = (
    "online.Sharded(shards, read), online.Strided(source) if it can be read many times over in the same order, "
    "or online.SelfSplit(source) if it looks up rank and worker itself"
)
AT_END = {"end": True}  # the position of a reader that has nothing left


class Reader(Protocol):
    """Reads the part of one replica, from any position on.

    Attributes:
        can_fetch: whether samples that were read can be read again by their ordinals.

    A reader may have an attribute `lasts`, if it is True that its samples go on after a reading that failed, which has an
    ordinal, and end only where the source does. And one `rereads`, True if opening a position reads the source up to it.
    """

    can_fetch: bool

    def open(self, position: Any) -> Iterator[Any]:
        """The samples from `position` on; None is the start."""

    def position(self, taken: int) -> Any:
        """The position after `taken` samples since the start, as plain data for `open`."""

    def fetch(self, ordinals: Sequence[int]) -> list[Any]:
        """Read the samples with these ordinals again, in this order; only if `can_fetch`."""

    def left(self, taken: int, again: Sequence[int], remembered: Sequence[int], *, ended: bool) -> Left:
        """What is left after `taken` samples, with those of the ordinals `again`, for `deal` of the source.

        The samples `remembered` are to be fetched by any reader. A reader that has `ended` has nothing else left.
        """


@runtime_checkable
class Source(Protocol):
    """A collection of samples of which each replica reads its own part."""

    name: str

    def reader(self, replica: Replica, epoch: int) -> Reader:
        """The reader of the part of `replica` in an epoch; each sample is in exactly one part."""


def check_deal(sources: Sequence[Source], readers: int, others: int) -> None:
    """Check that what is left of these sources, and of those that they read, can be dealt to other readers.

    Raises:
        Infeasible: a source splits itself.
    """
    for source in sources:
        if not hasattr(source, "deal"):
            raise Infeasible(
                f"source {source.name!r} splits itself: what is left of it to {readers} readers cannot be dealt to {others} "
                "others",
                "resume with as many ranks and as many workers, or pass online.Sharded or a reader such as "
                "online.huggingface",
            )
        check_deal(_read_by(source), readers, others)


def deal(source: Any, left: Sequence[Left], others: int) -> list[Any]:
    """What is left of a source that `check_deal` has passed, dealt to so many readers: a position for each."""
    positions: list[Any] = source.deal(left, others)
    return positions


def _read_by(source: Source) -> Sequence[Source]:
    """The sources that a source reads."""
    inner = getattr(source, "sources", ())
    found: Sequence[Source] = inner() if callable(inner) else inner
    return found


class PlainReader:
    """Reads an iterable as it is. If it has a state, that is used to resume; else it is read again up to the position."""

    can_fetch = False
    lasts = True

    def __init__(
        self,
        iterable: Iterable[Any],
        name: str,
        *,
        skips: bool = False,
        call: Call = call_directly,
        once: OneReading | None = None,
        stateful: bool = True,
    ) -> None:
        self._has_state = has_state if stateful else lambda value: False
        self._iterable = iterable
        self._name = name
        self._call = call
        self._skips = skips
        self._once = once
        self._stateful: Any = None
        self._unread: Any = None  # the position that it went on from, until the first sample is asked for
        self._at_end = False
        self._before = 0  # samples read before this reader took over; those taken are counted from there

    def open(self, position: Any) -> Iterator[Any]:
        """The samples from `position` on."""
        self._at_end = position == AT_END
        if self._at_end:
            return iter(())
        if position is None and self._once is not None:
            self._once.check(self._name)
        saved = None if position is None else position.get("state")
        self._before = 0 if position is None else position.get("before", 0)
        if saved is not None and self._has_state(self._iterable):
            self._load(self._iterable, saved)
        iterator = self._call(iter, self._iterable)
        self._stateful = next((it for it in (self._iterable, iterator) if self._has_state(it)), None)
        if saved is not None and self._stateful is None:
            raise Infeasible(
                f"the state holds a state that source {self._name!r} gave, and the source has no load_state_dict now",
                SAME_SOURCE,
            )
        if saved is not None and self._stateful is iterator:
            self._load(iterator, saved)
        self._unread = None if saved is None else position
        samples: Iterator[Any] = chain(self._reading(), stepped(iterator, self._call))
        if position is None and self._once is not None:
            samples = self._once.read(samples, self._name)
        read = 0 if position is None or saved is not None else self._before + position["taken"]
        title = f"source {self._name!r}"
        if self._skips:
            return Numbered(samples, count(read), skips=True, least=read, title=title)
        return skip(samples, read, title=title)

    @property
    def rereads(self) -> bool:
        """Whether the source has no state to go on from."""
        return self._stateful is None

    def _reading(self) -> Iterator[Any]:
        """Nothing, when the first sample is asked for."""
        self._unread = None
        if self._once is not None:
            self._once.begin()
        yield from ()

    def _load(self, stateful: Any, saved: Any) -> None:
        self._call(stateful.load_state_dict, copy.deepcopy(saved))  # a copy, since the iterable may change it

    def position(self, taken: int) -> Any:
        """Where the reading stands."""
        if self._at_end:
            return AT_END
        if self._unread is not None:  # a state that was loaded may not count for `state_dict` before the first sample
            return self._unread
        if self._stateful is not None:
            return {"state": copy.deepcopy(self._stateful.state_dict())}
        if once_only(self._iterable):
            raise Infeasible(
                f"source {self._name!r} is an iterator: it can be read once and has no state_dict",
                "pass what makes the iterator (a list, a dataset, online.Sharded), "
                "or give it state_dict and load_state_dict",
            )
        return {"taken": taken, "before": self._before}

    def fetch(self, ordinals: Sequence[int]) -> list[Any]:
        """Not possible: an iterable has no way back."""
        raise NotImplementedError

    def left(self, taken: int, again: Sequence[int], remembered: Sequence[int], *, ended: bool) -> Left:
        """Where the reading stands, for a reader that counts from there."""
        position = AT_END if ended else self.position(taken)
        return {"position": {"taken": 0, "before": self._before + taken} if "taken" in position else position}


class _NoReader(PlainReader):
    """Reads nothing, where another replica reads all."""

    def __init__(self, name: str) -> None:
        super().__init__((), name)

    def left(self, taken: int, again: Sequence[int], remembered: Sequence[int], *, ended: bool) -> Left:
        """Nothing."""
        return {"position": AT_END}


class _ByNumber:
    """Reads what has `__getitem__` and `__len__` and no `__iter__`, such as a map-style dataset; `iter` never ends it."""

    def __init__(self, samples: Any) -> None:
        self._samples = samples

    def __iter__(self) -> Iterator[Any]:
        return map(partial(call_in_loop, self._samples.__getitem__), range(len(self._samples)))


def iterated(samples: Any) -> Iterable[Any]:
    """Samples that `check_samples` has passed, as an iterable."""
    return samples if isinstance(samples, Iterable) else _ByNumber(samples)


class Turned:
    """A plain iterable, to which the epoch is passed if it has `set_epoch`."""

    def __init__(self, iterable: Iterable[Any], *, name: str) -> None:
        self.iterable = iterable
        self.name = shortened(name)
        self.once = OneReading(iterable) if isinstance(iterable, Iterator) and once_only(iterable) else None

    def arguments(self) -> dict[str, Any]:
        """How it is read."""
        return {"kind": type(self).__name__}

    @cached_property
    def _said(self) -> dict[str, Any] | None:
        """Asked for once: a length may take long to be counted, and changes while a growing source is read."""
        return of_iterable(self.iterable)

    def turned(self, epoch: int, replica: Replica, call: Call = call_directly) -> PlainReader:
        """All samples of an epoch."""
        if hasattr(self.iterable, "set_epoch"):
            self.iterable.set_epoch(epoch)
        return PlainReader(iterated(self.iterable), self.name, call=call, skips=replica.skips, once=self.once)


class OneReader(Turned):
    """An iterable of which nothing is known: worker 0 reads it, other workers read nothing; several ranks are refused."""

    def __init__(self, iterable: Iterable[Any], *, name: str) -> None:
        super().__init__(iterable, name=name)
        self._idle = Idle()

    def contents(self) -> dict[str, Any] | None:
        """What it says of itself."""
        return self._said

    def reader(self, replica: Replica, epoch: int) -> Reader:
        """All samples, or none."""
        if replica.world_size > 1:
            raise Infeasible(
                f"source {self.name!r} cannot be split and {replica.world_size} ranks want to read it", f"pass {_SPLIT}"
            )
        if replica.all_read and replica.workers > 1:
            raise Infeasible(
                f"source {self.name!r} cannot be split and each of {replica.workers} workers must have a part of it",
                f"pass num_workers=1 to the loader, or {_SPLIT}",
            )
        self._idle.say(self.name, replica, 1, "cannot be split", f"pass num_workers=1 to the loader, or {_SPLIT}")
        return self.turned(epoch, replica, caller_for(replica)) if replica.worker == 0 else _NoReader(self.name)

    def deal(self, left: Sequence[Left], readers: int) -> list[Any]:
        """Reader 0 goes on where the reading stands; a stream that ended for the one that read leaves nothing of it."""
        position = next((one["position"] for one in left if one["position"] != AT_END), AT_END)
        return [position, *[None] * (readers - 1)]


class SelfSplit(Turned):
    """A source that splits itself by rank and worker, as webdataset pipelines with splitters do.

    Args:
        source: any iterable.
        name: the name of the source in errors.

    Raises:
        Infeasible: it holds no samples.
    """

    def __init__(self, source: Iterable[Any], *, name: str = "source") -> None:
        super().__init__(source, name=name)
        check_samples(source, self.name)

    def reader(self, replica: Replica, epoch: int) -> Reader:
        """All samples that the source yields for this worker."""
        return self.turned(epoch, replica, caller_as(replica))


class Indexed:
    """A sequence (a list, a map-style dataset): replica i reads samples i, i + count, ... and can read any again."""

    indexed = True

    def __init__(self, samples: Any, *, name: str) -> None:
        self.samples = samples
        self.name = shortened(name)

    def arguments(self) -> dict[str, Any]:
        """How it is read."""
        return {"kind": "Indexed"}

    def contents(self) -> dict[str, Any]:
        """The number of samples."""
        return {"what": "samples", "count": len(self.samples), "unit": "", "names": None}

    def open(self, shard: int) -> Any:
        """The samples: there is one shard."""
        return self.samples

    def title(self, shard: int) -> str:
        """What errors call it."""
        return f"source {self.name!r}"

    def reader(self, replica: Replica, epoch: int) -> Reader:
        """Every `count`-th sample."""
        piece = Piece(0, [[replica.index, replica.count]], [], epoch=epoch)
        return PieceReader(self, [piece], call_directly, skips=replica.skips)

    def deal(self, left: Sequence[Left], readers: int) -> list[Any]:
        """Deal what was left to readers to others: a position for each."""
        return dealt_pieces(left, readers)
