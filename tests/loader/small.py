"""A small plan, its loader and its batches."""

from __future__ import annotations

import batchwright as bw

from .datasets import Numbers

COUNT = 103
PLAN = bw.shuffled(COUNT, batch_size=4, seed=3)
EPOCHS = 3
EXPECTED = [[batch.tolist() for batch in PLAN.epoch(epoch)] for epoch in range(EPOCHS)]


def made(plan=PLAN, **options):
    return plan.loader(Numbers(plan.groups.sample_count), **{"num_workers": 0, **options})


def batches(loop):
    return [batch.tolist() for batch in loop]


def take(loader, count):
    """The first micro-batches of a loader, over as many epochs as that takes."""
    taken = []
    while len(taken) < count:
        for batch in loader:
            taken.append(batch.tolist())
            if len(taken) == count:
                break
    return taken
