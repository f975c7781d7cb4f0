"""What it costs to reach a batch of a plan that cuts by cost: one window, and few cuts in it."""

from __future__ import annotations

import json
import random
from collections import Counter

import numpy as np
import pytest

import batchwright as bw
from batchwright.lengths import order_windows
from batchwright.lengths.budget_cutter import BudgetCutter, SortedPrefixes
from batchwright.lengths.order_windows import OrderWindows
from batchwright.lengths.pack_cutter import PackCutter
from batchwright.lengths.windows import ShuffleWindows, StratumWindows
from batchwright.plans import by_length

from ..laws import quietly
from .test_lengthwise import LABELS, LENGTHS

uneven = pytest.mark.filterwarnings("ignore:the run goes on in steps:batchwright.PoorWarning")


@pytest.fixture
def planned(monkeypatch):
    """How often each window was planned."""
    counts = []
    for kind, name in ((StratumWindows, "cut_window"), (ShuffleWindows, "cut_window"), (OrderWindows, "_filled")):
        method = getattr(kind, name)
        monkeypatch.setattr(kind, name, lambda *at, method=method: counts.append(at[1]) or method(*at))
    return counts


@pytest.fixture
def cuts(monkeypatch):
    """Every time that a cutter looked at samples."""
    counts = []
    for kind in (BudgetCutter, PackCutter, SortedPrefixes):
        for name in ("cut", "batches_needed"):
            method = getattr(kind, name)
            monkeypatch.setattr(kind, name, lambda *at, method=method: counts.append(at[1]) or method(*at))
    return counts


