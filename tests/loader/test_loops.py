"""Loops over a loader: the batches of the plan, epoch after epoch, also after a first look at one batch."""

from __future__ import annotations

import itertools
import multiprocessing
import pickle

import pytest
import torch

import batchwright as bw

from .. import laws
from .small import EPOCHS, EXPECTED, batches, made, take

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores


@pytest.mark.filterwarnings("ignore:the shards are divided:batchwright.PoorWarning")  # among several ranks
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", laws.EVERY_PLAN)
def test_the_batches_of_every_plan(kind, workers):
    plan = laws.EVERY_PLAN[kind](5)
    loader = made(plan, num_workers=workers)
    given_ones = [batch for _, loop in enumerate(loader.epochs(2)) for batch in _first(loop, 12)]
    assert given_ones == [batch.tolist() for epoch in range(2) for batch in plan.epoch(epoch)[:12]]


def _first(loop, count):
    return [batch.tolist() for batch in itertools.islice(loop, count)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_plain_double_loop_and_a_loop_over_epochs_are_the_same(workers):
    loader = made(num_workers=workers)
    assert [batches(loader) for _ in range(EPOCHS)] == EXPECTED
    loader = made(num_workers=workers)
    assert [batches(epoch) for epoch in loader.epochs(EPOCHS)] == EXPECTED
    assert (loader.epoch, loader.batches_done, len(loader)) == (EPOCHS, 0, len(EXPECTED[0]))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_look_costs_nothing(workers):
    loader = made(num_workers=workers)
    for _ in range(3):
        assert loader.peek().tolist() == EXPECTED[0][0]
    assert next(iter(loader)).tolist() == EXPECTED[0][0]
    assert (loader.epoch, loader.batches_done) == (0, 0)
    assert loader.peek().tolist() == EXPECTED[0][0]
    assert batches(loader) == EXPECTED[0]
    assert loader.peek().tolist() == EXPECTED[1][0]
    assert next(iter(loader)).tolist() == EXPECTED[1][0]
    assert batches(loader) == EXPECTED[1]


def test_an_iterator_of_which_nothing_was_taken_is_no_epoch():
    loader = made()
    iter(loader)
    for _ in loader.epochs(0):
        raise AssertionError
    assert batches(loader) == EXPECTED[0]


def test_an_epoch_that_was_left_is_over():
    loader = made()
    for batch in loader:
        if batch.tolist() == EXPECTED[0][1]:
            break
    assert batches(loader) == EXPECTED[1]


def test_epochs_of_one_batch_each_are_epochs():
    loader = made()
    assert [next(iter(epoch)).tolist() for epoch in loader.epochs(3)] == [epoch[0] for epoch in EXPECTED]
    short = bw.shuffled(4, batch_size=4, seed=1)
    loader = made(short)
    assert [batches(loader) for _ in range(3)] == [[short[epoch].tolist()] for epoch in range(3)]


def test_one_look_is_silent_and_a_loop_that_trains_on_one_batch_is_warned():
    loader = made()
    next(iter(loader))
    next(iter(loader))
    with pytest.warns(bw.PoorWarning, match=r"two loops in turn took one batch of epoch 0.*loader\.epochs\(n\)"):
        next(iter(loader))


def test_a_checkpoint_says_that_a_batch_was_no_look():
    loader = made()
    next(iter(loader))
    state = loader.state_dict()
    assert batches(loader) == EXPECTED[1]
    loader.load_state_dict(state)
    assert batches(loader) == EXPECTED[0][1:]


def test_set_epoch_says_that_a_batch_was_no_look():
    loader = made()
    next(iter(loader))
    loader.set_epoch(1)  # as trainers do before each epoch
    assert batches(loader) == EXPECTED[1]


def test_an_older_loop_is_refused():
    loader = made()
    older = iter(loader)
    next(older)
    next(older)
    next(iter(loader))
    with pytest.raises(bw.Infeasible, match="another loop over this loader has begun since") as refusal:
        next(older)
    assert "second loader" in refusal.value.way_out
    first, second = iter(made()), iter(made())
    assert [next(first).tolist(), next(second).tolist()] == [EXPECTED[0][0]] * 2


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loop_that_was_given_every_batch_ends_though_another_has_begun(workers):
    """Trainers ask for one more batch when something else has looped over the loader since."""
    loader = made(num_workers=workers)
    older = iter(loader)
    given_ones = [next(older).tolist() for _ in EXPECTED[0]]
    assert batches(loader) == EXPECTED[1]
    assert list(older) == []
    assert given_ones == EXPECTED[0]
    assert batches(loader) == EXPECTED[2]


def test_a_watcher_is_called_before_each_batch():
    loader, seen = made(), []
    loader.watch = lambda epoch, step, begins: seen.append((epoch, step, begins))
    take(loader, 3)
    loader.load_state_dict(loader.state_dict())
    take(loader, 2)
    assert seen == [(0, 1, True), (0, 2, False), (0, 3, False), (0, 4, True), (0, 5, False)]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_ended_loop_stays_ended(workers):
    loop = iter(made(num_workers=workers))
    assert len(list(loop)) == 26
    assert list(loop) == []


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_batches_of_an_evaluation_say_how_many_samples_count(workers, world):
    plan = bw.evaluation(21, batch_size=4)
    counted = []
    for rank in range(world):
        loader = plan.loader(
            [{"value": number} for number in range(21)],
            rank=rank,
            world_size=world,
            num_workers=workers,
            collate=bw.Collate(),
        )
        for step, batch in enumerate(loader):
            assert batch.aside.real == loader.real == loader.sampler.real(step)
            counted += [(step, rank, sample) for sample in batch["value"].tolist()[: loader.real]]
    assert [sample for _, _, sample in sorted(counted)] == list(range(21))


def test_a_loss_scale_after_a_look():
    plan = bw.budgeted(range(1, 21), 40)
    loader = plan.loader(range(20), num_workers=0)
    next(iter(loader))
    scale = bw.correct.LossScale(loader)
    for batch, factor in scale.over(loader):
        assert factor == 1 / len(batch)


@pytest.mark.parametrize("workers", [0, 2])
def test_in_a_loop_epoch_and_step_are_those_of_the_loop(workers):
    """In every batch of it; before and after they are those of the next loop, also after one that was left."""
    loader = made(num_workers=workers)
    for epoch in range(2):
        assert (loader.epoch, loader.batches_done) == loader.next_start() == (epoch, 0)
        for step, _ in enumerate(loader, 1):
            assert (loader.epoch, loader.batches_done) == (epoch, step)
            assert loader.next_start() == ((epoch, 0) if step == 1 else (epoch + 1, 0))  # one batch may be a look
    for step, _ in enumerate(loader, 1):
        if step == 5:
            break
    assert (loader.epoch, loader.batches_done) == (3, 0)
    loader.seek(4, epoch=1)
    loop = iter(loader)
    assert (loader.epoch, loader.batches_done) == (1, 4)
    next(loop)
    next(loop)
    assert (loader.epoch, loader.batches_done) == (1, 6)
    loader.set_epoch(7)  # the loop is over
    assert (loader.epoch, loader.batches_done) == (7, 0)
    other = made()
    loop = iter(loader)
    next(loop)
    assert (pickle.loads(pickle.dumps(loader)).epoch, other.epoch) == (7, 0)


def test_the_last_batch_ends_the_workers():
    """Some trainers ask for no more than the last batch, and keep the iterator."""
    others = set(multiprocessing.active_children())
    loop = iter(made(num_workers=2))
    for _ in range(25):
        next(loop)
    assert len(set(multiprocessing.active_children()) - others) == 2
    next(loop)
    assert set(multiprocessing.active_children()) <= others


def test_a_profiler_finds_what_reading_takes():
    """Without workers torch makes a record of each batch only while a profiler runs; the batches are the same."""
    loader = made(num_workers=0)
    first = batches(loader)
    with torch.autograd.profiler.profile() as profile:
        second = batches(loader)
    assert [first, second] == EXPECTED[:2]
    records = [event for event in profile.function_events if event.name.startswith("enumerate(DataLoader)#")]
    assert len(records) == len(second)


def test_a_second_loop_over_the_same_epochs_says_why_it_is_empty():
    loader = made()
    for _ in range(2):  # a cell of a notebook that is run again after this
        assert [batches(epoch) for epoch in loader.epochs(1)] == EXPECTED[:1]
        with pytest.warns(
            bw.PoorWarning, match=r"had 1 epoch and epochs\(1\) .* epochs\(2\) goes on .* set_epoch\(0\)"
        ):
            assert list(loader.epochs(1)) == []
        loader.set_epoch(0)  # what the warning says
    assert [batches(epoch) for epoch in loader.epochs(2)] == EXPECTED[:2]


def test_a_look_before_the_loops_is_no_epoch():
    loader = made()
    next(iter(loader))
    assert [epoch.number for epoch in loader.epochs(1)] == [0]
