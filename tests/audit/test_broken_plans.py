"""Plans and samplers that are broken on purpose: the audit names what is broken, and every finding can be."""

from __future__ import annotations

import copy
from functools import cache
from itertools import chain

import numpy as np
import pytest

import batchwright as bw
from batchwright.orders import Hierarchical
from batchwright.plans.tasks import TaskPlan

from .. import laws
from .breaking import at, broken, changed, lost, of_another_group, of_the_same_group_again, one_too_many

BALANCED = bw.balanced(np.repeat([0, 1, 2], [40, 40, 20]), 13)
SINGLE = bw.balanced(np.repeat([0, 1], [40, 60]), 5)  # 2.5 tickets each
RARE = bw.weighted(np.ones(5000), 16)
SEQUENTIAL = bw.sequential(100, 13)
RANDOM = bw.balanced(np.repeat([0, 1], [40, 60]), 6, draw="random")
SMALL = laws.quietly(lambda: bw.balanced([0] * 5 + [1] * 45, 100))
BEFORE = laws.EVERY_PLAN["moving"](1)  # the plan "moved" before its shares were set
LOCAL = laws.EVERY_PLAN["shuffled in shards"](1)
LACKING = laws.quietly(lambda: bw.balanced(np.arange(80) // 40, 4, local=bw.Shards([20] * 4, open=1)))
MIXED = laws.quietly(lambda: bw.mixed({"web": 100, "small": SMALL}, 7, target="uniform"))


def always_the_larger(plan, batch):
    """Of a group whose quota is 2.5 always 3, never 2: within floor and ceil, but it adds up."""
    samples = plan[batch]
    if (samples < 40).sum() == 2:
        return changed(samples, np.flatnonzero(samples >= 40)[0], np.setdiff1d(np.arange(40), samples)[0])
    return samples


def larger_ones_first(plan, batch):
    """Of every 20 micro-batches those with 3 of the group come before those with 2."""
    begin = batch - batch % 20
    many = [int((plan[other] < 40).sum()) for other in range(begin, begin + 20)]
    return plan[begin + int(np.argsort(np.negative(many), kind="stable")[batch - begin])]


def set_shares(plan, batch):
    """Shares that were set do not hold."""
    return plan.with_share_changes([])[batch]


FIXED = {
    "one sample too many": (BALANCED, one_too_many(7, 100), {"G1 size", "G4 coverage"}),
    "one sample too few": (BALANCED, at(7, lambda samples: samples[1:]), {"G1 size", "G2 quota"}),
    "a number of no sample": (BALANCED, at(7, lambda samples: changed(samples, 3, 100)), {"G1 size"}),
    "a negative number": (BALANCED, at(7, lambda samples: changed(samples, 3, -1)), {"G1 size"}),
    "a number of no sample, drawn at random": (RANDOM, at(7, lambda samples: changed(samples, 3, 100)), {"G1 size"}),
    "a sample of another group": (BALANCED, of_another_group(7, BALANCED.groups), {"G2 quota", "G4 coverage"}),
    "shares that were set and do not hold": (
        laws.EVERY_PLAN["moved"](1),
        lambda plan, batch: BEFORE[batch],
        {"G2 quota", "G3 drift", "G6 window", "G6 across"},
    ),
    "a group that always has the larger number": (
        SINGLE,
        always_the_larger,
        {"G3 drift", "G4 coverage", "G6 window", "G6 across"},
    ),
    "the larger numbers first": (SINGLE, larger_ones_first, {"G4 coverage", "G6 window", "G6 across"}),
    "a micro-batch that is lost": (BALANCED, lost(7), {"G4 coverage"}),
    "micro-batches of two rounds exchanged": (BALANCED, lambda plan, batch: plan[(batch + 50) % 150], {"G4 coverage"}),
    "a sample that comes again": (
        BALANCED,
        of_the_same_group_again(7, BALANCED.groups),
        {"G4 coverage", "G5 distinct"},
    ),
    "a rare sample for another": (RARE, lambda plan, batch: plan[0] if batch == 40 else plan[batch], {"G4 rare"}),
    "an order that is not the one given": (SEQUENTIAL, at(7, lambda samples: samples[::-1]), {"G4 order"}),
    "two micro-batches exchanged, of shards that are open at other times": (
        LOCAL,
        lambda plan, batch: plan[{5: 57, 57: 5}.get(batch, batch)],
        {"G8 open"},
    ),
    "a sample of a group that no open shard has": (
        LACKING,
        of_another_group(7, LACKING.groups),
        {"G2 quota", "G2 owed", "G8 open"},
    ),
    "a source out of its order": (
        MIXED,
        lambda plan, batch: np.where(plan[batch] == 103, 104, plan[batch]),
        {"G4 coverage"},
    ),
}

LEVELS = bw.hierarchical([np.arange(120) % 4, np.arange(120) % 12], per=[2, 2, 2])
HIERARCHICAL = {
    "one sample too many": (LEVELS, one_too_many(7, 120), {"G1 size", "G2 levels", "G3 presence"}),
    "a number of no sample": (LEVELS, at(7, lambda samples: changed(samples, 3, 120)), {"G1 size", "G2 levels"}),
    "a sample of another group": (LEVELS, of_another_group(7, LEVELS.groups), {"G2 levels", "G3 presence"}),
    "a micro-batch that comes twice": (
        LEVELS,
        lambda plan, batch: plan[batch - (batch >= 7)],
        {"G3 presence", "G4 coverage"},
    ),
    "a sample that never comes": (
        LEVELS,
        lambda plan, batch: np.where(plan[batch] == 3, 15, plan[batch]),
        {"G4 coverage", "G5 distinct"},
    ),
    "a sample that comes again": (
        LEVELS,
        of_the_same_group_again(7, LEVELS.groups),
        {"G4 coverage", "G5 distinct"},
    ),
}

KINDS = "budgeted", "two budgets", "grouped", "grouped level", "bucketed", "packed in fours", "balanced and packed"
by_lengths = cache(lambda kind: laws.EVERY_PLAN[kind](1))
PAIRS = bw.packed(laws.LENGTHS, 1024, together=np.arange(900) // 2)


def two_in_one(plan, batch):
    """Two micro-batches are one, and the other has none."""
    if batch == 4:
        return np.concatenate([plan[4], plan[5]])
    return plan[batch][:0] if batch == 5 else plan[batch]


def three_in_one(plan, batch):
    """A step of two has more than it should, since the next step gives it all it has."""
    if batch == 4:
        return np.concatenate([plan[4], plan[6], plan[7]])
    return plan[batch][:0] if batch in (6, 7) else plan[batch]


def exchanged(plan, batch):
    """Two micro-batches exchange their last sample."""
    if batch in (4, 5):
        return np.append(plan[batch][:-1], plan[9 - batch][-1])
    return plan[batch]


TASKS = bw.alternating({"a": bw.shuffled(40, 4), "b": bw.shuffled(30, 3)}, target={"a": 0.7, "b": 0.3})
BY_STEP = bw.alternating({"a": bw.shuffled(40, 4), "b": bw.shuffled(30, 3)}, unit="step").stepped(3)
COHORTS = bw.rotating(np.arange(120) % 6, [[0, 1], [2, 3], [4, 5]], per_class=2)


BY_TASK = {
    "a sample of another task": (
        TASKS,
        at(7, lambda samples: changed(samples, 0, 69 if samples[0] < 40 else 0)),
        {"G2 one task", "G4 order"},
    ),
    "a sample of another cohort": (
        COHORTS,
        at(7, lambda samples: changed(samples, 0, (samples[0] + 2) % 120)),
        {"G2 one task", "G4 order"},
    ),
    "a number of no sample": (TASKS, at(7, lambda samples: changed(samples, 0, -1)), {"G2 one task", "G4 order"}),
    "a sample for another of its task": (
        TASKS,
        at(7, lambda samples: changed(samples, 0, np.setdiff1d(np.arange(30) + 40 * (samples[0] >= 40), samples)[0])),
        {"G4 order"},
    ),
    "a micro-batch that is lost": (TASKS, lost(7), {"G2 one task", "G4 order"}),
    "a micro-batch that comes twice": (
        bw.alternating({"a": bw.shuffled(40, 4)}),
        lambda plan, batch: plan[batch - (batch >= 7)],
        {"G4 order"},
    ),
    "a step of two tasks": (BY_STEP, lambda plan, batch: plan[batch + 1], {"G2 one task", "G4 order"}),
}


def test_fixed_plans_are_whole_before_they_are_broken():
    for plan in (BALANCED, SINGLE, RARE, RANDOM, MIXED, laws.EVERY_PLAN["moved"](1), LEVELS, TASKS, BY_STEP, COHORTS):
        assert plan.audit(batches=300).kept


def names_of(audit, *, kept=None):
    return {found.guarantee for found in audit.findings if found.promised and (kept is None or found.kept is kept)}


@pytest.mark.parametrize("fault", FIXED)
def test_an_audit_of_a_fixed_plan_names_what_is_broken(fault):
    plan, breaks, expected = FIXED[fault]
    assert names_of(broken(plan, breaks).audit(batches=300), kept=False) == expected


@pytest.mark.parametrize("fault", HIERARCHICAL)
def test_an_audit_of_a_hierarchical_plan_names_what_is_broken(fault):
    plan, breaks, expected = HIERARCHICAL[fault]
    assert names_of(broken(plan, breaks).audit(batches=300), kept=False) == expected


@pytest.mark.parametrize("fault", BY_TASK)
def test_an_audit_of_a_plan_of_tasks_names_what_is_broken(fault):
    plan, breaks, expected = BY_TASK[fault]
    assert names_of(broken(plan, breaks).audit(batches=300), kept=False) == expected


class OtherTask(TaskPlan):
    """A plan of tasks that always has the wrong one of two."""

    def task_of(self, batch):
        return "ab"[super().task_of(batch) == "a"]


class OutOfTurn(TaskPlan):
    """A plan of two tasks that leaves one out every second time."""

    def __getitem__(self, batch):
        return super().__getitem__(self._other(batch))

    def task_of(self, batch):
        return super().task_of(self._other(batch))

    def _other(self, batch):
        of_b = [number for number in range(3 * batch + 3) if super(OutOfTurn, self).task_of(number) == "b"]
        return np.setdiff1d(np.arange(3 * batch + 3), of_b[::2])[batch]


def test_an_audit_of_a_plan_of_tasks_sees_that_task_of_says_another_task():
    plan = copy.copy(TASKS)
    plan.__class__ = OtherTask
    assert names_of(plan.audit(batches=50), kept=False) == {"G2 one task", "G3 drift", "G4 order"}


def test_an_audit_of_a_plan_of_tasks_sees_shares_that_do_not_hold():
    plan = copy.copy(TASKS)
    plan.__class__ = OutOfTurn
    audit = plan.audit(batches=50)
    assert names_of(audit, kept=False) == {"G3 drift", "G4 order"}
    assert audit["G3"].worst > 3


LENGTHWISE = {
    "one sample too many": (at(4, lambda samples: np.append(samples, samples[:1])), {"G4 coverage"}),
    "one sample too few": (at(4, lambda samples: samples[1:]), {"G4 coverage"}),
    "a number of no sample": (at(4, lambda samples: changed(samples, 0, -1)), {"G4 coverage"}),
    "a number past the last sample": (at(4, lambda samples: changed(samples, 0, 10_000)), {"G4 coverage"}),
    "a sample for another": (at(4, lambda samples: np.append(samples[:-1], samples[0] - 1)), {"G4 coverage"}),
    "two micro-batches in one": (two_in_one, {"G1 budget", "G8 steps"}),
    "three micro-batches in one": (three_in_one, {"G1 budget", "G8 steps"}),
    "a micro-batch that is lost": (lost(4), {"G4 coverage"}),
}


@pytest.mark.parametrize("fault", LENGTHWISE)
@pytest.mark.parametrize("kind", KINDS)
def test_an_audit_of_a_plan_by_lengths_names_what_is_broken(kind, fault):
    plan, (breaks, expected) = by_lengths(kind), LENGTHWISE[fault]
    if kind == "grouped level" and breaks is two_in_one:  # sizes may differ in a step, which is the same as a whole
        expected = {"G8 steps"}
    found = names_of(broken(plan, breaks).audit(step_size=2), kept=False)
    assert expected <= found <= expected | {"G1 budget"}  # a sample more may be over the budget


def test_an_audit_of_a_plan_by_lengths_sees_a_window_of_more_shards_than_are_open():
    plan = laws.EVERY_PLAN["packed in shards"](1)
    one_of_each = at(4, lambda samples: np.arange(0, 450, 45))
    assert names_of(broken(plan, one_of_each).audit(), kept=False) - {"G1 budget"} == {"G4 coverage", "G8 open"}


def test_an_audit_of_a_mixture_sees_a_micro_batch_of_more_shards_than_are_open():
    plan = laws.EVERY_PLAN["mixed in shards"](1)
    one_of_each = at(4, lambda samples: np.append(np.arange(0, 350, 50), samples[7:]))
    assert "G8 open" in names_of(broken(plan, one_of_each).audit(batches=50), kept=False)


@pytest.mark.parametrize("fault", [*LENGTHWISE, "samples exchanged"])
def test_an_audit_sees_that_what_belongs_together_is_apart(fault):
    breaks, expected = LENGTHWISE.get(fault, (exchanged, set()))
    whole_pairs = {"two micro-batches in one", "three micro-batches in one", "a micro-batch that is lost"}
    found = names_of(broken(PAIRS, breaks).audit(step_size=2), kept=False) - {"G1 budget"}
    assert found == expected - {"G1 budget"} | (set() if fault in whole_pairs else {"G4 together"})


class Odd(laws.LengthPlan):
    """A plan by lengths whose epochs do not end with a step."""

    def stepped(self, step):
        return copy.copy(self)


def test_an_audit_sees_an_epoch_that_ends_within_a_step():
    plan = laws.EVERY_PLAN["budgeted"](1)
    assert plan.epoch_batches % 8
    plan.__class__ = Odd
    finding = plan.audit(step_size=8)["G8"]
    assert finding.worst == plan.epoch_batches % 8
    assert not finding.kept


def sampler_of(plan, handed, **options):
    """A sampler of rank 1 of 3 that hands out `handed(the sampler as it was, what it handed out then)`."""

    class Broken(bw.BatchSampler):
        def __iter__(self):
            return iter(handed(self, list(super().__iter__())))

    return Broken(plan, rank=1, world_size=3, accumulate=2, **options)


def of_rank(rank):
    def lists(sampler, handed):
        other = sampler.plan.sampler(rank=rank, world_size=3, accumulate=2, fetch=sampler.fetch)
        other.seek(0, epoch=sampler.epoch - 1)
        return list(other)

    return lists


RANKS = {
    "another rank's lists": (of_rank(2), {"G8 share"}),
    "a list that is lost": (lambda sampler, handed: handed[:2] + handed[3:], {"G8 share", "G8 steps"}),
    "the last list that is lost": (lambda sampler, handed: handed[:-1], {"G8 steps"}),
    "a list too many": (lambda sampler, handed: [*handed, handed[0]], {"G8 steps"}),
    "a list that comes twice": (lambda sampler, handed: [*handed[:-1], handed[0]], {"G8 share"}),
    "a sample too many": (lambda sampler, handed: [[*handed[0], handed[0][0]], *handed[1:]], {"G8 share"}),
    "samples in another order": (lambda sampler, handed: [handed[0][::-1], *handed[1:]], {"G8 share"}),
}


@pytest.mark.parametrize("fault", RANKS)
@pytest.mark.parametrize("kind", ["balanced", "packed", "balanced and packed", "tasks by step"])
@pytest.mark.parametrize("fetch", [1, "step"])
def test_an_audit_of_a_rank_names_what_is_broken(kind, fault, fetch):
    handed, expected = RANKS[fault]
    plan = laws.EVERY_PLAN[kind](1)
    assert names_of(sampler_of(plan, handed, fetch=fetch).audit(epochs=2), kept=False) == expected


class SaysMore(bw.BatchSampler):
    """A sampler that says it has one list more."""

    def __len__(self):
        return super().__len__() + 1


def test_a_sampler_that_hands_out_what_it_had_is_kept():
    assert sampler_of(BALANCED, lambda sampler, handed: handed, fetch=2).audit(epochs=2).kept


def test_an_audit_of_a_rank_sees_that_len_is_wrong():
    audit = SaysMore(BALANCED, rank=1, world_size=2).audit()
    assert names_of(audit, kept=False) == {"G8 steps"}
    assert "len(sampler)" in audit["G8 steps"].where


def promised(plans, **options):
    return set().union(*(names_of(plan.audit(**options)) for plan in plans))


def test_every_finding_of_every_audit_is_failed_by_a_broken_plan():
    """A finding that no broken plan fails would be a check that cannot fail: name it above, or leave it out."""
    fixed = [make(1) for make in laws.EVERY_PLAN.values()]
    by_task = [plan for plan in fixed if isinstance(plan, TaskPlan)]
    lengthwise = [plan for plan in fixed if isinstance(plan, laws.LengthPlan)]
    evaluations = [plan for plan in fixed if isinstance(plan, laws.EvaluationPlan)]  # see test_broken_evaluations
    fixed = [plan for plan in fixed if plan not in (*by_task, *lengthwise, *evaluations)]
    levels = [plan for plan in fixed if isinstance(plan.order, Hierarchical)]
    fixed = [plan for plan in fixed if plan not in levels]

    def failed(table):
        return set().union(*(expected for *_, expected in table.values()))

    assert promised(fixed, batches=5) == failed(FIXED)
    assert promised(levels, batches=5) == failed(HIERARCHICAL)
    assert promised(by_task, batches=5) == failed(BY_TASK) | {"G3 drift"}
    assert promised([*lengthwise, PAIRS]) == failed(LENGTHWISE) | {"G4 together", "G8 open"}
    assert names_of(BALANCED.sampler().audit()) == failed(RANKS)


def test_what_is_only_told_is_measured_on_what_is_yielded_too():
    told = chain.from_iterable(
        audit.findings
        for audit in (BALANCED.audit(batches=5), LEVELS.audit(batches=5), TASKS.audit(batches=5), PAIRS.audit())
    )
    assert {found.guarantee for found in told if not found.promised} == {"balance", "padding"}
    plan = laws.EVERY_PLAN["budgeted"](1)
    audit = broken(plan, two_in_one).audit(step_size=2)
    assert audit["balance"].worst == 1  # one of two micro-batches has all the work of the step
    alone = broken(plan, lambda whole, batch: whole[batch][:1]).audit()
    assert plan.audit()["padding"].worst > 0.01
    assert alone["padding"].worst == 0  # one sample alone is never padded
    only_0 = sampler_of(BALANCED, lambda sampler, handed: [[index % 40 for index in batch] for batch in handed])
    found = only_0.audit()["composition"]
    assert found.worst == pytest.approx(2 / 3)
    assert found.kept
    assert not found.promised
    assert "BROKEN" not in str(found)
