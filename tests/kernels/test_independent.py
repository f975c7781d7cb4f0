"""Independent draws: each slot by the hash of its own address."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batchwright.groups import Groups
from batchwright.orders import Independent
from batchwright.orders.shares import TargetShares
from batchwright.targets import Target

from . import oracles
from .test_deal import weights_of


@given(data=st.data(), seed=st.integers(0, 2**64 - 1), batch=st.integers(0, 10**9), tickets=st.integers(1, 12))
def test_matches_the_oracle(data, seed, batch, tickets):
    sizes = data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=12))
    weights = data.draw(st.lists(st.integers(0, 9), min_size=len(sizes), max_size=len(sizes)).filter(any))
    per_ticket = data.draw(st.integers(1, 3))
    groups = Groups.from_sizes(dict(enumerate(sizes)))
    order = Independent(
        groups,
        TargetShares(Target(weights_of, (tuple(weights),), "given"), groups),
        batch_size=tickets * per_ticket,
        per_ticket=per_ticket,
        seed=seed,
    )
    expected = oracles.independent(weights, sizes, batch, tickets, per_ticket, seed)
    assert order.batches_at(np.array([batch]))[0].tolist() == expected
