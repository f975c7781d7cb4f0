"""The bounded buffer of a stream: for each group a queue, which drops its oldest sample, and a pool for repeats."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Infeasible
from ..kernels import stream_buffer
from ..kernels.array_types import Floats, Integers
from .byte_limit import Weigher
from .group_keys import GroupNumbers
from .keyed_random import Chances

__all__ = ["Buffer"]

_ROOM = 1.25  # places are kept for a quarter more groups than are known: most new groups then change no other queue
_NO_WEIGHTS = np.zeros(0, np.int64)
# The counters that a state holds: those for one batch, for places and for arguments start again from 0.
_LASTING = [
    stream_buffer.FRESH,
    stream_buffer.HEAP,
    stream_buffer.QUEUED,
    stream_buffer.WRITTEN_OFF,
    stream_buffer.DRAWN,
    stream_buffer.HELD,
    stream_buffer.LAST_LARGE,
    stream_buffer.NUMBER,
]


class Buffer:
    """Keeps at most `places` samples, divided among the groups by share; every group with a share has at least one place.

    Groups are numbered in the order in which they are first seen. Samples are Python objects and are kept in lists; all
    numbers are in arrays, for the kernels of `kernels.stream_buffer`. With `remembers`, half of the places are for
    samples that can be repeated. A limit in bytes holds for the queues, and once more for the samples that can be
    repeated.
    """

    def __init__(
        self,
        *,
        places: int,
        remembers: bool,
        waits: bool,
        most_deficit: int,
        weigher: Weigher | None,
        refusal: Callable[[Hashable], str | None],
        key: int,
    ) -> None:
        self.places = places
        self.labels: list[Hashable] = []
        self.numbers = GroupNumbers(self._admit, refusal)
        self.pools: list[list[Any]] = []  # for each group, the samples that can be repeated
        self._weigher = weigher
        self._remembers = remembers
        self._key = np.uint64(key)
        self._chances = Chances(key)
        self._divided_for = 0
        self._shares = np.zeros(0)
        self._items = np.full(1, None, object)  # by place; nothing is kept at place 0
        self._link = np.zeros(1, np.int32)
        self._free = np.zeros(0, np.int32)
        self._sizes = np.zeros(1, np.int64)
        self._names = np.zeros(0, object)  # the labels, to fetch many at once
        self._groups = np.zeros((0, stream_buffer.FIELDS), np.int64)
        self._batches_per_slot = np.zeros(0)
        self._fresh, self._heap, self._in_deficit = (np.zeros(0, np.int32) for _ in range(3))
        self._priorities = np.zeros(0)
        self._kept = np.zeros((2, 0), np.int64)
        self._served = np.zeros((6, 0), np.int64)
        self.counters = np.zeros(stream_buffer.COUNTERS, np.int64)
        self.counters[stream_buffer.LIMIT] = -1 if weigher is None else weigher.limit
        self.counters[stream_buffer.MOST_DEFICIT] = min(most_deficit, 2**62)
        self.counters[stream_buffer.REMEMBERS] = remembers
        self.counters[stream_buffer.WAITS] = waits

    def column(self, field: int) -> Integers:
        """One of the fields of `kernels.stream_buffer`, int64 (groups,)."""
        return self._groups[: len(self.labels), field]

    @property
    def for_queues(self) -> int:
        """The number of places for samples that were not returned yet."""
        return self.places // 2 if self._remembers else self.places

    def held(self) -> int:
        """The number of samples in the queues."""
        return int(self.column(stream_buffer.COUNT).sum())

    def _admit(self, label: Hashable) -> int:
        """Make room for a new group; returns its number."""
        number = len(self.labels)
        self.labels.append(label)
        self.pools.append([])
        if number == len(self._groups):
            # Doubled, so that copying costs the same for each new group on average.
            self._make_room_for_groups(2 * number + 16)
        self._names[number] = label
        self._groups[number, stream_buffer.GIVEN_UP] = -1
        if number >= self._divided_for:
            self.divide(None)
        else:
            # An equal share, until the next round gives the group its own.
            room = 1 + (self.for_queues - self._divided_for) // self._divided_for
            self._groups[number, stream_buffer.ROOM] = room
            if self._remembers:
                self._groups[number, stream_buffer.POOL_ROOM] = room
        return number

    def _make_room_for_groups(self, capacity: int) -> None:
        def longer(array: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([array, np.zeros((capacity - len(array), *array.shape[1:]), array.dtype)])

        # A ring buffer that grows must start at its first entry again.
        in_deficit = np.roll(self._in_deficit, -self.counters[stream_buffer.FIRST])
        self.counters[stream_buffer.FIRST] = 0
        self._names = longer(self._names)
        self._groups, self._batches_per_slot, self._fresh = (
            longer(self._groups),
            longer(self._batches_per_slot),
            longer(self._fresh),
        )
        self._heap, self._priorities, self._in_deficit = (
            longer(self._heap),
            longer(self._priorities),
            longer(in_deficit),
        )

    def divide(self, shares: Floats | None) -> None:
        """Divide the places again: one for each group with a share, the others in proportion to the shares.

        None means the shares of the last call, and an equal share for each group that has come since.

        Raises:
            Infeasible: there are more groups than places.
        """
        count = len(self.labels)
        self._divided_for = int(count * _ROOM) + 1
        spare = self.for_queues - self._divided_for
        if spare < 0:
            raise Infeasible(
                f"{count:,} groups were seen and a buffer of {self.places:,} samples has room for "
                f"{-(-4 * self.for_queues // 5) - 1:,}",  # the most groups of which 1.25 times as many find room
                f"pass buffer={8 * count} or more, or a key with fewer values",
            )
        if shares is None:
            old = len(self._shares)
            shares = np.concatenate([self._shares * (old / count), np.full(count - old, 1.0 / count)])
        else:
            self._shares = shares
        places = np.where(shares > 0, 1 + np.floor(spare * shares * (count / self._divided_for)), 0)
        self._give(places.astype(np.int64))

    def _give(self, rooms: Integers) -> None:
        groups = self._groups[: len(rooms)]
        groups[:, stream_buffer.ROOM] = rooms
        if (groups[:, stream_buffer.COUNT] > rooms).any():
            self._begin()
            stream_buffer.trim(self._groups, len(rooms), self._link, self._free, self._sizes, self.counters)
            self._forget_freed()
        if self._remembers:
            pool_rooms = groups[:, stream_buffer.POOL_ROOM]
            pool_rooms[:] = np.where(groups[:, stream_buffer.SEEN] == 0, rooms, np.minimum(rooms, pool_rooms))
            self._fit_pools(slice(0, len(rooms)))

    def _fit_pools(self, which: slice) -> None:
        """Drop samples of pools that no longer fit, at random: a pool stays a uniform sample of its group (Vitter 1985).

        A pool that has become smaller never grows again: what it would take then would be newer samples only. With a
        limit in bytes, a pool keeps as many samples as would fit if all were as large as the largest seen so far. If it
        kept as many as fit, small samples would be more frequent in it than in the group.
        """
        groups = self._groups[which]
        if self._weigher is not None:
            part = self._weigher.limit * groups[:, stream_buffer.ROOM] // self.for_queues
            samples_that_fit = part // np.maximum(groups[:, stream_buffer.LARGEST], 1)
            np.minimum(groups[:, stream_buffer.POOL_ROOM], samples_that_fit, where=groups[:, stream_buffer.LARGEST] > 0,
                       out=groups[:, stream_buffer.POOL_ROOM])  # fmt: skip
        over = np.flatnonzero(groups[:, stream_buffer.POOL] > groups[:, stream_buffer.POOL_ROOM]) + which.start
        self._chances.seek(int(self.counters[stream_buffer.DRAWN]))
        for number in over.tolist():
            pool, room = self.pools[number], int(self._groups[number, stream_buffer.POOL_ROOM])
            while len(pool) > room:
                place = self._chances.below(len(pool))
                pool[place] = pool[-1]
                pool.pop()
            self._groups[number, stream_buffer.POOL] = room
        self.counters[stream_buffer.DRAWN] = self._chances.drawn

    def weigh(self, number: int, size: int) -> None:
        """Record the bytes of a new sample; if it is its group's largest, fewer samples of the group can be kept."""
        if self._remembers and size > self._groups[number, stream_buffer.LARGEST]:
            self._groups[number, stream_buffer.LARGEST] = size
            self._fit_pools(slice(number, number + 1))

    def _begin(self) -> None:
        self.counters[stream_buffer.LEAST] = self.counters[stream_buffer.FREE]

    def _forget_freed(self) -> None:
        """Release the samples whose places became free."""
        self._items[self._free[self.counters[stream_buffer.LEAST] : self.counters[stream_buffer.FREE]]] = None

    def arrive(self, numbers: Sequence[int], items: Sequence[Any], weights: Sequence[int]) -> None:
        """Add samples of the groups with these `numbers`, of these bytes if bytes are limited."""
        count = len(numbers)
        if count > self.counters[stream_buffer.FREE]:
            self._make_room_for_samples(count)
        if count > self._kept.shape[1]:
            self._kept = np.zeros((2, count), np.int64)
        self._begin()
        stream_buffer.arrive(
            self._groups,
            len(self.labels),
            self._link,
            self._free,
            self._sizes,
            self._fresh,
            self.counters,
            self._key,
            np.fromiter(numbers, np.int64, count),
            _NO_WEIGHTS if self._weigher is None else np.array(weights, np.int64),
            self._kept,
        )
        places = self._kept[0, :count]
        self._items[places] = np.fromiter(items, object, count)  # a place may be used twice: the last sample stays
        self._items[0] = None  # place 0 is that of all samples that were not kept
        if self._weigher is not None:
            self._forget_freed()
        if self._remembers:
            entries = self._kept[1, :count]
            for at in np.flatnonzero(entries >= 0).tolist():
                pool, entry = self.pools[numbers[at]], entries[at]
                if entry == len(pool):
                    pool.append(items[at])
                else:
                    pool[entry] = items[at]

    def _make_room_for_samples(self, count: int) -> None:
        old = len(self._items)
        more = max(old, count)
        free = int(self.counters[stream_buffer.FREE])
        self._items = np.concatenate([self._items, np.full(more, None, object)])
        self._link = np.concatenate([self._link, np.zeros(more, np.int32)])
        self._sizes = np.concatenate([self._sizes, np.zeros(more, np.int64)])
        new = np.arange(old, old + more, dtype=np.int32)
        self._free = np.concatenate([self._free[:free], new, np.zeros(old - free, np.int32)])
        self.counters[stream_buffer.FREE] += more

    def serve(self, wanted: Integers, items: list[Any], *, begins: bool, may_read: bool, ended: bool) -> int:
        """Add the available samples of a batch to `items`; arguments and outcome are those of `stream_buffer.serve`."""
        counters = self.counters
        if self._served.shape[1] != len(wanted):
            self._served = np.zeros((6, len(wanted)), np.int64)
        repeats = 0 if begins else int(counters[stream_buffer.REPEATS])
        outcome: int = stream_buffer.serve(
            self._groups,
            self._link,
            self._free,
            self._sizes,
            self._fresh,
            self._heap,
            self._priorities,
            self._in_deficit,
            self._batches_per_slot,
            counters,
            self._key,
            wanted,
            self._served,
            begins,
            may_read,
            ended,
        )
        places = self._served[1, len(items) : counters[stream_buffer.AT]]
        items.extend(self._items[places].tolist())
        self._items[places] = None  # they are free
        if counters[stream_buffer.REPEATS] > repeats:
            slots, entries = self._served[3:5, repeats : counters[stream_buffer.REPEATS]]
            for at, number, entry in zip(
                slots.tolist(), self._served[0, slots].tolist(), entries.tolist(), strict=True
            ):
                items[at] = self.pools[number][entry]
        return outcome

    def take_back(self, wanted: Integers) -> None:
        """Take these slots back from the accounts of the groups: they were served, and make no batch."""
        (owners, moved), balances = self._served[::5, : len(wanted)], self.column(stream_buffer.BALANCE)
        np.subtract.at(self.column(stream_buffer.HAD), owners, 1)
        np.add.at(balances, np.stack([wanted, owners]), np.stack([moved, -moved]))

    def has(self, number: int) -> bool:
        """Whether a group has a sample."""
        return bool(self._groups[number, stream_buffer.COUNT])

    def give_up(self, number: int) -> None:
        """Stop waiting for a group without a sample until it is seen again."""
        if not self.has(number):
            self._groups[number, stream_buffer.GIVEN_UP] = self._groups[number, stream_buffer.SEEN]

    def owner_numbers(self) -> Integers:
        """The number of the group of each sample of the batch that was served."""
        numbers: Integers = self._served[0]
        return numbers

    def owners(self) -> list[Hashable]:
        """The group of each sample of the batch that was served."""
        owners: list[Hashable] = self._names[self._served[0]].tolist()
        return owners

    def repeats(self) -> list[int]:
        """Which samples of the batch are repeats."""
        repeats: list[int] = self._served[3, : self.counters[stream_buffer.REPEATS]].tolist()
        return repeats

    def redistributed(self) -> dict[Hashable, int]:
        """How many slots of the batch each group lost to others."""
        given: dict[Hashable, int] = {}
        for label in self._names[self._served[2, : self.counters[stream_buffer.AWAY]]].tolist():
            given[label] = given.get(label, 0) + 1
        return given

    def new_shares(self, shares: Floats, batch_size: int) -> None:
        """From now on, divide the places by these shares and measure deficits against them."""
        self.divide(shares)
        self._batches_per_slot[: len(shares)] = 1.0 / np.maximum(shares * batch_size, 1e-12)

    def _queue(self, number: int) -> Iterator[int]:
        place = self._groups[number, stream_buffer.HEAD]
        for _ in range(self._groups[number, stream_buffer.COUNT]):
            yield place
            place = self._link[place]

    def queued(self) -> list[Any]:
        """The samples in the queues, group by group, the oldest first."""
        return [self._items[place] for number in range(len(self.labels)) for place in self._queue(number)]

    def contents(self) -> list[Any]:
        """The samples in the queues, then those remembered, group by group."""
        return self.queued() + [item for pool in self.pools for item in pool]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the samples, as plain data."""
        count = len(self.labels)
        counters = self.counters
        in_deficit = np.roll(self._in_deficit, -counters[stream_buffer.FIRST])[: counters[stream_buffer.QUEUED]]
        return {
            "labels": list(self.labels),
            "groups": self._groups[:count].tolist(),
            "batches_per_slot": self._batches_per_slot[:count].tolist(),
            "fresh": self._fresh[: counters[stream_buffer.FRESH]].tolist(),
            "heap": self._heap[: counters[stream_buffer.HEAP]].tolist(),
            "priorities": self._priorities[: counters[stream_buffer.HEAP]].tolist(),
            "in_deficit": in_deficit.tolist(),
            "counters": counters[_LASTING].tolist(),
            "divided_for": self._divided_for,
            "shares": self._shares.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any], contents: Iterable[Any]) -> None:
        """Continue from what `state_dict` and `contents` returned; only for an empty buffer."""
        items = iter(contents)
        count = len(state["labels"])
        self.labels = list(state["labels"])
        self.numbers.update(zip(self.labels, range(count), strict=True))
        self._make_room_for_groups(count + 16)
        self._names[:count] = self.labels
        self._groups[:count] = np.array(state["groups"], np.int64).reshape(count, stream_buffer.FIELDS)
        self._batches_per_slot[:count] = state["batches_per_slot"]
        for array, saved in (
            (self._fresh, "fresh"),
            (self._heap, "heap"),
            (self._priorities, "priorities"),
            (self._in_deficit, "in_deficit"),
        ):
            array[: len(state[saved])] = state[saved]
        for entry, value in zip(_LASTING, state["counters"], strict=True):
            self.counters[entry] = value
        self._divided_for = state["divided_for"]
        self._shares = np.array(state["shares"])
        self._fill_queues(list(islice(items, self.held())))
        self.pools = [list(islice(items, entries)) for entries in self.column(stream_buffer.POOL).tolist()]

    def _fill_queues(self, queued: list[Any]) -> None:
        """Put the samples of the queues into places 1, 2, ..., one group after the other."""
        total = len(queued)
        self._make_room_for_samples(total + 1)
        self._items[1 : total + 1] = queued
        self._link[:total] = np.arange(1, total + 1)
        ends = np.cumsum(self.column(stream_buffer.COUNT))
        self.column(stream_buffer.HEAD)[:] = ends - self.column(stream_buffer.COUNT) + 1
        self.column(stream_buffer.TAIL)[:] = ends
        self._free[: len(self._items) - total - 1] = np.arange(total + 1, len(self._items))
        self.counters[stream_buffer.FREE] = len(self._items) - total - 1
        if self._weigher is not None:
            self._sizes[1 : total + 1] = [self._weigher.size(item) for item in queued]
