"""A state at the last batch of an epoch: `loader.epoch` is the next one, as of loaders of plans, and no epoch is extra."""

from __future__ import annotations

import copy
import json
import pickle
from itertools import chain, islice

import pytest

import batchwright as bw
from batchwright import online

from .small import Plain, Standing

pytestmark = [
    pytest.mark.filterwarnings("ignore::batchwright.PoorWarning"),  # of small sources
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
]

COUNT = 40
EPOCHS = 2


def shards(**more):
    return online.Sharded(range(0, COUNT, 10), lambda start: range(start + 1, start + 11), **more)


SOURCES = {
    "list": lambda: list(range(1, COUNT + 1)),
    "shards": lambda: shards(shuffle=True),
    "iterable": lambda: Plain(range(1, COUNT + 1)),
    "strided": lambda: online.Strided(Plain(range(1, COUNT + 1))),
    "with a position of its own": Standing,
}
STREAMS = {
    "packed": lambda source, **more: online.packed(source, length=int.bit_length, capacity=20, buffer=9, **more),
    "budgeted": lambda source, **more: online.budgeted(source, length=int.bit_length, max_tokens=20, buffer=9, **more),
    "balanced": lambda source, **more: online.balanced(
        source, key=lambda n: n % 2, batch_size=4, buffer=12, when_short="redistribute", **more
    ),
    "side by side": lambda source, **more: online.balanced(
        shards(groups=[0, 1, 0, 1]), key=lambda n: (n - 1) // 10 % 2, batch_size=4, when_short="redistribute", **more
    ),
    "mixed": lambda source, **more: online.mixed({"a": source}, batch_size=4, **more),
    "nested": lambda source, **more: online.packed(
        online.mixed({"a": source}), length=int.bit_length, capacity=20, buffer=9, **more
    ),
}
CASES = [(kind, "list", workers) for kind in sorted(STREAMS) for workers in (0, 1, 2)]
CASES += [("packed", source, workers) for source in sorted(SOURCES.keys() - {"list"}) for workers in (0, 1)]
CASES += [("packed", source, 2) for source in ("shards", "strided")]


def at_the_end(make, taken):
    """A loader that goes on from the state after so many batches."""
    first = make()
    batches = iter(first)
    given = list(islice(batches, taken))
    again = make()
    again.load_state_dict(json.loads(json.dumps(first.state_dict())))
    return given, again


@pytest.mark.parametrize(("kind", "source", "workers"), CASES)
def test_the_epochs_that_are_left_are_trained_and_no_more(kind, source, workers):
    def make():
        return STREAMS[kind](SOURCES[source]()).loader(num_workers=workers)

    whole = [list(epoch) for epoch in make().epochs(EPOCHS)]
    for taken in {len(whole[0]), 1}:
        given, again = at_the_end(make, taken)
        due = int(taken == len(whole[0]))
        assert again.epoch == again.epoch == due
        left = []
        for number in range(again.epoch, EPOCHS):
            left.append(list(again))
            assert again.epoch == number + 1
        assert len(left) == EPOCHS - due
        assert given + list(chain(*left)) == list(chain(*whole))


def test_it_is_the_answer_of_a_loader_of_a_plan():
    plan = bw.shuffled(COUNT, batch_size=4)

    def make():
        return plan.loader(range(COUNT), num_workers=0, collate=list)

    _, again = at_the_end(make, len(make()))
    assert again.epoch == 1
    assert [epoch.number for epoch in again.epochs(3)] == [1, 2]
    _, again = at_the_end(lambda: STREAMS["mixed"](SOURCES["list"]()).loader(), COUNT // 4)
    assert again.epoch == 1
    assert [epoch.number for epoch in again.epochs(3)] == [1, 2]


@pytest.mark.parametrize("workers", [0, 1])
def test_asking_changes_nothing(workers):
    """What follows the question is what would follow without it: a state, a look, another epoch, another state, a copy."""

    def make():
        return STREAMS["packed"](SOURCES["shards"]()).loader(num_workers=workers)

    whole = [list(epoch) for epoch in make().epochs(3)]
    asks = {
        "state": lambda loader: loader.load_state_dict(loader.state_dict()),
        "look": lambda loader: loader.peek(),
        "another epoch": lambda loader: loader.set_epoch(2),
        "another state": lambda loader: loader.load_state_dict(make().state_dict()),
    }
    for name in asks:
        for taken in (3, len(whole[0])):
            loaders = [at_the_end(make, taken)[1] for _ in range(2)]
            before = json.dumps(loaders[0].state_dict())
            assert loaders[0].epoch == (taken == len(whole[0]))
            assert json.dumps(loaders[0].state_dict()) == before
            for loader in loaders:
                asks[name](loader)
            assert list(loaders[0]) == list(loaders[1])
    _, loader = at_the_end(make, 3)
    assert loader.epoch == 0
    assert list(copy.deepcopy(loader)) == whole[0][3:] == list(loader)


def test_a_loader_that_was_asked_can_be_pickled():
    def make():
        return online.packed(range(1, COUNT), length=int, capacity=90, buffer=9).loader()

    _, loader = at_the_end(make, 3)
    assert loader.epoch == 0
    assert list(pickle.loads(pickle.dumps(make()))) == list(make())
    assert pickle.loads(pickle.dumps(loader)).epoch == 0


def test_ranks_answer_alike_though_one_has_had_its_last_batch():
    def make(rank):
        return online.mixed({"a": range(13)}, batch_size=4, rank=rank, world_size=2).loader()

    loaders = [make(rank) for rank in range(2)]
    states = []
    for loader in loaders:
        batches = iter(loader)
        assert len(list(islice(batches, 2))) == 2
        states.append(loader.state_dict())
    for rank in range(2):
        again = make(rank)
        again.load_state_dict(states)
        assert again.epoch == 0
        assert [len(list(again)) for _ in range(again.epoch, 2)] == [0, 2]
