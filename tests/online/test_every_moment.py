"""A state may be taken at any moment, of any stream: saved, loaded and saved again, what comes is what would have come."""

from __future__ import annotations

import pickle
from itertools import chain, count, islice

import datasets
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from torch.utils.data import ChainDataset, IterableDataset
from torchdata.stateful_dataloader import StatefulDataLoader

from batchwright import Infeasible, online

from ..examples import examples

pytestmark = [
    pytest.mark.filterwarnings("ignore::batchwright.PoorWarning"),  # of short and empty sources: they are meant to be
]

EPOCHS = 3
LENGTH = 70


class Plain(IterableDataset):
    def __init__(self, samples):
        self.samples = samples

    def __iter__(self):
        return iter(self.samples)


class Standing(Plain):
    """An iterable with a state of its own; a pass begins again unless a state was loaded."""

    next = first = 0

    def __iter__(self):
        self.next, self.first = self.first, 0
        return self.rest()

    def rest(self):
        while self.next < len(self.samples):
            self.next += 1
            yield self.samples[self.next - 1]

    def state_dict(self):
        return {"next": self.next}

    def load_state_dict(self, state):
        self.next = self.first = state["next"]


class Cursor:
    """An iterator with a state of its own; made again for every pass."""

    def __init__(self, samples):
        self.samples, self.next = samples, 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.next >= len(self.samples):
            raise StopIteration
        self.next += 1
        return self.samples[self.next - 1]

    state_dict = Standing.state_dict

    def load_state_dict(self, state):
        self.next = state["next"]


class Cursors(Plain):
    def __iter__(self):
        return Cursor(self.samples)


def in_shards(samples, *, lazily, shuffle, size=17):
    def read(start):
        part = samples[start : start + size]
        return iter(part) if lazily else part

    return online.Sharded(range(0, max(1, len(samples)), size), read, shuffle=shuffle)


SOURCES = {
    "list": lambda samples: samples,
    "plain": Plain,
    "standing": Standing,
    "cursors": Cursors,
    "strided": lambda samples: online.Strided(Plain(samples)),
    "self-split": lambda samples: online.SelfSplit(Plain(samples)),
    "lazy shards": lambda samples: in_shards(samples, lazily=True, shuffle=True),
    "listed shards": lambda samples: in_shards(samples, lazily=False, shuffle=True),
    "one shard": lambda samples: in_shards(samples, lazily=True, shuffle=False, size=1000),
    "chain": lambda samples: online.Chain([samples[:30], samples[30:]]),
    "opaque chain": lambda samples: online.Chain([Plain(samples[:30]), samples[30:40], Standing(samples[40:])]),
    "chain with empty ends": lambda samples: online.Chain([[], samples, Plain([])]),
    "chain of chains": lambda samples: online.Chain([online.Chain([samples[:20], Cursors(samples[20:])])]),
    "torch chain": lambda samples: ChainDataset([Plain(samples[:30]), Standing(samples[30:])]),
    "hugging face": lambda samples: datasets.Dataset.from_dict({"n": samples}).to_iterable_dataset(num_shards=3),
    "balanced": lambda samples: online.balanced(samples, key=third, batch_size=3, buffer=20, batches=False),
    "mixture": lambda samples: online.mixed({"a": samples[:20], "b": Plain(samples[20:])}, at_end="continue"),
    "mixture of chains": lambda samples: online.mixed(
        {"a": online.Chain([samples[:9], Cursors(samples[9:12])]), "b": samples[12:]}, at_end="continue"
    ),
}


def number(sample):
    return sample["n"] if isinstance(sample, dict) else sample


def third(sample):
    return number(sample) % 3


def length(sample):
    return 1 + number(sample) % 7


def balanced(source, **more):
    return online.balanced(source, **{"key": third, "batch_size": 4, "buffer": 24} | more)


def mixed(source, **more):
    return online.mixed({"a": source, "b": range(100, 125)}, target={"a": 0.7, "b": 0.3}, **{"batch_size": 4} | more)


