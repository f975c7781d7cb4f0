from __future__ import annotations

import re
from collections import deque
from itertools import islice, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright import Infeasible, online
from batchwright.kernels import stream_buffer
from batchwright.kernels.hashing import child_key
from batchwright.online.buffer import Buffer
from batchwright.online.byte_limit import Weigher

from ..examples import examples

KEY = 7
BATCH = 6


class Obvious:
    """The same buffer as deques, lists and sorted searches; how the places are divided is read off the real one."""

    def __init__(self, *, waits, remembers, most_deficit, limit):
        self.waits, self.remembers, self.most_deficit, self.limit = waits, remembers, most_deficit, limit
        self.groups, self.fresh, self.heap, self.deficit = [], [], {}, deque()
        self.drawn = self.written_off = self.last_large = self.number = 0

    def below(self, bound):
        self.drawn += 1
        return (child_key(KEY, self.drawn - 1) >> 32) * bound >> 32

    def divided(self, rooms, pool_rooms, paces):
        while len(self.groups) < len(rooms):
            self.groups.append({"queue": deque(), "pool": [], "seen": 0, "balance": 0, "given_up": -1, "paid": (0, 0),
                                "listed": False, "deficit": False})  # fmt: skip
        for group, room, pool_room, pace in zip(self.groups, rooms, pool_rooms, paces, strict=True):
            group |= {"room": room, "pool_room": pool_room, "batches_per_slot": pace}
            while len(group["queue"]) > room:
                group["queue"].popleft()
            while len(group["pool"]) > pool_room:
                at = self.below(len(group["pool"]))
                group["pool"][at] = group["pool"][-1]
                group["pool"].pop()

    def weight(self, group):
        return sum(item[1] for item in group["queue"])

    def is_large(self, group):
        return self.weight(group) * len(self.groups) > self.limit

    def arrive(self, number, item):
        group = self.groups[number]
        group["seen"] += 1
        if self.remembers:
            if len(group["pool"]) < group["pool_room"]:
                group["pool"].append(item)
            elif (at := self.below(group["seen"])) < group["pool_room"]:
                group["pool"][at] = item
        if not group["room"]:
            return
        if not group["queue"] and not group["listed"]:
            group["listed"] = True
            self.fresh.append(number)
        if len(group["queue"]) == group["room"]:
            group["queue"].popleft()
        group["queue"].append(item)
        while self.limit is not None and sum(map(self.weight, self.groups)) > self.limit:
            large = group
            while not self.is_large(large):
                self.last_large = (self.last_large + 1) % len(self.groups)
                large = self.groups[self.last_large]
            large["queue"].popleft()

    def priority(self, number):
        return self.groups[number]["balance"] * self.groups[number]["batches_per_slot"]

    def stand_in(self):
        self.heap |= {number: self.priority(number) for number in self.fresh}
        self.fresh = []
        while self.heap:
            number = min(self.heap, key=lambda one: (self.heap[one], one))
            if not self.groups[number]["queue"]:
                del self.heap[number]
                self.groups[number]["listed"] = False
            elif self.heap[number] < self.priority(number):
                self.heap[number] = self.priority(number)
            else:
                return number
        return None

    def charge(self, short, stand_in):
        group = self.groups[short]
        if group["balance"] <= -self.most_deficit:
            self.written_off += 1
            return
        group["balance"] -= 1
        self.groups[stand_in]["balance"] += 1
        if not group["deficit"]:
            group["deficit"] = True
            self.deficit.append(short)

    def payee(self, payer):
        for _ in range(min(4, len(self.deficit))):
            number = self.deficit.popleft()
            group = self.groups[number]
            if group["balance"] >= 0:
                group["deficit"] = False
                continue
            self.deficit.append(number)
            paid = group["paid"][1] if group["paid"][0] == self.number else 0
            if group["queue"] and not (paid and (paid + 1) * group["batches_per_slot"] > 1):
                group["paid"] = (self.number, paid + 1)
                group["balance"] += 1
                self.groups[payer]["balance"] -= 1
                return number
        return payer

    def serve(self, planned, read_for):
        """The items of a batch with their groups, and the slots given away; None for a slot that ends the stream."""
        self.number += 1
        for number in planned:
            short = -1
            if self.groups[number]["balance"] > 0 and self.deficit:
                number = self.payee(number)
            group = self.groups[number]
            awaited = group["seen"] != group["given_up"]
            if not group["queue"] and (awaited or not self.waits):
                read_for(number)
            if not group["queue"]:
                if group["pool"]:
                    yield number, group["pool"][self.below(len(group["pool"]))], -1
                    continue
                stand_in = self.stand_in()
                while stand_in is None:
                    read_for(None)
                    stand_in = self.stand_in()
                if stand_in != number:
                    self.charge(number, stand_in)
                    short, number = number, stand_in
            yield number, self.groups[number]["queue"].popleft(), short


