"""What is left to readers is dealt to others, several times over: the corners of sources that restart or cannot be split."""

from __future__ import annotations

import json
import pathlib
import tempfile
from collections import Counter
from itertools import islice

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import IterableDataset, get_worker_info

from batchwright import Infeasible, online

from ..examples import examples
from .elsewhere import Plain

pytestmark = [
    pytest.mark.filterwarnings("ignore::batchwright.PoorWarning"),  # of idle workers
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
]

NUMBERS = list(range(60))


class Counting:
    """Goes on from a state of its own."""

    def __init__(self, samples):
        self.samples, self.at = samples, 0

    def __iter__(self):
        while self.at < len(self.samples):
            self.at += 1
            yield self.samples[self.at - 1]
        self.at = 0

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


ONE_READER = {
    "an iterable": lambda: Plain(NUMBERS),
    "with a state": lambda: Counting(NUMBERS),
    "in a chain": lambda: online.Chain([Plain(NUMBERS[:25]), NUMBERS[25:35], Plain(NUMBERS[35:])]),
    "in a stream": lambda: online.mixed({"only": Plain(NUMBERS)}),
}


def saved(state):
    return json.loads(json.dumps(state))


def packs(source, buffer, **more):
    return online.packed(source, length=lambda sample: 1, capacity=2, buffer=buffer, **more)


@pytest.mark.parametrize(
    "changes", [[(2, 6), (0, 6), (1, 5)], [(0, 7), (2, 4), (0, 3), (3, 5)], [(2, 13), (1, 0), (0, 1)]]
)
@pytest.mark.parametrize("buffer", [4, 100])
@pytest.mark.parametrize("source", sorted(ONE_READER))
def test_what_one_reader_reads_goes_on_through_several_changes(source, buffer, changes):
    given, state = [], None
    for workers, count in [*changes, (0, 10**6)]:
        loader = packs(ONE_READER[source](), buffer).loader(num_workers=workers)
        if state is not None:
            loader.load_state_dict(state)
        for batch in islice(loader, count):
            given += batch
        state = saved(loader.state_dict())
    assert sorted(given) == NUMBERS


class Turning:
    """Another order in every epoch."""

    def __init__(self, samples):
        self.samples, self.epoch = samples, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        at = self.epoch * 5 % len(self.samples)
        yield from self.samples[at:] + self.samples[:at]


def shards(samples, **more):
    return online.Sharded([samples[:5], samples[5:]], iter, **more)


def inner(source):
    return online.mixed({"only": source})


RESTARTING = {
    "a list": list,
    "shards": shards,
    "shuffled shards": lambda samples: shards(samples, shuffle=True),
    "strided": lambda samples: online.Strided(Plain(samples)),
    "another order": lambda samples: online.Strided(Turning(samples)),
    "a chain": lambda samples: online.Chain([samples[:9], shards(samples[9:])]),
    "a stream": inner,
    "a stream of shards": lambda samples: inner(shards(samples, shuffle=True)),
}
SIZES = {"a": 24, "b": 31}


@pytest.mark.parametrize("source", sorted(RESTARTING))
@given(changes=st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=4), min_size=1, max_size=3))
@examples(40)
def test_sources_that_restart_are_dealt_in_all_their_repeats(source, changes):
    """Readers stop in different repeats; one of all of them at last has given every sample equally often."""

    def mixture(rank=0, world_size=1):
        sources = {name: RESTARTING[source]([(name, n) for n in range(size)]) for name, size in SIZES.items()}
        return online.mixed(sources, at_end="restart", batch_size=1, rank=rank, world_size=world_size)

    came, states = Counter(), None
    for counts in changes:
        streams = [mixture(rank, len(counts)) for rank in range(len(counts))]
        for stream, count in zip(streams, counts, strict=True):
            if states is not None:
                stream.load_state_dict(states)
            came.update(sample for batch in islice(stream, count) for sample in batch)
        states = [saved(stream.state_dict()) for stream in streams]
    last = mixture()
    last.load_state_dict(states)
    most = 25  # more repeats than any reader can be in: three runs of 15 samples from a part of two or more
    assert max(came.values()) < most
    rest = {name: [] for name in SIZES}
    due = {name: size * (most + 1) - sum(came[name, n] for n in range(size)) for name, size in SIZES.items()}
    for [sample] in last:
        rest[sample[0]].append(sample)
        if all(len(rest[name]) >= due[name] for name in SIZES):
            break
    for times, short in ((most, 1), (most + 1, 0)):
        for name, size in SIZES.items():
            of_name = Counter({sample: count for sample, count in came.items() if sample[0] == name})
            of_name.update(rest[name][: due[name] - size * short])
            assert of_name == Counter({(name, n): times for n in range(size)})


