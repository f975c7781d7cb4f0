"""Plans of tasks: one task a batch or a step, every task in its own order, whatever the world."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.plans import TaskPlan

from ..examples import examples


def build(unit="batch", target="natural", **options):
    return bw.alternating(
        {
            "tag": bw.balanced(np.arange(300) % 5, 10, seed=1),
            "parse": bw.shuffled(150, 7, seed=2),
            "rank": bw.mixed({"web": 200, "books": 40}, 12, seed=3),
        },
        target=target,
        unit=unit,
        **options,
    )


@examples(20)
@given(
    target=st.sampled_from(["natural", "uniform", "sqrt", {"tag": 0.11, "parse": 0.3, "rank": 0.59}, 0.123456789]),
    first=st.integers(0, 10**9),
)
def test_audit_is_kept_anywhere(target, first):
    plan = build(target=target)
    audit = plan.audit(batches=150, first=first)
    assert audit.kept, str(audit)
    assert audit["G3"].bound <= 1


def tasks_of_epoch(plan, epoch, step_size):
    """The task of every micro-batch of an epoch."""
    in_steps, length = plan.stepped(step_size), plan.epoch_length(step_size)
    return [in_steps.task_of(epoch * length + number) for number in range(length)]


class Tampered(TaskPlan):
    """A plan of tasks that is broken on purpose."""

    def __getitem__(self, batch):
        return super().__getitem__(batch + 1)


def test_an_audit_finds_a_task_out_of_order():
    plan = build()
    plan.__class__ = Tampered
    audit = plan.audit(batches=20)
    assert not audit["G2"].kept
    assert not audit["G4"].kept


def test_round_robin_is_strict_by_steps_and_by_rounds():
    plan = build(target="uniform", unit="step")
    assert [plan.task_of(t) for t in range(6)] == ["tag", "parse", "rank"] * 2
    plan = build(target="uniform")
    rounds = [tuple(plan.task_of(3 * number + t) for t in range(3)) for number in range(60)]
    assert {tuple(sorted(one)) for one in rounds} == {("parse", "rank", "tag")}
    assert len(set(rounds)) == 6


@examples(40)
@given(
    target=st.sampled_from(
        ["uniform", {"a": 2, "b": 1}, {"a": 5, "b": 3}, {"a": 50_001, "b": 50_000}, {"a": 0.9, "b": 0.1}]
    ),
    world=st.integers(2, 16),
    accumulate=st.integers(1, 3),
    epoch=st.integers(0, 10**6),
)
def test_every_rank_has_every_task_whatever_the_number_of_ranks(target, world, accumulate, epoch):
    """With turns in strict periods rank 0 of 2 never had the second of two tasks."""
    if isinstance(target, dict):
        target = {name: share / sum(target.values()) for name, share in target.items()}
    plan = bw.alternating(
        {"a": bw.shuffled(100, 2), "b": bw.shuffled(100, 2)}, target=target, epoch=120 * world * accumulate
    )
    names = tasks_of_epoch(plan, epoch, world * accumulate)
    shares = plan.shares()
    for rank in {0, 1, world - 1}:
        own = names[rank::world]
        for name, share in zip(plan.names, shares, strict=True):
            assert abs(own.count(name) - share * len(own)) < 6 * np.sqrt(share * (1 - share) * len(own)) + 1


def test_every_rank_has_every_cohort():
    plan = bw.rotating(np.arange(120) % 6, [[0, 1], [2, 3], [4, 5]], per_class=2, epoch=240)
    for world in (2, 3, 6):
        for rank in range(world):
            found = {plan.task_of(number) for number in range(rank, 240, world)}
            assert found == {(0, 1), (2, 3), (4, 5)}


@examples(30)
@given(world=st.integers(1, 6), accumulate=st.integers(1, 4), epoch=st.integers(0, 20))
def test_all_ranks_of_a_step_work_on_one_task(world, accumulate, epoch):
    plan, step_size = build(unit="step"), world * accumulate
    batches, names = plan.epoch(epoch, step_size), tasks_of_epoch(plan, epoch, step_size)
    for step in range(len(batches) // step_size):
        own = range(step * step_size, (step + 1) * step_size)
        tasks = set(names[step * step_size : (step + 1) * step_size])
        assert len(tasks) == 1
        assert {name for number in own for name in plan.locate(batches[number])[0]} == tasks


def followed(plan, lists):
    """Every task's micro-batches of a run, in order, are the first ones of its own plan."""
    by_task = {name: [] for name in plan.names}
    for batch in lists:
        names, numbers = plan.locate(batch)
        by_task[names[0]].append(numbers.tolist())
    for name, child in zip(plan.names, plan.children, strict=True):
        found, length = by_task[name], child.epoch_length()
        assert found == [child.epoch(k // length)[k % length].tolist() for k in range(len(found))]
    return {name: len(found) for name, found in by_task.items()}


@examples(60)
@given(
    unit=st.sampled_from(["batch", "step"]),
    legs=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 25)), min_size=1, max_size=6),
)
def test_no_task_loses_or_repeats_a_micro_batch_however_the_world_changes(unit, legs):
    plan, state, union = build(unit=unit), {}, []
    for world, accumulate, steps in legs:
        samplers = [plan.sampler(rank=rank, world_size=world, accumulate=accumulate) for rank in range(world)]
        for sampler in samplers:
            sampler.load_state_dict(state)
        done = 0
        while done < steps:
            for together in zip(*samplers, strict=True):
                union += together
                done += 1
                if done == steps:
                    break
            state = samplers[0].state_dict()
            assert all(sampler.state_dict() == state for sampler in samplers)
    counts = followed(plan, union)
    if unit == "batch":
        off = np.array(list(counts.values())) - np.array(plan.weights_of_tasks) / sum(plan.weights_of_tasks) * len(
            union
        )
        assert np.abs(off).max() <= plan.bound + 1e-9


