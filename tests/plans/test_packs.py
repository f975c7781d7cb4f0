"""Where the packs of a micro-batch begin, by the plan alone: what processes that collate are given."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.lengths.pack_cutter import pack_offsets


@pytest.mark.filterwarnings("ignore:samples repeat")
@pytest.mark.parametrize("per_key", [1, 2, 3])
def test_a_key_drawn_twice_in_a_row_is_two_items_of_its_packs(per_key):
    keys = np.repeat(np.arange(12), per_key)
    lengths = np.full(keys.size, 5)
    plan = bw.packed(lengths, 20, packs=2, together=keys, order=bw.balanced([0] * 11 + [1], 4))
    for batch in map(plan.__getitem__, range(40)):
        for pack in plan.packs(batch):
            assert lengths[pack].sum() <= 20
            assert not (np.bincount(keys[pack]) % per_key).any()


def test_a_part_of_what_stays_together_is_refused():
    plan = bw.packed([5] * 4, 20, together=[0, 0, 1, 1])
    with pytest.raises(bw.Infeasible, match=r"micro-batch of 3 samples.*pass whole micro-batches of this plan"):
        plan.packs([1, 2, 3])


def taking_what_fits(lengths, capacities, most):
    """Item by item: the slow form of `pack_offsets`."""
    offsets, used = [0], np.zeros(capacities.size)
    for place, length in enumerate(lengths):
        if place > offsets[-1] and ((used + length > capacities).any() or place - offsets[-1] == most):
            offsets.append(place)
            used[:] = 0
        used += length
    return [*offsets, len(lengths)] if len(lengths) else [0]


@given(
    st.integers(1, 3).flatmap(
        lambda kinds: st.tuples(
            st.lists(st.tuples(*[st.integers(0, 15)] * kinds), max_size=40).map(
                lambda rows: np.array(rows, np.int64).reshape(-1, kinds)
            ),
            st.tuples(*[st.integers(5, 40)] * kinds).map(np.array),
        )
    ),
    st.sampled_from([1, 2, 5, 2**63 - 1]),
)
def test_each_pack_takes_what_fits_of_the_sequence(items, most):
    lengths, capacities = items
    assert pack_offsets(lengths, capacities, most).tolist() == taking_what_fits(lengths, capacities, most)


@pytest.mark.parametrize(("further", "columns"), [({}, 1), ({"together": np.arange(100_000) // 2}, 2)])
def test_what_goes_to_collating_processes_is_lengths_and_who_stays_together(further, columns):
    plan = bw.packed(np.full(100_000, 5), 20, cost=np.sqrt, **further)
    assert len(pickle.dumps(plan.pack_borders)) < (columns + 0.1) * 8 * 100_000
