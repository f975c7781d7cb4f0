"""A look at the next batch moves nothing; loaders of streams have what those of plans have, or say why not."""

from __future__ import annotations

import json
import operator
import random
from itertools import chain, islice, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright import online
from batchwright.online.missing_attribute import OF_A_LOADER, OF_A_STREAM

from ..examples import examples
from .elsewhere import SOURCES, STREAMS, Plain

pytestmark = [
    pytest.mark.filterwarnings("ignore::batchwright.PoorWarning"),  # of small sources
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
]


def made(kind, source, rank=0, world_size=1, workers=0):
    return STREAMS[kind](SOURCES[source](), rank=rank, world_size=world_size).loader(num_workers=workers)


def look(loader):
    try:
        return loader.peek()
    except bw.Infeasible as refusal:
        if "has no batch left for rank" in refusal.fact:
            return None
        raise


def check_look(loader):
    """A look gives what the next loop gives first, and changes no state; at the end there is none, and it says so."""
    before, epoch = json.dumps(loader.state_dict()), loader.epoch
    seen, again = look(loader), look(loader)
    assert seen == again
    assert getattr(seen, "groups", None) == getattr(again, "groups", None)
    assert (json.dumps(loader.state_dict()), loader.epoch) == (before, epoch)
    return seen


@given(
    kind=st.sampled_from(sorted(STREAMS)),
    source=st.sampled_from(sorted(SOURCES)),
    seed=st.integers(0, 10**6),
    ranks=st.sampled_from([(0, 1), (1, 3)]),
    epoch=st.integers(0, 2),
)
@examples(25)
def test_a_look_is_the_first_batch_of_the_next_loop_and_moves_nothing(kind, source, seed, ranks, epoch):
    chance = random.Random(seed)
    loader, alone = made(kind, source, *ranks), made(kind, source, *ranks)
    for one in (loader, alone):
        one.set_epoch(epoch)
    for _ in range(2):
        seen, taken = check_look(loader), chance.choice([1, 3, 10**6])
        batches, others = iter(loader), iter(alone)
        given = list(islice(batches, taken))
        check_look(loader)  # while a loop is under way
        given += islice(batches, 2)
        assert given == list(islice(others, taken)) + list(islice(others, 2))
        assert given[:1] == [seen][: len(given)]
    state = loader.state_dict()
    again, alone = made(kind, source, *ranks), made(kind, source, *ranks)
    for one in (again, alone):
        one.load_state_dict(state)
    assert next(iter(alone), None) == check_look(again)


@pytest.mark.parametrize(("kind", "source"), [("repeating", "few shards"), ("packed", "list"), ("mixed", "strided")])
def test_a_look_is_what_workers_will_give(kind, source):
    loader = made(kind, source, workers=2)
    seen = check_look(loader)
    batches = iter(loader)
    assert next(batches) == seen
    for taken in (0, 3):  # with another worker in turn, and in mid-epoch
        list(islice(batches, taken))
        state = loader.state_dict()
        for workers in (2, 3):
            again = made(kind, source, workers=workers)
            again.load_state_dict(state)
            assert check_look(again) == next(iter(again))


def test_a_look_follows_what_looks_up_its_worker_itself():
    import datasets

    rows = datasets.Dataset.from_dict({"n": list(range(60))}).to_iterable_dataset(num_shards=4)
    loader = online.packed(rows, length=lambda row: 1 + row["n"] % 7, capacity=20).loader(num_workers=2)
    assert loader.peek() == next(iter(loader))
    alone = online.packed(online.SelfSplit(Plain(range(1, 40))), length=int, capacity=90).loader()
    assert alone.peek() == next(iter(alone))


@pytest.mark.parametrize("workers", [0, 1])
def test_epochs_are_taken_in_turn_and_the_rest_after_a_resume(workers):
    def loader():
        return made("budgeted", "shards", workers=workers)

    whole = [list(epoch) for epoch in loader().epochs(3)]
    assert whole[0] != whole[1]
    for epochs, taken in ((0, 0), (1, 2), (1, len(whole[1])), (2, 1)):
        first, given = loader(), []
        for epoch in first.epochs(3):
            assert first.epoch == epoch.number
            if epoch.number == epochs:
                given += islice(iter(epoch), taken)
                break
            given += epoch
        again = loader()
        again.load_state_dict(first.state_dict())
        due = epochs + (taken == len(whole[epochs]))
        assert again.epoch == due
        rest = {epoch.number: list(epoch) for epoch in again.epochs(3)}
        assert list(rest) == list(range(due, 3))
        assert given + list(chain(*rest.values())) == list(chain(*whole))
    assert "<epoch 0 of <loader of <stream: budgeted" in repr(next(loader().epochs(1)))


def test_a_loader_says_whose_it_is():
    loader = online.budgeted(range(1, 9), length=int, max_tokens=9, rank=1, world_size=2).loader(
        num_workers=3, collate=sum
    )
    assert (loader.rank, loader.world_size, loader.num_workers, loader.collate_fn) == (1, 2, 3, sum)
    assert repr(loader) == f"<loader of {loader.stream!r}, 3 workers>"


def test_what_plans_have_and_streams_do_not_says_what_to_use():
    """What is documented of plans, and of their loaders, is there or says so; other names are told as usual."""
    plan, stream = bw.balanced([0, 1, 1], 2), online.balanced([0, 1, 1], key=int, batch_size=2)
    loader = stream.loader()
    known_types = (type(plan.loader(range(3), num_workers=0)), type(plan.sampler()), bw.Plan)
    for known, thing in product(known_types, (loader, stream)):
        for name in filter(lambda name: not name.startswith("_") and not hasattr(thing, name), vars(known)):
            with pytest.raises(AttributeError) as refusal:
                getattr(thing, name)
            assert str(refusal.value).startswith(f"{type(thing).__name__!r} object has no attribute {name!r}; ")
        with pytest.raises(AttributeError, match=r"has no attribute 'pek'$"):
            operator.attrgetter("pek")(thing)
    assert not any(hasattr(loader, name) for name in OF_A_LOADER)
    assert not any(hasattr(stream, name) for name in OF_A_STREAM)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_of_steps_has_a_length_as_that_of_a_plan_has(workers):
    def make(workers=workers):
        return STREAMS["packed"](SOURCES["list"](), steps=9).loader(num_workers=workers)

    assert [(len(epoch), len(list(epoch)), len(epoch)) for epoch in make().epochs(2)] == [(9, 9, 9)] * 2
    for now in (workers, 1):
        for taken in (4, 9):
            first, again = make(), make(now)
            assert len(list(islice(first, taken))) == taken
            again.load_state_dict(first.state_dict())
            lengths = [(len(epoch), len(list(epoch)), len(epoch)) for epoch in again.epochs(2)]
            assert lengths == [(9 - taken,) * 3, (9,) * 3][taken == 9 :]
    with pytest.raises(TypeError, match="a stream has no length; make it with steps="):
        len(next(made("packed", "list").epochs(1)))
