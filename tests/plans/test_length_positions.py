"""Where a run of a plan that cuts by cost stands: going on costs one window, in any world, and nothing overflows."""

from __future__ import annotations

import json
import random
import re
import warnings
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batchwright as bw
from batchwright.lengths import order_windows
from batchwright.lengths.budget_cutter import BudgetCutter
from batchwright.lengths.order_windows import OfOrder
from batchwright.lengths.pack_cutter import PackCutter
from batchwright.lengths.windows import OfShuffle, OfStrata
from batchwright.plans.by_length import LengthPlan

from .test_lengthwise import LABELS, LENGTHS

few = settings(max_examples=25)
uneven = pytest.mark.filterwarnings("ignore:the run goes on in steps:batchwright.PoorWarning")


@pytest.fixture
def planned(monkeypatch):
    """How often each window was planned."""
    counts = []
    for kind, name in ((OfStrata, "planned"), (OfShuffle, "planned"), (OfOrder, "_filled")):
        method = getattr(kind, name)
        monkeypatch.setattr(kind, name, lambda *at, method=method: counts.append(at[1]) or method(*at))
    return counts


@pytest.fixture
def cuts(monkeypatch):
    """Every time that a cutter looked at samples."""
    counts = []
    for kind in (BudgetCutter, PackCutter):
        for name in ("cut", "batches_for_first"):
            method = getattr(kind, name)
            monkeypatch.setattr(kind, name, lambda *at, method=method: counts.append(at[1].size) or method(*at))
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
    laid_out, method = [], LengthPlan._laid_out
    monkeypatch.setattr(LengthPlan, "_laid_out", lambda plan, step: laid_out.append(step) or method(plan, step))
    sampler = make().sampler(rank=0, world_size=world, accumulate=2)
    first = next(iter(sampler))
    sampler.state_dict(), len(sampler), sampler.epoch
    assert laid_out == [2 * world]
    assert first == make().epoch(0, 2 * world)[0].tolist()


