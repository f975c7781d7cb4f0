"""Balanced streams of sources that change as they are read, and of shards of one group: what is told is what was given."""

import random
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright import online
from tests.examples import examples

POLICIES = ["wait", "repeat", "redistribute"]


def drifting(samples, seed=0):
    """Of the first none is "b", of the last all are: half of them in all."""
    draw = random.Random(seed)
    return [(number, "ab"[draw.random() < number / samples]) for number in range(samples)]


def told(stream):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        delivered = [label for batch in stream for label in batch.groups]
    said = [str(one.message) for one in caught]
    return delivered.count("b") / len(delivered), [one for one in said if "the source changes" in one]


def natural(samples, when_short="wait", **more):
    return online.balanced(samples, key=1, batch_size=32, buffer=1000, target="natural", when_short=when_short, **more)


@pytest.mark.parametrize("when_short", POLICIES)
def test_a_source_that_changes_is_told_and_the_advice_helps(when_short):
    drift = drifting(20_000)
    share, warned = told(natural(drift, when_short))
    assert share < 0.45
    assert len(warned) == 1
    assert "shuffle it, or, if every group comes from the beginning, pass natural= with the shares of" in warned[0]
    shuffled = random.Random(1).sample(drift, len(drift))
    for followed in (natural(drift, when_short, natural={"a": 0.5, "b": 0.5}), natural(shuffled, when_short)):
        share, warned = told(followed)
        assert abs(share - 0.5) < 0.01
        assert not warned


@given(st.integers(0, 10**6), st.sampled_from([0.5, 0.1, 0.02]), st.sampled_from(POLICIES), st.integers(100, 5000))
@examples(30)
def test_a_source_that_does_not_change_is_not_said_to(seed, share, when_short, samples):
    draw = random.Random(seed)
    source = [(number, "ab"[draw.random() < share]) for number in range(samples)]
    _, warned = told(natural(source, when_short))
    assert not warned


@pytest.mark.parametrize("when_short", ["repeat", "redistribute"])
@given(
    st.dictionaries(st.sampled_from("abcde"), st.integers(0, 300), min_size=2), st.integers(1, 40), st.integers(1, 50)
)
@examples(60)
@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
def test_deficits_sum_to_zero_of_shards_of_one_group_too(when_short, sizes, batch_size, most):
    shards = online.Sharded(list(sizes), lambda label: [label] * sizes[label], groups=list(sizes))
    stream = online.balanced(
        shards, key=str, batch_size=batch_size, buffer=1000, when_short=when_short, max_deficit=most
    )
    for _ in stream:
        report = stream.report()
        assert sum(report.deficit.values()) == 0
        assert max(report.deficit.values(), default=0) <= most
    had, expected = stream.report().had, stream.report().expected
    if not stream.report().written_off:
        assert stream.report().deficit == {
            label: expected[label] - had[label] for label in had if expected[label] != had[label]
        }


@pytest.mark.parametrize("when_short", ["repeat", "redistribute"])
def test_a_group_of_empty_shards_is_named(when_short):
    shards = online.Sharded([400, 0], lambda count: ["ab"[count == 0]] * count, groups=["a", "b"])
    stream = online.balanced(shards, key=str, batch_size=2, buffer=8, when_short=when_short)
    with pytest.warns(bw.PoorWarning) as caught:
        list(stream)
    said = [str(one.message) for one in caught]
    assert any("source 'shards' (group 'b') has 0 samples" in one for one in said)
    assert not any("source 'shards' has 0 samples" in one for one in said)
