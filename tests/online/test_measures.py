"""Lengths, sizes and units: numbers of any library count as Python's, and what is none is refused by its sample."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
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


@pytest.mark.parametrize("kind", sorted(STREAMS))
def test_what_to_do_on_an_error_is_one_of_two(kind):
    with pytest.raises(Infeasible, match=r"on_error is 'ignore'; pass 'raise' or 'skip'\."):
        STREAMS[kind]([], len, on_error="ignore")
