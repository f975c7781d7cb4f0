"""Statistics are of batches that are read beside the training: the run goes on as if they had not been read."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import batchwright as bw
from batchwright import online
from batchwright.correct import recalibrate

from . import beside
from .beside import DATA, PLAN, READINGS, model, nothing, rows

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # torchdata calls it
]

WORKERS = {"num_workers": 2, "persistent_workers": True, "prefetch_factor": 3}
LOADERS = {
    "ours": lambda plan: plan.loader(DATA, num_workers=0),
    "ours with workers": lambda plan: plan.loader(DATA, num_workers=2),
    "ours with workers that stay": lambda plan: plan.loader(DATA, **WORKERS),
    "torch": lambda plan: DataLoader(DATA, batch_sampler=plan.sampler()),
    "torch with workers": lambda plan: DataLoader(DATA, batch_sampler=plan.sampler(), num_workers=2),
    "torch with workers that stay": lambda plan: DataLoader(DATA, batch_sampler=plan.sampler(), **WORKERS),
    "torch without batches of its own": lambda plan: DataLoader(DATA, batch_size=None, sampler=plan.sampler()),
    "torchdata": lambda plan: StatefulDataLoader(DATA, batch_sampler=plan.sampler()),
    "torchdata with workers": lambda plan: StatefulDataLoader(DATA, batch_sampler=plan.sampler(), num_workers=2),
    "torchdata with workers that stay": lambda plan: StatefulDataLoader(DATA, batch_sampler=plan.sampler(), **WORKERS),
}
every_loader = pytest.mark.parametrize("made", LOADERS.values(), ids=LOADERS)
CASES = [
    pytest.param(LOADERS[made], read, id=f"{made}, {read}")
    for made in LOADERS
    for read in READINGS
    if read == "some batches" or made in ("ours", "torch", "torchdata")
]


@pytest.mark.parametrize(("made", "read"), CASES)
def test_the_run_goes_on_as_if_nothing_had_been_read(made, read):
    beside.the_run_goes_on(made, read)


@pytest.mark.parametrize("law", beside.LAWS.values(), ids=beside.LAWS)
@every_loader
def test_a_loader_is_read_beside_the_training(made, law):
    law(made)


def test_a_resumed_run_stays_where_its_state_is():
    loader = PLAN.loader(DATA, num_workers=0)
    given = iter(loader)
    for _ in range(4):
        next(given)
    saved = loader.state_dict()
    again = PLAN.loader(DATA, num_workers=0)
    again.load_state_dict(saved)
    found = model()
    recalibrate(found, again)
    assert again.state_dict() == saved
    assert (again.epoch, again.batches_done) == (0, 4)
    assert found[0].running_mean.item() == pytest.approx(float(torch.cat([DATA[PLAN[t]] for t in range(4, 10)]).mean()))


def test_a_look_and_what_was_asked_for_stay():
    loader = PLAN.loader(DATA, num_workers=0)
    looked = rows(next(iter(loader)))
    recalibrate(model(), loader, batches=3)
    assert rows(next(iter(loader))) == looked
    loader.seek(7, epoch=3)
    recalibrate(model(), loader, batches=2)
    assert [rows(batch) for batch in loader] == [rows(DATA[PLAN[t]]) for t in range(37, 40)]


def test_shares_that_were_set_stay_and_count():
    plan = bw.balanced(np.repeat([0, 1], [45, 15]), 6, target=bw.targets.moving("natural"))
    loader = plan.loader(DATA, num_workers=0)
    found = model()
    loader.retarget([0.0, 1.0])
    recalibrate(found, loader, batches=3)
    assert found[0].running_mean.item() > 44
    assert all(min(rows(batch)) > 44 for batch in loader)


def test_trainers_are_not_told_of_batches_that_are_read_beside():
    loader, told = PLAN.loader(DATA, num_workers=0), []
    loader.watch = lambda *step: told.append(step)
    recalibrate(model(), loader, batches=3)
    assert told == []
    next(iter(loader))
    assert told == [(0, 1, True)]


def stream(source=None):
    return online.budgeted([1, 2, 3, 4] * 20 if source is None else source, length=int, max_tokens=20)


def tensors(batch):
    return torch.tensor(batch, dtype=torch.float32)[:, None]


STREAMS = {
    "its loader": lambda: stream().loader(collate=tensors),
    "its loader with workers": lambda: stream().loader(collate=tensors, num_workers=2),
    "torch": lambda: DataLoader(stream(), batch_size=None, collate_fn=tensors),
    "torch with workers": lambda: DataLoader(stream(), batch_size=None, collate_fn=tensors, **WORKERS),
}


@pytest.mark.filterwarnings("ignore:.*padd.*")
@pytest.mark.parametrize("made", STREAMS.values(), ids=STREAMS)
def test_a_stream_goes_on_too(made):
    def run(reading):
        loader, given = made(), []
        for _ in range(2):
            reading(loader)
            for batch in loader:
                given.append(rows(batch))
                if len(given) == 2:
                    reading(loader)
        reading(loader)
        source = loader if hasattr(loader, "state_dict") else loader.dataset
        return given, (source.epoch if hasattr(source, "epoch") else None), source.state_dict()

    assert run(lambda loader: recalibrate(model(), loader, batches=2)) == run(nothing)


def test_a_stream_is_read_on_by_a_call_that_resumes():
    loader, halves, whole = stream().loader(collate=tensors), model(), model()
    first = recalibrate(halves, loader, batches=4)
    recalibrate(halves, loader, resume=first)
    recalibrate(whole, loader)
    assert torch.equal(halves[0].running_mean, whole[0].running_mean)


def test_a_stream_that_would_be_moved_is_refused_once_it_was_read():
    loader = stream(iter([1, 2, 3, 4] * 20)).loader(collate=tensors)
    next(iter(loader))
    before = copy.copy(loader.stream._next.__dict__)
    with pytest.raises(bw.Infeasible, match=r"is an iterator, which can be read once: .*recalibrat.*; pass what makes"):
        recalibrate(model(), loader, batches=2)
    assert loader.stream._next.__dict__ == before
    recalibrate(model(), stream(iter([1, 2, 3, 4] * 20)).loader(collate=tensors))