class Splitting(IterableDataset):
    """Gives each worker of each rank its shards, as webdataset does."""

    def __init__(self, rank, world_size):
        self.rank, self.world_size = rank, world_size

    def __iter__(self):
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for shard in range(8)[self.rank :: self.world_size][number::workers]:
            yield from range(20 * shard, 20 * shard + 20)


SPLITTING = {
    "its own": lambda rank, world_size: online.SelfSplit(Splitting(rank, world_size)),
    "Hugging Face": lambda rank, world_size: datasets.Dataset.from_dict({"n": range(160)}).to_iterable_dataset(
        num_shards=8
    ),
    "few shards": lambda rank, world_size: datasets.Dataset.from_dict({"n": range(160)}).to_iterable_dataset(
        num_shards=5
    ),
}


def loaders(make, ranks, workers, states=None):
    """The loaders of all ranks, which go on from these states."""
    found = [make(rank, ranks).loader(num_workers=workers) for rank in range(ranks)]
    for loader in found:
        if states is not None:
            loader.load_state_dict(states)
    return found


def read(loader, count):
    return [sample for batch in islice(loader, count) for sample in batch]


@pytest.mark.parametrize("batches", [10, 11])
@pytest.mark.parametrize("source", sorted(SPLITTING))
def test_what_splits_itself_goes_on_with_as_many_ranks_and_as_many_workers(source, batches):
    """As many readers in all are not enough: they read other parts. A run may stop within a turn of its workers."""

    def make(rank, world_size):
        return packs(SPLITTING[source](rank, world_size), 2, rank=rank, world_size=world_size)

    first = loaders(make, 2, 2)
    samples = [sample for loader in first for sample in read(loader, batches)]
    states = [saved(loader.state_dict()) for loader in first]
    for ranks, workers in ((4, 0), (1, 4)):
        for loader in loaders(make, ranks, workers, states):
            with pytest.raises(
                Infeasible, match="splits itself: what is left of it to 4 readers cannot be dealt to 4 o"
            ):
                next(iter(loader))
    samples += [sample for loader in loaders(make, 2, 2, states) for sample in read(loader, 10**6)]
    assert sorted(sample if source == "its own" else sample["n"] for sample in samples) == list(range(160))


@pytest.mark.parametrize(
    "changes",
    [[(2, 1, 5), (1, 2, None)], [(1, 2, 4), (2, 1, None)], [(2, 2, 3), (4, 1, 2), (1, 4, 3), (2, 0, None)],
     [(2, 0, 4), (1, 2, 1), (1, 1, None)]],
)  # fmt: skip
def test_every_rank_makes_the_steps_that_are_left_of_an_epoch(changes):
    """Whichever part of them was made by how many ranks and workers."""

    def make(rank, world_size):
        return packs(list(range(400)), 4, steps=10, rank=rank, world_size=world_size)

    done, states = 0, None
    for ranks, workers, steps in changes:
        here = loaders(make, ranks, workers, states)
        given = [len(list(islice(loader, steps))) for loader in here]
        assert given == [10 - done if steps is None else steps] * ranks
        assert [loader.epoch for loader in here] == [1] * ranks
        states = [saved(loader.state_dict()) for loader in here]
        done += given[0]


