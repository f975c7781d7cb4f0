"""Where the packs of a micro-batch begin, by the plan alone: what processes that collate are given."""

from __future__ import annotations

import numpy as np
import pytest

import batchwright as bw


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
    with pytest.raises(bw.Infeasible, match="micro-batch of 3 samples.*pass whole micro-batches of this plan"):
        plan.packs([1, 2, 3])
