"""States that no run gives: each is refused when it is loaded, in words, and the sampler is as it was before."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from .examples import examples

pytestmark = pytest.mark.filterwarnings("ignore:the run goes on in steps:batchwright.PoorWarning")  # in other worlds

LABELS = [0] * 60 + [1] * 30 + [2] * 10
LENGTHS = np.random.default_rng(5).integers(4, 10, 400)


def moved():
    """A plan whose shares are set in the run."""
    return bw.balanced(LABELS, 12, target=bw.targets.moving("uniform", floor=0.1, ceiling=0.8))


PLANS = {
    "fixed": lambda: bw.shuffled(103, 4),
    "moving": moved,
    "tasks": lambda: bw.alternating({"a": bw.shuffled(13, 4), "b": bw.shuffled(9, 4)}),
    "tasks by step": lambda: bw.alternating({"a": bw.shuffled(13, 4), "b": bw.shuffled(9, 4)}, unit="step"),
    "tasks over an order": lambda: bw.alternating(
        {"a": bw.budgeted(LENGTHS, 60, window=4, order=bw.balanced(np.arange(400) % 7, 8)), "b": bw.shuffled(9, 4)},
        unit="step",
    ),
    "layers": lambda: bw.budgeted(LENGTHS, 60, window=4),
    "windows of an order": lambda: bw.packed(LENGTHS, 40, window=4, order=bw.balanced(np.arange(400) % 7, 8)),
    "pieces": lambda: bw.packed(LENGTHS, 25, window=4, too_long="split", order=bw.balanced(np.arange(400) % 7, 8)),
    "buckets": lambda: bw.bucketed(LENGTHS[:, None], 4, buckets=3, window=8),
    "evaluation": lambda: bw.evaluation(103, 4),
    "evaluation in tokens": lambda: bw.evaluation(LENGTHS, max_tokens=60),
    "an epoch": lambda: bw.budgeted(LENGTHS, 60, window="epoch"),
}
WORLDS = [(1, 1), (2, 1), (1, 3), (5, 1)]
ODD = [
    None, True, -1, 0, 1, 2, 7, 10**6, 2**31, 2**62, 2**63, 10**30, 10**5000, -(10**5000), 1.5, float("nan"), float("inf"),
    "3", "0x10", "0x" + "f" * 6000, "", [], [1], {}, {"a": 1}, [None], [[1]], np.int64(3), np.array([1, 2]), b"1",
]  # fmt: skip
MORE = [
    "step_size",
    "windows",
    "shift",
    "then",
    "ahead",
    "first",
    "tasks",
    "share_changes",
    "at",
    "start",
    "begin",
    "odd",
]


def states(name):
    """States of runs in several worlds, with all that a state may hold."""
    plan, state, found = PLANS[name](), {}, []
    for world, accumulate in WORLDS:
        sampler = plan.sampler(rank=0, world_size=world, accumulate=accumulate)
        sampler.load_state_dict(state)
        lists = iter(sampler)
        for number in range(4):
            next(lists, None)
            if number == 1 and name == "moving":
                sampler.retarget([0.5 - 0.1 * world / 5, 0.3, 0.2 + 0.1 * world / 5])
        state = json.loads(json.dumps(sampler.state_dict()))
        found.append(state)
    list(lists)
    return [*found, sampler.state_dict()]


def places(value, path=()):
    """The way to every value of a state, at any depth."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inside:
        yield (*path, name)
        yield from places(part, (*path, name))


def damaged(state, data):
    """A state with one value gone, changed, cut short, or one too many, at any depth."""
    state = copy.deepcopy(state)
    known = [path for path in places(state) if path[0] not in ("fingerprint", "version")]
    added = [
        ("ended",),
        ("plan",),
        *((*path, more) for path in known for more in MORE if path[-1] in ("plan", "then") and path[0] != "identity"),
    ]
    path = data.draw(st.sampled_from([*known, *(path for path in added if path not in known)]), label="place")
    inside = state
    for name in path[:-1]:
        inside = inside[name]
    name = path[-1]
    value = inside.get(name) if isinstance(inside, dict) else inside[name]
    kind = data.draw(st.sampled_from(["gone", "odd", "near", "cut"]), label="kind")
    if kind == "gone":
        inside.pop(name, None) if isinstance(inside, dict) else inside.pop(name)
    elif kind == "near" and type(value) is int:
        inside[name] = value + data.draw(st.integers(-500, 500), label="by")
    elif kind == "cut" and isinstance(value, list):
        inside[name] = value[: data.draw(st.integers(0, len(value)), label="cut")] + data.draw(
            st.sampled_from([[], [0], [3, 4], value])
        )
    else:
        inside[name] = data.draw(st.sampled_from(ODD), label="odd")
    return state


@pytest.mark.parametrize("name", PLANS)
@examples(60)
@given(st.integers(1, 5), st.integers(0, 3), st.data())
def test_a_damaged_state_is_refused_in_words_or_gone_on_from(name, world, before, data):
    every = STATES[name] if name in STATES else STATES.setdefault(name, states(name))
    state = damaged(data.draw(st.sampled_from(every), label="state"), data)
    sampler = PLANS[name]().sampler(rank=world - 1, world_size=world)
    sampler.load_state_dict(every[0])
    lists = iter(sampler)
    for _ in range(before):
        next(lists, None)
    known = sampler.state_dict(), sampler.plan, sampler.epoch, sampler.batches_done
    for _ in range(2):  # a second time nothing is accepted that was not the first time
        refusal = refused(sampler, state)
        if refusal is None:
            assert len(sampler) > sampler.batches_done
            assert all(sampler)
            assert json.loads(json.dumps(sampler.state_dict()))
            break
        assert refusal.way_out
        assert len(str(refusal)) < 500
        assert (sampler.state_dict(), sampler.plan, sampler.epoch, sampler.batches_done) == known


