"""A state that is not as it was saved is refused when it is loaded, and leaves the stream as it was."""

from __future__ import annotations

import copy
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright import Infeasible, online

from ..examples import examples
from .test_every_moment import SOURCES, STREAMS, items, plain

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # of short sources

WRONG = [None, 0, -1, 1.5, True, False, "x", b"", b"x" * 40, [], [0, 1], {}, {"anchor": None}, object(), float("nan")]


def paths(state, at=()):
    """The way to every entry of a state, at any depth."""
    for entry, value in state.items():
        yield (*at, entry)
        if isinstance(value, dict):
            yield from paths(value, (*at, entry))


def without(state, path):
    state = copy.deepcopy(state)
    inner = state
    for entry in path[:-1]:
        inner = inner[entry]
    return state, inner, path[-1]


@st.composite
def corrupted(draw, state):
    """A copy of a state with one thing wrong: an entry lost, added, of another type or value, or a bit flipped."""
    bad, inner, entry = without(state, draw(st.sampled_from(sorted(paths(state)))))
    value = inner[entry]
    what = draw(st.sampled_from(["lost", "other", "added", "cut", "flipped"]))
    if what == "lost":
        del inner[entry]
    elif what == "added":
        inner["extra"] = draw(st.sampled_from(WRONG))
    elif what == "cut" and isinstance(value, (bytes, str)) and value:
        inner[entry] = value[: draw(st.integers(0, len(value) - 1))]
    elif what == "flipped" and isinstance(value, bytes) and value:
        at = draw(st.integers(0, len(value) - 1))
        inner[entry] = value[:at] + bytes([value[at] ^ 1 << draw(st.integers(0, 7))]) + value[at + 1 :]
    elif what == "flipped" and isinstance(value, int):
        inner[entry] = not value if isinstance(value, bool) else value + draw(st.sampled_from([-1, 1, 10**6]))
    else:
        wrong = [it for it in WRONG if type(it) is not type(value) or it != value]
        inner[entry] = draw(st.sampled_from(wrong))
    return bad


@given(st.data(), st.sampled_from(sorted(STREAMS)), st.sampled_from(["list", "plain", "cursors"]), st.integers(0, 40))
@examples(150)
def test_what_is_not_as_it_was_saved_is_refused_and_changes_nothing(data, kind, source, stop):
    if kind == "second of two ranks":
        source = "list"

    def make():
        return STREAMS[kind](SOURCES[source](list(range(70))))

    first = make()
    whole = [plain(item) for item in islice(items(first), stop + 20)]
    first = make()
    list(islice(items(first), stop))
    state = first.state_dict()
    bad = data.draw(corrupted(state))
    fresh = make()
    loaded = make()
    loaded.load_state_dict(state)
    for stream, done in ((fresh, 0), (first, stop), (loaded, stop)):
        before = stream.state_dict()
        for _ in range(2):  # a refusal must not make the same call pass
            with pytest.raises(Infeasible, match=r"; (load|begin again|make the stream)"):
                stream.load_state_dict(bad)
        assert stream.state_dict() == before
        if stream is not first:
            assert [plain(item) for item in islice(items(stream), 20)] == whole[done : done + 20]


def packed(source):
    return online.packed(source, length=lambda sample: 1, capacity=5, buffer=20)


def test_a_state_of_another_version_is_refused():
    stream = packed(range(50))
    next(iter(stream))
    state = stream.state_dict()
    for version in (1, 5, 7, "6", None, True):
        with pytest.raises(
            Infeasible, match=r"the state is of version .* and states are of version 6 now; begin again"
        ):
            packed(range(50)).load_state_dict({**state, "version": version})


def test_a_state_shares_nothing_with_the_stream():
    stream = packed(range(50))
    iterator = iter(stream)
    next(iterator)
    state = stream.state_dict()
    again = packed(range(50))
    again.load_state_dict(state)
    state["run"]["batches"] = 9
    again.state_dict()["run"].clear()
    assert list(again) == list(iterator)


class Own:
    """Of a user's own class: to write it down means to pickle it, and to read that means to run any code."""

    def __reduce__(self):
        raise AssertionError("pickled")


def test_samples_that_are_no_data_are_refused_when_saved():
    for make in (lambda number: Own(), lambda number: lambda: number, lambda number: [{"a": (Own(),)}]):
        stream = packed(iter_of(make))
        next(iter(stream))
        with pytest.raises(
            Infeasible,
            match=r"a value of type .*, which cannot be written without pickling it; read .*, or pass a sequence",
        ):
            stream.state_dict()


def iter_of(make):
    class Plain:
        def __iter__(self):
            return map(make, range(50))

    return Plain()
