"""Shares that are set while a plan by lengths runs over an order: nothing is lost, all ranks and restarts agree."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain, cycle, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from ..examples import examples

SIZES = {"web": 500, "code": 200, "books": 60}
SOURCE = np.repeat(np.arange(3), list(SIZES.values()))
pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
LENGTHS = np.random.default_rng(0).integers(1, 100, SOURCE.size)
SHARES = [[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [1.0, 0.0, 0.0]]
CUTS = {
    "packed": lambda **more: bw.packed(LENGTHS, 100, **more),
    "split": lambda **more: bw.packed(LENGTHS, 60, too_long="split", **more),
    "budgeted": lambda **more: bw.budgeted(LENGTHS, 400, **more),
    "grouped": lambda **more: bw.grouped(LENGTHS, 5, **more),
}


def plan(kind, size, window, seed=0):
    order = bw.mixed(SIZES, size, target=bw.targets.moving(SHARES[0]), seed=seed)
    return CUTS[kind](order=order, window=window, seed=seed)


def samplers(made, world_size, state):
    found = [made.sampler(rank=rank, world_size=world_size) for rank in range(world_size)]
    for sampler in found:
        sampler.load_state_dict(state)
    return found


def step_by_step(ranks):
    """What all ranks are given, step by step, over many epochs."""
    while True:
        for step in zip(*ranks, strict=True):
            yield list(step)


@examples(25)
@given(
    kind=st.sampled_from(sorted(CUTS)),
    size=st.integers(1, 6),
    window=st.sampled_from([1, 7, 24]),
    lives=st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 25), st.sampled_from([None, *SHARES])), min_size=2, max_size=6
    ),
)
def test_a_run_whose_shares_are_set_loses_and_repeats_nothing_in_any_world(kind, size, window, lives):
    drawn, state = Counter(), {}
    for world_size, steps, shares in lives:
        made = plan(kind, size, window)  # as after a restart: only the state knows what was set
        ranks = samplers(made, world_size, state)
        if shares is not None:
            assert len({sampler.retarget(shares) for sampler in ranks}) == 1
        alone = samplers(plan(kind, size, window), world_size, ranks[0].state_dict())
        for step, other in zip(islice(step_by_step(ranks), steps), step_by_step(alone), strict=False):
            assert step == other
            drawn.update(chain.from_iterable(step))
        states = [json.loads(json.dumps(sampler.state_dict())) for sampler in ranks]
        assert all(one == states[0] for one in states)
        state = states[0]
    position = ranks[0].position()
    sequence, number = position.sequence.without_past(position.micro_batch)
    sequence = getattr(sequence, "_before", sequence)
    lengthwise = getattr(sequence, "plan", sequence)
    windows, window = lengthwise.windows, lengthwise.windows.window_and_place(number)[0]
    order = ranks[0].plan.order_plan.order
    emitted = lengthwise.admission.items
    before = Counter(emitted(order.take(0, windows.start(window).place)).tolist())
    behind = Counter(emitted(order.take(0, windows.start(window + 1).place + 1)).tolist())
    assert not before - drawn - (Counter() if kind != "split" else before)
    assert not drawn - behind


@pytest.mark.parametrize("kind", sorted(CUTS))
def test_new_shares_are_kept_from_the_micro_batch_that_retarget_names(kind):
    made = plan(kind, 5, 16)
    sampler = made.sampler(rank=0, world_size=1)
    given = list(islice(cycle_of(sampler), 20))
    first = sampler.retarget(SHARES[1])
    given += islice(cycle_of(sampler), first + 300 - 20)
    for start, stop, shares in ((0, 20, SHARES[0]), (first, first + 300, SHARES[1])):
        samples = np.array(list(chain.from_iterable(given[start:stop])))
        groups = made.groups.group_of(samples)
        measured = np.bincount(groups, minlength=3) / groups.size
        assert np.abs(measured - shares).max() < 0.06
    for number in range(20):
        assert given[number] == made[number].tolist()


def cycle_of(sampler):
    for _ in cycle([0]):
        yield from sampler


def test_shares_set_in_every_step_do_not_pile_up():
    sampler = plan("packed", 1, 7).sampler(rank=0, world_size=1)
    batches = cycle_of(sampler)
    for number in range(60):
        next(batches)
        first = sampler.retarget(SHARES[number % 3])
        assert first <= number + 89 + 3 * 7
    assert len(sampler.state_dict()["plan"]["set_shares"]) <= 16


def test_a_run_whose_shares_are_set_very_often_loses_and_repeats_nothing():
    lengths = np.random.default_rng(0).integers(20, 900, 3000)

    def ordered():
        return bw.mixed({"web": 2000, "code": 800, "books": 200}, 4, target=bw.targets.moving(SHARES[0]))

    sampler = bw.packed(lengths, 1024, order=ordered(), window=16).sampler(rank=0, world_size=1)
    generator, given, changes = np.random.default_rng(1), [], []
    for number, batch in enumerate(islice(cycle_of(sampler), 3680), 1):  # a whole number of windows
        given += batch
        if number % 60 == 0:
            sampler.retarget(generator.dirichlet([2, 2, 2]))
            (*_, latest) = sampler.plan.set_shares
            changes = [*(change for change in changes if change.first < latest.change.first), latest.change]
    whole = ordered().with_share_changes(changes).order.take(0, len(given))
    assert Counter(given) == Counter(whole.tolist())


def test_a_damaged_state_of_set_shares_is_refused():
    sampler = plan("packed", 3, 7).sampler(rank=0, world_size=1)
    next(iter(sampler))
    sampler.retarget(SHARES[1])
    state = sampler.state_dict()
    (entry,) = state["plan"]["set_shares"]
    for damaged in ([entry] * 2, [entry[:3]], [[10**9, *entry[1:]]], "none", [[0, -1, *entry[2:]]]):
        other = plan("packed", 3, 7).sampler(rank=0, world_size=1)
        before = other.state_dict()
        with pytest.raises(bw.Infeasible):
            other.load_state_dict({**state, "plan": {**state["plan"], "set_shares": damaged}})
        assert other.state_dict() == before


def test_feedback_sets_the_shares_of_a_plan_by_lengths():
    sampler = plan("budgeted", 4, 8).sampler(rank=0, world_size=1)
    feedback = bw.feedback.Feedback(sampler, bw.feedback.by_signal(), most_change=0.2)
    feedback.observe([1.0, 3.0, 3.0], labels=["web", "code", "books"])
    wanted = feedback.update()
    (one,) = sampler.plan.set_shares
    assert np.allclose(np.array(one.change.weights) / sum(one.change.weights), wanted)
