"""The way out that a refusal names is followed: composition, feedback, geometry, accumulation, audits, same ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

import batchwright as bw
from batchwright import ranks
from batchwright.accumulation import check_accumulation
from batchwright.feedback import Feedback, bandit, by_recall, by_signal
from batchwright.told_accumulation import Accumulation

from .evaluation.test_ways_out import CASES as EVALUATION
from .refusals import SOURCE, cases, check_that_all_are_reached, told_and_followed

LABELS = [0] * 30 + [1] * 10
PLAN = bw.balanced(LABELS, batch_size=8)
MOVING = bw.balanced(LABELS, 8, target=bw.targets.moving("uniform"))
THREE = bw.balanced([0, 1, 2], 3, target=bw.targets.moving("uniform"))


def observed(rule: Any = None, values: Any = (1.0, 2.0), **seen: Any) -> Any:
    given = Feedback(MOVING.sampler(), rule or by_signal())
    given.observe(values, **seen or {"labels": [0, 1]})
    return given.update()


def observe(values: Any, **seen: Any) -> None:
    Feedback(MOVING.sampler(), by_signal()).observe(values, **seen)


def audit_of(count: int) -> Any:
    return bw.balanced(bw.Groups.from_sizes({"a": count - 10, "b": 10}), 8).audit(batches=2)


def of_a_world(size: int) -> bw.BatchSampler:
    return PLAN.sampler(rank=0, world_size=size)


def resumed() -> bw.BatchSampler:
    before, after = of_a_world(2), of_a_world(2)
    next(iter(before))
    after.load_state_dict(before.state_dict())
    return after


TABLE = {
    "a plan as the sampler of a composition": (
        lambda: bw.Composition(PLAN),
        "a sampler or a loader of a plan is needed, this is of type FixedPlan",
        "pass plan.loader(...) or plan.sampler(...)",
        lambda: bw.Composition(PLAN.sampler()),
    ),
    "lengths of others": (
        lambda: bw.Composition(PLAN.sampler(), lengths=[1, 2]),
        "there are 2 lengths, the plan yields 40 numbers",
        "pass one for each of them",
        lambda: bw.Composition(PLAN.sampler(), lengths=[1] * 40, every=5).after(5, lambda values, step: None, epoch=0),
    ),
    "a grouping of others": (
        lambda: bw.Composition(PLAN.sampler(), by={"kind": [1, 2]}),
        r"by\['kind'\] has 2 labels, the plan yields 40 numbers",
        "pass one for each of them",
        lambda: bw.Composition(PLAN.sampler(), by={"kind": [1] * 40}).measured(0, 2, epoch=0),
    ),
    "two groupings of one name": (
        lambda: bw.Composition(PLAN.sampler(), by={1: [1] * 40, "1": [2] * 40}),
        "by has 2 groupings, and 1 of them have names of their own",
        "give each a name of its own",
        lambda: bw.Composition(PLAN.sampler(), by={"a": [1] * 40, "b": [2] * 40}),
    ),
    "a grouping and a group of one name": (
        lambda: bw.Composition(bw.balanced(["lang/x", "y"], 2).sampler(), by={"lang": ["x", "y"]}),
        "a group 'lang/x' of the plan and a group 'x' of by\\['lang'\\] would be logged under one name",
        "give that grouping another name in `by`",
        lambda: bw.Composition(bw.balanced(["lang/x", "y"], 2).sampler(), by={"language": ["x", "y"]}),
    ),
    "no batches to measure": (
        lambda: bw.Composition(PLAN.sampler()).measured(2, 2, epoch=0),
        "batches from 2 to before 2 are none",
        "pass a `last` above `first`",
        lambda: bw.Composition(PLAN.sampler()).measured(2, 3, epoch=0),
    ),
    "more batches to measure than can be kept": (
        lambda: bw.Composition(PLAN.sampler()).measured(0, 2**63, epoch=0),
        "batches from 0 to before 9223372036854775808 are more than 1048576",
        "measure fewer batches at once",
        lambda: bw.Composition(PLAN.sampler()).measured(0, 3, epoch=0),
    ),
    "another micro-batch": (
        lambda: bw.Geometry(micro_batch=4).sampler(PLAN),
        "micro_batch is 4, the plan's micro-batches have 8 samples",
        "build the plan with batch_size=4",
        lambda: bw.Geometry(micro_batch=4).sampler(bw.balanced(LABELS, batch_size=4)),
    ),
    "items that are not pickled": (
        lambda: bw.SharedList(["a", lambda: 1]),
        "item 1 is of type function, which is not pickled .*",
        "pass items that can be pickled",
        lambda: bw.SharedList(["a", "b"]),
    ),
    "a power that is no number": (
        lambda: by_signal([[1]]),
        r"power is \[\[1\]\], not a finite number",
        "pass power as a finite number",
        lambda: by_signal(0.5),
    ),
    "a signal that is negative": (
        lambda: observed(by_signal(), values=[-0.3, 2.0]),
        r"the mean signal of group number 0 \(from 0, as in groups\.names\) is -0\.3, and by_signal takes 0 or more",
        "observe a loss or a norm, or write a rule for your signal",
        lambda: (observed(by_signal()), observed(lambda signal, update: np.exp(signal), values=[-0.3, 2.0])),
    ),
    "a recall in percent": (
        lambda: observed(by_recall(), values=[100, 50]),
        r"the mean signal of group number 0 \(from 0, as in groups\.names\) is 100, and by_recall takes 0 to 1",
        "observe 1 for a sample that was recognised and 0 for one that was not",
        lambda: observed(by_recall(), values=[1, 0]),
    ),
    "a step before a resume": (
        lambda: bw.Composition(resumed(), every=1).after(1, lambda values, step: None, epoch=0),
        "step 1 of epoch 0 came before the run was resumed, after 1 batches of it",
        r"count on from there: pass loader.batches_done, or enumerate(loader, 2)",
        lambda: bw.Composition(resumed(), every=1).after(2, lambda values, step: None, epoch=0),
    ),
    "numbers out of range": (
        lambda: Feedback(MOVING.sampler(), by_signal(), smoothing=1.0, most_change=0),
        "smoothing is 1 and most_change is 0",
        "pass 0 <= smoothing < 1, 0 < most_change <= 1",
        lambda: Feedback(MOVING.sampler(), by_signal(), smoothing=0, most_change=1),
    ),
    "a plan as the sampler of feedback": (
        lambda: Feedback(MOVING, by_signal()),
        "a sampler or a loader of a plan is needed, this is of type FixedPlan",
        "pass plan.loader(...) or plan.sampler(...)",
        lambda: Feedback(MOVING.sampler(), by_signal()),
    ),
    "no sampler of feedback": (
        lambda: Feedback(None, by_signal()),
        "a sampler or a loader of a plan is needed, this is None",
        "pass plan.loader(...) or plan.sampler(...)",
        lambda: Feedback(MOVING.sampler(), by_signal()),
    ),
    "a state of other groups": (
        lambda: Feedback(MOVING.sampler(), by_signal()).load_state_dict(
            Feedback(THREE.sampler(), by_signal()).state_dict()
        ),
        r"the state's signal is of shape \(3,\), of 2 groups it is \(2,\)",
        "load a state of feedback on the same groups",
        lambda: Feedback(THREE.sampler(), by_signal()).load_state_dict(
            Feedback(THREE.sampler(), by_signal()).state_dict()
        ),
    ),
    "a rule that is not made": (
        lambda: Feedback(MOVING.sampler(), bandit),
        "the rule is <class 'batchwright.feedback.bandit'>",
        "pass a rule that is made, such as by_signal()",
        lambda: (Feedback(MOVING.sampler(), bandit()), Feedback(MOVING.sampler(), by_signal())),
    ),
    "shares that stay": (
        lambda: Feedback(PLAN.sampler(), by_signal()),
        r"the shares of <plan: .*> cannot be set",
        "build the plan with target=targets.moving(...)",
        lambda: Feedback(bw.balanced(LABELS, 8, target=bw.targets.moving("uniform")).sampler(), by_signal()),
    ),
    "neither labels nor samples": (
        lambda: observe([1.0, 2.0]),
        "samples are told apart by labels or by numbers, and neither is passed",
        "pass one of labels= and samples=",
        lambda: (observe([1.0, 2.0], labels=[0, 1]), observe([1.0, 2.0], samples=[0, 35])),
    ),
    "both labels and samples": (
        lambda: observe([1.0], labels=[0], samples=[0]),
        "samples are told apart by labels or by numbers, and both are passed",
        "pass one of labels= and samples=",
        lambda: (observe([1.0], labels=[0]), observe([1.0], samples=[0])),
    ),
    "more values than samples": (
        lambda: observe([1, 2, 3], labels=[0, 1]),
        "there are 3 values for 2 samples",
        "pass one a sample",
        lambda: observe([1, 2], labels=[0, 1]),
    ),
    "a signal that is not finite": (
        lambda: observe([1.0, float("nan")], labels=[0, 1]),
        "the signal of sample 1 of 2 is nan",
        "leave such samples out",
        lambda: observe([1.0], labels=[0]),
    ),
    "a rule of one share": (
        lambda: observed(lambda signal, update: signal[:1]),
        "the rule gives 1 shares for 2 groups",
        "give one a group",
        lambda: observed(lambda signal, update: signal),
    ),
    "a rule of negative shares": (
        lambda: observed(lambda signal, update: -signal),
        "the rule gives -1 for group 0",
        "give finite numbers of 0 or more",
        lambda: observed(lambda signal, update: 1 / signal),
    ),
    "a loader of no sampler": (
        lambda: ranks._found(DataLoader(LABELS, batch_size=8)),
        "no batchwright sampler inside DataLoader",
        "pass a loader made with batch_sampler=plan.sampler()",
        lambda: ranks._found(DataLoader(LABELS, batch_sampler=PLAN.sampler())),
    ),
    "ranks that differ": (
        lambda: ranks._refuse_differences([{"plan": "a"}, {"plan": "a"}, {"plan": "b"}]),
        "plan is a on process 0 and b on process 2",
        "build the plan and its sampler from the same arguments on every rank",
        lambda: ranks._refuse_differences([{"plan": "a"}] * 3),
    ),
    "ranks at different places": (
        lambda: ranks._refuse_differences([{"batches_done": "4"}, {"batches_done": "0"}]),
        "batches_done is 4 on process 0 and 0 on process 1",
        "load the same state, and call set_epoch and seek alike, on every rank",
        lambda: ranks._refuse_differences([{"batches_done": "4"}] * 2),
    ),
    "a process that compares alone": (
        lambda: ranks._refuse_absence(1, 2, "loop over"),
        "1 of 2 processes loop over this loader, and the others did not come to compare theirs",
        "do it on every process; if one process is to have all batches, pass rank=0, world_size=1, and if it simulates "
        "others, compare_ranks=False",
        lambda: ranks._refuse_absence(2, 2, "loop over"),  # loader/test_compared.py follows it
    ),
    "parts of a model": (
        lambda: ranks._refuse_parts_of_a_model_apart({0: 0, 1: 1}, [[("tp", [0, 1])]] * 2),
        "processes 0, 1 hold parts of one model, by their group 'tp', and take the micro-batches of ranks 0, 1",
        'pass mesh=, the device mesh, and dims=, the names of its data-parallel dimensions such as ("dp",)',
        lambda: ranks._refuse_parts_of_a_model_apart({0: 0, 1: 0}, [[("tp", [0, 1])]] * 2),  # test_mesh.py follows it
    ),
    "shares of shares": (
        lambda: ranks._refuse_wrong_shares([0, 1], of_a_world(2), ["BatchSamplerShard"]),
        "the sampler takes 1 of 2 micro-batches, BatchSamplerShard 1 of 2 of those",
        "let batchwright's adapter for this trainer prepare the loader",
        lambda: ranks._refuse_wrong_shares([0, 1], of_a_world(2), []),
    ),
    "the same share twice": (
        lambda: ranks._refuse_wrong_shares([0, 0], of_a_world(1), []),
        r"2 processes take the shares of ranks \[0, 0\] of a world of 1",
        "leave rank and world_size out, or pass those of the process group",
        lambda: ranks._refuse_wrong_shares([0, 1], of_a_world(2), []),
    ),
    "two accumulations": (
        lambda: check_accumulation(PLAN.sampler(accumulate=4), Accumulation(2, "accumulate_grad_batches")),
        "plan.sampler accumulates 4 micro-batches for an optimizer step, accumulate_grad_batches is 2",
        "pass plan.sampler(accumulate=2) or accumulate_grad_batches=4",
        lambda: (
            check_accumulation(PLAN.sampler(accumulate=2), Accumulation(2, "accumulate_grad_batches")),
            check_accumulation(PLAN.sampler(accumulate=4), Accumulation(4, "accumulate_grad_batches")),
        ),
    ),
    "an audit of too many": (
        lambda: audit_of((1 << 28) + 1),
        "an audit counts every sample, and there are 268435457, more than 268435456",
        "audit the same plan of fewer samples",
        lambda: audit_of(40),
    ),
    "no such finding": (
        lambda: PLAN.audit(batches=8)["G9"],
        "no finding is called 'G9'",
        "pass one of 'G1 size', 'G2 quota', 'G3 drift', 'G4 coverage', 'G5 distinct', 'G6 window', 'G6 across'",
        lambda: [PLAN.audit(batches=8)[name] for name in ("G1 size", "G6 across")],
    ),
    "a batch past the epoch": (
        lambda: of_a_world(2).all_ranks(7),
        "batch 7 of an epoch of 3 batches",
        "pass 0 to 2",
        lambda: [of_a_world(2).all_ranks(number) for number in (0, 2)],
    ),
    "a batch before the run was resumed": (
        lambda: resumed().all_ranks(0, epoch=0),
        "batch 0 of epoch 0 came before this run was resumed, at batch 1 of epoch 0, and its state does not say .* before",
        "if the number of ranks never changed, plan.at(step, world_size=..., accumulate=...) says it",
        lambda: PLAN.at(0, world_size=2),
    ),
}
CASES = cases("refuse fact way_out follow", TABLE)


def test_limits_that_leave_room_for_one_division_only_are_taken() -> None:
    groups = bw.Groups.from_sizes(dict.fromkeys(range(49), 2))
    plan = bw.balanced(groups, 49, target=bw.targets.moving("uniform", ceiling=1 / 49))  # 49 * (1 / 49) is below 1
    given = Feedback(plan.sampler(), by_signal())
    given.observe([3.0] + [1.0] * 48, labels=list(range(49)))
    assert given.update() == pytest.approx([1 / 49] * 49)


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_is_one(name: str) -> None:
    told_and_followed(CASES[name])


NAMES = (
    "accumulation",
    "composition",
    "feedback",
    "geometry",
    "run/known_batches",
    "ranks",
    "run/sampler_of",
    "shared_list",
)
FILES = [*(SOURCE / f"{name}.py" for name in NAMES), *(SOURCE / "audit").glob("*.py")]


def test_every_refusal_in_the_code_is_among_these() -> None:
    check_that_all_are_reached(FILES, 17, [CASES, EVALUATION])
