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


def _lengths_on_disk(folder, samples):
    lengths = 500 + (np.arange(samples) * 2654435761 % 1009 % 1000)
    np.save(folder / "lengths.npy", lengths.astype(np.uint32))
    return np.load(folder / "lengths.npy", mmap_mode="r")


PLANS = {  # what it holds, and what making it takes, in bytes a sample
    "weighted": (lambda column: bw.weighted(column, 64), 8, 12),
    "budgeted": (lambda column: bw.budgeted(column, 32_768), 4, 14),
    "budgeted, sums": (lambda column: bw.budgeted(column, 32_768, padded=False), 4, 14),
    "packed": (lambda column: bw.packed(column, 8192, packs=4), 4, 14),
    "grouped": (lambda column: bw.grouped(column, 64), 4, 14),
}


@pytest.mark.parametrize("samples", [4 * 10**6, BILLION_LIKE])
@pytest.mark.parametrize("name", PLANS)
def test_plans_by_lengths_and_weights_fit_a_billion_samples(name, samples, tmp_path):
    """Lengths that are mapped from an index take no memory; 10^9 samples are planned in 14 GB."""
    make, holds, takes = PLANS[name]
    make(np.arange(1, 100_000, dtype=np.uint32) % 1000 + 500)[0]  # compiled before anything is counted
    column = _lengths_on_disk(tmp_path, samples)
    fixed = 2**24  # blocks of a few arrays, and a window
    tracemalloc.start()
    plan = make(column)
    held, peak = tracemalloc.get_traced_memory()
    plan[0]
    _, first = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < holds * samples + 2**21
    assert peak < takes * samples + fixed / 4
    assert first < takes * samples + fixed