@pytest.mark.parametrize("splits", [[(2, 2), (4, 0), (1, 4), (2, 2)], [(1, 2), (2, 1), (1, 0)]])
def test_as_many_readers_of_other_ranks_lose_nothing(splits):
    def make(rank, world_size):
        return packs(NUMBERS, 4, rank=rank, world_size=world_size)

    samples, states = [], None
    for at, (ranks, workers) in enumerate(splits):
        here = loaders(make, ranks, workers, states)
        samples += [sample for loader in here for sample in read(loader, 3 if at < len(splits) - 1 else 10**6)]
        states = [saved(loader.state_dict()) for loader in here]
    assert sorted(samples) == NUMBERS


def noticed(files):
    """Files of one class each, as far as a look sees."""
    folder = pathlib.Path(tempfile.mkdtemp())
    for number, (count, group, strays) in enumerate(files):
        lines = [{"g": strays.get(n, group), "at": [number, n]} for n in range(count)]
        (folder / f"{number}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture(scope="module")
def strays():
    return noticed(
        [(40, "a", {37: "c"}), (60, "a", {38: "b"}), (40, "b", {}), (40, "b", {}), (8, "c", {}), (8, "c", {})]
    )


@given(
    first=st.lists(st.integers(10, 30), min_size=2, max_size=2),
    between=st.lists(st.integers(1, 9), max_size=3),
    readers=st.integers(1, 3),
)
@examples(40)
def test_what_waits_apart_goes_on_when_its_reader_is_a_repeat_ahead(strays, first, between, readers):
    """A stray waits for a slot of its own group, while its reader goes over its own files again."""

    def streams(count):
        target = {"a": 0.9, "b": 0.09, "c": 0.01}
        return [
            online.balanced(online.jsonl(strays), key="g", batch_size=4, target=target, when_short="repeat", buffer=50,
                            rank=rank, world_size=count)
            for rank in range(count)
        ]  # fmt: skip

    fresh, states, last = Counter(), None, []
    for counts in (first, between, [10**6] * readers):
        last = streams(len(counts)) or last
        for stream, count in zip(last, counts, strict=False):
            if states is not None:
                stream.load_state_dict(states)
            for batch in islice(stream, count):
                fresh.update(tuple(sample["at"]) for at, sample in enumerate(batch) if at not in batch.repeats)
        states = [saved(stream.state_dict()) for stream in last] if counts else states
    reports = [stream.report() for stream in last]
    assert max(fresh.values()) == 1
    assert sum(report.dropped for report in reports) == 0
    read, given = sum(report.read for report in reports), sum(fresh.values())
    assert read == given + sum(report.buffered for report in reports)
    waiting = 2 - fresh[0, 37] - fresh[1, 38]
    assert waiting <= sum(report.buffered for report in reports)


@pytest.mark.parametrize("readers", [1, 3, 4])
@pytest.mark.parametrize("batches", [1, 2, 9])
def test_a_reader_to_which_nothing_of_a_group_was_dealt_repeats_its_shards(batches, readers):
    sizes = [("a", 4), ("b", 60)]

    def streams(count):
        source = online.Sharded(sizes, lambda shard: [(shard[0], n) for n in range(shard[1])], groups=["a", "b"])
        return [
            online.balanced(source, key=0, batch_size=2, when_short="repeat", rank=rank, world_size=count)
            for rank in range(count)
        ]

    first, last = streams(2), streams(readers)
    given = [sample for stream in first for sample in read(stream, batches)]
    for stream in last:
        stream.load_state_dict([saved(one.state_dict()) for one in first])
        given += read(stream, 10**6)
    came = Counter(given)
    assert all(came["b", n] == 1 for n in range(60 - 3 * readers))
    assert sum(came["a", n] for n in range(4)) >= 60 - 3 * readers
