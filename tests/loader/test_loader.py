"""`plan.loader`: the plan's batches, counted where they reach the loop."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import pickle
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from .. import laws
from ..processes import Gang
from .datasets import Numbers, NumbersByList

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores

COUNT = 103
PLAN = bw.shuffled(COUNT, batch_size=4, seed=3)
EPOCHS = 3
EXPECTED = [[batch.tolist() for batch in PLAN.epoch(epoch)] for epoch in range(EPOCHS)]


def made(plan=PLAN, **options):
    return plan.loader(Numbers(plan.groups.sample_count), **{"num_workers": 0, **options})


def batches(loop):
    return [batch.tolist() for batch in loop]


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


@given(
    st.sampled_from(["shuffled", "balanced", "budgeted", "packed", "tasks by step", "balanced and packed"]),
    st.integers(0, 40),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(0, 99),
)
def test_going_on_elsewhere(kind, taken, world, accumulate, seed):
    plan = laws.EVERY_PLAN[kind](seed)
    loader = made(plan, accumulate=accumulate)
    before = _take(loader, taken)
    state = json.loads(json.dumps(loader.state_dict()))
    sampler = plan.sampler(accumulate=accumulate)
    expected = plan.sampler(rank=0, world_size=1, accumulate=accumulate)
    lists = [batch for _ in range(3) for batch in expected][:taken]
    assert before == lists
    sampler.load_state_dict(state)  # the states of loaders and samplers are the same
    others = [plan.sampler(rank=rank, world_size=world, accumulate=2) for rank in range(world)]
    loaders = [made(plan, rank=rank, world_size=world, accumulate=2) for rank in range(world)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)  # uneven steps
        for other, loader in zip(others, loaders, strict=True):
            other.load_state_dict(state)
            loader.load_state_dict(state)
            assert _take(loader, 5) == [batch for _ in range(2) for batch in other][:5]


def _take(loader, count):
    taken = []
    while len(taken) < count:
        for batch in loader:
            taken.append(batch.tolist())
            if len(taken) == count:
                break
    return taken


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("taken", [1, 7, len(EXPECTED[0]) - 1, len(EXPECTED[0]), len(EXPECTED[0]) + 2])
def test_workers_that_read_ahead_are_not_counted(workers, taken):
    loader = made(num_workers=workers, prefetch_factor=4)
    every = [batch for epoch in EXPECTED for batch in epoch]
    assert _take(loader, taken) == every[:taken]
    for state in (loader.state_dict(), loader.sampler.state_dict()):
        for others in (0, 2):
            other = made(num_workers=others)
            other.load_state_dict(state)
            assert [batch for epoch in other.epochs(EPOCHS) for batch in batches(epoch)] == every[taken:]


def test_an_epoch_that_is_gone_on_with_says_how_long_it_is():
    loader = made()
    _take(loader, 10)
    other = made()
    other.load_state_dict(loader.state_dict())
    assert [(epoch.number, len(epoch)) for epoch in other.epochs(2)] == [(0, 16), (1, 26)]


def test_progress():
    loader = made()
    assert str(loader.progress()) == "epoch 0: 0 of 26 batches (0 %)"
    _take(loader, 13)
    progress = loader.progress()
    assert (progress.epoch, progress.batches_done, progress.batches, progress.epochs) == (0, 13, 26, 0.5)
    assert str(progress) == "epoch 0: 13 of 26 batches (50 %)"


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


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("workers", [0, 2])
def test_after_an_error_in_the_loop(workers, error):
    """The batch that failed was given; the rest of the epoch comes where it is asked for, else the next epoch."""

    def five(loader):
        for step, _ in enumerate(loader, 1):
            if step == 5:
                raise error

    def fail(loader):
        with pytest.raises(error):
            five(loader)

    loader = made(num_workers=workers)
    fail(loader)
    other = made()
    other.load_state_dict(loader.state_dict())
    assert batches(other) == EXPECTED[0][5:]
    loader.load_state_dict(loader.state_dict())
    assert batches(loader) == EXPECTED[0][5:]
    fail(loader)
    at = loader.progress()
    loader.seek(at.batches_done - 1, epoch=at.epoch)
    assert batches(loader) == EXPECTED[1][4:]
    fail(loader)
    loader.set_epoch(0)
    assert batches(loader) == EXPECTED[0]


def test_a_watcher_is_called_before_each_batch():
    loader, seen = made(), []
    loader.watch = lambda epoch, step, begins: seen.append((epoch, step, begins))
    _take(loader, 3)
    loader.load_state_dict(loader.state_dict())
    _take(loader, 2)
    assert seen == [(0, 1, True), (0, 2, False), (0, 3, False), (0, 4, True), (0, 5, False)]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_ended_loop_stays_ended(workers):
    loop = iter(made(num_workers=workers))
    assert len(list(loop)) == 26
    assert list(loop) == []


def test_lists_at_once_for_data_sets_that_read_so():
    loader = PLAN.loader(NumbersByList(COUNT), num_workers=2)
    assert batches(loader) == [[-sample for sample in batch] for batch in EXPECTED[0]]


def test_collate_and_device():
    loader = made(collate=lambda samples: {"sample": torch.tensor(samples)}, device="cpu")
    assert [batch["sample"].tolist() for batch in loader] == EXPECTED[0]
    assert batches(PLAN.loader(Numbers(COUNT), num_workers=0, collate_fn=torch.tensor)) == EXPECTED[0]
    meta = PLAN.loader(Numbers(COUNT), num_workers=0, device="meta")
    assert {batch.device.type for batch in meta} == {"meta"}


def test_a_loader_travels():
    loader = made()
    _take(loader, 3)
    assert batches(pickle.loads(pickle.dumps(loader))) == EXPECTED[1]


def test_shares_that_are_set_while_workers_are_ahead():
    labels = [0] * 300 + [1] * 100
    plan = bw.balanced(labels, 8, target=bw.targets.moving("natural", floor=0.05), seed=2)
    runs = []
    for workers in (0, 3):
        loader = made(plan, num_workers=workers, prefetch_factor=None if not workers else 8)
        taken, state = [], None
        for step, batch in enumerate(loader):
            taken.append(batch.tolist())
            if step == 4:
                first = loader.retarget({0: 0.5, 1: 0.5})
                state = loader.state_dict()
        other = made(plan)
        other.load_state_dict(state)
        assert batches(other) == taken[5:]
        runs.append(first)
    assert runs[0] == runs[1]  # both within one round


def _compare(rank, world_size, seeds):
    loader = bw.shuffled(40, 2, seed=seeds[rank]).loader(Numbers(40), num_workers=0)
    return sum(len(batch) for batch in loader)


def _look_alone(rank, world_size):
    loader = bw.shuffled(40, 2).loader(Numbers(40), num_workers=0)
    if rank == 0:
        next(iter(loader))
    return sum(len(batch) for batch in loader)


def _uncompared(rank, world_size):
    return sum(len(batch) for batch in bw.shuffled(40, 2, seed=rank).loader(Numbers(40), compare_ranks=False))


def test_ranks_are_compared_once():
    assert Gang(_compare, 2, [1, 1]).results() == [20, 20]
    with pytest.raises(RuntimeError, match="seed of the plan is 1 on process 0 and 2 on process 1"):
        Gang(_compare, 2, [1, 2]).results()
    assert Gang(_look_alone, 2).results() == [20, 20]
    assert Gang(_uncompared, 2).results() == [20, 20]


def test_a_default_for_workers():
    assert bw.shuffled(4, 2).loader(torch.utils.data.TensorDataset(torch.arange(4))).num_workers == 0
    assert 0 <= PLAN.loader(Numbers(COUNT)).num_workers <= 8


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


@pytest.mark.parametrize("taken", [1, 2, 25, 26])
def test_an_epoch_that_is_gone_on_with_has_one_length_in_its_loop(taken):
    loader = made()
    loader.seek(26 - taken, epoch=1)
    for epoch in loader.epochs(3):
        length = len(epoch)
        assert length == (taken if epoch.number == 1 else 26)
        assert [len(epoch) for _ in epoch] == [length] * length


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loop_ends_with_an_error_and_its_position_is_before_the_batch_that_failed(workers):
    broken = EXPECTED[0][3][1]
    loader = PLAN.loader(Numbers(COUNT, broken), num_workers=workers)
    loop = iter(loader)
    taken = [next(loop).tolist() for _ in range(3)]
    with pytest.raises(OSError, match="cannot be read"):
        next(loop)
    assert list(loop) == []
    other = made()
    other.load_state_dict(loader.state_dict())
    assert taken + batches(other) == EXPECTED[0]


def test_the_last_batch_ends_the_workers():
    """Some trainers ask for no more than the last batch, and keep the iterator."""
    others = set(multiprocessing.active_children())
    loop = iter(made(num_workers=2))
    for _ in range(25):
        next(loop)
    assert len(set(multiprocessing.active_children()) - others) == 2
    next(loop)
    assert set(multiprocessing.active_children()) <= others