def over_orders():
    """Tasks that are cut by budgets over orders, one of them a plan of tasks itself."""
    lengths = np.random.default_rng(3).integers(1, 40, 120)
    return bw.alternating(
        {
            "budgets": bw.budgeted(lengths, 100, window=4, order=bw.balanced(np.arange(120) % 3, 6, seed=1)),
            "packs": bw.packed(lengths, 60, window=4, order=bw.shuffled(120, 6, seed=2)),
            "tasks": bw.alternating({"x": bw.budgeted(lengths, 80, window=4, seed=3), "y": bw.shuffled(30, 3)}),
        },
        target={"budgets": 0.5, "packs": 0.3, "tasks": 0.2},
        unit="step",
    )


@examples(15)
@given(
    legs=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 12)), min_size=2, max_size=5),
    nested=st.booleans(),
)
def test_in_another_world_every_task_goes_on_with_its_next_and_the_turns_go_on_with_the_next_turn(legs, nested):
    make = over_orders if nested else lambda: build(unit="step")
    state, turn, within, step_size = {}, 0, 0, None
    had = dict.fromkeys(make().names, 0)
    for world, accumulate, steps in legs:
        plan = make()  # nothing is known but the state
        samplers = [plan.sampler(rank=rank, world_size=world, accumulate=accumulate) for rank in range(world)]
        for sampler in samplers:
            sampler.load_state_dict(state)
        if step_size != world * accumulate or within % world:  # a turn that was broken off is over
            turn, within, step_size = turn + (within > 0), 0, world * accumulate
        lists = zip(*map(iter, samplers), strict=True)
        for together in islice(lists, steps):
            for batch in together:
                name = plan.task_of(turn)
                number = plan.names.index(name)
                assert batch == (plan.children[number][had[name]] + plan.starts[number]).tolist()
                had[name] += 1
                turn, within = turn + (within + 1 == step_size), (within + 1) % step_size
        state = json.loads(json.dumps(samplers[0].state_dict()))
        assert all(json.loads(json.dumps(sampler.state_dict())) == state for sampler in samplers)


def test_named_lists_go_to_a_dataset_of_datasets():
    plan = build(named=True)
    for number, batch in zip(range(30), plan.sampler(rank=0, world_size=1), strict=False):
        assert {task for task, _ in batch} == {plan.task_of(number)}
        indices = plan[number]
        assert [index for _, index in batch] == plan.locate(indices)[1].tolist()


def test_tasks_of_one_dataset_share_its_indices():
    plan = bw.alternating({"a": bw.shuffled(50, 5, seed=1), "b": bw.shuffled(50, 5, seed=2)}, same_dataset=True)
    assert max(plan[t].max() for t in range(40)) < 50


def test_tasks_of_one_dataset_keep_the_groups_of_their_plans_where_these_agree():
    labels = ["cat"] * 30 + ["dog"] * 20
    cats = bw.Groups.from_indices({"cat": range(30)}, sample_count=50)
    dogs = bw.Groups.from_indices({"dog": range(30, 50)}, sample_count=50)
    mixed_up = bw.Groups.from_indices({"cat": range(20)}, sample_count=50)
    cases = [
        ([bw.Groups.from_labels(labels)] * 2, ["cat", "dog"]),
        ([cats, dogs], ["cat", "dog"]),
        ([cats, mixed_up], ["all"]),
        ([cats, bw.Groups.from_labels(["any"] * 50)], ["all"]),
        ([cats, bw.Groups.singletons(50)], ["all"]),
    ]
    for parts, names in cases:
        plans = {number: bw.balanced(groups, 2) for number, groups in enumerate(parts)}
        plan = bw.alternating(plans, same_dataset=True)
        assert list(plan.groups.names) == names
        assert plan.groups.sample_count == 50


