"""Iterables as people write them: that are their own iterators, that split themselves, that can be read once."""

from __future__ import annotations

from itertools import chain, islice

import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from batchwright import Infeasible, online

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
    pytest.mark.filterwarnings("ignore:1 of . workers reads:batchwright.PoorWarning"),  # as it should
]

COUNT = 200


class OwnIterator(IterableDataset):
    """Begins again whenever `iter` is called."""

    def __iter__(self):
        self.number = -1
        return self

    def __next__(self):
        self.number += 1
        if self.number == COUNT:
            raise StopIteration
        return self.number


class SelfSplitting(IterableDataset):
    """As torch's documentation has it."""

    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        yield from range(first, COUNT, step)


class WithLength(SelfSplitting):
    def __len__(self):
        return COUNT


class SplitAtEachSample(IterableDataset):
    """Looks at every sample whether it is its own."""

    def __iter__(self):
        return (number for number in range(COUNT) if self.mine(number))

    def mine(self, number):
        info = get_worker_info()
        return info is None or number % info.num_workers == info.id


def self_splitting_shard(first):
    return (first + number for number in SelfSplitting() if number < 50)


SOURCES = {
    "own iterator": OwnIterator,
    "strided own iterator": lambda: online.Strided(OwnIterator()),
    "shards of own iterators": lambda: online.Sharded([0], lambda shard: OwnIterator()),
    "self-splitting": SelfSplitting,
    "with length": WithLength,
    "at each sample": SplitAtEachSample,
    "told": lambda: online.SelfSplit(SelfSplitting()),
    "strided": lambda: online.Strided(SelfSplitting()),
    "shards": lambda: online.Sharded([0, 50, 100, 150], self_splitting_shard),
    "chain": lambda: online.Chain([WithLength()]),
}


def streams(source):
    return {
        "packed": online.packed(source, length=lambda sample: 1, capacity=7, buffer=20),
        "balanced": online.balanced(source, key=lambda sample: 0, batch_size=5, buffer=20),
        "mixed": online.mixed({"one": source}, batch_size=6),
    }


@pytest.mark.parametrize("kind", ["packed", "balanced", "mixed"])
@pytest.mark.parametrize("source", sorted(SOURCES))
def test_every_sample_comes_once_in_each_epoch(source, kind):
    stream = streams(SOURCES[source]())[kind]
    for _ in range(2):
        assert sorted(islice(chain.from_iterable(stream), 2 * COUNT)) == list(range(COUNT))


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("source", sorted(SOURCES))
def test_every_sample_comes_once_whatever_the_workers(source, workers):
    stream = streams(SOURCES[source]())["packed"]
    loader = DataLoader(stream, batch_size=None, num_workers=workers, collate_fn=list)
    assert sorted(islice(chain.from_iterable(loader), 2 * COUNT)) == list(range(COUNT))


class RaisesOnce(OwnIterator):
    def __next__(self):
        number = super().__next__()
        if number == 50:
            raise ConnectionError
        return number


class ThenItsWorkers(IterableDataset):
    def __iter__(self):
        yield from online.packed(RaisesOnce(), length=lambda sample: 1, capacity=7, on_error="skip")
        yield get_worker_info().num_workers


def test_after_an_error_a_worker_still_knows_that_it_is_one():
    loader = DataLoader(ThenItsWorkers(), batch_size=None, num_workers=2, collate_fn=lambda it: it)
    assert [it for it in loader if isinstance(it, int)] == [2, 2]


@given(st.sampled_from(["packed", "balanced", "mixed"]), st.integers(0, 28))
def test_a_dataset_that_is_its_own_iterator_goes_on_from_a_state(kind, stop):
    first = streams(OwnIterator())[kind]
    iterator = iter(first)
    head = list(islice(iterator, stop))
    second = streams(OwnIterator())[kind]
    second.load_state_dict(first.state_dict())
    assert head + list(second) == list(streams(OwnIterator())[kind])


def test_a_bare_webdataset_is_read_whole_by_one_worker(tmp_path):
    for shard in range(3):
        with webdataset.TarWriter(str(tmp_path / f"{shard}.tar")) as tar:
            for number in range(20):
                tar.write({"__key__": f"{shard * 20 + number:06}", "cls": shard * 20 + number})
    dataset = webdataset.WebDataset([str(path) for path in tmp_path.glob("*.tar")], shardshuffle=False).decode()
    stream = online.packed(dataset, length=lambda row: 1, capacity=7, buffer=20)
    loader = DataLoader(stream, batch_size=None, num_workers=2, collate_fn=list)
    assert sorted(row["cls"] for batch in loader for row in batch) == list(range(60))


def test_a_mapping_is_no_source():
    with pytest.raises(Infeasible, match="source 'splits' is a dict with 2 entries; pass one of its values"):
        online.mixed({"splits": {"train": [1], "test": [2]}})
