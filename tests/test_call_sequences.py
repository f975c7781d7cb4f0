"""Whatever is called in whatever order, the lists that come are those that a simple model says."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import call_sequences
from .examples import examples


@examples(200)
@given(st.randoms(use_true_random=False), st.integers(3, 25))
def test_any_calls_in_any_order(chance, calls):
    call_sequences.run(chance.randrange, calls)


@pytest.mark.long
def test_any_calls_in_any_order_twenty_thousand_times():
    for seed in range(20_000):
        chance = random.Random(seed)
        call_sequences.run(chance.randrange, 3 + chance.randrange(22))
