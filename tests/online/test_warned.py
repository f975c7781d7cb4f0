"""A warning that is turned into an error comes before its batch is counted: going on gives that batch."""

from __future__ import annotations

import json
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright import online

from ..examples import examples


def rare(number):
    return 0 if number % 100 else 1


def stream(steps, short, batches=True):
    """One group has far too few samples."""
    return online.balanced(
        range(3000), key=rare, batch_size=10, buffer=100, steps=steps, when_short=short, batches=batches
    )


def read_strictly(batches):
    """What a loop is given until a warning ends it, and that warning; in a run without one, None."""
    given_ones = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            for batch in batches:
                given_ones.append(batch)
        except bw.PoorWarning as warning:
            return given_ones, warning
    return given_ones, None


def check_going_on(make):
    """What a loop was given before the warning and after a resume is what a loop is given that is only warned."""
    first = make()
    given_ones, warning = read_strictly(first)
    state = json.loads(json.dumps(first.state_dict()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again, alone = make(), make()
        again.load_state_dict(state)
        whole = list(alone)
        assert given_ones == whole[: len(given_ones)]
        assert list(again) == (whole[len(given_ones) :] or list(alone))  # the next epoch where nothing is left of one
    return warning


@given(st.one_of(st.none(), st.integers(1, 60)), st.sampled_from(["repeat", "redistribute"]), st.booleans())
@examples(40)
def test_going_on_after_a_warning_that_is_an_error_leaves_no_batch_out(steps, short, by_loader):
    check_going_on(lambda: stream(steps, short).loader() if by_loader else stream(steps, short))


@pytest.mark.parametrize("steps", [12, 20])
def test_the_last_batch_of_a_known_number_is_given_after_its_warning(steps):
    assert check_going_on(lambda: stream(steps, "redistribute"))
    assert check_going_on(lambda: stream(steps, "redistribute").loader())


@pytest.mark.parametrize("short", ["wait", "redistribute"])
def test_a_warning_within_a_pass_comes_before_its_batch_too(short):
    assert check_going_on(lambda: stream(None, short))
    assert check_going_on(lambda: stream(None, short, batches=False))
