"""What `plan.loader` takes: data sets, `collate`, `device`, workers, and whether ranks are compared."""

from __future__ import annotations

import pytest
import torch

import batchwright as bw

from ..processes import Gang
from .datasets import Numbers, NumbersByList
from .small import COUNT, EXPECTED, PLAN, batches, made

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores


def test_lists_at_once_for_data_sets_that_read_so():
    loader = PLAN.loader(NumbersByList(COUNT), num_workers=2)
    assert batches(loader) == [[-sample for sample in batch] for batch in EXPECTED[0]]


def test_collate_and_device():
    loader = made(collate=lambda samples: {"sample": torch.tensor(samples)}, device="cpu")
    assert [batch["sample"].tolist() for batch in loader] == EXPECTED[0]
    assert batches(PLAN.loader(Numbers(COUNT), num_workers=0, collate_fn=torch.tensor)) == EXPECTED[0]
    meta = PLAN.loader(Numbers(COUNT), num_workers=0, device="meta")
    assert {batch.device.type for batch in meta} == {"meta"}


def test_a_default_for_workers():
    assert bw.shuffled(4, 2).loader(torch.utils.data.TensorDataset(torch.arange(4))).num_workers == 0
    assert 0 <= PLAN.loader(Numbers(COUNT)).num_workers <= 8


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
