"""Statistics are of batches that are read beside the training: the run goes on as if they had not been read."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import batchwright as bw
from batchwright import online
from batchwright.correct import recalibrate, report
from batchwright.sampler_of import sampler_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # torchdata calls it
]

DATA = torch.arange(60.0)[:, None]
PLAN = bw.balanced([0] * 45 + [1] * 15, 6)  # 10 batches an epoch
WORKERS = {"num_workers": 2, "persistent_workers": True, "prefetch_factor": 3}


def accelerated(plan, **options):
    from accelerate import Accelerator

    return Accelerator(cpu=True).prepare(DataLoader(DATA, batch_sampler=plan.sampler(), **options))


def prepared(plan, **options):
    from accelerate import Accelerator

    from batchwright.adapters.accelerate import prepare

    return prepare(Accelerator(cpu=True), plan.loader(DATA, num_workers=0, **options))


LOADERS = {
    "ours": lambda plan: plan.loader(DATA, num_workers=0),
    "ours with workers": lambda plan: plan.loader(DATA, num_workers=2),
    "ours with workers that stay": lambda plan: plan.loader(DATA, **WORKERS),
    "ours for Accelerate": prepared,
    "torch": lambda plan: DataLoader(DATA, batch_sampler=plan.sampler()),
    "torch with workers": lambda plan: DataLoader(DATA, batch_sampler=plan.sampler(), num_workers=2),
    "torch with workers that stay": lambda plan: DataLoader(DATA, batch_sampler=plan.sampler(), **WORKERS),
    "torch without batches of its own": lambda plan: DataLoader(DATA, batch_size=None, sampler=plan.sampler()),
    "torchdata": lambda plan: StatefulDataLoader(DATA, batch_sampler=plan.sampler()),
    "torchdata with workers": lambda plan: StatefulDataLoader(DATA, batch_sampler=plan.sampler(), num_workers=2),
    "torchdata with workers that stay": lambda plan: StatefulDataLoader(DATA, batch_sampler=plan.sampler(), **WORKERS),
    "Accelerate": accelerated,
}


def model():
    return nn.Sequential(nn.BatchNorm1d(1))


READINGS = {
    "some batches": lambda loader: recalibrate(model(), loader, batches=3),
    "one batch": lambda loader: recalibrate(model(), loader, batches=1),
    "an epoch": lambda loader: recalibrate(model(), loader),
    "two streams": lambda loader: report(model(), loader, loader, batches=2),
    "an error": lambda loader: failing(loader),
}


def failing(loader):
    def forward(_, batch):
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        recalibrate(model(), loader, forward=forward)


def rows(batch):
    return torch.as_tensor(batch).flatten().tolist()


def state(loader):
    return (sampler_of(loader) if isinstance(loader, DataLoader) else loader).state_dict()


def nothing(loader):
    pass


CASES = [
    pytest.param(made, read, id=f"{made}, {read}")
    for made in LOADERS
    for read in READINGS
    if read == "some batches" or made in ("ours", "torch", "torchdata", "Accelerate")
]


@pytest.mark.parametrize(("made", "read"), CASES)
def test_the_run_goes_on_as_if_nothing_had_been_read(made, read):
    def run(reading):
        loader, given = LOADERS[made](PLAN), []
        for _ in range(2):
            reading(loader)
            given.append([rows(batch) for batch in loader])
        reading(loader)
        # torchdata saves a random seed of its workers too
        given.append(None if isinstance(loader, StatefulDataLoader) else state(loader))
        given.append([rows(batch) for batch in loader])
        return given

    assert run(READINGS[read]) == run(nothing)


@pytest.mark.parametrize("made", LOADERS.values(), ids=LOADERS)
def test_a_loop_that_is_under_way_goes_on(made):
    loader = made(PLAN)
    given = []
    for number, batch in enumerate(loader):
        given.append(rows(batch))
        if number in (0, 4, 9):
            recalibrate(model(), loader, batches=3)
    assert given == [rows(DATA[PLAN[t]]) for t in range(10)]


@pytest.mark.parametrize("made", LOADERS.values(), ids=LOADERS)
def test_what_is_read_comes_next(made):
    loader, found = made(PLAN), model()
    list(loader)
    recalibrate(found, loader, batches=4)
    assert found[0].running_mean.item() == pytest.approx(
        float(torch.cat([DATA[PLAN[10 + t]] for t in range(4)]).mean())
    )


@pytest.mark.parametrize("made", LOADERS.values(), ids=LOADERS)
def test_a_call_that_resumes_reads_on_behind_the_one_before(made):
    loader, halves, whole = made(PLAN), model(), model()
    first = recalibrate(halves, loader, batches=4)
    assert recalibrate(halves, loader, batches=6, resume=first)["batches"] == 10
    recalibrate(whole, loader)
    assert torch.equal(halves[0].running_mean, whole[0].running_mean)
    assert recalibrate(halves, loader, resume=recalibrate(model(), loader))["batches"] == 20  # the epoch after


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
