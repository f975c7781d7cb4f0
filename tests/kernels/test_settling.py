"""The kernel of shares that pay deficits back gives, bit for bit, what whole columns and unbounded integers give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.kernels import apportion
from batchwright.kernels.deal_arguments import ROUND
from batchwright.kernels.settling import TICKET, settle

from ..examples import examples


def by_columns(wanted, deficit, batches):
    due = np.diff(wanted)
    most, near = TICKET * 3 // 4 // min(batches, ROUND), TICKET >> 20
    low = np.minimum(np.maximum((due + near) // TICKET * TICKET, due - most), due)
    high = np.maximum(np.minimum(-((near - due) // TICKET) * TICKET, due + most), due)
    gets = np.clip(due + deficit // batches, low, high)
    over = int(gets.sum()) - int(wanted[-1])
    slack = gets - low if over > 0 else high - gets
    part = slack * ((abs(over) << 20) // max(1, int(slack.sum()))) >> 20
    left = abs(over) - int(part.sum())
    slack = slack - part
    part = part + np.clip(left - (np.cumsum(slack) - slack), 0, slack)
    return np.concatenate([[0], np.cumsum(gets - part if over > 0 else gets + part)])


def by_kernel(wanted, deficit, batches):
    edges = np.full(wanted.size, -1)
    settle(wanted, deficit, batches, np.full(deficit.size, -1), edges)
    return edges


@examples(300)
@given(
    st.lists(st.integers(0, 2**40), min_size=1, max_size=12).filter(any),
    st.integers(1, 4096),
    st.integers(1, 1000),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_the_kernel_is_the_sum_over_columns(weights, tickets, batches, seed, whole):
    wanted = apportion.line([1] * len(weights) if whole else weights, ROUND * tickets)
    random = np.random.default_rng(seed)
    deficit = random.integers(-3 * TICKET, 3 * TICKET, len(weights)) // random.choice([1, 1000, TICKET])
    assert by_kernel(wanted, deficit, batches).tolist() == by_columns(wanted, deficit, batches).tolist()


@pytest.mark.parametrize("groups", [1, 1000, 100_000])
def test_with_many_groups_too(groups):
    random = np.random.default_rng(groups)
    wanted = apportion.line([*random.integers(0, 1000, groups).tolist()[:-1], 1], ROUND * 512)
    deficit = random.integers(-TICKET, TICKET, groups)
    for batches in (1, 10, ROUND, 5 * ROUND):
        assert np.array_equal(by_kernel(wanted, deficit, batches), by_columns(wanted, deficit, batches))
