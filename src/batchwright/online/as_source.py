"""Makes a source of any object that holds samples, by its methods."""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import torch.utils.data

from ..errors import Infeasible, shortened
from .idle import Idle
from .made_of import arguments_of, contents_of, of_shards
from .no_samples import check_order, check_samples
from .numbered import joined, lasting
from .own_split import OwnSplit, splits_itself
from .pieces import Left
from .replicas import Replica
from .sources import Indexed, OneReader, PlainReader, Reader, Source, deal
from .stream import Stream
from .stream_source import StreamSource
from .worker_info import caller_as

__all__ = ["Chain", "as_source"]


def as_source(value: Any, *, name: str) -> Source:
    """Turn a value into a source: a source of this package, a stream, a sequence, a dataset, an iterable.

    Raises:
        Infeasible: it is no collection of samples, although something (letters, columns, batches) could be read from
            it.
    """
    name = shortened(name)
    if isinstance(value, Stream):
        return StreamSource(value)
    kind = type(value)
    iterable = isinstance(value, Iterable) or hasattr(kind, "__getitem__")
    if isinstance(value, Source) and not iterable and not isinstance(value, type):
        return value
    check_samples(value, name)
    if hasattr(value, "shard") and hasattr(value, "num_shards") and hasattr(value, "state_dict"):
        return _HuggingFace(value, name=name)
    library = splits_itself(value)
    if library is not None:
        return OwnSplit(value, library, name=name)
    if isinstance(value, torch.utils.data.ChainDataset):
        return Chain(value.datasets, name=name)
    # The order of these questions matters: many types answer to several of them.
    if isinstance(value, torch.utils.data.IterableDataset):  # it has a __getitem__, of its base class, that raises
        return OneReader(value, name=name)
    if hasattr(value, "iloc"):
        return Indexed(value.array, name=name)  # a pandas Series by position, where `series[number]` goes by its index
    if hasattr(kind, "__getitem__") and hasattr(kind, "__len__") and not isinstance(value, Iterator):
        return Indexed(value, name=name)
    return OneReader(value, name=name)


def _apart(dataset: Any) -> Any:
    """A copy of a Hugging Face dataset with its own epoch and position; `copy.copy` alone would share these."""
    own = copy.copy(dataset)
    own.__dict__ = {**vars(dataset), "_epoch": 0}
    return own


class _HuggingFace:
    """A Hugging Face IterableDataset. It splits itself over the workers of a loader; here it is split over ranks."""

    def __init__(self, dataset: Any, *, name: str) -> None:
        self.dataset = dataset
        self.name = name
        self._idle = Idle()

    def arguments(self) -> dict[str, Any]:
        """How it is read."""
        return {"kind": "HuggingFace"}

    def contents(self) -> dict[str, Any]:
        """The number of its shards."""
        return self._contents

    @cached_property
    def _contents(self) -> dict[str, Any]:
        return of_shards(range(self.dataset.num_shards), (), "")

    def reader(self, replica: Replica, epoch: int) -> Reader:
        dataset = self.dataset
        if replica.world_size > 1 and getattr(dataset, "_distributed", None) is not None:
            raise Infeasible(
                f"source {self.name!r} was split over nodes already, and {replica.world_size} ranks would split it again",
                "pass the dataset as it was before split_dataset_by_node, or rank=0 and world_size=1 to the stream",
            )
        if replica.world_size > 1:
            from datasets.distributed import split_dataset_by_node

            dataset = split_dataset_by_node(dataset, rank=replica.rank, world_size=replica.world_size)
        else:
            dataset = _apart(dataset)
        shards = dataset.num_shards
        way_out = f"pass num_workers={shards} to the loader, or make the dataset with more shards"
        if replica.all_read and shards < replica.workers:
            raise Infeasible(
                f"source {self.name!r} has {shards} shards here and each of {replica.workers} workers needs one",
                way_out,
            )
        self._idle.say(self.name, replica, shards, f"has {shards} shards here", way_out)
        dataset.set_epoch(epoch)
        return PlainReader(dataset, self.name, call=caller_as(replica), skips=replica.skips)


