"""A run of a plan that cuts by cost goes on in another world, all ranks alike; uneven steps are warned of with numbers."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import batchwright as bw

from ..examples import examples
from ..laws import quietly
from .test_lengthwise import LENGTHS

uneven = pytest.mark.filterwarnings("ignore:the run goes on in steps:batchwright.PoorWarning")

EVERY_SAMPLE = {
    "budgeted": lambda: bw.budgeted(LENGTHS[:900], 4096, window=16),
    "budgeted, an epoch": lambda: bw.budgeted(LENGTHS[:900], 4096, window="epoch"),
    "grouped": lambda: bw.grouped(LENGTHS[:900], 8, window=16),
    "packed": lambda: bw.packed(LENGTHS[:900], 2048, window=16),
    "bucketed": lambda: bw.bucketed(LENGTHS[:900, None], 8, buckets=3, window=16),
}


@uneven
@pytest.mark.parametrize("kind", EVERY_SAMPLE)
@examples(8)
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


@pytest.mark.parametrize("epoch", [0, 1])  # within a step of the plan; where an epoch begins within a step of the run
def test_the_numbers_are_those_of_the_micro_batches_that_come(epoch):
    plan = bw.grouped(LENGTHS[:3000], 8, window=16)
    run = plan.sampler(rank=0, world_size=6)
    run.load_state_dict(plan.sampler(rank=0, world_size=8).state_at(2))
    state = run.state_at(5, epoch=epoch)
    samplers = [plan.sampler(rank=rank, world_size=4) for rank in range(4)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for sampler in samplers:
            sampler.load_state_dict(state)
        comes = [batch for step in zip(*map(iter, samplers), strict=True) for batch in step]
    size, now, even = re.search(
        r"has steps of (\d): .* costs ([\d.]+) of .* ([\d.]+) in", str(caught[0].message)
    ).groups()
    stands = state["origin"] + state["consumed"]
    shift = state["plan"].get("shift", 0)
    assert (int(size), shift > 0) == ((8, False), (6, True))[epoch]
    costs = np.array([plan.cutter.cost(np.array(batch)) for batch in comes[: 32 * int(size)]])
    for written, step, skipped in ((now, 4, 0), (even, int(size), (shift - stands) % int(size))):
        steps = costs[skipped:][: (costs.size - skipped) // step * step].reshape(-1, step)
        assert float(written) == pytest.approx((steps.max(1) / steps.mean(1)).mean(), abs=0.001)


def test_it_is_said_once_where_one_process_has_the_samplers_of_all_ranks():
    plan = bw.grouped(LENGTHS[:3000], 8, window=16)
    before = plan.sampler(rank=0, world_size=8)
    next(iter(before))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for rank in range(6):
            sampler = plan.sampler(rank=rank, world_size=6)
            sampler.load_state_dict(before.state_dict())
            next(iter(sampler))
    assert len(caught) == 1


def test_nothing_is_said_where_uneven_steps_cost_nothing():
    assert uneven_words(bw.packed(LENGTHS, 16_384, window=64), 8, 6, 2) is None
    assert uneven_words(bw.shuffled(400, 4), 8, 6, 2) is None
    plan = quietly(lambda: bw.packed(LENGTHS, 16_384, window=64, order=bw.shuffled(20_000, 64)))
    assert uneven_words(plan, 8, 6, 2) is None


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
@examples(10)
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


def test_what_is_left_beyond_an_epoch_of_fewer_ranks_is_said_and_comes_first_in_the_next_one():
    """Buckets are rounded up to steps: an epoch of 9 ranks has more micro-batches than one of a single rank."""
    shapes = np.random.default_rng(0).choice([384, 512, 640], (997, 2))
    plan = bw.bucketed(shapes, 8)
    samplers = [plan.sampler(rank=rank, world_size=9) for rank in range(9)]
    taken = [batch for _, *step in zip(range(2), *map(iter, samplers), strict=False) for batch in step]
    one = plan.sampler(rank=0, world_size=1)
    one.load_state_dict(samplers[0].state_dict())
    left, length = plan.epoch_length(9) - 18, plan.epoch_length(1)
    assert left > length
    said = (
        rf"an epoch now has {length} of them.* has {left} left: the last {left - length} come at the beginning of the"
    )
    with pytest.warns(bw.PoorWarning, match=said):
        epoch = list(one)
    assert len(epoch) == length
    late = [batch for batch, _ in zip(one, range(left - length), strict=False)]
    assert np.bincount(np.concatenate([*taken, *epoch, *late]), minlength=997).tolist() == [1] * 997


@examples(25)
@given(
    samples=st.integers(1, 800),
    size=st.integers(1, 24),
    buckets=st.integers(1, 10),
    world=st.integers(1, 16),
    window=st.just("epoch") | st.integers(1, 300),
    order=st.sampled_from(["shuffled", "balanced", "local"]),
    seed=st.integers(0, 99),
)
@example(samples=100, size=16, buckets=8, world=4, window="epoch", order="shuffled", seed=2)  # six of eight buckets met
@example(samples=100, size=16, buckets=8, world=4, window=1000, order="shuffled", seed=2)
@example(samples=2000, size=16, buckets=8, world=16, window="epoch", order="shuffled", seed=2)
@example(samples=50, size=16, buckets=5, world=4, window="epoch", order="shuffled", seed=2)
@example(samples=300, size=1, buckets=3, world=7, window="epoch", order="balanced", seed=0)  # no smaller last steps
def test_buckets_over_an_order_fill_their_micro_batches_and_an_epoch_in_any_world(
    samples, size, buckets, world, window, order, seed
):
    rng = np.random.default_rng(seed)
    shapes = np.minimum(1 + rng.geometric(0.1, (samples, 2)), 60)
    orders = {
        "shuffled": lambda: {"order": bw.shuffled(samples, 1 + seed % 16)},
        "balanced": lambda: {"order": bw.balanced(rng.integers(0, 3, samples), 1 + seed % 16)},
        "local": lambda: {"local": bw.Shards([1] * samples, open=4)},
    }
    if order == "local" and samples < 100 * size:  # too few for blocks of shards
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)  # copies come together where a window goes through all samples
        plan = bw.bucketed(shapes, size, buckets=buckets, window=window, **orders[order]())
        wanted = plan.epoch_samples
        sizes = [[len(batch) for batch in plan.epoch(epoch, world)] for epoch in range(30)]
        assert plan.summary(world).batch_sizes[0] > 0
    step = world * size
    drawn = np.mean([sum(epoch) for epoch in sizes])
    # A window of n steps closes at step n + 1: all buckets but one may have just begun a step. It has two for each bucket.
    assert sum(map(sum, sizes)) >= 0.5 * size * sum(map(len, sizes))
    assert drawn <= max(1.1 * wanted, step)
    assert drawn >= 0.85 * wanted - step or wanted < step
    if wanted >= 2 * len(plan.buckets) * step and len(plan.buckets) > 1:
        assert 0.7 * wanted <= drawn <= 1.1 * wanted
