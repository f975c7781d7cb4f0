"""A look at one batch: whatever is asked after it, the next loop begins with the same batch."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import batchwright as bw
from batchwright.told_accumulation import Accumulation

from .small import batches, made

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores

LABELS = np.repeat(["a", "b", "c"], [200, 150, 50])
MOVING = bw.balanced(LABELS, 8, target=bw.targets.moving("sqrt"))
ORDERED = bw.budgeted([8 + i % 5 for i in range(400)], 80, order=MOVING, window=12)
SHARES = [0.2, 0.3, 0.5]


def refused(method, argument):
    with pytest.raises(bw.Infeasible):
        method(argument)


QUESTIONS = {
    "state_at": lambda loader: loader.state_at(1),
    "state_at of the sampler": lambda loader: loader.sampler.state_at(1),
    "the state of a copy": lambda loader: copy.copy(loader.sampler).state_dict(),
    "progress": lambda loader: loader.progress(),
    "at": lambda loader: loader.at(),
    "real": lambda loader: loader.real,
    "len": len,
    "repr": repr,
    "next_start": lambda loader: loader.next_start(),
    "epoch": lambda loader: (loader.epoch, loader.batches_done),
    "peek": lambda loader: loader.peek(),
    "an iterator": iter,
    "pickle": pickle.dumps,
    "deepcopy": copy.deepcopy,
    "an empty state": lambda loader: loader.sampler.load_state_dict({}),
    "a seek that is refused": lambda loader: refused(loader.seek, 10_000),
    "shares that are refused": lambda loader: refused(loader.retarget, [0.5, 0.5, 0.5]),
    "accumulation": lambda loader: loader.compare_accumulation(Accumulation(1, "accumulate")),
    "audit": lambda loader: loader.sampler.audit(),
    "audit of the plan": lambda loader: loader.plan.audit_of_run(1, epoch=0),
    "epoch of the sampler": lambda loader: (loader.sampler.epoch, loader.sampler.batches_done),
    "epochs_done": lambda loader: loader.sampler.epochs_done,
    "passes_done": lambda loader: loader.sampler.passes_done,
    "new_shares_in": lambda loader: loader.sampler.new_shares_in,
    "all_ranks": lambda loader: loader.sampler.all_ranks(0),
    "real_of_all": lambda loader: loader.sampler.real_of_all(0),
    "started_at": lambda loader: loader.sampler.started_at(0),
    "composition": lambda loader: bw.Composition(loader, every=1).measured(0, 2, epoch=0),
    "loss scale": lambda loader: bw.correct.LossScale(loader.sampler),
    "summary": lambda loader: str(loader.plan.summary()),
}


def looked(plan, *, epoch, workers=0):
    """A loader that has gone through so many epochs, and then looked at a batch of the next."""
    loader = made(plan, num_workers=workers)
    for each in loader.epochs(epoch):
        batches(each)
    return loader, next(iter(loader)).tolist()


@pytest.mark.parametrize("plan", [MOVING, ORDERED], ids=["fixed", "by lengths"])
@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_after_a_look_leaves_the_next_loop_as_it_is(question, epoch, plan):
    loader, seen = looked(plan, epoch=epoch)
    QUESTIONS[question](loader)
    assert [(each.number, len(each), batches(each)[0]) for each in loader.epochs(epoch + 1)] == [
        (epoch, len(loader), seen)
    ]


@pytest.mark.parametrize("plan", [MOVING, ORDERED], ids=["fixed", "by lengths"])
@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("of_sampler", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_shares_that_are_set_after_a_look_are_set_as_without_it(workers, of_sampler, epoch, plan):
    loader, _ = looked(plan, epoch=epoch, workers=workers)
    first = (loader.sampler if of_sampler else loader).retarget(SHARES)
    state = loader.state_dict() if of_sampler else None
    straight = made(plan)
    if epoch:
        batches(straight)
    assert first == straight.retarget(SHARES)
    if state is not None:
        assert state == straight.state_dict()
    assert loader.sampler.new_shares_in == straight.sampler.new_shares_in
    assert [(each.number, len(each), batches(each)) for each in loader.epochs(epoch + 2)] == [
        (each.number, len(each), batches(each)) for each in straight.epochs(epoch + 2)
    ]


def test_shares_that_are_set_while_a_loop_may_go_on_begin_after_its_batch():
    loader, straight = made(MOVING), MOVING.sampler()
    loop, run = iter(loader), iter(straight)
    assert next(loop).tolist() == next(run)
    assert loader.retarget(SHARES) == straight.retarget(SHARES) == 89
    assert batches(loop) == list(run)
    assert batches(loader) == list(straight)


def test_a_loop_that_may_have_gone_on_was_a_look_though_shares_were_set():
    loader = made(MOVING)
    loop = iter(loader)
    seen = next(loop).tolist()
    assert loader.retarget(SHARES) == 89
    assert (loader.next_start(), batches(loader)[0]) == ((0, 0), seen)


def test_training_on_one_batch_and_setting_shares_each_time_is_warned():
    loader = made(MOVING)
    next(iter(loader))
    loader.retarget(SHARES)
    next(iter(loader))
    loader.retarget("sqrt")
    with pytest.warns(bw.PoorWarning, match=r"two loops in turn took one batch of epoch 0.*loader\.epochs\(n\)"):
        next(iter(loader))


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_seek_after_a_look_is_in_the_epoch_of_the_look(epoch):
    loader, _ = looked(MOVING, epoch=epoch)
    loader.seek(3)
    assert loader.next_start() == (epoch, 3)
    assert batches(loader)[0] == MOVING[epoch * MOVING.epoch_batches + 3].tolist()