STREAMS = {
    "wait": balanced,
    "repeat": lambda source: balanced(source, when_short="repeat"),
    "redistribute": lambda source: balanced(source, when_short="redistribute", target={0: 0.6, 1: 0.3, 2: 0.1}),
    "bytes": lambda source: balanced(source, buffer_bytes=80, size=length, when_short="repeat"),
    "samples": lambda source: balanced(source, batches=False),
    "steps": lambda source: balanced(source, steps=3),
    "budgeted": lambda source: online.budgeted(source, length=length, max_tokens=20, buffer=15),
    "budgeted in bytes": lambda source: online.budgeted(
        source, length=length, max_samples=4, buffer=15, buffer_bytes=30, size=length
    ),
    "packed": lambda source: online.packed(source, length=length, capacity=11, packs=2, buffer=15),
    "stop": mixed,
    "continue": lambda source: mixed(source, at_end="continue"),
    "restart": lambda source: mixed(source, at_end="restart", steps=30),
    "by unit": lambda source: mixed(source, at_end="continue", unit=length),
    "mixed samples": lambda source: mixed(source, at_end="continue", batch_size=None),
    "packed mixture": lambda source: online.packed(
        mixed(source, at_end="continue", batch_size=None), length=length, capacity=11, buffer=15
    ),
    "mixture of balanced": lambda source: mixed(balanced(source, batches=False), at_end="continue"),
    "second of two ranks": lambda source: balanced(source, rank=1, world_size=2, when_short="redistribute"),
}
UNSPLIT = ("plain", "standing", "cursors", "self-split", "opaque chain", "chain of chains", "torch chain")
UNSPLIT += ("mixture", "mixture of chains", "chain with empty ends")


def passes(stream, epochs):
    """All that comes in so many epochs, each batch beside the number of its pass."""
    return [(epoch, item) for epoch in range(epochs) for item in stream]


def saved(stream):
    """A state as it comes back from a file; a second one taken in the same moment is the same."""
    state = stream.state_dict()
    assert stream.state_dict() == state
    return pickle.loads(pickle.dumps(state))


def loaded(make, state):
    """A stream that goes on from a state; asked at once or after `iter`, it says the same of itself."""
    stream = make()
    stream.load_state_dict(state)
    assert saved(stream) == state
    iter(stream)
    assert saved(stream) == state
    return stream


def items(stream):
    """What comes, pass after pass: an endless iterator."""
    return chain.from_iterable(stream for _ in count())


def plain(item):
    return list(item) if isinstance(item, list) else item


@given(
    st.sampled_from(sorted(STREAMS)),
    st.sampled_from(sorted(SOURCES)),
    st.lists(st.integers(0, 45), min_size=1, max_size=4),
    st.integers(0, 7),
)
@example("continue", "opaque chain", [28, 1, 1], 0)
@example("continue", "cursors", [28, 0, 1], 0)
@examples(150)
def test_a_state_of_any_moment_goes_on_and_is_saved_again(kind, source, stops, every):
    """After each stop the stream is saved, thrown away, and made again from the state; it is also saved in between."""
    if kind == "second of two ranks" and source in UNSPLIT:
        kind = "redistribute"

    def make():
        return STREAMS[kind](SOURCES[source](list(range(LENGTH))))

    total = sum(stops) + 60
    whole = [plain(item) for item in islice(items(make()), total)]
    stream, got = make(), []
    for stop in stops:
        before = saved(stream)
        going = items(stream)
        for number, item in enumerate(islice(going, stop), 1):
            got.append(plain(item))
            if every and number % every == 0:
                saved(stream)
        stream = loaded(make, saved(stream) if stop else before)
    got += [plain(item) for item in islice(items(stream), total - len(got))]
    assert got == whole


def stream_of_numbers():
    return balanced(list(range(LENGTH)), when_short="redistribute")


def test_which_epoch_comes_next_is_in_the_state():
    for stop in (None, 5):
        first = stream_of_numbers()
        list(islice(first, stop))
        first.set_epoch(7)
        iter(first)  # a pass that was broken off is over when the next begins
        again = loaded(stream_of_numbers, saved(first))
        assert list(again) == list(first)
    first = stream_of_numbers()
    list(first)
    first.set_epoch(7)
    again = loaded(stream_of_numbers, saved(first))
    assert [list(again), list(again)] == [list(first), list(first)]


