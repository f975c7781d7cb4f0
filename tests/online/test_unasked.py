"""A loop over a stream's loader that asks for no state needs none; one that asks is told why there is none."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import re
import uuid

import pytest
import torch

from batchwright import Infeasible, online

from .small import Plain

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
    pytest.mark.filterwarnings("ignore::batchwright.PoorWarning"),  # of workers that have nothing to read
]


@dataclasses.dataclass(frozen=True)
class Point:
    number: int


POINTS = [Point(number) for number in range(120)]


def pack(source, **more):
    return online.packed(source, length=lambda sample: 1, capacity=5, buffer=30, **more)


def third(sample):
    return sample.number % 3


def points_in_shards():
    return online.Sharded(range(0, 120, 40), lambda start: POINTS[start : start + 40])


def samples(source):
    return online.balanced(source, key=third, batch_size=4, buffer=20, batches=False)


STREAMS = {  # without a state, and what is said of it
    "no data": (lambda: pack(Plain(POINTS)), "a value of type .*Point, which cannot be written"),
    "iterator": (lambda: pack(iter(range(120))), "is an iterator: it can be read once"),
    "large": (lambda: pack(Plain(list(range(120))), state_bytes=50), "bytes and state_bytes is 50"),
    "nested": (lambda: pack(samples(points_in_shards())), "a value of type .*Point, which cannot be written"),
    "chain": (lambda: pack(online.Chain([Plain(POINTS), POINTS])), "a value of type .*Point, which cannot be written"),
}


def told(ask):
    with pytest.raises(Infeasible) as refusal:
        ask()
    return refusal.value.fact, refusal.value.way_out


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("kind", sorted(STREAMS))
def test_a_loop_that_asks_for_no_state_is_given_every_batch(kind, workers):
    make, fact = STREAMS[kind]
    loader = make().loader(num_workers=workers)
    batches, stream = iter(loader), make()
    first = next(batches)
    assert re.search(fact, told(loader.state_dict)[0])
    assert told(loader.state_dict) == told(loader.state_dict)
    given_ones = [first, *batches]
    assert sorted(repr(one) for batch in given_ones for one in batch) == sorted(
        repr(one) for batch in stream for one in batch
    )
    assert (loader.state_dict()["run"], loader.state_dict()["epoch"]) == (None, 1)  # at the end nothing is held


@pytest.mark.parametrize("kind", sorted(STREAMS))
def test_a_loader_says_what_its_stream_says(kind):
    make, _ = STREAMS[kind]
    stream, loader = make(), make().loader()
    next(iter(stream))
    next(iter(loader))
    assert told(loader.state_dict) == told(stream.state_dict)


class Counting(Plain):
    """With a state, and with samples that cannot be written; it counts how often it is asked."""

    asked = 0

    def state_dict(self):
        self.asked += 1
        return {}

    def load_state_dict(self, state):
        pass


def test_a_state_that_was_refused_is_not_tried_at_every_batch():
    source = Counting([Point(number) for number in range(3000)])
    batches = list(pack(source).loader())
    assert len(batches) == 600
    assert (
        source.asked <= 3000 / 15 + 2
    )  # at least half of the buffer is held, and as many are read before it is tried again


def test_a_state_can_be_had_once_nothing_stands_against_it():
    source = Plain([Point(0), *(torch.zeros(1) for _ in range(300))])
    loader, saved = pack(source).loader(), 0
    for _ in loader:
        try:
            loader.state_dict()
            saved += 1
        except Infeasible:
            assert not saved
    assert saved


def test_what_a_refusal_within_a_batch_says_to_do_works():
    source = points_in_shards()
    stream = samples(source)
    iterator = iter(stream)
    next(iterator)
    fact, way_out = told(stream.state_dict)
    assert "Point" in fact
    assert way_out.endswith("tensors, or let the stream give batches, if no other reads it")
    batches = online.balanced(source, key=third, batch_size=4, buffer=20)
    next(iter(batches))
    assert batches.state_dict()
    nested = pack(samples(source))
    next(iter(nested))
    assert told(nested.state_dict)[1].startswith(
        "read samples of numbers, text, bytes, lists, dictionaries, arrays and"
    )
    nested = pack(online.balanced(range(120), key=lambda n: n % 3, batch_size=4, buffer=20, batches=False))
    next(iter(nested))
    assert nested.state_dict()


class Kind(enum.Enum):
    EVEN, ODD = range(2)


@pytest.mark.parametrize("label", [Kind, lambda n: uuid.UUID(int=n), lambda n: datetime.date(2020, 1, 1 + n)])
@pytest.mark.parametrize("source", [list, Plain])
def test_a_label_that_has_no_form_in_a_state_is_told_apart_from_samples(source, label):
    stream = online.balanced(source(range(100)), key=lambda n: label(n % 2), batch_size=4, buffer=20)
    loader = stream.loader()
    next(iter(loader))
    fact, way_out = told(loader.state_dict)
    assert re.search(r"groups by their labels, and key gives a value of type .*(Kind|UUID|date), which cannot be", fact)
    assert way_out == "let key return text or a number, such as key=lambda sample: str(...)"
    assert sum(map(len, loader)) == 100
