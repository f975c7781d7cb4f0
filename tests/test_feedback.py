"""Feedback: shares move the right way, within limits, the same on every rank and after a resume."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.feedback import Feedback, bandit, by_recall, by_signal

from . import processes
from .examples import examples

RULES = [by_signal(), by_signal(0.5), by_recall(), bandit()]
EASY, HARD = 0, 2


def dataset():
    """Three classes on a plane; two keep apart, the third lies within the second."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [600, 300, 300])
    centres = np.array([[-6.0, 0.0], [4.0, 0.0], [5.0, 1.0]])
    points = centres[labels] + random.normal(size=(labels.size, 2))
    return torch.tensor(points, dtype=torch.float32), torch.tensor(labels)


def plan(labels, seed=0):
    return bw.balanced(labels, 30, target=bw.targets.moving("uniform", floor=0.05, ceiling=0.8), seed=seed)


class Run:
    """A run that can be stopped after any step and gone on with."""

    def __init__(self, rule, rank=0, world=1, state=None):
        torch.manual_seed(0)
        self.points, self.labels = dataset()
        self.sampler = plan(self.labels).sampler(rank=rank, world_size=world)
        self.feedback = Feedback(self.sampler, rule, smoothing=0.5, most_change=0.1)
        self.model = torch.nn.Linear(2, 3)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05)
        self.steps, self.seen, self.recall = 0, [], isinstance(rule, by_recall)
        if state is not None:
            cursors, weights, self.steps = state
            self.sampler.load_state_dict(json.loads(cursors)[0])
            self.feedback.load_state_dict(json.loads(cursors)[1])
            self.model.load_state_dict(weights)

    def train(self, until):
        while self.steps < until:
            for batch in self.sampler:
                logits, labels = self.model(self.points[batch]), self.labels[batch]
                losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
                self.optimizer.zero_grad()
                losses.mean().backward()
                self.optimizer.step()
                self.feedback.observe((logits.argmax(1) == labels) if self.recall else losses, labels=labels)
                self.seen.append(batch)
                self.steps += 1
                if self.steps % 40 == 0:
                    self.feedback.update()
                if self.steps == until:
                    break
        return self

    def state(self):
        cursors = json.dumps([self.sampler.state_dict(), self.feedback.state_dict()])
        return cursors, {name: value.clone() for name, value in self.model.state_dict().items()}, self.steps


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_the_hard_class_gains_and_the_easy_one_loses(rule):
    run = Run(rule).train(600)
    assert run.feedback.shares[HARD] > 1 / 3 > run.feedback.shares[EASY]
    late = np.bincount(run.labels[np.concatenate(run.seen[-89:])], minlength=3)
    assert late[HARD] > late[EASY]
    assert run.sampler.plan.audit(batches=700).kept


@pytest.mark.parametrize("stop", [17, 40, 133, 200])
def test_a_resumed_run_equals_an_uninterrupted_one(stop):
    whole = Run(by_signal()).train(320)
    before = Run(by_signal()).train(stop)
    after = Run(by_signal(), state=before.state()).train(320)
    assert before.seen + after.seen == whole.seen
    assert np.array_equal(after.feedback.shares, whole.feedback.shares)


def one_rank(rank, world):
    run = Run(by_signal(), rank=rank, world=world).train(200)
    return run.seen, run.feedback.shares, run.sampler.state_dict(), run.feedback.state_dict()


def test_ranks_agree_and_together_are_the_plan():
    ranks = processes.run(one_rank, 2)
    assert np.array_equal(ranks[0][1], ranks[1][1])
    assert ranks[0][1][HARD] > 1 / 3
    assert ranks[0][2:] == ranks[1][2:]
    sampler = plan(dataset()[1]).sampler(rank=0, world_size=1)
    sampler.load_state_dict(ranks[0][2])
    union = [batch for together in zip(ranks[0][0], ranks[1][0], strict=True) for batch in together]
    assert union == [sampler.plan[t].tolist() for t in range(400)]


@examples(60)
@given(
    signals=st.lists(st.lists(st.floats(0, 100), min_size=4, max_size=4), min_size=1, max_size=6),
    most_change=st.floats(0.01, 1),
    rule=st.sampled_from(RULES),
)
def test_shares_keep_floor_ceiling_and_the_limit_of_change(signals, most_change, rule):
    labels = np.repeat(np.arange(4), 50)
    made = bw.balanced(labels, 20, target=bw.targets.moving({0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}, floor=0.1, ceiling=0.45))
    feedback = Feedback(made.sampler(), rule, most_change=most_change)
    for signal in signals:
        before = feedback.shares
        most = 100 if isinstance(rule, by_recall) else 1
        feedback.observe(np.array(signal) / most, samples=[0, 50, 100, 150])
        shares = feedback.update()
        assert shares.sum() == pytest.approx(1, abs=1e-9)
        assert shares.min() >= 0.1 - 1e-9
        assert shares.max() <= 0.45 + 1e-9
        assert np.abs(shares - before).max() <= most_change + 1e-9


