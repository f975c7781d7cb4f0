"""Readings that fail are left out, and a stream that stops and goes on still gives every sound sample exactly once."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain, islice

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchwright import online

from ..examples import examples
from .small import Own, one

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # of short sources and idle readers

COUNT = 24
NUMBERS = list(range(COUNT))


class Broken(list):
    """A sequence that raises where its sample is None."""

    def __getitem__(self, number):
        sample = super().__getitem__(number)
        if sample is None:
            raise OSError("disk gone")
        return sample


class Recovering:
    """An iterator that raises where its sample is None, and goes on with the next."""

    def __init__(self, samples):
        self.samples, self.at = samples, -1

    def __iter__(self):
        return self

    def __next__(self):
        self.at += 1
        if self.at >= len(self.samples):
            raise StopIteration
        return Broken.__getitem__(self.samples, self.at)


def in_shards(read, parts, **more):
    def make(samples):
        size = -(-len(samples) // parts)
        return online.Sharded([samples[at * size :][:size] for at in range(parts)], read, **more)

    return make


def chained(*makes):
    def make(samples):
        size = -(-len(samples) // len(makes))
        return online.Chain([of(samples[at * size :][:size]) for at, of in enumerate(makes)])

    return make


class Iterable:
    """Has nothing broken at its end: an iterator that raises and then ends may have broken off, as generators do."""

    def __init__(self, samples):
        sound = [at for at, sample in enumerate(samples) if sample is not None]
        self.samples = Broken(samples[: sound[-1] + 1] if sound else [])

    def __iter__(self):
        return Recovering(self.samples)


SOURCES = {
    "sequence": Broken,
    "own source": lambda samples: Own(in_shards(Broken, 2)(samples)),
    "strided": lambda samples: online.Strided(Iterable(samples)),
    "one shard": in_shards(Broken, 1),
    "shards": in_shards(Broken, 5),
    "shuffled shards": in_shards(Broken, 5, shuffle=True),
    "one lazy shard": in_shards(Iterable, 1),
    "lazy shards": in_shards(Iterable, 5),
    "chain": chained(Broken, in_shards(Iterable, 2), in_shards(Broken, 2), Broken),
    "chain of chains": chained(chained(Broken, Broken), lambda samples: online.Strided(Iterable(samples))),
}
BY_NUMBER = {"sequence", "own source", "one shard", "shards", "shuffled shards"}
ONE_READER = {
    "iterable": Iterable,
    "opaque chain": chained(Iterable, Broken, Iterable),
    "chain of all": chained(*SOURCES.values()),
}
SKIP = {"on_error": "skip"}
STREAMS = {
    "packed": lambda source, **more: online.packed(source, length=one, capacity=3, buffer=4, **SKIP, **more),
    "budgeted": lambda source, **more: online.budgeted(source, length=one, max_samples=2, buffer=6, **SKIP, **more),
    "balanced": lambda source, **more: online.balanced(
        source, key=lambda n: n % 2, batch_size=1, buffer=2 * COUNT, when_short="redistribute", **SKIP, **more
    ),
    "shuffled": lambda source, **more: online.balanced(source, key=one, batch_size=1, buffer=8, **SKIP, **more),
    "mixed": lambda source, **more: online.mixed(
        {"a": source, "b": Broken([100 + n if n % 4 else None for n in range(9)])},
        batch_size=2, at_end="continue", **SKIP, **more,
    ),
    "samples of a stream": lambda source, **more: online.packed(
        online.mixed({"only": source}, **SKIP), length=one, capacity=3, buffer=4, **SKIP, **more
    ),
}  # fmt: skip


def expected(kind, failing):
    return [n for n in NUMBERS if n not in failing] + [100 + n for n in range(9) if n % 4 and kind == "mixed"]


def streams(kind, source, failing, readers):
    samples = [None if n in failing else n for n in NUMBERS]
    ranks = [{"rank": rank, "world_size": readers} for rank in range(readers)] if readers > 1 else [{}]
    make = (SOURCES | ONE_READER)[source]
    return [STREAMS[kind](make(samples), **rank) for rank in ranks]


def saved(state):
    return json.loads(json.dumps(state))


FAILING = st.one_of(
    st.sets(st.sampled_from(NUMBERS), max_size=6),
    st.builds(lambda start, count: set(range(start, start + count)), st.integers(0, COUNT - 1), st.integers(1, 12)),
).map(lambda failing: {n for n in failing if n < COUNT})
KIND = st.sampled_from(sorted(STREAMS))


@given(KIND, st.sampled_from(sorted(SOURCES)), FAILING, st.lists(st.integers(1, 12), min_size=1, max_size=3))
@example("packed", "sequence", {3}, [1])
@example("packed", "sequence", {COUNT - 1}, [1])
@examples(300)
def test_as_many_readers_go_on_with_the_same_batches(kind, source, failing, stops):
    wholes = [list(stream) for stream in streams(kind, source, failing, len(stops))]
    assert sorted(sample for whole in wholes for batch in whole for sample in batch) == expected(kind, failing)
    firsts = streams(kind, source, failing, len(stops))
    heads = [list(islice(stream, stop)) for stream, stop in zip(firsts, stops, strict=True)]
    again = streams(kind, source, failing, len(stops))
    for head, stream, whole in zip(heads, again, wholes, strict=True):
        stream.load_state_dict([saved(one.state_dict()) for one in firsts])
        assert head + list(stream)[: len(whole) - len(head)] == whole  # after the end another epoch may begin


@given(KIND, st.sampled_from(sorted(ONE_READER)), FAILING, st.integers(0, 12))
@examples(100)
def test_one_reader_of_what_cannot_be_shared_goes_on_with_the_same_batches(kind, source, failing, stop):
    [whole] = map(list, streams(kind, source, failing, 1))
    assert sorted(sample for batch in whole for sample in batch) == expected(kind, failing)
    [first] = streams(kind, source, failing, 1)
    head = list(islice(first, stop))
    [again] = streams(kind, source, failing, 1)
    again.load_state_dict(saved(first.state_dict()))
    assert head + list(again)[: len(whole) - len(head)] == whole  # after the end another epoch begins


@given(
    KIND,
    st.sampled_from(sorted(SOURCES)),
    FAILING,
    st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=4),
    st.integers(1, 4),
)
@examples(300)
def test_other_readers_give_what_is_left(kind, source, failing, changes, readers):
    came, states = Counter(), None
    for stops in [*changes, [10**6] * readers]:
        if came.total() == len(expected(kind, failing)):
            return  # after the end another epoch may begin
        here = streams(kind, source, failing, len(stops))
        for stream, stop in zip(here, stops, strict=True):
            if states is not None:
                stream.load_state_dict(states)
            came.update(sample for batch in islice(stream, stop) for sample in batch)
        states = [saved(stream.state_dict()) for stream in here]
    assert sorted(came.elements()) == expected(kind, failing)
    if source in BY_NUMBER and kind not in ("mixed", "samples of a stream"):
        assert sum(stream.report().skipped for stream in here) == len(failing)


@given(st.sampled_from(["sequence", "shards", "lazy shards", "chain"]), FAILING, st.integers(0, 60))
@examples(100)
def test_failures_come_again_in_every_repeat(source, failing, stop):
    """Up to a stop and after it together, every sound sample comes equally often in whole repeats of the source."""

    def mixture():
        samples = [None if n in failing else n for n in NUMBERS]
        return online.mixed({"only": SOURCES[source](samples)}, at_end="restart", batch_size=1, **SKIP)

    sound = expected("", failing)
    first = mixture()
    given_before = [sample for [sample] in islice(first, stop)]
    again = mixture()
    again.load_state_dict(saved(first.state_dict()))
    rest = [sample for [sample] in islice(again, 5 * len(sound) + 60 - stop)]
    whole = [sample for [sample] in islice(mixture(), 5 * len(sound) + 60)]
    assert given_before + rest == whole
    assert sorted(whole[: 5 * len(sound)]) == sorted(sound * 5)


def breaking_off(samples, at):
    """A generator: it ends where it raises."""
    yield from samples[:at]
    raise OSError("disk gone")


def broken_off(part):
    return breaking_off(part, 3) if 7 in part else iter(part)


class BreakingOff:
    def __iter__(self):
        return breaking_off(NUMBERS, 7)


def does_not_open(part):
    return Broken([None])[0] if 7 in part else part


GONE = {
    "iterable": BreakingOff,
    "strided": lambda: online.Strided(BreakingOff()),
    "shards": lambda: in_shards(broken_off, 5)(NUMBERS),
    "one shard": lambda: in_shards(broken_off, 1)(NUMBERS),
    "shards that do not open": lambda: in_shards(does_not_open, 5)(NUMBERS),
    "chain": lambda: online.Chain([NUMBERS[:3], BreakingOff(), NUMBERS]),
    "chain of shards": lambda: online.Chain([in_shards(broken_off, 5)(NUMBERS), NUMBERS]),
    "a whole sequence": lambda: Broken([*NUMBERS, *[None] * 17, 1]),
}


@pytest.mark.parametrize("readers", [1, 2])
@pytest.mark.parametrize("kind", ["packed", "balanced", "samples of a stream"])
@pytest.mark.parametrize("source", sorted(GONE))
def test_a_source_that_cannot_go_on_after_a_failure_is_no_source_that_ended(source, kind, readers):
    """Whoever of the readers has the part that is gone."""
    ranks = 1 if source in ("iterable", "chain", "a whole sequence") else readers
    streams = [STREAMS[kind](GONE[source](), rank=rank, world_size=ranks) for rank in range(ranks)]
    with pytest.raises(OSError, match="disk gone"):
        list(chain.from_iterable(streams))


def test_16_failures_in_a_row_are_skipped():
    samples = [*NUMBERS, *[None] * 16, 24]
    assert sorted(n for batch in STREAMS["packed"](Broken(samples)) for n in batch) == [*NUMBERS, 24]


@given(FAILING, st.integers(1, 12), st.integers(1, 3))
@examples(60)
def test_shards_of_one_class_each_go_on(failing, stop, readers):
    def make(rank=0, world_size=1):
        samples = [[None if n in failing else n for n in NUMBERS if n % 2 == group] for group in range(2)]
        source = online.Sharded(samples, Broken, groups=[0, 1])
        return online.balanced(
            source,
            key=lambda n: n % 2,
            batch_size=1,
            when_short="redistribute",
            rank=rank,
            world_size=world_size,
            **SKIP,
        )

    first = make()
    came = [n for batch in islice(first, stop) for n in batch]
    again = [make(rank, readers) for rank in range(readers)]
    for stream in again:
        stream.load_state_dict(saved(first.state_dict()))
        came += [n for batch in stream for n in batch] if len(came) < len(expected("", failing)) else []
    assert sorted(came) == expected("", failing)
