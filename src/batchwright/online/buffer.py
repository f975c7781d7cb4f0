"""The bounded buffer: a queue per group that forgets its oldest, what to repeat from when one runs dry, and who is owed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Infeasible
from ..kernels import supply
from .bytes import Weigher
from .chance import Chances
from .labels import Numbers

__all__ = ["Buffer"]

_ROOM = 1.25  # room is kept for a quarter more groups than are known, so that most new ones move no other
_NO_WEIGHTS = np.zeros(0, np.int64)
# the counters that outlast a batch, and are not of the places or of the arguments
_LASTING = [
    supply.FRESH,
    supply.HEAP,
    supply.QUEUED,
    supply.FORGIVEN,
    supply.DRAWN,
    supply.HELD,
    supply.HAND,
    supply.NUMBER,
]


class Buffer:
    """At most `places` samples in all, divided among the groups by their shares; every group that has a share has room.

    Groups are numbered as they are admitted. What is held is in lists, and all that is counted in arrays that the kernels
    of `kernels.supply` work on. With `remembers` half of the places hold what can be repeated; a weigher's limit holds for
    the queues, and again for what can be repeated.
    """

    def __init__(
        self,
        *,
        places: int,
        remembers: bool,
        waits: bool,
        most_owed: int,
        weigher: Weigher | None,
        refusal: Callable[[Hashable], str | None],
        key: int,
    ) -> None:
        self.places = places
        self.labels: list[Hashable] = []
        self.numbers = Numbers(self._admit, refusal)
        self.pools: list[list[Any]] = []  # what each group remembers
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
        self._groups = np.zeros((0, supply.FIELDS), np.int64)
        self._pace = np.zeros(0)
        self._fresh, self._heap, self._owed = (np.zeros(0, np.int32) for _ in range(3))
        self._priorities = np.zeros(0)
        self._kept = np.zeros((2, 0), np.int64)
        self._served = np.zeros((5, 0), np.int64)
        self.counters = np.zeros(supply.COUNTERS, np.int64)
        self.counters[supply.LIMIT] = -1 if weigher is None else weigher.limit
        self.counters[supply.MOST_OWED] = min(most_owed, 2**62)
        self.counters[supply.REMEMBERS] = remembers
        self.counters[supply.WAITS] = waits

    def column(self, field: int) -> NDArray[np.int64]:
        """One of the fields of `kernels.supply`, an entry a group."""
        return self._groups[: len(self.labels), field]

    @property
    def for_queues(self) -> int:
        """How many of the places are for samples not given yet."""
        return self.places // 2 if self._remembers else self.places

    def held(self) -> int:
        """How many samples wait for their turn."""
        return int(self.column(supply.COUNT).sum())

    def _admit(self, label: Hashable) -> int:
        """A number and room for a new group."""
        number = len(self.labels)
        self.labels.append(label)
        self.pools.append([])
        if number == len(self._groups):
            self._make_room_for_groups(2 * number + 16)
        self._names[number] = label
        self._groups[number, supply.GIVEN_UP] = -1
        if number >= self._divided_for:
            self.divide(None)
        else:
            room = 1 + (self.for_queues - self._divided_for) // self._divided_for
            self._groups[number, supply.ROOM] = room
            if self._remembers:
                self._groups[number, supply.POOL_ROOM] = room
        return number

    def _make_room_for_groups(self, capacity: int) -> None:
        def longer(array: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([array, np.zeros((capacity - len(array), *array.shape[1:]), array.dtype)])

        owed = np.roll(self._owed, -self.counters[supply.FIRST])  # in a ring that starts at its first entry again
        self.counters[supply.FIRST] = 0
        self._names = longer(self._names)
        self._groups, self._pace, self._fresh = longer(self._groups), longer(self._pace), longer(self._fresh)
        self._heap, self._priorities, self._owed = longer(self._heap), longer(self._priorities), longer(owed)

    def divide(self, shares: NDArray[np.float64] | None) -> None:
        """Divide the places anew: one for each group with a share, the others in proportion.

        None means the shares of last time, and an even part for each group that has come since.

        Raises:
            Infeasible: there are more groups than places.
        """
        count = len(self.labels)
        self._divided_for = int(count * _ROOM) + 1
        spare = self.for_queues - self._divided_for
        if spare < 0:
            raise Infeasible(
                f"{count:,} groups were seen and a buffer of {self.places:,} samples has room for "
                f"{int((self.for_queues - 1) / _ROOM):,}",
                f"pass buffer={8 * count} or more, or a key with fewer values",
            )
        if shares is None:
            known = len(self._shares)
            shares = np.concatenate([self._shares * (known / count), np.full(count - known, 1.0 / count)])
        else:
            self._shares = shares
        places = np.where(shares > 0, 1 + np.floor(spare * shares * (count / self._divided_for)), 0)
        self._give(places.astype(np.int64))

    def _give(self, rooms: NDArray[np.int64]) -> None:
        groups = self._groups[: len(rooms)]
        groups[:, supply.ROOM] = rooms
        if (groups[:, supply.COUNT] > rooms).any():
            self._begin()
            supply.trim(self._groups, len(rooms), self._link, self._free, self._sizes, self.counters)
            self._forget_freed()
        if self._remembers:
            pool_rooms = groups[:, supply.POOL_ROOM]
            pool_rooms[:] = np.where(groups[:, supply.SEEN] == 0, rooms, np.minimum(rooms, pool_rooms))
            self._fit_pools(slice(0, len(rooms)))

    def _fit_pools(self, which: slice) -> None:
        """Forget what no longer fits, uniformly; a pool never grows again, or it would not be uniform.

        Of bytes, a group's part holds as many samples as would fit were all as large as its largest: how many then
        depends on what was seen, not on what is kept, or small samples would be favoured.
        """
        groups = self._groups[which]
        if self._weigher is not None:
            part = self._weigher.limit * groups[:, supply.ROOM] // self.for_queues
            fitting = part // np.maximum(groups[:, supply.LARGEST], 1)
            np.minimum(groups[:, supply.POOL_ROOM], fitting, where=groups[:, supply.LARGEST] > 0,
                       out=groups[:, supply.POOL_ROOM])  # fmt: skip
        over = np.flatnonzero(groups[:, supply.POOL] > groups[:, supply.POOL_ROOM]) + which.start
        self._chances.seek(int(self.counters[supply.DRAWN]))
        for number in over.tolist():
            pool, room = self.pools[number], int(self._groups[number, supply.POOL_ROOM])
            while len(pool) > room:
                place = self._chances.below(len(pool))
                pool[place] = pool[-1]
                pool.pop()
            self._groups[number, supply.POOL] = room
        self.counters[supply.DRAWN] = self._chances.drawn

    def weigh(self, number: int, size: int) -> None:
        """A sample of so many bytes comes; fewer can be remembered of its group if none was as large."""
        if self._remembers and size > self._groups[number, supply.LARGEST]:
            self._groups[number, supply.LARGEST] = size
            self._fit_pools(slice(number, number + 1))

    def _begin(self) -> None:
        self.counters[supply.LEAST] = self.counters[supply.FREE]

    def _forget_freed(self) -> None:
        """Let go of the samples whose places became free."""
        self._items[self._free[self.counters[supply.LEAST] : self.counters[supply.FREE]]] = None

    def arrive(self, numbers: Sequence[int], items: Sequence[Any], weights: Sequence[int]) -> None:
        """Samples of the groups with these `numbers` came, weighing so much where bytes are limited."""
        count = len(numbers)
        if count > self.counters[supply.FREE]:
            self._make_room_for_samples(count)
        if count > self._kept.shape[1]:
            self._kept = np.zeros((2, count), np.int64)
        self._begin()
        supply.arrive(
            self._groups,
            len(self.labels),
            self._link,
            self._free,
            self._sizes,
            self._fresh,
            self.counters,
            self._key,
            np.array(numbers, np.int64),
            _NO_WEIGHTS if self._weigher is None else np.array(weights, np.int64),
            self._kept,
        )
        places, entries = self._kept[:, :count]
        self._items[places] = np.fromiter(items, object, count)  # of a place taken twice the last stays
        self._items[0] = None
        if self._weigher is not None:
            self._forget_freed()
        if self._remembers:
            for at in np.flatnonzero(entries >= 0).tolist():
                pool, entry = self.pools[numbers[at]], entries[at]
                if entry == len(pool):
                    pool.append(items[at])
                else:
                    pool[entry] = items[at]

    def _make_room_for_samples(self, count: int) -> None:
        old = len(self._items)
        more = max(old, count)
        free = int(self.counters[supply.FREE])
        self._items = np.concatenate([self._items, np.full(more, None, object)])
        self._link = np.concatenate([self._link, np.zeros(more, np.int32)])
        self._sizes = np.concatenate([self._sizes, np.zeros(more, np.int64)])
        new = np.arange(old, old + more, dtype=np.int32)
        self._free = np.concatenate([self._free[:free], new, np.zeros(old - free, np.int32)])
        self.counters[supply.FREE] += more

    def serve(self, hand: NDArray[np.int64], items: list[Any], *, begins: bool, may_read: bool, ended: bool) -> int:
        """Add to `items` the samples of a batch as far as they can be had; arguments and outcome as of `kernels.supply`."""
        counters = self.counters
        if self._served.shape[1] != len(hand):
            self._served = np.zeros((5, len(hand)), np.int64)
        known = 0 if begins else int(counters[supply.REPEATS])
        outcome: int = supply.serve(
            self._groups,
            self._link,
            self._free,
            self._sizes,
            self._fresh,
            self._heap,
            self._priorities,
            self._owed,
            self._pace,
            counters,
            self._key,
            hand,
            self._served,
            begins,
            may_read,
            ended,
        )
        places = self._served[1, len(items) : counters[supply.AT]]
        items.extend(self._items[places].tolist())
        self._items[places] = None  # they are free
        if counters[supply.REPEATS] > known:
            slots, entries = self._served[3:, known : counters[supply.REPEATS]]
            for at, number, entry in zip(
                slots.tolist(), self._served[0, slots].tolist(), entries.tolist(), strict=True
            ):
                items[at] = self.pools[number][entry]
        return outcome

    def has(self, number: int) -> bool:
        """Whether a group has a sample."""
        return bool(self._groups[number, supply.COUNT])

    def give_up(self, number: int) -> None:
        """If a group has no sample yet, it is not waited for until it is seen again."""
        if not self.has(number):
            self._groups[number, supply.GIVEN_UP] = self._groups[number, supply.SEEN]

    def owner_numbers(self) -> NDArray[np.int64]:
        """The number of the group of each sample of the batch that was served."""
        numbers: NDArray[np.int64] = self._served[0]
        return numbers

    def owners(self) -> list[Hashable]:
        """The group of each sample of the batch that was served."""
        owners: list[Hashable] = self._names[self._served[0]].tolist()
        return owners

    def repeats(self) -> list[int]:
        """Which of the samples served were given before."""
        repeats: list[int] = self._served[3, : self.counters[supply.REPEATS]].tolist()
        return repeats

    def given_away(self) -> dict[Hashable, int]:
        """Of each group that had to give slots of the batch to others, how many."""
        given: dict[Hashable, int] = {}
        for label in self._names[self._served[2, : self.counters[supply.AWAY]]].tolist():
            given[label] = given.get(label, 0) + 1
        return given

    def new_shares(self, shares: NDArray[np.float64], batch_size: int) -> None:
        """Divide the places by these shares, and measure balances against them, from now on."""
        self.divide(shares)
        self._pace[: len(shares)] = 1.0 / np.maximum(shares * batch_size, 1e-12)

    def _queue(self, number: int) -> Iterator[int]:
        place = self._groups[number, supply.HEAD]
        for _ in range(self._groups[number, supply.COUNT]):
            yield place
            place = self._link[place]

    def contents(self) -> list[Any]:
        """The samples in the queues, group by group, the oldest first; then those remembered."""
        queued = [self._items[place] for number in range(len(self.labels)) for place in self._queue(number)]
        return queued + [item for pool in self.pools for item in pool]

    def state_dict(self) -> dict[str, Any]:
        """All but the contents: plain data."""
        count = len(self.labels)
        counters = self.counters
        owed = np.roll(self._owed, -counters[supply.FIRST])[: counters[supply.QUEUED]]
        return {
            "labels": list(self.labels),
            "groups": self._groups[:count].tolist(),
            "pace": self._pace[:count].tolist(),
            "fresh": self._fresh[: counters[supply.FRESH]].tolist(),
            "heap": self._heap[: counters[supply.HEAP]].tolist(),
            "priorities": self._priorities[: counters[supply.HEAP]].tolist(),
            "owed": owed.tolist(),
            "counters": counters[_LASTING].tolist(),
            "divided_for": self._divided_for,
            "shares": self._shares.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any], contents: Iterable[Any]) -> None:
        """Go on from what `state_dict` and `contents` gave; for a buffer that nothing came into yet."""
        items = iter(contents)
        count = len(state["labels"])
        self.labels = list(state["labels"])
        self.numbers.update(zip(self.labels, range(count), strict=True))
        self._make_room_for_groups(count + 16)
        self._names[:count] = self.labels
        self._groups[:count] = np.array(state["groups"], np.int64).reshape(count, supply.FIELDS)
        self._pace[:count] = state["pace"]
        for array, saved in (
            (self._fresh, "fresh"),
            (self._heap, "heap"),
            (self._priorities, "priorities"),
            (self._owed, "owed"),
        ):
            array[: len(state[saved])] = state[saved]
        for entry, value in zip(_LASTING, state["counters"], strict=True):
            self.counters[entry] = value
        self._divided_for = state["divided_for"]
        self._shares = np.array(state["shares"])
        self._fill_queues(list(islice(items, self.held())))
        self.pools = [list(islice(items, entries)) for entries in self.column(supply.POOL).tolist()]

    def _fill_queues(self, queued: list[Any]) -> None:
        """Lay the samples of the queues into places 1, 2, ..., one group after the other."""
        total = len(queued)
        self._make_room_for_samples(total + 1)
        self._items[1 : total + 1] = queued
        self._link[:total] = np.arange(1, total + 1)
        ends = np.cumsum(self.column(supply.COUNT))
        self.column(supply.HEAD)[:] = ends - self.column(supply.COUNT) + 1
        self.column(supply.TAIL)[:] = ends
        self._free[: len(self._items) - total - 1] = np.arange(total + 1, len(self._items))
        self.counters[supply.FREE] = len(self._items) - total - 1
        if self._weigher is not None:
            self._sizes[1 : total + 1] = list(map(self._weigher.size, queued))