def test_the_bandit_explores_less_and_less_and_keeps_to_its_formula():
    rule, signal = bandit(), np.array([0.0, 2.0, 1.0])
    for update in (5, 50, 5000):
        explored = min(1 / 3, np.sqrt(np.log(3) / (3 * update)))
        before = min(1 / 3, np.sqrt(np.log(3) / (3 * (update - 1))))
        raised = np.exp(before * signal)
        assert rule(signal, update) == pytest.approx((1 - 3 * explored) * raised / raised.sum() + explored)


def test_a_group_that_was_not_seen_has_the_mean_of_the_others():
    made = bw.balanced(list("aabbcc"), 6, target=bw.targets.moving("uniform"))
    feedback = Feedback(made.sampler(), by_signal())
    assert feedback.update().tolist() == made.shares().tolist()
    feedback.observe([1.0, 3.0], labels=["a", "b"])
    with pytest.warns(bw.PoorWarning, match="'b' has 2, a batch takes 3"):
        assert feedback.update() == pytest.approx([1 / 6, 3 / 6, 2 / 6])


def test_signals_may_be_as_small_as_numbers_get():
    feedback = Feedback(bw.balanced(list("aabb"), 4, target=bw.targets.moving("uniform")).sampler(), by_signal())
    feedback.observe([0.0, 5e-324], samples=[0, 2])
    with pytest.warns(bw.PoorWarning, match="'b' has 2, a batch takes 4"):
        assert feedback.update().tolist() == pytest.approx([0, 1], abs=1e-8)


@pytest.mark.parametrize(
    ("options", "fact"),
    [({"smoothing": 1.0}, "smoothing is 1 and"), ({"most_change": 0}, "most_change is 0")],
)
def test_numbers_out_of_range_are_refused(options, fact):
    made = bw.balanced(list("aabb"), 4, target=bw.targets.moving("uniform"))
    with pytest.raises(bw.Infeasible, match=fact):
        Feedback(made.sampler(), by_signal(), **options)


def test_signals_may_be_tensors_of_any_kind_and_only_what_holds_values():
    made = bw.balanced(list("aabb"), 4, target=bw.targets.moving("uniform"))
    feedback = Feedback(made.sampler(), by_signal())
    feedback.observe(torch.ones(2, requires_grad=True).bfloat16(), samples=[0, 1])
    feedback.observe(0.5, samples=2)
    with pytest.raises(bw.Infeasible, match="values is a tensor on the meta device"):
        feedback.observe(torch.ones(1, device="meta"), samples=[0])
    with pytest.raises(bw.Infeasible, match="values at position 0 is 'a', of type str"):
        feedback.observe(["a"], samples=[0])


def test_a_plan_whose_shares_cannot_be_set_is_refused():
    with pytest.raises(bw.Infeasible, match="cannot be set"):
        Feedback(bw.balanced(list("aabb"), 4).sampler(), by_signal())


def test_what_is_observed_must_fit():
    made = bw.balanced(list("aabb"), 4, target=bw.targets.moving("uniform"))
    feedback = Feedback(made.sampler(), by_signal())
    with pytest.raises(bw.Infeasible, match="3 values for 2 samples"):
        feedback.observe([1, 2, 3], labels=["a", "b"])
    with pytest.raises(bw.Infeasible, match="labels or by numbers"):
        feedback.observe([1, 2])
    with pytest.raises(bw.Infeasible, match="no group is called 'c'"):
        feedback.observe([1, 2], labels=["a", "c"])
    with pytest.raises(bw.Infeasible, match="no group is called None"):
        feedback.observe([1, 2], labels=["a", None])
    with pytest.raises(bw.Infeasible, match="sample 1 of 2 is nan"):
        feedback.observe([1, float("nan")], labels=["a", "b"])
    with pytest.raises(bw.Infeasible, match="sample 0 of 1 is inf"):
        feedback.observe(torch.tensor([float("inf")]), samples=[3])
    assert feedback.state_dict()["seen"] == [[0, 0], [0, 0]]
    feedback.rule = lambda signal, update: -signal
    feedback.observe([1.0], labels=["a"])
    with pytest.raises(bw.Infeasible, match="the rule gives"):
        feedback.update()
