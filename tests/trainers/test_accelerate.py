"""Accelerate: checkpoints from any moment, and what it is told of accumulation."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin

import batchwright as bw
from batchwright.adapters.accelerate import prepare

from .. import processes
from .accumulation import check_that_the_two_are_compared
from .places import LENGTH, SAMPLES, epochs, loader, made, place, plan
from .programs import habits

pytestmark = pytest.mark.filterwarnings("ignore", "error::batchwright.PoorWarning")


def prepared(workers=0, adapter=True):
    """By the adapter, or as anything else that Accelerate is given."""
    accelerator = Accelerator(cpu=True)
    mine = made(workers=workers)
    if adapter:
        return accelerator, prepare(accelerator, mine)
    theirs = accelerator.prepare(mine)
    assert theirs is mine
    accelerator.register_for_checkpointing(theirs)
    return accelerator, theirs


def places(batches, count=None):
    """Of the first batches, or of all."""
    return [place(batch) for _, batch in zip(range(count or SAMPLES), batches, strict=False)]


def goes_on(tmp_path, accelerator, **options):
    """A loader of a new process, as it were, after the state was saved and loaded."""
    accelerator.save_state(tmp_path)
    accelerator, again = prepared(**options)
    accelerator.load_state(tmp_path)
    return again


@pytest.mark.parametrize("adapter", [True, False])
@pytest.mark.parametrize(("workers", "taken"), [(0, 0), (0, 3), (0, LENGTH), (2, 0), (2, 3), (2, LENGTH)])
def test_a_checkpoint_from_before_the_first_batch_within_and_after_the_epoch(workers, taken, adapter, tmp_path):
    accelerator, first = prepared(workers, adapter)
    if taken:
        places(first, taken)
    again = goes_on(tmp_path, accelerator, workers=2 - workers, adapter=adapter)
    assert again.epoch == taken // LENGTH
    assert places(again) + places(again) == epochs((0, taken, 10), (1, 0, 10), (2, 0, 10))[: 20 - taken % LENGTH]


def test_a_look_before_a_checkpoint_is_a_batch_that_was_given(tmp_path):
    """And `peek` is not."""
    for look, step in ((lambda train: next(iter(train)), 1), (lambda train: train.peek(), 0)):
        accelerator, first = prepared()
        look(first)
        assert places(goes_on(tmp_path, accelerator)) == epochs((0, step, 10))


def test_a_loop_that_breaks_off_its_epochs_says_which_is_next(tmp_path):
    """`break` alone leaves it open whether the rest is to come: a checkpoint goes on with it, unless it is told."""
    for told, expected in ((False, (0, 7, 10)), (True, (1, 0, 10))):
        accelerator, first = prepared()
        places(first, 7)
        if told:
            first.set_epoch(1)
        assert places(goes_on(tmp_path, accelerator)) == epochs(expected)


def test_seeking_takes_the_place_of_skipping_batches(tmp_path):
    accelerator, first = prepared()
    places(first, 7)
    first.seek(3, epoch=0)
    again = goes_on(tmp_path, accelerator)
    assert places(again) == places(first) == epochs((0, 3, 10))


def test_where_accumulation_stands_follows_from_the_position(tmp_path):
    """Saved by a run that accumulates 3, or left in mid-step: the next loop steps after every second batch of its own."""

    def synchronized(accelerator, train):
        found = []
        for _ in train:
            with accelerator.accumulate(torch.nn.Linear(1, 1)):
                found.append(accelerator.sync_gradients)
        return found

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=3)
    first = prepare(accelerator, made(accumulate=3))
    for _, _ in zip(range(3), first, strict=False):
        with accelerator.accumulate(torch.nn.Linear(1, 1)):
            pass
    accelerator.save_state(tmp_path)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    again = prepare(accelerator, made(accumulate=2))
    accelerator.load_state(tmp_path)
    assert accelerator.step == 3
    begun = again.batches_done
    assert synchronized(accelerator, again) == [step % 2 == 0 for step in range(begun + 1, len(again) + 1)]
    for _, _ in zip(range(3), again, strict=False):
        with accelerator.accumulate(torch.nn.Linear(1, 1)):
            pass
    assert synchronized(accelerator, again) == [False, True] * (len(again) // 2)


@pytest.mark.parametrize("workers", [0, 2])
def test_accelerates_own_preparation_obeys_set_epoch(workers):
    own = Accelerator(cpu=True).prepare(loader(plan().sampler(), num_workers=workers))
    next(iter(own))
    for epoch in (3, 1):
        own.set_epoch(epoch)
        assert places(own) == epochs((epoch, 0, 10))


def test_two_processes_share_the_plan_once():
    """By the adapter, or by `accelerator.prepare`, which leaves the loader as it is."""
    for adapter in (True, False):
        ranks = processes.run(habits.accelerate_prepares, 2, adapter)
        assert [tuple(place) for step in zip(*ranks, strict=True) for place in step] == epochs((0, 0, 10))


def test_what_the_two_accumulate_is_compared():
    def once(sampler_accumulates, steps, **options):
        accelerator = Accelerator(cpu=True, gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=steps))
        return prepare(accelerator, made(accumulate=sampler_accumulates, **options))

    check_that_the_two_are_compared(once, "Accelerator(gradient_accumulation_steps)")
    with pytest.raises(bw.Infeasible, match="is 2 batches of 2, which makes 4"):
        once(6, 2, fetch=2)
    once(4, 2, fetch=2)
