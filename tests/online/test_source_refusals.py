"""Sources that cannot be read the way they are asked to be: refused, with the way out."""

from __future__ import annotations

import datasets
import pytest
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader, IterableDataset

from batchwright import Infeasible, online


class Plain(IterableDataset):
    def __init__(self, count=100):
        self.count = count

    def __iter__(self):
        return iter(range(self.count))


def one(sample):
    return 1


def packed(source, **more):
    return online.packed(source, length=one, capacity=5, buffer=20, name="train", **more)


def samples_of(source, **more):
    return online.balanced(source, key=one, batch_size=5, buffer=20, name="train", batches=False, **more)


def hugging_face(shards):
    rows = datasets.Dataset.from_dict({"n": list(range(100))})
    return rows.to_iterable_dataset(num_shards=shards)


TOO_FEW_PARTS = {
    "steps": (lambda: packed(Plain(), steps=10), "source 'train' cannot be split and each of 2 workers must"),
    "a chain with steps": (lambda: packed(online.Chain([range(9), Plain()]), steps=10), "source 'chain[1]' cannot"),
    "a mixture": (lambda: online.mixed({"a": range(90), "b": Plain()}, batch_size=5), "source 'b' cannot be split"),
    "a stream in a mixture": (
        lambda: online.mixed({"a": range(90), "b": samples_of(Plain())}, batch_size=5),
        "source 'train' cannot be split",
    ),
    "shards": (lambda: packed(hugging_face(1), steps=10), "source 'train' has 1 shards here and each of 2 workers"),
}


@pytest.mark.parametrize("case", sorted(TOO_FEW_PARTS))
def test_a_worker_that_would_have_nothing_to_read_is_refused(case):
    make, fact = TOO_FEW_PARTS[case]
    with pytest.raises(Infeasible) as refusal:
        list(DataLoader(make(), batch_size=None, num_workers=2, collate_fn=list))
    assert fact in str(refusal.value)
    assert "pass num_workers=1 to the loader, or" in str(refusal.value)
    assert list(DataLoader(make(), batch_size=None, num_workers=1, collate_fn=list))


@pytest.mark.parametrize("wrap", [lambda it: it, lambda it: online.SelfSplit(it, name="train")])
def test_an_iterator_is_read_once_and_a_second_epoch_is_refused(wrap):
    stream = packed(wrap(number for number in range(100)))
    assert sum(map(len, stream)) == 100
    with pytest.raises(Infeasible, match="source 'train' is an iterator, which was read to its end before; pass what"):
        list(stream)
    exhausted = iter(range(10))
    list(exhausted)
    for nothing in (exhausted, iter(())):
        with pytest.raises(Infeasible, match="is an iterator, which has no sample left, or never had one; pass what"):
            list(packed(wrap(nothing)))


def test_a_rank_belongs_to_the_outermost_stream():
    inner = samples_of(range(10), rank=0, world_size=2)
    with pytest.raises(Infeasible, match="stream 'train' is rank 0 of 2 and another stream reads it; pass rank and"):
        list(packed(inner))


def test_a_dataset_that_was_split_over_ranks_is_not_split_again():
    split = split_dataset_by_node(hugging_face(4), rank=0, world_size=2)
    with pytest.raises(Infeasible, match="was split over nodes already, and 2 ranks would split it again; pass the"):
        list(packed(split, rank=0, world_size=2))
    assert sum(map(len, packed(split, rank=0, world_size=1))) == 50


def test_a_chain_of_nothing_is_refused():
    with pytest.raises(Infeasible, match="chain 'chain' has 0 sources; pass at least one"):
        online.Chain([])


@pytest.mark.parametrize("state", [None, 5, "s"])
def test_a_state_is_a_mapping(state):
    called = "None" if state is None else f"of type {type(state).__name__}"
    with pytest.raises(Infeasible, match=f"the state is {called}; load what state_dict"):
        packed(range(10)).load_state_dict(state)


def test_a_state_has_all_its_entries():
    entries = "version, arguments, contents, epoch, replica, run, next, check"
    with pytest.raises(Infeasible, match=f"the state has no {entries}; load what"):
        packed(range(10)).load_state_dict({"x": 1})
    packed(range(10)).load_state_dict({})


def lazily(shard):
    return iter(range(shard, shard + 10))


SHORTER = {
    "list": lambda count: list(range(count)),
    "plain": Plain,
    "strided": lambda count: online.Strided(Plain(count)),
    "shards": lambda count: online.Sharded(range(0, count, 10), lazily),
    "one lazy shard": lambda count: online.Sharded([0], lambda shard: iter(range(count))),
    "one listed shard": lambda count: online.Sharded([0], lambda shard: range(count)),
    "chain": lambda count: online.Chain([range(10), Plain(count)]),
}


@pytest.mark.parametrize("source", sorted(SHORTER))
def test_a_state_that_a_shorter_source_cannot_be_at_is_refused(source):
    stream = packed(SHORTER[source](100))
    iterator = iter(stream)
    for _ in range(16):
        next(iterator)
    state = stream.state_dict()
    shorter = packed(SHORTER[source](20))

    def go_on():
        shorter.load_state_dict(state)  # refuses what is known without reading
        return list(shorter)

    with pytest.raises(Infeasible, match=r"resume with the (source|data) that the stream was stopped with"):
        go_on()
