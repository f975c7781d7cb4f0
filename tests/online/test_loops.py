"""Loops over the loader of a stream follow the rules of a plan's loader: each begins at its first `next`."""

from __future__ import annotations

import copy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, IterableDataset

import batchwright as bw
from batchwright import online

from ..examples import examples
from .small import Standing

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores

SHARDS = online.Sharded(range(1, 41, 5), lambda start: range(start, start + 5), shuffle=True)
EPOCHS = 12


def of_a_stream(workers=0, **more):
    return online.packed(SHARDS, length=int.bit_length, capacity=20, buffer=9, **more).loader(num_workers=workers)


def of_a_plan():
    return bw.shuffled(40, batch_size=4).loader(range(40), num_workers=0, collate=list)


LOADERS = {
    "stream": of_a_stream,
    "stream of steps": lambda: of_a_stream(steps=5),
    "plan": of_a_plan,
}


class Again(IterableDataset):
    """Its own iterator, which `iter` starts again."""

    def __iter__(self):
        self.rest = iter(range(1, 41))
        return self

    def __next__(self):
        return next(self.rest)


MOVED = {  # sources of which all readings share one position
    "iterator": lambda: iter(range(1, 41)),
    "its own iterator": Again,
    "with a state": Standing,
    "chain": lambda: online.Chain([range(1, 9), Again()]),
    "strided": lambda: online.Strided(Standing()),
    "mixture": lambda: online.mixed({"a": range(1, 9), "b": Again()}, at_end="continue"),
}


def of_moved(kind):
    return online.packed(MOVED[kind](), length=int.bit_length, capacity=20, buffer=9)


def check_loops(make, moves):
    """Each move makes an iterator, or takes a batch of one: its first two at first, as one batch of a plan is a look."""
    whole = [list(epoch) for epoch in make().epochs(EPOCHS)]
    loader, iterators, latest, begun = make(), [], None, 0
    rest = {}  # of each iterator that has begun, by its place, what is left of its epoch
    for move in moves:
        if move == 0 or not iterators:
            iterators.append(iter(loader))
            continue
        place = move % len(iterators)
        it = iterators[place]
        if it is None:
            continue
        if place not in rest:
            latest, rest[place] = place, list(whole[begun])
            begun += 1
            assert [next(it), next(it)] == [rest[place].pop(0) for _ in range(2)]
        elif not rest[place]:
            assert next(it, None) is None
        elif place == latest:
            assert next(it) == rest[place].pop(0)
        else:
            with pytest.raises(bw.Infeasible, match="another loop over this loader has begun since"):
                next(it)
            iterators[place] = None
        again = make()
        again.load_state_dict(copy.deepcopy(loader.state_dict()))
        assert list(again) == (rest[latest] or whole[begun])


@given(st.sampled_from(sorted(LOADERS)), st.lists(st.integers(0, 5), max_size=EPOCHS * 2))
@example("stream", [0, 0, 1, 2, 1, 2, 1])
@example("stream", [0, 0, 0, 1, 1, 2, 2, 1, 0])
@examples(100)
def test_a_loop_begins_at_its_first_batch_and_goes_on_until_another_begins(kind, moves):
    check_loops(LOADERS[kind], moves)


def test_loops_with_workers_begin_and_end_in_the_same_way():
    check_loops(lambda: of_a_stream(workers=2, steps=5), [0, 0, 1, 1, 2, 2, 1])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loop_that_was_given_every_batch_ends_though_another_has_begun(workers):
    """Trainers ask for one more batch when something else has looped over the loader since."""
    loader = of_a_stream(workers)
    whole = [list(epoch) for epoch in of_a_stream(workers).epochs(3)]
    older = iter(loader)
    assert [next(older) for _ in whole[0]] == whole[0]
    newer = iter(loader)
    first = next(newer)
    assert list(older) == []
    assert [first, *newer] == whole[1]
    assert list(loader) == whole[2]


@pytest.mark.parametrize("kind", sorted(MOVED.keys() - {"iterator"}))  # there the other loop is refused
def test_a_loop_is_refused_after_another_has_moved_its_source(kind):
    """The other loop has all that comes from then on: a stream, its loader, and a loader of torch say so alike."""
    for given_by in (lambda stream: stream, lambda stream: stream.loader(), torch_loader):
        loader = given_by(of_moved(kind))
        older, newer = iter(loader), iter(loader)
        first, other = next(older), next(newer)
        assert first
        with pytest.raises(bw.Infeasible, match=r"has moved it|another loop over this loader"):
            next(older)
        following = [other, *newer]
        if kind == "its own iterator":
            assert sorted(number for batch in following for number in batch) == list(range(1, 41))


def torch_loader(stream):
    return DataLoader(stream, batch_size=None, collate_fn=list)


@pytest.mark.parametrize("kind", sorted(MOVED))
def test_what_would_move_a_source_is_refused_and_the_loop_is_whole(kind):
    alone, stream = of_moved(kind), of_moved(kind)
    loader, given_ones = stream.loader(), []
    for batch in loader:
        given_ones.append(batch)
        for ask in (loader.peek, stream.audit):
            with pytest.raises(bw.Infeasible, match="would move it"):
                ask()
    assert given_ones == list(alone)


def test_passes_over_a_stream_at_once_are_whole_where_each_reading_has_its_own_position():
    stream = online.packed(SHARDS, length=int.bit_length, capacity=20, buffer=9)
    epochs = [list(epoch) for epoch in of_a_stream().epochs(2)]
    assert list(zip(stream, stream, strict=False)) == list(zip(*epochs, strict=False))