@pytest.mark.parametrize(
    "make",
    [
        lambda: bw.budgeted(LENGTHS, 4096, window=16),
        lambda: bw.budgeted(LENGTHS, 4096, window=16, padded=False),
        lambda: bw.budgeted(LENGTHS, 4096, window=16, round_count=8),
        lambda: bw.budgeted({"a": LENGTHS, "b": LENGTHS[::-1]}, {"a": 4096, "b": 8000}, window=16),
        lambda: bw.grouped(LENGTHS, 32, window=16),
        lambda: bw.packed(LENGTHS, 4096, window=16, max_per_pack=60),
        lambda: bw.packed({"a": LENGTHS, "b": LENGTHS[::-1]}, {"a": 4096, "b": 8000}, window=16),
        lambda: bw.bucketed(np.stack([LENGTHS % 3 + 1, LENGTHS % 2 + 1], axis=1), 32, window=16, buckets=3),
        lambda: bw.budgeted(LENGTHS, 4096, window=16, order=bw.balanced(LABELS, 64)),
        lambda: bw.packed(LENGTHS, 900, window=16, order=bw.balanced(LABELS, 64), too_long="split"),
        lambda: bw.packed(LENGTHS, 900, window=16, order=bw.weighted(LENGTHS, 64, draw="random"), too_long="skip"),
    ],
)
def test_resuming_anywhere_costs_one_window(make, planned):
    plan = make()
    length = plan.epoch_length(8)
    assert length > 10 * 16
    for step in (0, length // 16, length // 8 - 1):
        state = plan.sampler(rank=0, world_size=8).state_at(step)
        assert len(json.dumps(state)) < 1200
        fresh = make().sampler(rank=0, world_size=8)
        fresh.load_state_dict(state)
        planned.clear()
        next(iter(fresh))
        assert len(planned) == 1


@pytest.mark.parametrize("world", [1, 4])
@pytest.mark.parametrize(
    "make",
    [
        lambda: bw.budgeted(LENGTHS, 4096, window=16),
        lambda: bw.packed(LENGTHS, 4096, window="epoch"),
        lambda: bw.grouped(LENGTHS, 32, window=16),
        lambda: bw.bucketed(np.stack([LENGTHS % 3 + 1, LENGTHS % 2 + 1], axis=1), 32, window=16, buckets=3),
    ],
)
def test_a_new_run_is_laid_out_once_in_steps_of_its_own(make, world, monkeypatch):
    laid_out, function = [], by_length.windows_in_steps
    monkeypatch.setattr(by_length, "windows_in_steps", lambda plan, step: laid_out.append(step) or function(plan, step))
    sampler = make().sampler(rank=0, world_size=world, accumulate=2)
    first = next(iter(sampler))
    sampler.state_dict(), len(sampler), sampler.epoch
    assert laid_out == [2 * world]
    assert first == make().epoch(0, 2 * world)[0].tolist()


SMALL = np.random.default_rng(2).integers(10, 60, 20)

OVER_AN_ORDER = {
    "budgeted": lambda: quietly(lambda: bw.budgeted(SMALL, 120, window=4, order=bw.shuffled(20, 1))),
    "budgeted, not padded": lambda: bw.budgeted(SMALL, 120, window=4, padded=False, order=bw.shuffled(20, 1)),
    "packed": lambda: bw.packed(SMALL, 90, window=4, order=bw.balanced(np.arange(20) % 2, 6)),
    "pieces": lambda: bw.packed(SMALL, 40, packs=3, window=4, order=bw.shuffled(20, 1), too_long="split"),
}


@uneven
@pytest.mark.parametrize("kind", OVER_AN_ORDER)
def test_going_on_at_epoch_1000_costs_at_most_two_windows_in_the_same_world_and_in_another(kind, planned, cuts):
    plan = OVER_AN_ORDER[kind]()
    saved = json.loads(json.dumps(plan.sampler(rank=0, world_size=2).state_at(1, epoch=1000)))
    assert len(planned) > 1000
    following = plan.stepped(2)[saved["origin"] + saved["consumed"]].tolist()
    for world in (2, 3):
        fresh, state = OVER_AN_ORDER[kind](), saved
        fresh.stepped(2), fresh.stepped(world)  # laid out before it is counted
        for number in range(2):  # once more from the state in the new world
            assert len(json.dumps(state)) < 1200
            sampler = fresh.sampler(rank=0, world_size=world)
            planned.clear(), cuts.clear()
            sampler.load_state_dict(state)
            batch = next(iter(sampler))
            assert 1 <= len(planned) <= 2
            assert 1 <= len(cuts) <= 2 * 24
            assert number or batch == following
            state = json.loads(json.dumps(sampler.state_dict()))


@pytest.mark.parametrize("kind", [*OVER_AN_ORDER, "strata", "buckets"])
def test_an_epoch_asked_for_in_any_order_plans_every_window_once(kind, planned):
    more = {
        "strata": lambda: bw.budgeted(LENGTHS[:2000], 4096, window=16),
        "buckets": lambda: bw.bucketed(LENGTHS[:2000, None], 16, buckets=3, window=16),
    }
    plan = (OVER_AN_ORDER | more)[kind]().stepped(2)
    last = (5 if kind in OVER_AN_ORDER else 1) * plan.epoch_batches - 1
    asked = list(range(last + 1))
    random.Random(3).shuffle(asked)
    planned.clear()
    for batch in asked:
        _ = plan[batch]
    windows = plan.windows.window_and_place(last)[0] + 1
    if kind == "buckets":  # its windows are counted where they are asked for
        assert len(planned) <= 2 * windows
    else:
        assert len(planned) == windows


def test_a_window_asked_for_late_is_planned_once(planned):
    plan = OVER_AN_ORDER["budgeted"]()
    planned.clear()
    last = plan.windows.window_batches * 50
    asked = plan[last].tolist()
    for batch in reversed(range(last)):
        _ = plan[batch]
    assert plan[last].tolist() == asked
    assert len(planned) == 51


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


def test_a_far_place_over_an_order_says_what_it_costs(monkeypatch):
    monkeypatch.setattr(order_windows, "_FAR", 40)
    plan = bw.packed([3, 4, 5, 6], 9, window=2, order=bw.shuffled(4, 4))
    plan[2 * 30]
    with pytest.warns(
        bw.PoorWarning, match=r"window 90 over an order .* 59 of them are filled .* load it to go on at once"
    ):
        far = plan[2 * 90]
    assert plan[2 * 90].tolist() == far.tolist()  # which is known now
