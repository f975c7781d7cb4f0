"""Laws of what reads batches of a loader beside the training: the run goes on as if they had not been read."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import batchwright as bw
from batchwright.correct import recalibrate, report
from batchwright.run.sampler_of import sampler_of

DATA = torch.arange(60.0)[:, None]
PLAN = bw.balanced([0] * 45 + [1] * 15, 6)  # 10 batches an epoch


def model():
    return nn.Sequential(nn.BatchNorm1d(1))


READINGS = {
    "some batches": lambda loader: recalibrate(model(), loader, batches=3),
    "one batch": lambda loader: recalibrate(model(), loader, batches=1),
    "several epochs": lambda loader: recalibrate(model(), loader, batches=23),
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


def the_run_goes_on(made, read):
    def run(reading):
        loader, given = made(PLAN), []
        for _ in range(2):
            reading(loader)
            given.append([rows(batch) for batch in loader])
        reading(loader)
        # torchdata saves a random seed of its workers too
        given.append(None if isinstance(loader, StatefulDataLoader) else state(loader))
        given.append([rows(batch) for batch in loader])
        return given

    assert run(READINGS[read]) == run(nothing)


def a_loop_that_is_under_way_goes_on(made):
    loader = made(PLAN)
    given = []
    for number, batch in enumerate(loader):
        given.append(rows(batch))
        if number in (0, 4, 9):
            recalibrate(model(), loader, batches=3)
    assert given == [rows(DATA[PLAN[t]]) for t in range(10)]


def what_is_read_comes_next(made):
    loader, found = made(PLAN), model()
    list(loader)
    recalibrate(found, loader, batches=4)
    assert found[0].running_mean.item() == pytest.approx(
        float(torch.cat([DATA[PLAN[10 + t]] for t in range(4)]).mean())
    )


def more_than_an_epoch_is_read_on(made):
    loader, found = made(PLAN), model()
    list(loader)
    assert recalibrate(found, loader, batches=25)["batches"] == 25
    drawn = torch.cat([DATA[PLAN[t]] for t in range(10, 35)])
    assert found[0].running_mean.item() == pytest.approx(float(drawn.mean()))
    assert [rows(batch) for batch in loader] == [rows(DATA[PLAN[t]]) for t in range(10, 20)]


def two_calls_are_one(made):
    loader, halves, whole = made(PLAN), model(), model()
    first = recalibrate(halves, loader, batches=4)
    assert recalibrate(halves, loader, batches=6, resume=first)["batches"] == 10
    recalibrate(whole, loader)
    assert torch.equal(halves[0].running_mean, whole[0].running_mean)
    assert recalibrate(halves, loader, resume=recalibrate(model(), loader))["batches"] == 20  # the epoch after


LAWS = {
    law.__name__: law
    for law in (
        a_loop_that_is_under_way_goes_on,
        what_is_read_comes_next,
        more_than_an_epoch_is_read_on,
        two_calls_are_one,
    )
}
"""Of a loader, besides `the_run_goes_on`, by name."""
