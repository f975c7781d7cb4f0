"""Streams in real ranks, with real workers."""

from __future__ import annotations

import copy
import pickle
from itertools import chain

import pytest
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from batchwright import online

from .. import processes


def one(sample):
    return 1


def fifty(shard):
    return range(shard, shard + 50)


def stream():
    source = online.Chain([range(101), online.Shards(range(101, 401, 50), fifty)])
    return online.packed(source, length=one, capacity=8, buffer=40)


def samples_of(rank, world_size, loader_class, method):
    loader = loader_class(stream(), batch_size=None, collate_fn=list, num_workers=1, multiprocessing_context=method)
    return list(chain.from_iterable(loader))


@pytest.mark.parametrize(("loader_class", "method"), [(DataLoader, "fork"), (StatefulDataLoader, "spawn")])
def test_ranks_share_a_source_whatever_starts_their_workers(loader_class, method):
    both = processes.run(samples_of, 2, loader_class, method)
    assert sorted(chain.from_iterable(both)) == list(range(401))


def test_a_copy_begins_where_iter_would():
    first = stream()
    whole = list(first)
    first.set_epoch(0)
    iterator = iter(first)
    head = [next(iterator), next(iterator)]
    state = first.state_dict()
    first.set_epoch(0)
    for copied in (copy.copy(first), copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        assert list(copied) == whole
    first.load_state_dict(state)
    assert head + list(copy.deepcopy(first)) == whole