def refused(sampler, state):
    """What loading a state raises in words, None where it is taken."""
    try:
        sampler.load_state_dict(state)
    except bw.Infeasible as refusal:
        return refusal
    return None


STATES: dict[str, list] = {}


@pytest.mark.parametrize("name", PLANS)
def test_a_state_without_any_one_of_its_values_or_of_another_type_is_refused(name):
    sampler = PLANS[name]().sampler()
    for state in states(name):
        for key in ("version", "fingerprint", "epoch", "consumed", "step_size", "origin"):
            for value in (None, 1.5, float("nan"), "x", [], True, np.array([1, 2]), -(2**70), 10**5000):
                with pytest.raises(bw.Infeasible):
                    sampler.load_state_dict({**state, key: value})
            with pytest.raises(bw.Infeasible):
                sampler.load_state_dict({other: value for other, value in state.items() if other != key})
        for value in (None, 1.5, "x", [1], True, np.array([1, 2]), 10**5000):
            with pytest.raises(bw.Infeasible):
                sampler.load_state_dict({**state, "plan": value})
        for *way, last in places(state.get("plan", {})):
            for value in (None, 1.5, float("nan"), "x", {"a": 1}, True, np.array([1, 2]), -(2**70), 10**5000, 2**62):
                other = copy.deepcopy(state)
                inside = other["plan"]
                for part in way:
                    inside = inside[part]
                inside[last] = value
                with pytest.raises(bw.Infeasible):
                    sampler.load_state_dict(other)
    assert sampler.state_dict() == PLANS[name]().sampler().state_dict()
    assert next(iter(sampler)) == next(iter(PLANS[name]().sampler()))
    for no_state in (None, 3, "state", [1], object()):
        with pytest.raises(bw.Infeasible, match=r"the state is (None|of type)"):
            sampler.load_state_dict(no_state)


def test_a_refused_state_leaves_the_shares_of_the_run_as_they_were():
    """The shares in a state are right and its place is not: neither is taken, not at the second call either."""
    saving = moved().sampler()
    next(iter(saving))
    saving.retarget([0.6, 0.2, 0.2])
    state = saving.state_dict()
    sampler = moved().sampler()
    for _ in range(2):
        with pytest.raises(bw.Infeasible, match="has consumed 99999"):
            sampler.load_state_dict({**state, "consumed": 99_999})
        assert sampler.state_dict() == moved().sampler().state_dict()
        assert sampler.plan.share_changes == ()


@pytest.mark.parametrize("column", [2, 3, 4])
@pytest.mark.parametrize(
    "values", [[], [1], [1, 2], [1, 2, 3, 4], [-1, 2, 0], [2**62, 2**62, 2**62], [0, 0, 0], [1.0, 2.0, 3.0]]
)
def test_shares_that_do_not_go_with_the_groups_never_reach_the_dealing(column, values):
    saving = moved().sampler()
    next(iter(saving))
    saving.retarget([0.6, 0.2, 0.2])
    state = saving.state_dict()
    state["plan"]["share_changes"][-1][column] = values
    sampler = moved().sampler()
    if (column, values) == (4, [0, 0, 0]):  # that nothing is owed may be so
        sampler.load_state_dict(state)
    else:
        with pytest.raises(bw.Infeasible):
            sampler.load_state_dict(state)
        assert sampler.plan.share_changes == ()


@pytest.mark.parametrize("count", [2, 15, 223, 600])
def test_the_state_of_many_tasks_is_json_after_an_elastic_resume(count):
    def make():
        return bw.alternating({str(task): bw.shuffled(40, 2) for task in range(count)}, unit="step")

    saving = make().sampler(rank=0, world_size=2)
    next(iter(saving))
    middle = make().sampler(rank=0, world_size=3)
    middle.load_state_dict(saving.state_dict())
    lists = iter(middle)
    next(lists)
    text = json.dumps(middle.state_dict())
    assert len(text) < (900 if count <= 15 else 750 + 17 * count)
    again = make().sampler(rank=0, world_size=3)
    again.load_state_dict(json.loads(text))
    assert list(again) == list(lists)


def test_the_state_of_another_mixture_names_the_sources():
    state = bw.mixed({"web": 100, "books": 100}, 4).sampler(rank=0, world_size=1).state_dict()
    with pytest.raises(bw.Infeasible, match=r"its groups was .*'books' 100.*, now it is .*'books' 120"):
        bw.mixed({"web": 100, "books": 120}, 4).sampler(rank=0, world_size=1).load_state_dict(state)
    balanced = bw.balanced(["a", "b"] * 50, 4)
    with pytest.raises(bw.Infeasible, match="also other: source 'books'"):
        bw.mixed({"web": 100, "books": balanced}, 4).sampler(rank=0, world_size=1).load_state_dict(state)
