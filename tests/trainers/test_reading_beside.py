"""What reads batches beside the training leaves the run of a loader of Accelerate as it is."""

from __future__ import annotations

import pytest
from accelerate import Accelerator
from torch.utils.data import DataLoader

from batchwright.adapters.accelerate import prepare

from ..correct import beside


def accelerated(plan):
    return Accelerator(cpu=True).prepare(DataLoader(beside.DATA, batch_sampler=plan.sampler()))


def prepared(plan):
    return prepare(Accelerator(cpu=True), plan.loader(beside.DATA, num_workers=0))


every_loader = pytest.mark.parametrize("made", [accelerated, prepared])


@every_loader
@pytest.mark.parametrize("read", beside.READINGS)
def test_the_run_goes_on_as_if_nothing_had_been_read(made, read):
    beside.the_run_goes_on(made, read)


@pytest.mark.parametrize("law", beside.LAWS.values(), ids=beside.LAWS)
@every_loader
def test_a_loader_is_read_beside_the_training(made, law):
    law(made)
