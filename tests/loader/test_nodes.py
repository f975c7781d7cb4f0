"""torchdata's nodes: the law of its own test suite for every node, on a sampler in a node, and behind prefetching ones."""

from __future__ import annotations

from itertools import islice

import pytest
from torchdata import nodes

import batchwright as bw

PLAN = bw.shuffled(22, batch_size=4, seed=3)


def epoch(number):
    return [batch.tolist() for batch in PLAN.epoch(number)]


def jump(number):
    return number + 5


NODES = {
    "sampler": lambda: nodes.SamplerWrapper(PLAN.sampler()),
    "sampler from epoch 2 in steps of 5": lambda: nodes.SamplerWrapper(PLAN.sampler(), 2, jump),
    "iterable": lambda: nodes.IterableWrapper(PLAN.sampler()),
    "prefetched": lambda: nodes.Prefetcher(nodes.SamplerWrapper(PLAN.sampler()), prefetch_factor=4),
    "mapped in parallel": lambda: nodes.ParallelMapper(
        nodes.SamplerWrapper(PLAN.sampler()), list, num_workers=2, method="thread"
    ),
    "seldom snapshots": lambda: nodes.Prefetcher(
        nodes.SamplerWrapper(PLAN.sampler()), prefetch_factor=4, snapshot_frequency=4
    ),
}


@pytest.mark.parametrize("make", NODES.values(), ids=NODES)
@pytest.mark.parametrize("taken", [0, 2, 5, 6])
def test_a_loader_of_nodes_goes_on_from_any_state(make, taken):
    first, second = (
        (epoch(2), epoch(7)) if make is NODES["sampler from epoch 2 in steps of 5"] else (epoch(0), epoch(1))
    )
    node = make()
    loader = nodes.Loader(node)
    begin = loader.state_dict()
    batches = iter(loader)
    assert list(islice(batches, taken)) == first[:taken]
    middle = loader.state_dict()
    assert list(batches) == first[taken:]
    end = loader.state_dict()
    assert list(loader) == second
    for same in (loader, nodes.Loader(make())):
        same.load_state_dict(middle)
        assert taken == 6 or list(same) == first[taken:]
        assert list(same) == second
        same.load_state_dict(begin)
        assert [list(same), list(same)] == [first, second]
        same.load_state_dict(end)
        assert list(same) == second
    for other in () if make is NODES["iterable"] else (node, make()):  # that one goes on with the next epoch at once
        without = nodes.Loader(other, restart_on_stop_iteration=False)
        without.load_state_dict(end)
        assert [list(without), list(without)] == [[], second]


def test_the_epochs_after_an_ended_one_come_once_each():
    loader = nodes.Loader(NODES["sampler"]())
    list(loader)
    going_on = nodes.Loader(NODES["sampler"]())
    going_on.load_state_dict(loader.state_dict())
    assert [list(going_on) for _ in range(3)] == [epoch(1), epoch(2), epoch(3)]
