"""Sources in shards, which are divided over the replicas."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from ..errors import Infeasible, seed_number, shortened, shown, typed
from ..kernels.hashing import PURPOSE
from ..readings import as_list
from .group_keys import check_label
from .keyed_random import root, words
from .made_of import argument, of_shards
from .measures import Refused
from .no_samples import check_order
from .numbered import SAME_SOURCE
from .pieces import Left, Piece, PieceReader, dealt_pieces
from .replicas import Replica
from .worker_info import caller_for

__all__ = ["Sharded", "group_of_each"]

_MOST_SHARDS = 1 << 23  # each is a Python object: a list of so many takes some hundred MB


def group_of_each(groups: Iterable[Hashable], count: int, *, name: str, what: str) -> list[Hashable]:
    """The group of each shard, or file.

    Raises:
        Infeasible: there are more groups or fewer, they have no order, or one is no label.
    """
    found, unordered = as_list(groups, "groups"), isinstance(groups, (Mapping, Set))
    if unordered or len(found) != count:
        given = f"groups {typed(groups)}" if unordered else f"{len(found):,} groups"
        raise Infeasible(
            f"source {name!r} has {count:,} {what}s and {given}",
            f"pass the group of each {what}, in the order of the {what}s",
        )
    try:
        for group in found:
            check_label(group, "groups names")
    except Refused as refused:
        raise Infeasible(
            f"source {name!r}: {refused}", f"pass the group of each {what} by its label, as key gives it"
        ) from None
    return found


class Sharded:
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
        >>> numbers = Sharded([0, 10, 20], lambda start: range(start, start + 3))
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
        self.name = shortened(name)
        check_order(shards, "shards", f"source {self.name!r}")
        self.shards = as_list(shards, "shards", most=_MOST_SHARDS)
        self.read = read
        self.shuffle = shuffle
        self.seed = seed_number(seed)
        if not self.shards:
            raise Infeasible(f"source {self.name!r} has 0 shards", "pass at least one; is the file pattern right?")
        self._contents: dict[str, Any] | None = None
        self.groups = None if groups is None else group_of_each(groups, len(self.shards), name=self.name, what="shard")

    amounts: Sequence[int] = ()
    """The size of each shard, if it is known, in `unit`."""

    unit = ""

    noticed = False
    """Whether the groups of the shards were noticed, not said by the user; a shard may have samples of others then."""

    def grouped(self, key: Any) -> Sharded:
        """The same, with the groups of the shards if they can be known from the files."""
        return self

    def with_groups(self, groups: Sequence[Hashable]) -> Sharded:
        """The same, with the groups of the shards as the files say them."""
        found = copy.copy(self)
        found.groups = group_of_each(groups, len(self.shards), name=self.name, what="shard")
        found.noticed = True
        return found

    def by_group(self) -> dict[Hashable, Sharded]:
        """The shards of each group as a source of its own; empty if groups are not known."""
        parts: dict[Hashable, list[Any]] = {}
        for group, shard in zip(self.groups or (), self.shards, strict=self.groups is not None):
            parts.setdefault(check_label(group, "groups names"), []).append(shard)
        return {
            group: Sharded(shards, self.read, shuffle=self.shuffle, seed=self.seed, name=self.name)
            for group, shards in parts.items()
        }

    def arguments(self) -> dict[str, Any]:
        """What the order of the samples depends on."""
        groups = None if self.groups is None else argument(self.groups)
        return {"kind": "shards", "shuffle": self.shuffle, "seed": self.seed, "groups": groups}

    def contents(self) -> dict[str, Any]:
        """The names and the sizes of the files."""
        if self._contents is None:
            self._contents = of_shards(self.shards, self.amounts, self.unit)
        return self._contents

    indexed = False

    def open(self, shard: int) -> Iterable[Any]:
        """The samples of a shard, by its number."""
        if shard >= len(self.shards):
            raise Infeasible(
                f"the state is in shard {shard:,} of source {self.name!r}, which has {len(self.shards):,} now",
                SAME_SOURCE,
            )
        return self.read(self.shards[shard])

    def title(self, shard: int) -> str:
        """What errors call a shard: its file, if it is of one."""
        value = self.shards[shard]
        file, *part = value if isinstance(value, tuple) else (value,)
        path = getattr(file, "path", None)
        if path is None:
            return f"shard {shown(value)} of source {self.name!r}"
        return f"{shown(path)}{f', part {part},' if part else ''} of source {self.name!r}"

    def reader(self, replica: Replica, epoch: int) -> PieceReader:
        """The shards that one replica reads."""
        order = list(range(len(self.shards)))
        if self.shuffle:
            keys = words(root(self.seed, PURPOSE.STREAM_SHARDS, epoch), 0, len(order))
            order = np.argsort(keys, kind="stable").tolist()
        if replica.count <= len(order):
            pieces = [Piece(number, [[0, 1]], [], epoch=epoch) for number in order[replica.index :: replica.count]]
            return PieceReader(self, pieces, caller_for(replica), skips=replica.skips)
        # More readers than shards: readers s, s + shards, s + 2 * shards, ... share shard s, and each takes every
        # step-th sample.
        sharing = range(replica.index % len(order), replica.count, len(order))
        run = [sharing.index(replica.index), len(sharing)]
        piece = Piece(order[sharing[0]], [run], [], epoch=epoch)
        return PieceReader(self, [piece], caller_for(replica), skips=replica.skips)

    def deal(self, left: Sequence[Left], readers: int) -> list[Any]:
        """Deal what was left to readers to others: a position for each."""
        return dealt_pieces(left, readers)