def test_setting_the_epoch_of_a_loaded_state_changes_nothing():
    first = stream_of_numbers()
    list(first)
    going = iter(first)
    next(going)
    again = loaded(stream_of_numbers, saved(first))
    again.set_epoch(1)
    assert [list(again), list(again)] == [list(going), list(first)]
    with pytest.raises(Infeasible, match="epoch is -1, the least is 0"):
        again.set_epoch(-1)


def test_a_state_from_before_the_first_batch_undoes_what_was_read():
    stream = stream_of_numbers()
    fresh = saved(stream)
    whole = list(stream)
    list(islice(stream, 3))
    stream.load_state_dict(fresh)
    assert saved(stream) == fresh
    assert list(stream) == whole


def test_a_pass_is_bound_when_its_first_batch_is_asked_for():
    stream, other = stream_of_numbers(), stream_of_numbers()
    epochs = [list(other), list(other)]
    going = iter(stream)
    stream.set_epoch(1)
    assert list(going) == epochs[1]
    going = iter(stream)
    other.set_epoch(0)
    rest = iter(other)
    head = [next(rest), next(rest)]
    stream.load_state_dict(saved(other))
    assert head + list(going) == epochs[0]


def test_another_call_of_iter_leaves_the_pass_under_way_and_its_state_alone():
    stream = stream_of_numbers()
    going = iter(stream)
    next(going)
    iter(stream)
    next(going)
    again = loaded(stream_of_numbers, saved(stream))
    assert list(again) == list(going)


def seventeen(shard):
    return range(shard, shard + 17)


def in_a_loader(workers, **more):
    shards = online.Sharded(range(0, 170, 17), seventeen, shuffle=True)
    stream = balanced(shards, when_short="redistribute", **more)
    return StatefulDataLoader(
        stream, batch_size=None, collate_fn=list, num_workers=workers, persistent_workers=workers > 0
    )


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")  # torchdata's own call
@pytest.mark.parametrize("more", [{}, {"steps": 12}], ids=["", "steps"])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_loader_saved_at_any_moment_skips_no_epoch(workers, more):
    """torchdata asks workers whose epoch had ended for its end once more, and goes on with the next."""
    whole = in_a_loader(workers, **more)
    epochs = [list(whole) for _ in range(3)]
    assert epochs[0] != epochs[1]
    ended, begun, second = (in_a_loader(workers, **more) for _ in range(3))
    list(ended)
    state_at_the_end = ended.state_dict()
    list(begun)
    iter(begun)
    list(second)
    head = list(islice(iter(second), 3))
    for state, expected in (
        (in_a_loader(workers, **more).state_dict(), epochs[0]),
        (state_at_the_end, epochs[1]),
        (begun.state_dict(), epochs[1]),
        (second.state_dict(), epochs[1][3:]),
    ):
        resumed = in_a_loader(workers, **more)
        resumed.load_state_dict(state)
        assert list(resumed) == expected
        following = next(number for number, epoch in enumerate(epochs) if epoch[-len(expected) :] == expected) + 1
        assert list(resumed) == epochs[following]
    assert head == epochs[1][:3]


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_asked_for_in_a_loop_is_of_the_next_one(workers):
    """An epoch that is set in a loop, and a state that is loaded in it, leave that loop alone."""
    shards = online.Sharded(range(0, 170, 17), seventeen, shuffle=True)
    loader = balanced(shards, when_short="redistribute").loader(num_workers=workers, collate=list)
    whole = [list(loader) for _ in range(2)]
    for ask in (lambda state: loader.set_epoch(1), lambda state: loader.load_state_dict(state)):
        loader.set_epoch(0)
        given = []
        for batch in loader:
            given.append(batch)
            if len(given) == 2:
                ask(loader.state_dict())
        assert given == whole[0]
    loader.set_epoch(0)
    held = iter(loader)
    next(held)
    assert [epoch.number for epoch in loader.epochs(3)] == [1, 2]
