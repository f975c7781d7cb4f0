"""What does not fit into a window comes first in the next, and no epoch needs more windows than it has."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from ..examples import examples
from .test_lengthwise import LABELS

WILD = np.where(np.arange(3000) // 100 % 3 == 0, 90, 1 + np.arange(3000) % 3)
"""Hundreds of long samples after hundreds of short ones: a window takes from 8 to hundreds of samples."""

OVERFLOWING = {
    "budgeted": lambda: bw.budgeted(WILD, 100, window=8, order=in_turn()),
    "budgeted, not padded": lambda: bw.budgeted(WILD, 100, padded=False, window=8, order=in_turn()),
    "packed": lambda: bw.packed(WILD, 100, window=8, order=in_turn()),
    "pieces": lambda: bw.packed(WILD, 40, window=8, order=in_turn(), too_long="split"),
    "dear every other epoch": lambda: dear_every_other_epoch(),
}


def in_turn():
    """All samples in groups by their length, of which one is far more common in every other epoch."""
    return bw.balanced(WILD > 3, 50, target=lambda counts, epoch: [0.02, 0.98] if epoch % 2 else [0.98, 0.02], epoch=60)


def dear_every_other_epoch():
    """A plan whose odd epochs cost far more than all that is looked at when it is laid out."""
    order = bw.balanced(LABELS, 50, target=lambda counts, epoch: [0.2, 0.8] if epoch % 2 else [0.95, 0.05], epoch=60)
    return bw.budgeted(np.where(LABELS, 500, 50), 4000, order=order, window=8)


@pytest.mark.parametrize("kind", OVERFLOWING)
@pytest.mark.parametrize("world", [1, 3])
def test_what_a_window_does_not_hold_comes_first_in_the_next_and_the_state_knows_it(kind, world):
    make = OVERFLOWING[kind]
    plan = make()
    windows = plan.stepped(world).windows
    count = 60
    ordered = plan.admission.items(plan.order_plan.order.take(0, 60 * 50 * 4))
    given_out, sizes = [], []
    for number in range(count):
        items, cut = windows.cut_window(number)
        assert len(cut) == windows.window_batches
        assert sorted(cut.places) == list(range(items.size))
        assert all(plan.cutter.excess(items[cut.batch(batch)]) == 0 for batch in range(len(cut)))
        given_out += items.tolist()
        sizes.append(items.size)
    assert given_out == ordered[: len(given_out)].tolist()
    if kind == "pieces":
        assert any(windows.start(number).skipped for number in range(count))  # within a sample
    else:
        assert max(sizes) > 3 * min(sizes)  # far from what a window was laid out for
    sampler = plan.sampler(rank=world - 1, world_size=world)
    for epoch, stop in ((0, 2 * windows.window_batches // world + 1), (1, len(sampler) - 1)):
        state = json.loads(json.dumps(sampler.state_at(stop, epoch=epoch)))
        assert len(json.dumps(state)) < 1200
        fresh = make().sampler(rank=world - 1, world_size=world)
        fresh.load_state_dict(state)
        sampler.seek(stop, epoch=epoch)
        for _ in range(2):  # to the end of the epoch, and into the next
            assert list(islice(fresh, 20)) == list(islice(sampler, 20))


@examples(25)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 60)), min_size=60, max_size=300),
    st.integers(1, 5),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=4),
    st.booleans(),
)
def test_no_epoch_needs_more_than_the_layout_has(rows, step_size, epochs, padded):
    table = {"a": np.array(rows)[:, 0], "b": np.array(rows)[:, 1]}
    plans = [
        bw.budgeted(table, {"a": 90, "b": 130}, padded=padded, window=5),
        bw.budgeted(table["b"], 130, padded=padded, round_count=3, window=5),
        bw.packed(table, {"a": 90, "b": 130}, packs=2, window=5),
    ]
    for plan in plans:
        for epoch in epochs:
            audit = plan.audit(step_size=step_size, first=epoch)
            assert audit.kept, str(audit)
