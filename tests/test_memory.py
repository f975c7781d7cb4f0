"""What a plan holds, and what building it takes, in bytes a sample (numpy reports its memory to tracemalloc)."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import batchwright as bw

BILLION_LIKE = pytest.param(10**8, marks=pytest.mark.long)


@pytest.mark.filterwarnings("ignore:.* groups have one sample each:batchwright.PoorWarning")
@pytest.mark.parametrize("samples", [10**6, BILLION_LIKE])
@pytest.mark.parametrize("dtype", [np.int16, np.int64])
def test_a_plan_holds_five_bytes_a_sample_and_peaks_below_25(samples, dtype):
    labels = (np.arange(samples) * 2654435761 % 1009 % 1000).astype(dtype)
    bw.balanced(labels[:1000], 8)[0]  # compiled before anything is counted
    fixed = 2**23  # a chunk of the column at a time, whatever the number of samples
    tracemalloc.start()
    plan = bw.balanced(labels, 256)
    plan[0]
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 5 * samples + 2**20
    assert peak < 25 * samples + fixed
    assert plan.groups.index.nbytes == 4 * samples
