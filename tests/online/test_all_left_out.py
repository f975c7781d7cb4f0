"""A pass of which all samples are left out warns once, whatever the kind of stream; one with a sound sample does not."""

from __future__ import annotations

import re
import warnings
from itertools import islice

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchwright import PoorWarning, online

from ..examples import examples

SKIP = {"on_error": "skip"}


def of_one(sample):
    """A measure that only sound samples have."""
    if sample < 0:
        raise ValueError("broken")
    return 1


def balanced(source, **more):
    return online.balanced(source, **{"key": lambda sample: 0, "batch_size": 2, "buffer": 8} | SKIP | more)


def shards(samples):
    return online.Sharded(["cat", "dog"], lambda shard: [(shard, sample) for sample in samples], groups=["cat", "dog"])


def key_of_shard(sample):
    return of_one(sample[1]) and sample[0]


KINDS = {
    "waiting": lambda source, **more: balanced(source, key=of_one, **more),
    "repeating": lambda source, **more: balanced(source, key=of_one, when_short="repeat", **more),
    "redistributing": lambda source, **more: balanced(source, key=of_one, when_short="redistribute", **more),
    "a large buffer": lambda source, **more: balanced(source, key=of_one, buffer=1000, **more),
    "sizes": lambda source, **more: balanced(source, size=of_one, buffer_bytes=8, **more),
    "too large": lambda source, **more: balanced(source, size=lambda n: 1 if n >= 0 else 9, buffer_bytes=8, **more),
    "units": lambda source, **more: balanced(source, unit=of_one, **more),
    "labels": lambda source, **more: balanced(source, key=lambda n: 0 if n >= 0 else None, **more),
    "lists as keys": lambda source, **more: balanced(source, key=lambda n: 0 if n >= 0 else [], **more),
    "budgeted": lambda source, **more: online.budgeted(source, length=of_one, max_samples=3, **SKIP, **more),
    "packed": lambda source, **more: online.packed(source, length=of_one, capacity=3, buffer=4, **SKIP, **more),
    "packed, none": lambda source, **more: online.packed(
        source, length=lambda n: int(n >= 0), capacity=3, **SKIP, **more
    ),
    "packed in bytes": lambda source, **more: online.packed(
        source, length=lambda n: 1, size=of_one, buffer_bytes=9, capacity=3, **SKIP, **more
    ),
    "mixed": lambda source, **more: online.mixed({"source": source}, unit=of_one, batch_size=3, **SKIP, **more),
    "mixed until all are seen": lambda source, **more: online.mixed(
        {"source": source, "b": [1] * 30}, unit=of_one, batch_size=3, at_end="continue", **SKIP, **more
    ),
    "stream of samples": lambda source, **more: online.packed(
        balanced(source, key=of_one, batches=False), length=lambda n: 1, capacity=3, **more
    ),
}


def warned_of(stream):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        batches = list(stream)
    return sum(map(len, batches)), [str(one.message) for one in caught if "were skipped" in str(one.message)]


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(st.lists(st.sampled_from([-1, 1]), min_size=1, max_size=90), st.booleans())
@example([-1] * 10, False)
@example([-1] * 64, False)
@example([-1, 1], True)
@example([-1] * 20 + [1] * 20, False)
@examples(25)
def test_a_pass_warns_if_and_only_if_all_samples_were_left_out(kind, samples, of_two):
    readers = [{"rank": 1, "world_size": 2}] if of_two else [{}]
    for reader in readers:
        own = samples[1::2] if of_two else samples
        given, said = warned_of(KINDS[kind](samples, **reader))
        assert given or own.count(1) < 2
        if own and max(own) < 0:
            (said,) = said
            assert said.startswith(f"all {len(own)} samples of source 'source'")
            assert "of the first, " in said
        else:
            assert not said


@pytest.mark.parametrize("when_short", ["wait", "repeat", "redistribute"])
def test_shards_of_one_group_warn_likewise(when_short):
    def made(samples):
        return online.balanced(shards(samples), key=key_of_shard, batch_size=2, when_short=when_short, **SKIP)

    given, said = warned_of(made([-1] * 10))
    assert given == 0
    assert said
    why = "were skipped; of the first, key raised ValueError: broken"
    each = rf"all 10 samples of source 'shards' \(group '(cat|dog)'\) {why}"
    assert all(re.fullmatch(each, one) for one in said)
    assert not warned_of(made([-1] * 5 + [1] * 5))[1]


@pytest.mark.parametrize("at_end", ["restart", "all_seen"])
def test_what_was_skipped_in_earlier_repeats_counts_with_what_was_read_in_them(at_end):
    sources = {"a": [-1, 1, -1, 1], "b": [1] * 40}
    _, said = warned_of(online.mixed(sources, unit=of_one, batch_size=2, at_end=at_end, steps=9, **SKIP))
    assert not said


@pytest.mark.parametrize("left", range(1, 15))
@pytest.mark.parametrize("kind", ["waiting", "packed", "mixed"])
def test_what_was_skipped_before_a_change_of_readers_counts_with_what_was_read(kind, left):
    """Five were skipped before; of what is left a reader may have five, all sound."""
    samples = [*[-1, 1] * 5, *[1] * left]
    first = KINDS[kind](samples)
    batches = iter(first)
    next(batches)
    while first.report().read < 10:
        next(batches)
    for rank in range(2):
        again = KINDS[kind](samples, rank=rank, world_size=2)
        again.load_state_dict(first.state_dict())
        assert not warned_of(again)[1]


@pytest.mark.parametrize("count", range(1, 7))
def test_a_reader_that_goes_on_says_why_samples_were_skipped_if_it_skipped_any(count):
    """The first of two readers had skipped all of its part of a source, the second had not begun with its own."""

    def mixture(**reader):
        sources = {"b": [1] * 40, "a": [-1] * count}
        return online.mixed(sources, unit=of_one, batch_size=1, at_end="continue", **SKIP, **reader)

    old = [mixture(rank=rank, world_size=2) for rank in range(2)]
    for stream, stop in zip(old, (9, 1), strict=True):
        warned_of(islice(stream, stop))
    again = mixture()
    again.load_state_dict([stream.state_dict() for stream in old])
    why = "; of the first, unit raised ValueError: broken" if count > 1 else ""
    assert warned_of(again)[1] == [f"all {count} samples of source 'a' were skipped{why}"]


def test_a_warning_that_is_an_error_comes_after_the_samples_were_measured():
    stream = balanced(list(range(-10, 0)), key=of_one)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PoorWarning)
        with pytest.raises(
            PoorWarning, match="all 10 samples of source 'source' were skipped; of the first, key raised"
        ):
            list(stream)
