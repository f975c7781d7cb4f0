"""What is left to readers is dealt to others, several times over: the corners of sources that restart or cannot be split."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright import online

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
@settings(max_examples=40, deadline=None)
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