groups = st.integers(0, 4)
arrivals = st.lists(st.tuples(groups, st.integers(0, 9)), min_size=1, max_size=12)
hands = st.lists(groups, min_size=BATCH, max_size=BATCH)
shares = st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any)


@given(
    st.lists(st.one_of(arrivals, hands.map(tuple), shares.map(lambda weights: {"shares": weights})), max_size=40),
    st.lists(st.tuples(groups, st.integers(0, 9)), min_size=1, max_size=30),
    st.integers(10, 60),
    st.booleans(),
    st.booleans(),
    st.integers(0, 3),
    st.none() | st.integers(9, 40),
)
@examples(300)
def test_the_buffer_is_what_slow_obvious_queues_and_accounts_are(
    steps, reserve, places, waits, remembers, most_deficit, limit
):
    weigher = None if limit is None else Weigher(lambda item: item[1], limit)
    remembers = remembers and weigher is None  # what fits in bytes is tested with the streams
    places += 20 * remembers
    real = Buffer(places=places, remembers=remembers, waits=waits, most_deficit=most_deficit, weigher=weigher,
                  refusal=lambda label: None, key=KEY)  # fmt: skip
    obvious = Obvious(waits=waits, remembers=remembers, most_deficit=most_deficit, limit=limit)
    count = 0

    def divided():
        columns = (real.column(field).tolist() for field in (stream_buffer.ROOM, stream_buffer.POOL_ROOM))
        obvious.divided(*columns, real._batches_per_slot[: len(real.labels)].tolist())

    def arrive(run):
        nonlocal count
        items = [(count + n, weight) for n, (_, weight) in enumerate(run)]
        count += len(run)
        real.arrive([number for number, _ in run], items, [weight for _, weight in run])
        for (number, _), item in zip(run, items, strict=True):
            obvious.arrive(number, item)

    def read_for(number):
        nonlocal reading
        if number is None:
            assert outcome() == stream_buffer.STARVED
            arrive([(reading % 5, 1)])
        else:
            assert outcome() == stream_buffer.SHORT
            assert real.counters[stream_buffer.PENDING] == number
            arrive([reserve[reading % len(reserve)]])
            real.counters[stream_buffer.TRIED] = 1
            if waits:
                real.give_up(number)
                group = obvious.groups[number]
                group["given_up"] = group["given_up"] if group["queue"] else group["seen"]
        reading += 1

    def outcome():
        nonlocal begins
        found = real.serve(hand, items, begins=begins, may_read=True, ended=False)
        begins = False
        return found

    for label in range(5):
        assert real.numbers[label] == label
        divided()
    real.new_shares(np.full(5, 0.2), BATCH)
    divided()
    reading = 0
    for step in steps:
        if isinstance(step, dict):
            real.new_shares(np.array(step["shares"]) / sum(step["shares"]), BATCH)
            divided()
        elif isinstance(step, list):
            arrive(step)
        elif real.column(stream_buffer.ROOM).all():  # or a sample may come for which there is no room, again and again
            hand, items, begins = np.array(step), [], True
            expected = list(obvious.serve(step, read_for))
            assert outcome() == stream_buffer.DONE
            assert items == [item for _, item, _ in expected]
            assert real.owners() == [number for number, _, _ in expected]
            away = [short for _, _, short in expected if short >= 0]
            assert real.redistributed() == {number: away.count(number) for number in away}
        assert real.pools == [group["pool"] for group in obvious.groups]
        assert real.column(stream_buffer.BALANCE).tolist() == [group["balance"] for group in obvious.groups]
        assert sum(map(len, (group["queue"] for group in obvious.groups))) == real.held() <= places
        contents = [item for group in obvious.groups for item in group["queue"]]
        contents += [item for pool in real.pools for item in pool]
        assert real.contents() == contents
        alive = {id(item) for item in real._items if item is not None}
        assert alive == {id(item) for group in obvious.groups for item in group["queue"]}, "what was given is let go"
        other = Buffer(places=places, remembers=remembers, waits=waits, most_deficit=most_deficit, weigher=weigher,
                       refusal=lambda label: None, key=KEY)  # fmt: skip
        other.load_state_dict(real.state_dict(), real.contents())
        real = other
    assert real.counters[stream_buffer.WRITTEN_OFF] == obvious.written_off


def test_the_least_buffer_has_room_for_a_group():
    for when_short, batch_size in product(("wait", "redistribute", "repeat"), (1, 2, 3, 8)):
        options = {"key": 1, "batch_size": batch_size, "when_short": when_short}
        with pytest.raises(Infeasible) as refusal:
            online.balanced([(0, "a")], buffer=0, **options)
        least = int(re.search(r"buffer=(\d+)", refusal.value.way_out)[1])
        with pytest.raises(Infeasible):
            online.balanced([(0, "a")], buffer=least - 1, **options)
        assert list(islice(online.balanced([(n, "a") for n in range(40)], buffer=least, **options), 3))