SMALL = np.random.default_rng(2).integers(10, 60, 20)
OVER_AN_ORDER = {
    "budgeted": lambda: bw.budgeted(SMALL, 120, window=4, order=bw.shuffled(20, 1)),
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
    windows = plan.windows.of(last)[0] + 1
    if kind == "buckets":  # its windows are counted where they are asked for
        assert len(planned) <= 2 * windows
    else:
        assert len(planned) == windows


def test_a_window_asked_for_late_is_planned_once(planned):
    plan = OVER_AN_ORDER["budgeted"]()
    planned.clear()
    last = plan.windows.window * 50
    asked = plan[last].tolist()
    for batch in reversed(range(last)):
        _ = plan[batch]
    assert plan[last].tolist() == asked
    assert len(planned) == 51


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
    ordered = plan.admission.items(plan.source.order.take(0, 60 * 50 * 4))
    given_out, sizes = [], []
    for number in range(count):
        items, cut = windows.planned(number)
        assert len(cut) == windows.window
        assert sorted(cut.members) == list(range(items.size))
        assert all(plan.cutter.excess(items[cut.batch(batch)]) == 0 for batch in range(len(cut)))
        given_out += items.tolist()
        sizes.append(items.size)
    assert given_out == ordered[: len(given_out)].tolist()
    if kind == "pieces":
        assert any(windows.start(number).skipped for number in range(count))  # within a sample
    else:
        assert max(sizes) > 3 * min(sizes)  # far from what a window was laid out for
    sampler = plan.sampler(rank=world - 1, world_size=world)
    for epoch, stop in ((0, 2 * windows.window // world + 1), (1, len(sampler) - 1)):
        state = json.loads(json.dumps(sampler.state_at(stop, epoch=epoch)))
        assert len(json.dumps(state)) < 1200
        fresh = make().sampler(rank=world - 1, world_size=world)
        fresh.load_state_dict(state)
        sampler.seek(stop, epoch=epoch)
        for _ in range(2):  # to the end of the epoch, and into the next
            assert list(islice(fresh, 20)) == list(islice(sampler, 20))


EVERY_SAMPLE = {
    "budgeted": lambda: bw.budgeted(LENGTHS[:900], 4096, window=16),
    "budgeted, an epoch": lambda: bw.budgeted(LENGTHS[:900], 4096, window="epoch"),
    "grouped": lambda: bw.grouped(LENGTHS[:900], 8, window=16),
    "packed": lambda: bw.packed(LENGTHS[:900], 2048, window=16),
    "bucketed": lambda: bw.bucketed(LENGTHS[:900, None], 8, buckets=3, window=16),
}


@uneven
@pytest.mark.parametrize("kind", EVERY_SAMPLE)
@settings(max_examples=8)
@given(
    before=st.sampled_from([1, 2, 4, 8]),
    after=st.sampled_from([1, 3, 4, 6, 8]),
    epoch=st.sampled_from([0, 5]),
    part=st.floats(0, 1),
)
def test_a_run_goes_on_along_the_old_list_to_the_end_of_its_epoch_and_then_in_the_new_steps(
    kind, before, after, epoch, part
):
    plan = EVERY_SAMPLE[kind]()
    old, new = plan.stepped(before), plan.stepped(after)
    step = min(int(part * old.epoch_batches / before), old.epoch_batches // before - 1)
    state = plan.sampler(rank=0, world_size=before).state_at(step, epoch=epoch)
    stands = state["origin"] + state["consumed"]
    ends = -(-stands // old.epoch_batches) * old.epoch_batches
    rest = [old[batch].tolist() for batch in range(stands, ends)]
    shift = (stands - ends) % after if before != after else 0
    fresh = []
    for number in (0, 1):
        begin = (ends // old.epoch_batches + number) * new.epoch_batches
        one = [new[batch].tolist() for batch in range(begin, begin + new.epoch_batches)]
        fresh += one[:shift] + one[after:] + one[shift:after] if shift else one
    expected = rest + fresh
    samplers = [EVERY_SAMPLE[kind]().sampler(rank=rank, world_size=after) for rank in range(after)]
    for sampler in samplers:
        sampler.load_state_dict(state)
    given_out = [batch for _ in range(2) for step in zip(*map(iter, samplers), strict=True) for batch in step]
    count = min(len(expected), len(given_out))
    assert count > len(rest)
    assert given_out[:count] == expected[:count]


def uneven_words(plan, before, after, step):
    """What is said where a run goes on in another world; None where nothing is."""
    state = plan.sampler(rank=0, world_size=before).state_at(step)
    sampler = plan.sampler(rank=0, world_size=after)
    sampler.load_state_dict(state)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        next(iter(sampler))
    assert all(issubclass(one.category, bw.PoorWarning) for one in caught)
    assert len(caught) <= 1
    return str(caught[0].message) if caught else None


def test_what_uneven_steps_cost_until_the_epoch_ends_is_said_in_numbers():
    plan = bw.grouped(LENGTHS[:3000], 8, window=16)
    old = plan.stepped(8)
    said = uneven_words(plan, 8, 6, 2)
    found = re.fullmatch(
        r"the run goes on in steps of 6 micro-batches, and up to micro-batch (\d+) its plan has steps of 8: the most "
        r"expensive micro-batch of a step costs ([\d.]+) of the mean until then, ([\d.]+) in steps of its own size",
        said,
    )
    assert int(found[1]) == old.epoch_batches
    now, even = float(found[2]), float(found[3])
    costs = np.array([plan.cutter.cost(old.items(batch)) for batch in range(16, 16 + 252)])
    steps = costs[:252].reshape(-1, 6)
    assert now == pytest.approx((steps.max(1) / steps.mean(1)).mean(), abs=0.002)
    assert 1 <= even < now / 1.01
    assert uneven_words(plan, 8, 8, 2) is None
    assert uneven_words(plan, 8, 6, 0) is None  # where an epoch begins the list is that of the new steps


def test_nothing_is_said_where_uneven_steps_cost_nothing():
    assert uneven_words(bw.packed(LENGTHS, 16_384, window=64), 8, 6, 2) is None
    assert uneven_words(bw.shuffled(400, 4), 8, 6, 2) is None
    assert uneven_words(bw.packed(LENGTHS, 16_384, window=64, order=bw.shuffled(20_000, 64)), 8, 6, 2) is None


@few
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


def all_go_on_or_none(plan, state, world, accumulate=1):
    """What ranks of a world are given of an epoch that goes on there; None where each of them refuses the state."""
    ranks = sorted({0, world // 2, world - 1})
    samplers = [plan.sampler(rank=rank, world_size=world, accumulate=accumulate) for rank in ranks]
    refusals = []
    for sampler in samplers:
        try:
            sampler.load_state_dict(state)
        except bw.Infeasible as refusal:
            refusals.append(str(refusal))
    if refusals:
        assert len(refusals) == len(ranks)
        assert len(set(refusals)) == 1
        return None
    steps = len(samplers[0]) - samplers[0].batches_done
    rows = [list(sampler) for sampler in samplers]
    assert {len(row) for row in rows} == {steps}
    assert all(sampler.state_dict() == samplers[0].state_dict() for sampler in samplers)
    return rows


SHORT = np.random.default_rng(0).integers(4, 10, 5000)


@uneven
@pytest.mark.parametrize(
    ("make", "before", "step", "after"),
    [
        (lambda: bw.packed(SHORT[:2000], 9, order=bw.balanced(np.arange(2000) % 7, 8), window=16), 1, 939, 8),
        (lambda: bw.packed(SHORT, 9, order=bw.balanced(np.arange(5000) % 7, 8), window=16), 16, 150, 128),
        (lambda: bw.bucketed(SHORT[:, None], 4, buckets=3, window=16), 16, 40, 128),
        (lambda: bw.bucketed(SHORT[:2000, None], 2, buckets=3, window=16, order=bw.shuffled(2000, 4)), 1, 939, 8),
        (lambda: bw.budgeted(SHORT[:2000], 12, window=16, order=bw.shuffled(2000, 1)), 1, 700, 24),
    ],
)
def test_the_end_of_an_epoch_goes_on_in_a_much_larger_world(make, before, step, after):
    plan = make()
    saving = plan.sampler(rank=0, world_size=before)
    step = min(step, len(saving) - 1)
    assert all_go_on_or_none(plan, saving.state_at(step), after) is not None


@pytest.mark.parametrize("order", [None, bw.shuffled(40, 4)])
def test_a_world_is_refused_by_every_rank_alike_only_where_the_plan_has_no_such_steps(order):
    plan = bw.budgeted(SHORT[:40], 20, window=4, order=order)
    state = plan.sampler(rank=0, world_size=2).state_at(3)
    assert all_go_on_or_none(plan, state, 16) is not None
    assert (all_go_on_or_none(plan, state, 64) is None) == (order is None)  # an order goes on


@uneven
@settings(max_examples=10)
@given(
    st.integers(0, 4),
    st.integers(3, 20),
    st.integers(9, 40),
    st.lists(st.tuples(st.integers(1, 12), st.integers(1, 3), st.integers(0, 10**6)), min_size=2, max_size=4),
)
def test_a_chain_of_worlds_is_gone_through_by_all_ranks_alike(kind, window, capacity, worlds):
    lengths = SHORT[:400]
    plan = [
        lambda: bw.packed(lengths, capacity, window=window, order=bw.balanced(np.arange(400) % 7, 8)),
        lambda: bw.packed(lengths, capacity, window=window),
        lambda: bw.bucketed(lengths[:, None], 1 + capacity // 8, buckets=3, window=window),
        lambda: bw.budgeted(lengths, capacity, window=window, order=bw.shuffled(400, 4)),
        lambda: bw.grouped(lengths, 1 + capacity // 8, window=window),
    ][kind]()
    state = {}
    for world, accumulate, cut in worlds:
        sampler = plan.sampler(rank=0, world_size=world, accumulate=accumulate)
        if all_go_on_or_none(plan, state, world, accumulate) is None:
            return
        sampler.load_state_dict(state)
        state = sampler.state_at(sampler.batches_done + cut % (len(sampler) - sampler.batches_done))


def test_a_far_place_over_an_order_says_what_it_costs(monkeypatch):
    monkeypatch.setattr(order_windows, "_FAR", 40)
    plan = bw.packed([3, 4, 5, 6], 9, window=2, order=bw.shuffled(4, 4))
    plan[2 * 30]
    with pytest.warns(
        bw.PoorWarning, match=r"window 90 over an order .* 59 of them are filled .* load it to go on at once"
    ):
        far = plan[2 * 90]
    assert plan[2 * 90].tolist() == far.tolist()  # which is known now
