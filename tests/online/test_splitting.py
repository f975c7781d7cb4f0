from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import ChainDataset, DataLoader, IterableDataset

from batchwright import Infeasible, online
from batchwright.online.as_source import as_source
from batchwright.online.replicas import Replica

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores


class Counted(IterableDataset):
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        return iter(range(self.count))


def ten(shard):
    return range(shard, shard + 10)


def lazily(shard):
    return iter(ten(shard))


SPLITTABLE = {
    "list": (list(range(57)), 57),
    "strided": (online.Strided(Counted(57)), 57),
    "shards": (online.Sharded(range(0, 200, 10), ten), 200),
    "shuffled shards": (online.Sharded(range(0, 200, 10), lazily, shuffle=True, seed=3), 200),
    "few shards": (online.Sharded([0, 10, 20], lazily), 30),
    "chain": (online.Chain([range(57), online.Sharded(range(60, 100, 10), ten)], name="both"), 97),
}


@given(st.sampled_from(sorted(SPLITTABLE)), st.integers(1, 7), st.integers(1, 5), st.integers(0, 2))
def test_no_sample_is_read_twice_or_lost(kind, world_size, workers, epoch):
    source, count = SPLITTABLE[kind]
    parts = [
        list(as_source(source, name="it").reader(Replica(rank, world_size, worker, workers), epoch).open(None))
        for rank in range(world_size)
        for worker in range(workers)
    ]
    everything = sorted(chain.from_iterable(parts))
    assert everything == sorted(list(range(57)) + list(range(60, 100)) if kind == "chain" else range(count))


@pytest.mark.parametrize(("kind", "workers"), [("list", 3), ("few shards", 2), ("chain", 1)])
def test_loaders_of_two_ranks_read_everything_once(kind, workers):
    source, count = SPLITTABLE[kind]

    def batches(rank):
        stream = online.budgeted(source, length=lambda n: 1, max_samples=4, rank=rank, world_size=2, buffer=20)
        return list(DataLoader(stream, batch_size=None, num_workers=workers, collate_fn=list))

    parts = [batches(0), batches(1)]
    assert len(list(chain.from_iterable(chain(*parts)))) == count
    assert len(set(chain.from_iterable(chain(*parts)))) == count
    assert [batches(0), batches(1)] == parts


@pytest.mark.filterwarnings("ignore:1 of 3 workers reads:batchwright.PoorWarning")
def test_a_source_that_cannot_be_split_is_read_by_one_worker_or_refused():
    stream = online.budgeted(Counted(30), length=lambda n: 1, max_samples=7, buffer=30)
    loader = DataLoader(stream, batch_size=None, num_workers=3, collate_fn=list)
    assert sorted(chain.from_iterable(loader)) == list(range(30))
    stream = online.budgeted(Counted(30), length=lambda n: 1, max_samples=7, rank=1, world_size=2, name="socket")
    with pytest.raises(Infeasible, match="source 'socket' cannot be split and 2 ranks want to read it; pass online"):
        list(stream)
    with pytest.raises(Infeasible, match="rank is 2 of a world of 2"):
        online.budgeted([1], length=int, max_samples=1, rank=2, world_size=2)
    with pytest.raises(Infeasible, match="pass both or neither"):
        online.budgeted([1], length=int, max_samples=1, rank=2)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_sample_is_refused_the_same_way_through_workers(workers):
    samples = [(n, n % 2) for n in range(60)]
    samples[40] = (40, [])
    stream = online.balanced(samples, key=1, batch_size=4, buffer=20, name="train")
    where = "sample 20 of source 'train' for reader 0 of 2" if workers else "sample 40 of source 'train'"
    with pytest.raises(
        Infeasible,
        match=f"{where}: key gives a list, which cannot be hashed and so names no group; mend the sample, or",
    ):
        list(DataLoader(stream, batch_size=None, num_workers=workers, collate_fn=list))


def test_a_torch_chain_is_a_chain():
    stream = online.budgeted(Counted(5) + Counted(3), length=lambda n: 1, max_samples=2, buffer=4)
    assert sorted(n for batch in stream for n in batch) == [0, 0, 1, 1, 2, 2, 3, 4]
    assert isinstance(as_source(ChainDataset([Counted(1)]), name="it"), online.Chain)


def test_steps_make_every_rank_the_same_length_whatever_the_workers():
    for workers in (0, 1, 2, 3):
        stream = online.balanced(list(range(900)), key=lambda n: n % 2, batch_size=4, buffer=40, steps=20)
        loader = DataLoader(stream, batch_size=None, num_workers=workers, collate_fn=list)
        assert len(loader) == len(list(loader)) == 20
    stream = online.balanced(list(range(40)), key=lambda n: n % 2, batch_size=4, buffer=40, steps=20)
    with pytest.raises(Infeasible, match="ended after 10 of the 20 batches due from reader 0 of 1; pass fewer steps"):
        list(stream)
    with pytest.raises(TypeError, match="make it with steps="):
        len(online.balanced([1], key=int, batch_size=1))


def test_without_a_process_group_equal_stop_changes_nothing():
    loader = online.equal_stop([1, 2, 3])
    assert list(loader) == [1, 2, 3]
    assert loader.left == 0
