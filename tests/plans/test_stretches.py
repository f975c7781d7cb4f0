"""Windows of an order are found in few cuts, wherever the long samples stand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import batchwright as bw
from batchwright.lengths.budget_cutter import BudgetCutter


@pytest.mark.parametrize("window", [16, 64, 256])
def test_a_window_that_begins_with_long_samples_is_found_in_few_cuts(window, monkeypatch):
    order = bw.shuffled(200 * window, batch_size=1)
    first = order.order.take(0, 200 * window)
    lengths = np.ones(first.size, np.int64)
    lengths[first[:window]] = 100
    plan = bw.budgeted(lengths, 100, order=order, window=window)
    cuts = Counter()
    cut = BudgetCutter.cut

    def counted(self, samples, batches, step_size):
        cuts[batches] += 1
        return cut(self, samples, batches, step_size)

    monkeypatch.setattr(BudgetCutter, "cut", counted)
    batches = list(plan.epoch(0))
    assert max(lengths[batch].max() * batch.size for batch in batches) <= 100
    assert all(100 in lengths[batch] for batch in batches[:window])  # they fill the window, and no more is in it
    assert sum(cuts.values()) <= 16 + np.log2(lengths.size) + 2 + 2 * len(batches) / window
