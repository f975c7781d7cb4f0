"""A state taken after an error or Ctrl-C is the state after the last batch that was given."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchwright import Infeasible, online

from ..examples import examples

pytestmark = pytest.mark.filterwarnings(
    "ignore:waiting gave|group .* slots due to it|samples repeat within:batchwright.PoorWarning"
)

COUNT = 500


class Breaking:
    """The numbers below COUNT; reading number `at` fails with `error`."""

    def __init__(self, at=None, error=ConnectionError):
        self.at, self.error = at, error

    def __iter__(self):
        for number in range(COUNT):
            if number == self.at:
                raise self.error("stopped")
            yield number


class Standing(Breaking):
    """The same with a state of its own."""

    def __init__(self, at=None, error=ConnectionError):
        super().__init__(at, error)
        self.next = 0

    def __iter__(self):
        while self.next < COUNT:
            if self.next == self.at:
                raise self.error("stopped")
            self.next += 1
            yield self.next - 1
        self.next = 0

    def state_dict(self):
        return {"next": self.next}

    def load_state_dict(self, state):
        self.next = state["next"]


class Fetchable(Breaking):
    """The same as a sequence."""

    def __len__(self):
        return COUNT

    def __getitem__(self, number):
        if number == self.at:
            raise self.error("stopped")
        return number


def balanced(source, **arguments):
    return online.balanced(source, key=third, batch_size=7, buffer=80, **arguments)


def third(number):
    return number % 3


def length(number):
    return 1 + number % 7


STREAMS = {
    "wait": balanced,
    "repeat": lambda source: balanced(source, when_short="repeat"),
    "redistribute": lambda source: balanced(source, when_short="redistribute"),
    "samples": lambda source: balanced(source, batches=False),
    "budgeted": lambda source: online.budgeted(source, length=length, max_tokens=50, buffer=60),
    "packed": lambda source: online.packed(source, length=length, capacity=50, packs=2, buffer=60),
    "mixed": lambda source: online.mixed({"a": source, "b": range(300)}, batch_size=7, at_end="continue"),
    "by unit": lambda source: online.mixed(
        {"a": source, "b": range(300)}, batch_size=7, unit=length, at_end="continue"
    ),
    "nested": lambda source: online.packed(balanced(source, batches=False), length=length, capacity=50, buffer=60),
}


def read_until(error, stream, every):
    """The batches before the error, with a state taken at every so many of them."""
    batches = []
    try:
        for number, batch in enumerate(stream, 1):
            batches.append(batch)
            if every and number % every == 0:
                stream.state_dict()
    except error:
        return batches
    raise AssertionError("there was no error")


@given(
    st.sampled_from(sorted(STREAMS)),
    st.sampled_from([Breaking, Standing, Fetchable]),
    st.integers(0, COUNT - 1),
    st.sampled_from([ConnectionError, KeyboardInterrupt]),
    st.integers(0, 12),
)
@example("packed", Breaking, 333, ConnectionError, 1)
@examples(100)
def test_going_on_after_an_error_is_never_having_had_one(kind, source, at, error, every):
    make = STREAMS[kind]
    stream = make(source(at, error))
    given_before = read_until(error, stream, every)
    state = pickle.loads(pickle.dumps(stream.state_dict()))
    assert stream.state_dict() == state
    mended = make(source())
    mended.load_state_dict(state)
    whole = make(source())
    rest = list(whole)[len(given_before) :] or list(whole)  # the next epoch begins where nothing is left of one
    assert list(mended) == rest


def test_a_source_that_cannot_be_read_again_is_refused_after_an_error_too():
    stream = balanced(iter(Breaking(100)))
    with pytest.raises(ConnectionError):
        list(stream)
    with pytest.raises(Infeasible, match="is an iterator: it can be read once and has no state_dict"):
        stream.state_dict()


class Failing(Breaking):
    """The same numbers; once, after so many readings as are `left`, a reading fails."""

    left = None

    def read(self, number):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise self.error("stopped")
        return number

    def __iter__(self):
        return map(self.read, range(COUNT))


@given(
    st.sampled_from(sorted(STREAMS)),
    st.booleans(),
    st.integers(1, 12),
    st.integers(0, COUNT),
)
@example("budgeted", True, 3, 25)
@examples(100)
def test_a_resumed_pass_that_fails_before_its_first_batch_is_tried_again(kind, shards, stop, left):
    source = Failing()

    def in_part(start):
        return map(source.read, range(start, start + 100))

    def stream():
        return STREAMS[kind](online.Sharded(range(0, COUNT, 100), in_part, shuffle=True) if shards else source)

    whole = list(stream())
    first = stream()
    iterator = iter(first)
    head = [next(iterator) for _ in range(stop)]
    resumed = stream()
    resumed.load_state_dict(first.state_dict())
    source.left = left
    rest = []
    try:
        rest.extend(resumed)
    except ConnectionError:
        if rest:  # that pass gave batches: it is over, and a state says where
            assert head + rest == whole[: stop + len(rest)]
            return
        rest.extend(resumed)
    assert head + rest == whole
