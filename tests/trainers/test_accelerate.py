"""Accelerate: checkpoints from any moment, and what it is told of accumulation."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import GradientAccumulationPlugin
from torch.utils.data import DataLoader

import batchwright as bw
from batchwright.adapters.accelerate import prepare

from .accumulation import check_that_the_two_are_compared
from .places import LENGTH, SAMPLES, ByList, epochs, loader, place, plan

pytestmark = pytest.mark.filterwarnings("ignore", "error::batchwright.PoorWarning")


def prepared(workers=0, stateful=False, **options):
    configuration = DataLoaderConfiguration(use_stateful_dataloader=stateful)
    accelerator = Accelerator(cpu=True, dataloader_config=configuration)
    return accelerator, prepare(accelerator, loader(plan().sampler(**options), num_workers=workers))


def places(batches, count=None):
    """Of the first batches, or of all."""
    return [place(batch) for _, batch in zip(range(count or SAMPLES), batches, strict=False)]


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize(("workers", "taken"), [(0, 0), (0, 3), (0, LENGTH), (2, 0), (2, 3), (2, LENGTH)])
def test_a_checkpoint_from_before_the_first_batch_within_and_after_the_epoch(workers, taken, stateful, tmp_path):
    accelerator, first = prepared(workers, stateful)
    if taken:
        places(first, taken)
    accelerator.save_state(tmp_path)
    accelerator, again = prepared(workers, stateful)
    accelerator.load_state(tmp_path)
    assert again.epoch == taken // LENGTH
    assert places(again) + places(again) == epochs((0, taken, 10), (1, 0, 10), (2, 0, 10))[: 20 - taken % LENGTH]


def test_a_loop_that_breaks_off_its_epochs_says_which_is_next(tmp_path):
    """`break` alone leaves it open whether the rest is to come: a checkpoint goes on with it, unless it is told."""
    for told, expected in ((False, (0, 7, 10)), (True, (1, 0, 10))):
        accelerator, first = prepared()
        places(first, 7)
        if told:
            first.set_epoch(1)
        accelerator.save_state(tmp_path)
        accelerator, again = prepared()
        accelerator.load_state(tmp_path)
        assert places(again) == epochs(expected)


def test_seeking_takes_the_place_of_skipping_batches(tmp_path):
    accelerator, first = prepared()
    places(first, 7)
    first.seek(3, epoch=0)
    accelerator.save_state(tmp_path)
    accelerator, again = prepared()
    accelerator.load_state(tmp_path)
    assert places(again) == places(first) == epochs((0, 3, 10))


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_accelerates_own_preparation_obeys_set_epoch(stateful, workers):
    configuration = DataLoaderConfiguration(use_stateful_dataloader=stateful)
    own = Accelerator(cpu=True, dataloader_config=configuration).prepare(loader(plan().sampler(), num_workers=workers))
    next(iter(own))
    for epoch in (3, 1):
        own.set_epoch(epoch)
        assert places(own) == epochs((epoch, 0, 10))


def test_a_loader_without_batch_size_is_refused_and_the_way_out_works():
    accelerator = Accelerator(cpu=True)
    with pytest.raises(bw.Infeasible, match=r"make the loader with batch_sampler=plan\.sampler"):
        prepare(accelerator, DataLoader(ByList(), batch_size=None, sampler=plan().sampler()))
    assert places(prepare(accelerator, loader(plan().sampler()))) == epochs((0, 0, 10))


def test_what_the_two_accumulate_is_compared():
    def once(sampler_accumulates, steps, **options):
        accelerator = Accelerator(cpu=True, gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=steps))
        by_list = loader(plan().sampler(accumulate=sampler_accumulates, **options), collate_fn=torch.tensor)
        return prepare(accelerator, by_list)

    check_that_the_two_are_compared(once, "Accelerator(gradient_accumulation_steps)")
    with pytest.raises(bw.Infeasible, match="is 2 lists of 2, which makes 4"):
        once(6, 2, fetch=2)
    once(4, 2, fetch=2)
