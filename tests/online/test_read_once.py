"""An iterator can be read once: whatever reads it a second time is refused, and the first loop loses nothing."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from itertools import chain, islice

import pytest
from torch.utils.data import DataLoader, get_worker_info

from batchwright import Infeasible, online

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
    pytest.mark.filterwarnings("ignore:1 of . workers reads:batchwright.PoorWarning"),
    pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning"),
]

COUNT = 500
REFUSED = (
    "source 'source' is an iterator, which can be read once, and a loop before this one has read a part of it; pass"
)


class Own(Iterator):
    """An iterator with the `__iter__` of its base class."""

    def __init__(self):
        self.rest = iter(range(COUNT))

    def __next__(self):
        return next(self.rest)


class AsPeopleWrite:
    """The same with an `__iter__` of its own, which does nothing."""

    def __init__(self):
        self.rest = iter(range(COUNT))

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.rest)


class BeginsAgain(AsPeopleWrite):
    def __iter__(self):
        self.rest = iter(range(COUNT))
        return self


class WithState(Own):
    def __init__(self):
        self.at = -1

    def __next__(self):
        self.at += 1
        if self.at >= COUNT:
            raise StopIteration
        return self.at

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


def generator():
    yield from range(COUNT)


ITERATORS = {
    "generator": generator,
    "iterator": lambda: iter(range(COUNT)),
    "map": lambda: map(int, range(COUNT)),
    "of its base class": Own,
    "as people write": AsPeopleWrite,
    "with a state": WithState,
}


def packed(source, **more):
    return online.packed(source, length=lambda n: 1, capacity=4, buffer=40, **more)


STREAMS = {
    "packed": packed,
    "balanced": lambda source: online.balanced(source, key=lambda n: n % 2, batch_size=4, buffer=40),
    "mixed": lambda source: online.mixed({"source": source}, batch_size=4),
    "chain": lambda source: packed(online.Chain([source], name="source")),
    "told to split itself": lambda source: packed(online.SelfSplit(source)),
    "nested": lambda source: packed(online.mixed({"source": source})),
}
LOADERS = {
    "stream": lambda stream: stream,
    "loader": lambda stream: stream.loader(),
    "loader with a worker": lambda stream: stream.loader(num_workers=1),
    "loader with workers": lambda stream: stream.loader(num_workers=2),
    "torch": lambda stream: DataLoader(stream, batch_size=None, collate_fn=list),
    "torch with a worker": lambda stream: DataLoader(stream, batch_size=None, collate_fn=list, num_workers=1),
    "torch with a lasting worker": lambda stream: DataLoader(
        stream, batch_size=None, collate_fn=list, num_workers=1, persistent_workers=True
    ),
}


def refused(name="source"):
    return pytest.raises(Infeasible, match=REFUSED.replace("'source'", f"'{name}'"))


@pytest.mark.parametrize("loader", sorted(LOADERS))
@pytest.mark.parametrize("taken", [1, 10])
def test_a_loop_after_one_that_was_broken_off_is_refused(loader, taken):
    loader = LOADERS[loader](packed(generator()))
    begun = list(islice(loader, taken))
    assert len(begun) == taken
    for _ in range(2):
        with refused():
            list(loader)


@pytest.mark.parametrize("kind", sorted(STREAMS))
@pytest.mark.parametrize("iterator", sorted(ITERATORS))
def test_every_kind_of_iterator_in_every_kind_of_stream_is_refused(kind, iterator):
    loader = STREAMS[kind](ITERATORS[iterator]()).loader()
    next(iter(loader))
    with refused(r"source(\[0\])?"):
        next(iter(loader))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_first_loop_goes_on_after_another_was_refused(workers):
    loader = packed(generator()).loader(num_workers=workers)
    older = iter(loader)
    given = [next(older)]
    with refused():
        next(iter(loader))
    assert sorted(chain.from_iterable([*given, *older])) == list(range(COUNT))


def test_a_second_epoch_with_workers_is_refused_too():
    for loader in (packed(generator()).loader(num_workers=1), LOADERS["torch with a worker"](packed(generator()))):
        assert sorted(chain.from_iterable(loader)) == list(range(COUNT))
        with refused():
            list(loader)


@pytest.mark.parametrize("taken", [1, 1000])
def test_an_iterator_that_begins_again_may_be_read_again(taken):
    loader = packed(BeginsAgain()).loader()
    list(islice(loader, taken))
    assert sorted(chain.from_iterable(loader)) == list(range(COUNT))


def test_what_an_iterator_splits_itself_is_read_by_all_workers_of_one_epoch():
    def mine():
        info = get_worker_info()
        yield from range(info.id, COUNT, info.num_workers)

    loader = packed(online.SelfSplit(mine())).loader(num_workers=3)
    assert sorted(chain.from_iterable(loader)) == list(range(COUNT))
    with refused():
        list(loader)


def test_the_part_of_a_chain_that_was_not_reached_is_still_there():
    loader = packed(online.Chain([range(COUNT), generator()])).loader()
    next(iter(loader))
    assert sorted(chain.from_iterable(loader)) == sorted([*range(COUNT)] * 2)
    with pytest.raises(Infeasible, match=r"source 'chain\[1\]' is an iterator, which was read to its end before"):
        next(iter(loader))


def test_with_a_state_the_iterator_goes_on_where_the_loop_was_left():
    loader = packed(WithState()).loader()
    given = list(islice(loader, 10))
    loader.load_state_dict(loader.state_dict())
    assert sorted(chain.from_iterable([*given, *loader])) == list(range(COUNT))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda stream: pickle.loads(pickle.dumps(stream))])
def test_a_copy_knows_what_was_read(copied):
    stream = online.mixed({"source": iter(range(COUNT))}, batch_size=4)
    assert len(list(islice(copied(stream), 3))) == 3
    next(iter(stream))
    with refused():
        list(copied(stream))
