"""Shares that are set while a run is under way: coverage, resume and ranks as before."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.kernels.deal_arguments import ROUND

from .examples import examples
from .laws import quietly

LABELS = np.repeat(np.arange(4), [300, 200, 60, 40])
MOVES = [[0.4, 0.3, 0.2, 0.1], [0.1, 0.1, 0.3, 0.5], [0.25, 0.25, 0.25, 0.25], [0.05, 0.55, 0.2, 0.2]]


def plan(seed=0, **options):
    return bw.balanced(LABELS, 20, target=bw.targets.moving("uniform", floor=0.05, ceiling=0.55), seed=seed, **options)


def mixture():
    return bw.mixed(
        {"plain": 400, "own": bw.balanced(LABELS, 8), "small": 90, "other": 60},
        20,
        target=bw.targets.moving("sqrt", ceiling=0.55),
        epoch=25,
    )


def run(sampler, steps, moves):
    """What a rank is given over many epochs, with shares set after certain steps."""
    got = []
    while len(got) < steps:
        for batch in sampler:
            got.append(batch)
            if len(got) in moves:
                sampler.retarget(moves[len(got)])
            if len(got) == steps:
                break
    return got


@examples(30)
@given(
    make=st.sampled_from([plan, mixture]),
    moves=st.dictionaries(st.integers(1, 500), st.sampled_from(MOVES), max_size=6),
)
def test_guarantees_are_kept_across_moves(make, moves):
    made = make()
    sampler = made.sampler(rank=0, world_size=1)
    got = run(sampler, 600, moves)
    assert np.array_equal(got, [sampler.plan[t] for t in range(600)])
    audit = sampler.plan.audit(batches=700)
    assert audit.kept, str(audit)
    assert sampler.plan.fingerprint == made.fingerprint


@examples(15)
@given(
    epoch=st.sampled_from([1, 7, 30, 89, 150]),
    epochs=st.integers(30, 120),
    batch_size=st.integers(5, 40),
    seed=st.integers(0, 2**64 - 1),
)
def test_drift_does_not_add_up_over_a_schedule(epoch, epochs, batch_size, seed):
    """After every change of shares, what groups lacked before it is paid back."""
    target = bw.targets.schedule("natural", "uniform", epochs=epochs)
    labels = np.arange(900) % 37 // (1 + np.arange(900) % 3)
    made = quietly(lambda: bw.balanced(labels, batch_size, target=target, epoch=epoch, seed=seed))
    for batch in range(epoch, (epochs + 1) * epoch, max(1, epoch // 2)):
        wanted = made.prior_between(0, batch) * batch * batch_size
        assert np.abs(made.order.drawn(batch) - wanted).max() <= 6


def test_drift_does_not_add_up_however_often_shares_are_set():
    sampler, generator = plan().sampler(), np.random.default_rng(0)
    shares, begun, wanted = np.full(4, 0.25), 0, np.zeros(4)
    for _ in range(200):
        run(sampler, 95, {})
        following = 0.25 + 0.4 * (generator.dirichlet([1, 1, 1, 1]) - 0.25)
        first = sampler.retarget(following)
        wanted, shares, begun = wanted + 20 * (first - begun) * shares, following, first
        assert np.abs(sampler.plan.order.drawn(first) - wanted).max() <= 6


def test_shares_move_at_the_next_round_and_not_before():
    sampler = plan().sampler()
    run(sampler, 50, {50: MOVES[1]})
    assert sampler.state_dict()["plan"]["share_changes"][0][0] == ROUND
    counts = [np.bincount(LABELS[sampler.plan[t]], minlength=4).tolist() for t in range(2 * ROUND)]
    assert counts[:ROUND] == [[5, 5, 5, 5]] * ROUND
    assert counts[ROUND:] == [[2, 2, 6, 10]] * ROUND
    assert sampler.plan.shares().tolist() == pytest.approx(MOVES[1])


def test_shares_set_again_before_the_round_replace_the_first():
    sampler = plan().sampler()
    run(sampler, 10, {3: MOVES[1], 9: MOVES[0]})
    (segment,) = sampler.state_dict()["plan"]["share_changes"]
    assert np.array(segment[2]) / sum(segment[2]) == pytest.approx(MOVES[0])


@examples(30)
@given(
    moves=st.dictionaries(st.integers(1, 400), st.sampled_from(MOVES), max_size=8),
    stops=st.lists(st.integers(1, 499), max_size=4),
    world=st.integers(1, 3),
)
def test_a_resumed_run_equals_an_uninterrupted_one(moves, stops, world):
    expected = run(plan().sampler(rank=0, world_size=world), 500, moves)
    got, state = [], {}
    for stop in [*sorted(stops), 500]:
        sampler = plan().sampler(rank=0, world_size=world)
        sampler.load_state_dict(json.loads(json.dumps(state)))
        done = len(got)
        if stop > done:
            got += run(sampler, stop - done, {step - done: shares for step, shares in moves.items()})
        state = sampler.state_dict()
    assert got == expected


@examples(20)
@given(
    moves=st.dictionaries(st.integers(1, 60), st.sampled_from(MOVES), min_size=1, max_size=3),
    worlds=st.permutations([1, 2, 4]),
)
def test_ranks_agree_and_the_world_may_change(moves, worlds):
    seen, state = [], {}
    for world in worlds:
        samplers = [plan().sampler(rank=rank, world_size=world) for rank in range(world)]
        for sampler in samplers:
            sampler.load_state_dict(state)
        ranks = [run(sampler, 80, moves) for sampler in samplers]
        seen += [batch for together in zip(*ranks, strict=True) for batch in together]
        states = [sampler.state_dict() for sampler in samplers]
        assert all(other == states[0] for other in states)
        state = states[0]
    counts = np.bincount(np.concatenate(seen), minlength=LABELS.size)
    for group in np.split(counts, np.flatnonzero(np.diff(LABELS)) + 1):
        assert np.ptp(group) <= 1


def test_a_state_decides_over_the_shares_a_plan_was_built_with():
    first = plan()
    moved = first.with_share_changes([first.share_change_after(1, MOVES[1])])
    sampler = moved.sampler()
    sampler.load_state_dict(first.sampler().state_dict())
    assert np.array_equal(sampler.plan[ROUND], first[ROUND])
    other = first.sampler()
    other.load_state_dict(moved.sampler().state_dict())
    assert np.array_equal(other.plan[ROUND], moved[ROUND])


def test_the_state_stays_small_however_often_shares_move():
    sampler = plan().sampler()
    for number in range(40):
        run(sampler, 30, {30: MOVES[number % 4]})
    assert len(sampler.state_dict()["plan"]["share_changes"]) <= 8


KINDS = {"fixed": plan, "mixed": mixture, "packed": lambda: bw.packed([3, 4] * 300, 30, order=plan(), window=4)}


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_was_forgotten_is_refused_and_the_advice_works(kind, world):
    made = KINDS[kind]()
    ranks = [made.sampler(rank=rank, world_size=world) for rank in range(world)]
    for number in range(40 if kind == "packed" else 12):
        for rank in ranks:
            run(rank, 100, {100: MOVES[number % 4]})
    resumed = made.sampler(rank=0, world_size=world)
    resumed.load_state_dict(ranks[0].state_dict())
    for sampler in (ranks[0], resumed):
        in_steps = {"step_size": world} if kind == "packed" else {}
        check_that_it_is_refused(sampler, sampler.plan, world, in_steps)


def check_that_it_is_refused(sampler, made, world, in_steps):
    length = 1 if in_steps else made.epoch_length()  # other audits begin at a micro-batch
    for ask, follow in [
        (lambda: made.stepped(world)[0], None),
        (lambda: made.at(0, world_size=world), None),
        (lambda: made.audit(**in_steps), lambda epoch: made.audit(**in_steps, first=epoch * length)),
        (lambda: made.report(world_size=world), lambda epoch: made.report(epoch=epoch, world_size=world)),
        (sampler.audit, lambda epoch: sampler.audit(first=epoch)),
    ]:
        with pytest.raises(bw.Infeasible, match=r"still knows|are known") as refused:
            ask()
        (later,) = set(re.findall(r"(?:epoch|first)=(\d+)", str(refused.value)))
        if follow is not None:
            follow(int(later))


def test_shares_may_be_set_by_the_name_of_a_target():
    plan = bw.balanced(["a"] * 6 + ["b"] * 2, 4, target=bw.targets.moving("uniform"))
    for named, shares in [("natural", [0.75, 0.25]), (bw.targets.blend(0.5), [0.625, 0.375])]:
        sampler, by_hand = plan.sampler(), plan.sampler()
        sampler.retarget(named), by_hand.retarget(shares)
        assert sampler.state_dict() == by_hand.state_dict()


@pytest.mark.parametrize(
    ("build", "shares", "fact"),
    [
        (lambda: bw.balanced(LABELS, 20), MOVES[0], "cannot be set"),
        (lambda: bw.alternating({"a": bw.shuffled(9, 3)}), [1.0], "cannot be set"),
        (plan, [0.7, 0.1, 0.1, 0.1], "share 0.7, the plan is laid out for 0.05 to 0.55"),
        (plan, [0.5, 0.5], "the 2 new shares"),
        (plan, ["a", 1, 2, 3], "the new shares at position 0 is 'a'"),
        (plan, "unifrom", "no target is called 'unifrom'"),
        (plan, bw.targets.schedule("natural", "uniform", epochs=2), "moves"),
        (plan, {0: 0.5, 1: 0.5, 2: 0.0, "x": 0.0}, "the new shares name .x., which is no group"),
        (plan, [0.3, 0.3, 0.3, 0.3], "sum to 1.2"),
    ],
)
def test_shares_that_cannot_be_set_are_refused(build, shares, fact):
    with pytest.raises(bw.Infeasible, match=fact):
        build().sampler().retarget(shares)


def test_limits_that_leave_no_room_are_refused():
    with pytest.raises(bw.Infeasible, match=r"floor is 0\.5 and ceiling 0\.2"):
        bw.targets.moving("uniform", floor=0.5, ceiling=0.2)
    with pytest.raises(bw.Infeasible, match="moves by itself"):
        bw.targets.moving(bw.targets.schedule("natural", "uniform", epochs=2))
    with pytest.raises(bw.Infeasible, match=r"'b' the share 0\.1 to begin with, the limits are 0\.2 to 0\.9"):
        bw.balanced(["a"] * 9 + ["b"], 4, target=bw.targets.moving("natural", floor=0.2, ceiling=0.9))


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (
            lambda: bw.balanced([0] * 60 + [1] * 40, 10, target=bw.targets.moving("uniform"), draw="random"),
            "independent",
        ),
        (lambda: bw.hierarchical([[0] * 60 + [1] * 40], [2, 3]), "its groups come in turn"),
        (lambda: bw.weighted([1, 2, 3], 2), "they are weights of single samples"),
    ],
)
def test_plans_whose_shares_cannot_be_set_say_why_and_the_way_out_works(plan, why):
    with pytest.raises(bw.Infeasible, match=why) as refusal:
        plan().sampler().retarget("uniform")
    assert "balanced(" in refusal.value.way_out
    way_out = bw.balanced([0] * 60 + [1] * 40, 10, target=bw.targets.moving("uniform"), draw="exact")
    assert way_out.sampler().retarget([0.3, 0.7]) == 0
