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


def _cost(lengths):
    return lengths + lengths**2 / 5000  # float64: float32 does not hold these exactly


PLANS = {  # what it holds, and what making it takes, in bytes a sample
    "weighted": (lambda column: bw.weighted(column, 64), 8, 12),
    "budgeted": (lambda column: bw.budgeted(column, 32_768), 4, 14),
    "budgeted, sums": (lambda column: bw.budgeted(column, 32_768, padded=False), 4, 14),
    "packed": (lambda column: bw.packed(column, 8192, packs=4), 4, 14),
    "grouped": (lambda column: bw.grouped(column, 64), 4, 14),
    "budgeted, cost": (lambda column: bw.budgeted(column, 32_768, cost=_cost), 12, 26),
    "packed, cost": (lambda column: bw.packed(column, 8192, packs=4, cost=_cost), 12, 26),
}


def _measured(make, column):
    """What a plan of this column holds, what making it takes, and what it takes up to its first micro-batch, in bytes."""
    tracemalloc.start()
    plan = make(column)
    held, peak = tracemalloc.get_traced_memory()
    plan[0]
    _, first = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held, peak, first


@pytest.mark.parametrize("samples", [4 * 10**6, BILLION_LIKE])
@pytest.mark.parametrize("name", PLANS)
def test_plans_by_lengths_and_weights_fit_a_billion_samples(name, samples, tmp_path):
    """Lengths that are mapped from an index take no memory; 10^9 samples are planned in 14 GB, with `cost=` in 26."""
    make, holds, takes = PLANS[name]
    make(np.arange(1, 100_000, dtype=np.uint32) % 1000 + 500)[0]  # compiled before anything is counted
    held, peak, first = _measured(make, _lengths_on_disk(tmp_path, samples))
    fixed = 2**24  # blocks of a few arrays, and a window
    assert held < holds * samples + 2**21
    assert peak < takes * samples + fixed / 4
    assert first < takes * samples + fixed


SEVERAL = {  # as above; samples are sorted so that neighbours are alike in both measures, which takes many arrays
    "budgeted": (lambda columns: bw.budgeted(columns, {"tokens": 32_768, "frames": 40_000}), 16, 112),
    "packed": (lambda columns: bw.packed(columns, {"tokens": 8192, "frames": 9000}, packs=4), 30, 120),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_plans_by_two_measures_take_120_bytes_a_sample(name, tmp_path):
    make, holds, takes = SEVERAL[name]
    samples = 300_000
    column = _lengths_on_disk(tmp_path, samples)
    make({"tokens": column[:1000], "frames": column[1000:0:-1]})[0]  # compiled before anything is counted
    held, peak, first = _measured(make, {"tokens": column, "frames": column[::-1]})
    assert held < holds * samples
    assert peak < takes * samples
    assert first < takes * samples


OVER_AN_ORDER = {
    "budgeted": lambda column, order: bw.budgeted(column, 32_768, order=order),
    "packed": lambda column, order: bw.packed(column, 8192, packs=4, order=order),
}


@pytest.mark.parametrize("samples", [4 * 10**6, BILLION_LIKE])
@pytest.mark.parametrize("name", OVER_AN_ORDER)
def test_a_plan_over_a_balanced_order_takes_three_bytes_a_sample_more_than_the_order(name, samples, tmp_path):
    """One of them is kept: the group of each sample, for the report of what the groups deliver."""
    make = OVER_AN_ORDER[name]
    lengths = _lengths_on_disk(tmp_path, samples)
    labels = (np.arange(samples) * 2654435761 % 1009 % 100).astype(np.uint8)
    make(lengths[:500_000], bw.balanced(labels[:500_000], 64))[0]  # compiled before anything is counted
    order = bw.balanced(labels, 64)
    order[0]
    held, peak, first = _measured(lambda column: make(column, order), lengths)
    fixed = 2**23  # blocks of a few arrays, and a window
    assert held < samples + 2**21
    assert peak < 3 * samples + fixed
    assert first < 3 * samples + fixed
