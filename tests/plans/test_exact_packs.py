"""The exact solver in plans: its steps are counted, and bounded for a window and for the layout of an epoch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import batchwright as bw
from batchwright.kernels import packing as kernel
from batchwright.lengths import exact
from batchwright.lengths.order_windows import WindowStart
from batchwright.lengths.packing import pack

from .. import laws

RANDOM = np.random.default_rng(0)
HARD = RANDOM.choice(RANDOM.integers(200, 500, 100), 2000)  # the fast solver needs 5 % more packs than the exact one
CAPACITY = 1000


@pytest.fixture
def steps(monkeypatch):
    """The steps of every knapsack and every linear programme, counted apart from what the solver counts."""
    import scipy.optimize

    taken = []
    search, solve = kernel.most_valuable_pack, scipy.optimize.linprog

    def counted_search(lengths, values, at_most, capacity, max_per_pack):
        copies = np.minimum(at_most[:, None], np.arange(capacity + 1) // lengths[:, None])
        taken.append(int(copies[values > 0].sum()))
        return search(lengths, values, at_most, capacity, max_per_pack)

    def counted_solve(*arguments, **options):
        rows, columns = options["A_ub"].shape
        taken.append((1 << 20) + 2 * rows * columns)
        return solve(*arguments, **options)

    monkeypatch.setattr(kernel, "most_valuable_pack", counted_search)
    monkeypatch.setattr(scipy.optimize, "linprog", counted_solve)
    return taken


def ordered(lengths, window):
    order = bw.shuffled(lengths.size, 64)
    return laws.quietly(lambda: bw.packed(lengths, CAPACITY, packs=2, solver="exact", order=order, window=window))


def test_one_packing_takes_no_more_steps_than_it_is_allowed(steps, monkeypatch):
    for allowed in (0, 1 << 23, 1 << 25):
        monkeypatch.setattr(exact, "STEPS", allowed)
        steps.clear()
        packing = pack(HARD, CAPACITY, solver="exact")
        assert allowed / 4 <= sum(steps) <= allowed
        assert packing.at_least <= len(packing) <= len(pack(HARD, CAPACITY))


def test_a_knapsack_of_more_steps_than_are_allowed_is_never_solved(steps, monkeypatch):
    monkeypatch.setattr(exact, "STEPS", 1 << 24)
    pack(np.repeat(np.arange(1, 900), 30), 90_000, solver="exact")
    assert sum(steps) <= 1 << 24


def test_an_even_packing_is_searched_no_further_than_its_bound(steps):
    packing = pack(np.random.default_rng(0).integers(1, 200, 500), 500, solver="exact")
    assert packing.gap == 0
    assert steps == []


@pytest.mark.parametrize("allowed", [1 << 22, 1 << 23])
def test_many_cuts_of_a_window_share_one_allowance(steps, monkeypatch, allowed):
    monkeypatch.setattr(exact, "STEPS", allowed)
    plan = ordered(HARD, 64)
    items = np.arange(HARD.size)
    steps.clear()
    alone = [len(plan.cutter.cut(items, None, 1)) for _ in range(2)]
    assert sum(steps) > allowed  # each has one of its own
    steps.clear()
    cutter = plan.cutter.for_window()
    shared = [len(cutter.cut(items, None, 1)) for _ in range(20)]
    assert allowed / 2 < sum(steps) <= allowed
    assert (
        alone[0] == alone[1] <= shared[0] <= shared[-1] == len(replace(plan.cutter, solver="fast").cut(items, None, 1))
    )


@pytest.mark.parametrize("window", [16, 64, 100])
def test_what_a_window_holds_is_found_within_one_allowance(steps, monkeypatch, window):
    monkeypatch.setattr(exact, "STEPS", 1 << 23)
    plan = ordered(HARD, window)
    spent, start = [], WindowStart(0)
    for number in range(5):
        steps.clear()
        items, cut = plan.windows.cut_window(number)
        spent.append(sum(steps))
        start, before = plan.windows.start(number + 1), start
        assert items.tolist() == plan.order_plan.order.take(before.place, start.place).tolist()
        assert sorted(cut.places) == list(range(items.size))
        assert len(cut) == window
        assert all(plan.cutter.excess(items[cut.batch(batch)]) == 0 for batch in range(window))
    assert 0 < max(spent) <= 1 << 23


@pytest.mark.parametrize("window", [16, 64, "epoch"])
@pytest.mark.parametrize("given", [True, False])
def test_an_epoch_is_laid_out_within_seven_allowances(steps, monkeypatch, given, window):
    monkeypatch.setattr(exact, "STEPS", 1 << 26)
    plan = ordered(HARD, window) if given else bw.packed(HARD, CAPACITY, packs=2, solver="exact", window=window)
    least = 0 if given and window == "epoch" else 1  # best fit says how many micro-batches one window of all is to have
    assert least <= sum(steps) <= 7 << 26
    steps.clear()
    plan.epoch_length(3)
    least = 0 if given else least  # what a window of an order takes was measured in steps of 1
    assert least <= sum(steps) <= 7 << 26