def test_a_task_may_be_a_plan_of_tasks():
    inner = bw.alternating({"x": bw.shuffled(20, 2), "y": bw.shuffled(30, 3)})
    plan = bw.alternating({"both": inner, "z": bw.shuffled(10, 5)}, target="uniform")
    assert plan.audit(batches=60).kept
    assert sorted(plan.locate(plan[t])[0][0] for t in range(2)) == ["both", "z"]


def test_lists_are_the_epochs_micro_batches_however_many_are_made_at_once():
    plan = build(epoch=4000)
    epoch = plan.epoch(1, 4)
    lists = list(epoch.lists(3, 4))
    assert len(lists) == 1000
    assert all(lists[k] == epoch[3 + 4 * k].tolist() for k in [0, 1, 64, 65, 192, 193, 500, 999])


def test_turns_count_from_0():
    for ask in (build().task_of, build().__getitem__):
        with pytest.raises(IndexError, match="-1"):
            ask(-1)


def test_summary_tells_passes_and_bound():
    summary = build(target="uniform").summary()
    assert [task.passes for task in summary.tasks] == [pytest.approx(24 / own, abs=0.2) for own in (30, 22, 20)]
    assert "0.667 turns off" in str(summary)


def test_a_task_that_was_cut_for_other_steps_is_told():
    cut = bw.budgeted([1, 2, 3, 4] * 50, 8)
    for own, told in ((1, True), (4, False)):
        plan = bw.alternating({"cut": cut.stepped(own), "b": bw.shuffled(9, 3)}, unit="step")
        said = "task 'cut': its plan was cut for steps of 1 micro-batches, these have 4"
        assert (said in str(plan.stepped(4).summary())) is told
        assert said not in str(plan.summary())


@pytest.mark.parametrize(
    ("tasks", "options", "fact"),
    [
        ({}, {}, "tasks has 0 entries"),
        ([bw.shuffled(5, 5)], {}, "tasks is of type list"),
        (
            {name: bw.shuffled(9, 3) for name in "abc"},
            {
                "target": {
                    name: Fraction(10**power, 10**14 + 10**7 + 1) for name, power in (("a", 14), ("b", 7), ("c", 0))
                }
            },
            "'c' has one turn in 100000010000001",
        ),
        ({"a": 5}, {}, "'a' is of type int"),
        ({"a": bw.shuffled(5, 5)}, {"unit": "epoch"}, "'epoch'"),
        ({"a": bw.shuffled(5, 5)}, {"epoch": 0}, "0 micro-batches"),
        ({"a": bw.shuffled(5, 5), "b": bw.shuffled(6, 6)}, {"same_dataset": True}, "'b': 6"),
        ({"a": bw.shuffled(5, 5)}, {"target": bw.targets.schedule("natural", "uniform", epochs=2)}, "moves"),
    ],
)
def test_what_cannot_alternate_is_refused(tasks, options, fact):
    with pytest.raises(bw.Infeasible, match=fact):
        bw.alternating(tasks, **options)


LABELS = np.repeat([0, 1, 2], [10, 20, 30])
OF_GROUPS = {
    "cohorts": lambda: bw.rotating(LABELS, [[0, 1], [1, 2], [0, 1, 2]], per_class=2),
    "more cohorts than labels": lambda: bw.rotating(LABELS, [[0], [1], [2], [0, 1], [1, 2]], per_class=3),
    "fewer cohorts than labels": lambda: bw.rotating(LABELS, [[0, 1], [2]], per_class=2),
    "steps": lambda: bw.rotating(LABELS, [[0, 1], [1, 2]], per_class=2, unit="step"),
    "tasks of one size": lambda: bw.alternating({"a": bw.shuffled(40, 4), "b": bw.shuffled(20, 4)}),
    "tasks of several sizes": lambda: bw.alternating(
        {"a": bw.shuffled(40, 4), "b": bw.shuffled(20, 10)}, target={"a": 0.75, "b": 0.25}
    ),
    "a task by lengths": lambda: bw.alternating({"a": bw.packed([3] * 40, 10, packs=2), "b": bw.shuffled(20, 4)}),
    "tasks of a mixture": lambda: bw.alternating({"a": bw.balanced(LABELS, 6), "b": bw.shuffled(20, 4)}),
    "a task in the order of the file": lambda: bw.alternating({"a": bw.sequential(40, 4), "b": bw.shuffled(20, 4)}),
}


@pytest.mark.parametrize("name", OF_GROUPS)
def test_the_shares_are_those_of_the_groups_in_what_is_drawn(name):
    plan = OF_GROUPS[name]()
    drawn = plan.groups.group_of(np.concatenate([plan[t] for t in range(6000)]))
    shares = np.bincount(drawn, minlength=plan.groups.group_count) / drawn.size
    assert plan.shares() == pytest.approx(shares, abs=0.01)
    assert plan.shares() == pytest.approx(plan.sampled_prior, abs=0.01)
    assert len(plan.shares()) == len(plan.groups.names)
