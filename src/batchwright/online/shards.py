"""Sources in shards, which are divided over the replicas."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ..errors import Infeasible, seed_number, shortened
from .group_keys import plain
from .keyed_random import PURPOSE, root, words
from .replicas import Replica
from .sources import Reader, shorter, skip
from .worker_info import Call, call_of, stepped

__all__ = ["Shards"]

_END = object()


class Shards:
    """A source in shards (tar files, Parquet row groups, ranges), each read by one replica.

    Use it for data that several ranks or workers read. Replica i of c reads shards i, i + c, ... of the epoch's order.
    If there are fewer shards than replicas, the replicas that share a shard each keep a part of its samples. Samples
    can be fetched again, so the state of a stream has the numbers of the samples in its buffer and not the samples.

    Args:
        shards: one value per shard, such as a path or a (path, row group) pair.
        read: a function from such a value to the samples of the shard, in the same order in every call. If it returns a
            sequence, a position in the shard is reached in one step.
        groups: the group of each shard, if all samples of a shard are of one group. `online.balanced` then reads the shards
            of all groups side by side, and shares are exact in every batch without a buffer.
        shuffle: whether every epoch has a new order of the shards.
        seed: the seed of that order.
        name: the name of the source in errors.

    Raises:
        Infeasible: there are no shards, or not one group for each.

    Example:
        >>> numbers = Shards([0, 10, 20], lambda start: range(start, start + 3))
        >>> list(numbers.reader(Replica(worker=0, workers=2), epoch=0).open(None))
        [0, 1, 2, 20, 21, 22]
    """

    def __init__(
        self,
        shards: Iterable[Any],
        read: Callable[[Any], Iterable[Any]],
        *,
        groups: Sequence[Hashable] | None = None,
        shuffle: bool = False,
        seed: int = 0,
        name: str = "shards",
    ) -> None:
        self.shards = list(shards)
        self.groups = None if groups is None else list(groups)
        self.read = read
        self.shuffle = shuffle
        self.seed = seed_number(seed)
        self.name = shortened(name)
        if not self.shards:
            raise Infeasible(f"source {self.name!r} has 0 shards", "pass at least one; is the file pattern right?")
        if self.groups is not None and len(self.groups) != len(self.shards):
            raise Infeasible(
                f"source {self.name!r} has {len(self.shards):,} shards and {len(self.groups):,} groups",
                "pass the group of each shard, in the order of the shards",
            )

    def by_group(self) -> dict[Hashable, Shards]:
        """The shards of each group as a source of its own; empty if groups are not known."""
        parts: dict[Hashable, list[Any]] = {}
        for group, shard in zip(self.groups or (), self.shards, strict=self.groups is not None):
            parts.setdefault(plain(group, "groups names"), []).append(shard)
        return {
            group: Shards(shards, self.read, shuffle=self.shuffle, seed=self.seed, name=self.name)
            for group, shards in parts.items()
        }

    def describe(self) -> str:
        """What the order of the samples depends on."""
        groups = "" if self.groups is None else f" groups={self.groups}"
        return f"shards shuffle={self.shuffle} seed={self.seed}{groups}"

    def reader(self, replica: Replica, epoch: int) -> Reader:
        """The shards that one replica reads."""
        order = list(range(len(self.shards)))
        if self.shuffle:
            keys = words(root(self.seed, PURPOSE.SHARDS, epoch), 0, len(order))
            order = np.argsort(keys, kind="stable").tolist()
        shards = [self.shards[number] for number in order]
        if replica.count <= len(shards):
            return _ShardReader(self, shards[replica.index :: replica.count], 0, 1, call_of(replica))
        # More readers than shards: readers s, s + shards, s + 2 * shards, ... share shard s, and each takes every
        # step-th sample.
        sharing = range(replica.index % len(shards), replica.count, len(shards))
        shard, first = shards[sharing[0]], sharing.index(replica.index)
        return _ShardReader(self, [shard], first, len(sharing), call_of(replica))


class _ShardReader:
    can_fetch = True

    def __init__(self, source: Shards, shards: list[Any], first: int, step: int, call: Call) -> None:
        self._shards = shards
        self._read = source.read
        self._name = source.name
        self._first = first
        self._step = step
        self._call = call
        self._starts: list[int] = []  # for each shard opened so far, the ordinal of its first sample
        self._taken = 0

    def open(self, position: Any) -> Iterator[Any]:
        self._starts = [] if position is None else list(position["starts"])
        if len(self._starts) > len(self._shards):
            raise Infeasible(
                f"the state is in shard {len(self._starts)} of this reader's and source {self._name!r} has "
                f"{len(self._shards)} for it",
                "resume with the source that the stream was stopped with, or begin again",
            )
        return self._samples(0 if position is None else position["taken"])

    def _samples(self, taken: int) -> Iterator[Any]:
        if not self._starts:
            self._starts.append(0)
        while True:
            for sample in self._part(len(self._starts) - 1, taken - self._starts[-1]):
                taken += 1
                yield sample
            if len(self._starts) == len(self._shards):
                return
            self._starts.append(taken)

    def _part(self, shard: int, offset: int) -> Iterator[Any]:
        samples = self._call(self._read, self._shards[shard])
        start = self._first + offset * self._step
        read = start - self._step + 1 if offset else 0  # samples of the shard up to the last one taken
        if isinstance(samples, Sequence):
            if read > len(samples):
                raise shorter(self._name, read)
            return map(samples.__getitem__, range(start, len(samples), self._step))
        iterator = skip(stepped(self._call(iter, samples), self._call), read, name=self._name)
        return iterator if self._step == 1 else islice(iterator, start - read, None, self._step)

    def position(self, taken: int) -> Any:
        return {"starts": list(self._starts), "taken": taken}

    def fetch(self, ordinals: Sequence[int]) -> list[Any]:
        found: dict[int, Any] = {}
        # In ascending order, so that each shard is read at most once.
        wanted = sorted(set(ordinals))
        while wanted:
            shard = bisect_right(self._starts, wanted[0]) - 1
            start = self._starts[shard]
            end = self._starts[shard + 1] if shard + 1 < len(self._starts) else None
            here = [ordinal for ordinal in wanted if end is None or ordinal < end]
            del wanted[: len(here)]
            iterator, offset = self._part(shard, here[0] - start), here[0]
            for ordinal in here:
                rest = islice(iterator, ordinal - offset, None)
                found[ordinal] = next(rest, _END)
                if found[ordinal] is _END:
                    raise shorter(self._name, ordinal + 1 - start)
                offset = ordinal + 1
        return [found[ordinal] for ordinal in ordinals]
