"""Lengths, sizes and units: numbers of any library count as Python's, and what is none is refused by its sample."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from batchwright import Infeasible, online

NARROW = [np.uint8, np.int8, np.int16, np.uint16, np.float16, torch.tensor, lambda value: np.array(value, np.int8)]
NARROW += [Decimal, Fraction, lambda value: np.array([value]), lambda value: torch.tensor([[value]])]


def balanced(samples, **arguments):
    return online.balanced(samples, key=lambda sample: 0, batch_size=4, buffer=40, **arguments)


STREAMS = {
    "budgeted": lambda samples, measure, **arguments: online.budgeted(
        samples, length=measure, max_tokens=100_000, **arguments
    ),
    "packed": lambda samples, measure, **arguments: online.packed(
        samples, length=measure, capacity=100_000.0, **arguments
    ),
    "bytes of lengths": lambda samples, measure, **arguments: online.budgeted(
        samples, length=lambda sample: 1, max_samples=8, buffer_bytes=100_000, size=measure, **arguments
    ),
    "bytes": lambda samples, measure, **arguments: balanced(samples, buffer_bytes=100_000, size=measure, **arguments),
    "budgeted by samples": lambda samples, measure, **arguments: online.budgeted(
        samples, length=measure, max_samples=8, **arguments
    ),
    "packed, a few at a time": lambda samples, measure, **arguments: online.packed(
        samples, length=measure, capacity=130, buffer=4, **arguments
    ),
    "packed without a limit": lambda samples, measure, **arguments: online.packed(
        samples, length=measure, capacity=math.inf, **arguments
    ),
    "units of groups": lambda samples, measure, **arguments: balanced(samples, unit=measure, **arguments),
    "units": lambda samples, measure, **arguments: online.mixed(
        {"source": samples}, unit=measure, batch_size=4, **arguments
    ),
}


@given(
    st.sampled_from(sorted(STREAMS)),
    st.sampled_from(NARROW),
    st.lists(st.integers(1, 127), min_size=9, max_size=60),
)
def test_narrow_numbers_do_not_overflow(kind, narrow, values):
    wide = list(STREAMS[kind](range(len(values)), values.__getitem__))
    measured = [narrow(value) for value in values]
    assert list(STREAMS[kind](range(len(values)), measured.__getitem__)) == wide


@pytest.mark.parametrize("value", [None, "7", [3], torch.ones(3), 1j])
@pytest.mark.parametrize("kind", sorted(STREAMS))
def test_what_is_no_number_is_refused_by_its_sample_or_skipped(kind, value):
    values = [*range(1, 21), value, 5, 5]
    stream = STREAMS[kind](range(len(values)), values.__getitem__)
    with pytest.raises(Infeasible, match=r"sample 20 of source 'source': its (length|size|unit) is .*, not a number"):
        list(stream)
    skipping = STREAMS[kind](range(len(values)), values.__getitem__, on_error="skip")
    assert 20 not in [sample for batch in skipping for sample in batch]
    assert skipping.report().skipped == 1


OUT_OF_RANGE = [math.inf, math.nan, -math.inf, -1, 10**400, 10**5000, Decimal("inf"), Decimal("nan"), np.float32("inf")]


@pytest.mark.parametrize("value", OUT_OF_RANGE, ids=range(len(OUT_OF_RANGE)))
@pytest.mark.parametrize("kind", sorted(STREAMS))
def test_what_is_out_of_range_is_refused_by_its_sample_or_skipped(kind, value):
    values = [*range(1, 21), value, 5, 5]
    with pytest.raises(
        Infeasible, match=r"^sample 20 of source 'source': its (length|size|unit) is .{1,200}; "
    ) as refusal:
        list(STREAMS[kind](range(len(values)), values.__getitem__))
    assert len(str(refusal.value)) < 300
    skipping = STREAMS[kind](range(len(values)), values.__getitem__, on_error="skip")
    batches = iter(skipping)
    given = [*next(batches)]
    assert skipping.state_dict()
    given += [sample for batch in batches for sample in batch]
    assert 20 not in given
    assert skipping.report().skipped == 1


@given(st.sampled_from(sorted(STREAMS)), st.lists(st.fractions(1, 99), min_size=9, max_size=60), st.integers(1, 9))
@example("packed, a few at a time", [Fraction(99, 2)] * 9, 1)
@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
def test_fractions_are_measured_as_floats_so_that_a_state_can_hold_them(kind, values, stop):
    first = STREAMS[kind](range(len(values)), values.__getitem__)
    floats = list(STREAMS[kind](range(len(values)), list(map(float, values)).__getitem__))
    batches = iter(first)
    head = list(islice(batches, stop))
    if len(head) < stop or len(head) == len(floats):
        assert head == floats
        return
    again = STREAMS[kind](range(len(values)), values.__getitem__)
    again.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert head + list(again) == floats


@pytest.mark.parametrize("kind", sorted(STREAMS))
def test_what_to_do_on_an_error_is_one_of_two(kind):
    with pytest.raises(Infeasible, match=r"on_error is 'ignore'; pass 'raise' or 'skip'\."):
        STREAMS[kind]([], len, on_error="ignore")
