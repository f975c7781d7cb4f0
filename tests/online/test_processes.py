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
    source = online.Chain([range(101), online.Sharded(range(101, 401, 50), fifty)])
    return online.packed(source, length=one, capacity=8, buffer=40)


def samples_of(rank, world_size, loader_class, method):
    loader = loader_class(stream(), batch_size=None, collate_fn=list, num_workers=1, multiprocessing_context=method)
    return list(chain.from_iterable(loader))


@pytest.mark.parametrize(("loader_class", "method"), [(DataLoader, "fork"), (StatefulDataLoader, "spawn")])
def test_ranks_share_a_source_whatever_starts_their_workers(loader_class, method):
    both = processes.run(samples_of, 2, loader_class, method)
    assert sorted(chain.from_iterable(both)) == list(range(401))


def uneven(shard):
    return [(shard, number) for number in range(20 + 30 * shard)]


def epochs_of(rank, world_size, workers, method):
    shards = online.Sharded(range(8), uneven, shuffle=True)
    stream = online.packed(shards, length=one, capacity=8, buffer=16)
    loader = DataLoader(
        stream,
        batch_size=None,
        collate_fn=list,
        num_workers=workers,
        multiprocessing_context=method,
        persistent_workers=workers > 0,
    )
    together = online.equal_stop(loader)
    return [(list(together), together.left) for _ in range(4)]


@pytest.mark.parametrize(("workers", "method"), [(0, None), (2, "fork")])
def test_ranks_stop_together_and_begin_every_epoch_together(workers, method):
    unequal = 0
    for both in zip(*processes.run(epochs_of, 2, workers, method), strict=True):
        (first, left), (second, also_left) = both
        assert len(first) == len(second) > 0
        samples = list(chain.from_iterable(first + second))
        assert len(set(samples)) == len(samples)
        unequal += left + also_left
    assert unequal, "no rank ended before the other, so this shows nothing"


def test_a_pass_broken_off_is_an_epoch():
    stream = online.Sharded(range(8), uneven, shuffle=True)
    stream = online.packed(stream, length=one, capacity=8, buffer=16)
    epochs = [list(stream), list(stream)]
    stream.set_epoch(0)
    iter(stream)  # loaders ask more than once before they begin
    assert next(iter(stream)) == epochs[0][0]
    assert list(stream) == epochs[1]


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


def unchanged(batch):
    return batch


def test_what_a_batch_knows_comes_through_workers():
    loader = DataLoader(stream(), batch_size=None, num_workers=1, collate_fn=unchanged)
    assert all(sum(batch.packs) == len(batch) for batch in loader)