class Chain:
    """Reads sources one after the other; each is split over the replicas.

    Args:
        sources: anything `online.balanced` takes as a source.
        name: the name of the chain in errors.

    Raises:
        Infeasible: there are no sources, or one of them cannot be read.

    Example:
        >>> both = Chain([[1, 2, 3], [4, 5]])
        >>> [list(both.reader(Replica(worker=w, workers=2), epoch=0).open(None)) for w in (0, 1)]
        [[1, 3, 4], [2, 5]]
    """

    def __init__(self, sources: Iterable[Any], *, name: str = "chain") -> None:
        self.name = shortened(name)
        check_order(sources, "sources", f"chain {self.name!r}")
        self.sources: list[Source] = [as_source(it, name=f"{self.name}[{i}]") for i, it in enumerate(sources)]
        if not self.sources:
            raise Infeasible(f"chain {self.name!r} has 0 sources", "pass at least one")

    def arguments(self) -> dict[str, Any]:
        """What the order of the samples depends on."""
        return {"kind": "chain", "sources": {str(at): arguments_of(one) for at, one in enumerate(self.sources)}}

    def contents(self) -> dict[str, Any]:
        """What each source holds, by its place: several may have one name."""
        return {"sources": {f"{self.name}[{at}]": contents_of(one) for at, one in enumerate(self.sources)}}

    def reader(self, replica: Replica, epoch: int) -> Reader:
        """One replica's part of each source."""
        return _ChainReader([source.reader(replica, epoch) for source in self.sources], skips=replica.skips)

    def deal(self, left: Sequence[Left], readers: int) -> list[Any]:
        """Deal what was left of each source to readers: a position for each."""
        parts = [deal(source, [one["parts"][at] for one in left], readers) for at, source in enumerate(self.sources)]
        # Each source knows what it remembers as -1, -2, ...: the chain's numbers go through all of them.
        counts, remembered = [0] * len(self.sources), []
        for one in left:
            for at in one["remembered"]:
                counts[at] += 1
                remembered.append([at, -counts[at]])
        return [
            {
                "starts": [],
                "taken": 0,
                "past": [],
                "inner": None,
                "dealt": [part[reader] for part in parts],
                "remembered": remembered,
            }
            for reader in range(readers)
        ]


class _ChainReader:
    lasts = True

    def __init__(self, readers: list[Reader], *, skips: bool) -> None:
        self._readers = readers
        self._skips = skips
        self._dealt: dict[str, Any] = {}  # if another reader's part was dealt to this one, where each source begins
        self._starts: list[int] = []
        self.can_fetch = all(reader.can_fetch for reader in readers)

    def open(self, position: Any) -> Iterator[Any]:
        if position is not None and "dealt" in position:
            self._dealt = {name: position[name] for name in ("dealt", "remembered")}
            for reader, begin in zip(self._readers, position["dealt"], strict=True):
                reader.open(begin)  # to know what it remembers
        if position is None or not position["starts"]:
            self._starts = [0]
            return self._samples(0, self._begin(0))
        self._starts = list(position["starts"])
        for reader, past in zip(self._readers, position["past"], strict=False):
            reader.open(past)  # to fetch again, a reader must know where it stood
        return self._samples(position["taken"], self._opened(len(self._starts) - 1, position["inner"]))

    def _begin(self, which: int) -> Iterator[Any]:
        return self._opened(which, self._dealt["dealt"][which] if self._dealt else None)

    def _opened(self, which: int, position: Any) -> Iterator[Any]:
        return lasting(self._readers[which], position, skips=self._skips)

    def _samples(self, taken: int, first: Iterator[Any]) -> Iterator[Any]:
        """The samples of `first`, which is open, and of the sources after it."""
        opened = len(self._starts) - 1

        def part(which: int, taken: int) -> Iterator[Any]:
            return first if which == opened else self._begin(which)

        return chain.from_iterable(joined(part, self._starts, len(self._readers), taken))

    def position(self, taken: int) -> Any:
        if not self._starts:
            return None
        which = len(self._starts) - 1
        past = [
            reader.position(end - start)
            for reader, start, end in zip(self._readers, self._starts, self._starts[1:], strict=False)
            if self.can_fetch
        ]
        inner = self._readers[which].position(taken - self._starts[which])
        return {"starts": list(self._starts), "taken": taken, "past": past, "inner": inner, **self._dealt}

    @property
    def rereads(self) -> bool:
        """Whether going on reads the source that is read now up to there."""
        return bool(self._starts) and getattr(self._readers[len(self._starts) - 1], "rereads", False)

    def _within(self, ordinal: int) -> tuple[int, int]:
        """The source of a sample, and its ordinal there."""
        if ordinal < 0:
            which, inner = self._dealt["remembered"][-1 - ordinal]
            return which, inner
        which = bisect_right(self._starts, ordinal) - 1
        return which, ordinal - self._starts[which]

    def fetch(self, ordinals: Sequence[int]) -> list[Any]:
        places = list(map(self._within, ordinals))
        found: dict[tuple[int, int], Any] = {}
        for which, reader in enumerate(self._readers):
            here = sorted({inner for at, inner in places if at == which})
            found.update(zip(((which, inner) for inner in here), reader.fetch(here), strict=True) if here else ())
        return [found[place] for place in places]

    def left(self, taken: int, again: Sequence[int], remembered: Sequence[int], *, ended: bool) -> Left:
        places, kept = list(map(self._within, again)), list(map(self._within, remembered))
        ends = [*self._starts[1:], taken]
        parts = [
            reader.left(
                ends[which] - self._starts[which] if which < len(ends) and self._starts else 0,
                [inner for at, inner in places if at == which],
                [inner for at, inner in kept if at == which],
                ended=ended or which < len(self._starts) - 1,
            )
            for which, reader in enumerate(self._readers)
        ]
        return {"parts": parts, "remembered": [which for which, _ in kept]}
