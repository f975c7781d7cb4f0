"""G1 to G6 and G9's cost, on plans that hypothesis makes up: any sizes, batches, targets, seeds, positions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import batchwright as bw
from batchwright.groups import Groups
from batchwright.kernels.deal import new_board

SEEDS = st.integers(0, 2**64 - 1)
TARGETS = (
    st.sampled_from(["uniform", "natural", "sqrt"])
    | st.floats(0, 1)
    | st.builds(bw.targets.power, st.floats(0, 1))
    | st.builds(bw.targets.effective_number, st.floats(0, 0.9999))
    | st.builds(bw.targets.repeat_factor, st.floats(0, 1))
    | st.builds(bw.targets.capped, st.integers(1, 50))
    | st.builds(bw.targets.schedule, st.just("natural"), st.just("uniform"), epochs=st.integers(1, 4))
)
SIZES = (
    st.lists(st.integers(1, 300), min_size=1, max_size=40)
    | st.just([1])
    | st.integers(1, 10**6).map(lambda n: [n])
    | st.integers(2, 2000).map(lambda g: [10**6] + [1] * g)
    | st.just([3] * 10_000)
)


@st.composite
def plans(draw):
    sizes = draw(SIZES)
    per_class = draw(st.sampled_from([1, 1, 1, 2, 4]))
    tickets = draw(st.integers(1, 64) | st.sampled_from([128, 1024, 4096]))
    if per_class > 1:
        tickets = min(tickets, len(sizes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        return bw.balanced(
            Groups.from_sizes(dict(enumerate(sizes))),
            tickets * per_class,
            per_class=per_class,
            target=draw(TARGETS),
            seed=draw(SEEDS),
            epoch=draw(st.just("natural") | st.integers(1, 100)),
        )


def how_many(plan, most=300):
    """Fewer micro-batches where they are large, so that an example stays quick."""
    return max(20, min(most, 200_000 // (plan.batch_size + plan.groups.group_count)))


@settings(max_examples=80)
@given(plan=plans())
def test_g1_to_g6_from_the_beginning(plan):
    audit = plan.audit(batches=how_many(plan))
    assert audit.kept, f"{plan!r}\n{audit}"


@settings(max_examples=40)
@given(plan=plans(), first=st.integers(0, 10**6))
def test_g1_to_g6_anywhere(plan, first):
    assume(plan.order.shares.settles_at == 0)
    audit = plan.audit(batches=how_many(plan, 200), first=first)
    assert audit.kept, f"{plan!r}\n{audit}"


@settings(max_examples=40)
@given(
    weights=st.lists(st.floats(0, 100), min_size=1, max_size=300).filter(lambda w: sum(w) > 1),
    batch_size=st.integers(1, 64),
    seed=SEEDS,
)
def test_weighted_samples_come_floor_or_ceil_of_their_expectation(weights, batch_size, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        plan = bw.weighted(weights, batch_size, seed=seed)
    audit = plan.audit(batches=200)
    assert audit.kept, f"{weights}\n{audit}"


def test_g3_drift_over_a_million_micro_batches():
    """The running totals are had without replay, so a million micro-batches are 3,000 look-ups."""
    sizes = np.random.default_rng(0).zipf(1.3, 1000).clip(1, 10**6)
    worst = 0.0
    for target in ("uniform", "natural", "sqrt"):
        plan = bw.balanced(Groups.from_sizes(dict(enumerate(sizes.tolist()))), 256, target=target)
        quota = plan.shares() * 256
        for t in range(0, 10**6, 997):
            worst = max(worst, float(np.abs(plan.order.drawn(t) - t * quota).max()))
    assert worst <= 6


@pytest.mark.long
def test_g3_drift_over_a_million_micro_batches_one_by_one():
    plan = bw.balanced(Groups.from_sizes({g: 10 + g for g in range(50)}), 64, target="sqrt")
    quota = plan.shares() * 64
    worst = max(float(np.abs(plan.order.drawn(t) - t * quota).max()) for t in range(10**6))
    assert worst <= 6


@settings(max_examples=30)
@given(seed=SEEDS, world=st.integers(1, 16), accumulate=st.integers(1, 8), step=st.integers(0, 10**6))
def test_g6_a_global_batch_is_balanced(seed, world, accumulate, step):
    plan = bw.balanced(Groups.from_sizes({g: 100 + 7 * g for g in range(20)}), 16, seed=seed)
    run = world * accumulate
    counts = np.bincount(plan.groups.group_of(plan.order.batches(step * run, 1, run).reshape(-1)), minlength=20)
    crosses = step * run // 89 != (step * run + run - 1) // 89
    assert np.abs(counts - run * 16 / 20).max() <= (6 if crosses or run > 89 else 3)


@given(weights_of=st.integers(2, 50), seed=SEEDS)
@example(weights_of=2, seed=0)
def test_random_draws_hold_shares_on_average(weights_of, seed):
    plan = bw.balanced(Groups.from_sizes(dict.fromkeys(range(weights_of), 5)), 50, draw="random", seed=seed)
    counts = np.bincount(plan.groups.group_of(plan.order.batches(0, 1, 400)).reshape(-1), minlength=weights_of)
    expected = 20_000 / weights_of
    assert ((counts - expected) ** 2 / expected).sum() < weights_of - 1 + 6 * np.sqrt(2 * weights_of)


@settings(max_examples=25)
@given(position=st.integers(0, 10**11), groups=st.integers(1, 3000))
def test_g9_the_work_of_going_on_does_not_depend_on_the_position(position, groups):
    """Counted in steps over groups, not in seconds: one floor sum and one layout a group, wherever it is."""
    plan = bw.balanced(Groups.from_sizes(dict.fromkeys(range(groups), 64)), 64)
    deck = plan.order._known[0][0]
    deck._boards[:] = [new_board(deck.heavy.size)]
    plan[position]
    work = int(deck._boards[0][0][2])
    assert work <= 3 * deck.heavy.size + 64


@given(world=st.sampled_from([128, 1024]), start=st.integers(0, 10**6))
def test_g8_a_rank_pays_for_its_own_batches(world, start):
    """The work of one of its micro-batches is bounded by the groups and the rounds it jumps over, not by the world."""
    plan = bw.balanced(Groups.from_sizes(dict.fromkeys(range(500), 3)), 64)
    deck = plan.order._known[0][0]
    deck._boards[:] = [new_board(deck.heavy.size)]
    plan.order.batches(start, world, 20)
    work = int(deck._boards[0][0][2])
    rounds_between = -(-world // 89)
    assert work <= 20 * (64 + deck.heavy.size * (2 + rounds_between)) + deck.heavy.size
