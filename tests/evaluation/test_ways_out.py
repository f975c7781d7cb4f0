"""Every refusal of evaluation and of orders that are given: its fact, and its way out, which is followed here and works."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import batchwright as bw
from batchwright.correct import Means
from batchwright.correct.means import _added_up, _OfRank

from ..refusals import SOURCE, cases, check_that_all_are_reached, told_and_followed

FILES = [
    *(SOURCE / "plans" / f"{name}.py" for name in ("evaluation", "evaluation_summary", "in_turn")),
    SOURCE / "lengths" / "spans.py",
    SOURCE / "audit" / "evaluation.py",
    SOURCE / "correct" / "means.py",
]

HUGE = 2**61 + 1
LENGTHS = [3, 9, 1]
PLAN = bw.evaluation(20, 2)


def resumed(**plan_state):
    sampler = PLAN.sampler(rank=0, world_size=2)
    next(iter(sampler))
    sampler.load_state_dict({**sampler.state_dict(), "plan": plan_state})


def means(rows=2, step=0, **more):
    found = Means(PLAN.sampler())
    found.add(step, loss=torch.zeros(rows), **more)
    return found


def filled(rows):
    """Values of a batch of two samples and a filler."""
    found = Means(bw.evaluation(5, 4).sampler(rank=1, world_size=2))
    found.add(0, loss=torch.zeros(rows))


def added(steps, **more):
    found = Means(PLAN.sampler())
    for step in steps:
        found.add(step, loss=torch.zeros(2), **more)
    return found


def two_epochs():
    found = added(range(10))
    assert found.result() == {"loss": 0}
    for step in range(10):
        found.add(step, epoch=1, loss=torch.ones(2))
    assert found.result() == {"loss": 1}


def changing_names():
    found = means()
    found.add(1, other=torch.zeros(2))


def same_names():
    found = means()
    found.add(1, loss=torch.zeros(2))


CASES = cases("refuse message follow", {  # what is refused, what is said of it, and what its way out says to do
    "no limit": (lambda: bw.evaluation(20),
        "none of batch_size, max_tokens and capacity was passed; pass one of batch_size, max_tokens and capacity",
        lambda: (bw.evaluation(20, 4), bw.evaluation(LENGTHS, max_tokens=9), bw.evaluation(LENGTHS, capacity=9))),
    "two limits": (lambda: bw.evaluation(LENGTHS, 4, capacity=9), "batch_size and capacity were passed",
        lambda: bw.evaluation(LENGTHS, 4)),
    "no samples": (lambda: bw.evaluation(0, 4),
        "there are 0 samples to evaluate; pass a dataset of 1 sample or more, or skip", lambda: bw.evaluation(1, 4)),
    "no lengths": (lambda: bw.evaluation([], max_tokens=4), "there are 0 samples to evaluate",
        lambda: bw.evaluation([1], max_tokens=4)),
    "samples": (lambda: bw.evaluation(HUGE, 1 << 26), f"samples is {HUGE}, the most is {HUGE - 1}; pass {HUGE - 1} or fewer",
        lambda: bw.evaluation(HUGE - 1, 1 << 26)),
    "batch size": (lambda: bw.evaluation(20, 0), "batch_size is 0, the least is 1; pass batch_size=1 or more",
        lambda: bw.evaluation(20, 1)),
    "order": (lambda: bw.evaluation(20, 4, order="random"), "order is 'random'; pass 'file', 'shuffled' or 'length'",
        lambda: [bw.evaluation(LENGTHS, 4, order=order) for order in ("file", "shuffled", "length")]),
    "order by length of a number": (lambda: bw.evaluation(20, 4, order="length"), "lengths is a single value, 20",
        lambda: bw.evaluation(LENGTHS, 4, order="length")),
    "negative length": (lambda: bw.evaluation([3, -1], max_tokens=4),
        "sample 1 has length -1; pass lengths of 0 or more", lambda: bw.evaluation([3, 0], max_tokens=4)),
    "missing length": (lambda: bw.evaluation([3, float("nan")], capacity=4), "lengths has no value at sample 1 (nan)",
        lambda: bw.evaluation([3, 0.5], capacity=4)),
    "limit": (lambda: bw.evaluation(LENGTHS, capacity=0), "capacity is 0; pass capacity above 0",
        lambda: bw.evaluation(LENGTHS, capacity=9)),
    "infinite limit": (lambda: bw.evaluation(LENGTHS, max_tokens=float("inf")),
        "max_tokens is inf, not a finite number; pass max_tokens as a finite number",
        lambda: bw.evaluation(LENGTHS, max_tokens=1e9)),
    "too long": (lambda: bw.evaluation(LENGTHS, max_tokens=2),
        "sample 0 has length 3, max_tokens is 2 (1 more are too long); pass max_tokens=9 or more, or too_long='alone'",
        lambda: (bw.evaluation(LENGTHS, max_tokens=9), bw.evaluation(LENGTHS, max_tokens=2, too_long="alone"))),
    "half a length in a pack": (lambda: bw.evaluation([0.5], capacity=4, order="length"),
        "lengths at sample 0 is 0.5; pass whole lengths from 1", lambda: bw.evaluation([1], capacity=4, order="length")),
    "policy": (lambda: bw.evaluation(LENGTHS, max_tokens=2, too_long="skip"),
        "too_long is 'skip'; pass 'refuse' or 'alone'",
        lambda: bw.evaluation(LENGTHS, max_tokens=2, too_long="alone")),
    "state of another plan": (lambda: resumed(windows=[]), "of a plan for evaluation; load what state_dict() gave, as",
        lambda: resumed(step_size=2)),
    "step of a state": (lambda: resumed(step_size=1 << 18), "the state's step_size is 262144 and it begins at place 0 of 20",
        lambda: resumed(step_size=2)),
    "place of a state": (lambda: resumed(step_size=2, start=21), "begins at place 21 of 20",
        lambda: resumed(step_size=2, start=4)),
    "too many to count": (lambda: bw.evaluation(1 << 29, 4).audit(),
        "an audit counts every sample, and there are 536870912, more than 268435456; audit the same plan of fewer",
        lambda: bw.evaluation(1 << 9, 4).audit()),
    # means
    "no sampler": (lambda: Means(PLAN), "a sampler or a loader of a plan is needed, this is of type EvaluationPlan",
        lambda: Means(PLAN.sampler())),
    "names": (changing_names, "batch 1 has values called other, an earlier one loss; add the same names for every batch",
        same_names),
    "a mean of the list": (lambda: means(extra=torch.tensor(0.5)),
        "'extra' has shape (), the batch has 2 samples that count; pass one value a sample, such as the loss with reduc",
        lambda: means(extra=torch.tensor([0.5, 0.5]))),
    "few values": (lambda: means(1), "'loss' has shape (1,), the batch has 2 samples that count", lambda: means(2)),
    "many values": (lambda: means(6), "'loss' has shape (6,), the batch has 2 samples that count; pass one value a sample",
        lambda: means(2)),
    "neither with fillers nor without": (lambda: filled(4),
        "'loss' has shape (4,), the batch has 2 samples that count and 1 that do not; pass one value a sample, such as",
        lambda: (filled(2), filled(3))),
    "a pair of three": (lambda: means(pair=([1, 2], [1, 2], [1, 2])),
        "'pair' is a tuple of 3, and a tuple is a pair (sums, amounts); pass the values of the samples as a list or a",
        lambda: (means(pair=[1, 2]), means(pair=torch.tensor([1, 2])), means(pair=([1, 2], [1, 2])))),
    "complex": (lambda: means(extra=[1j, 2]), "'extra' has complex numbers, which have no mean here; pass real numbers",
        lambda: means(extra=[1, 2])),
    "nothing": (lambda: Means(PLAN.sampler()).result(), "there are means of 0 values; call means.add(number, loss=...) af",
        lambda: added(range(10)).result()),
    "a training plan": (lambda: Means(bw.shuffled(20, 2).loader(range(20))),
        "the means are to be over every sample once, and <plan: 10 micro-batches of 2 an epoch",
        lambda: Means(bw.evaluation(range(20), 2).loader(range(20)))),
    "a batch twice": (lambda: added([0, 0]), "batch 0 of epoch 0 was added before; add all values of a batch in one call",
        lambda: added([0], other=torch.zeros(2))),
    "two epochs": (lambda: added(range(10)).add(0, epoch=1, loss=torch.zeros(2)),
        "batch 0 is of epoch 1, those before it were of epoch 0; call means.result() after each evaluation, or make new",
        lambda: two_epochs()),
    "steps that are lacking": (lambda: added([3]).result(),
        "the means would be of 2 samples, and there are 20; this rank, 0 of 1, added 1 of its 10 batches; add every batch",
        lambda: (added(range(10)).result(), added([3]).result(whole=False))),
    "names of ranks": (lambda: _added_up([_OfRank(0, 2, {"loss": (1, 2)}), _OfRank(0, 2, {"acc": (1, 2)})]),
        "the values of 2 ranks have different names: 'loss' is missing on rank 1, 'acc' is missing on rank 0; add the same",
        lambda: _added_up([_OfRank(0, 2, {"loss": (1, 2)})] * 2)),  # test_means_of_ranks.py follows it
    "epochs of ranks": (lambda: _added_up([_OfRank(1, 2, {"loss": (1, 2)}), _OfRank(0, 2, {"loss": (1, 2)})]),
        "rank 0 added values of epoch 1, and rank 1 of epoch 0; call means.result() after each evaluation, on every rank",
        lambda: _added_up([_OfRank(1, 2, {"loss": (1, 2)})] * 2)),
    # orders that are given
    "sequential of too many": (lambda: bw.sequential(HUGE, 1 << 23), f"samples is {HUGE}, the most is {HUGE - 1}",
        lambda: bw.sequential(HUGE - 1, 1 << 23)),
    "rows of indices": (lambda: bw.ordered([(0, 1), (2, 3)], 4), "indices are rows of 2 numbers; pass one index for each",
        lambda: bw.ordered([0, 1, 2, 3], 4)),
    "no indices": (lambda: bw.ordered([], 4), "there are 0 indices; pass the number of one sample or more",
        lambda: bw.ordered([0, 1, 2, 3], 4)),
    "negative index": (lambda: bw.ordered([3, -1], 2), "index -1 at place 1 is below 0; pass indices of 0 or more",
        lambda: bw.ordered([3, 1], 2)),
    "index beyond": (lambda: bw.ordered([3, 0], 2, samples=LENGTHS),
        "index 3 at place 0 is beyond the data set of 3 samples; pass indices from 0 to 2",
        lambda: bw.ordered([2, 0], 2, samples=LENGTHS)),
    "index beyond memory": (lambda: bw.ordered([2**31, 0], 2),
        "a data set of 2147483649 samples, of which each is counted; the most is 2147483648; pass indices below 2147483648",
        lambda: bw.ordered([2**10, 0], 2)),
    "mask": (lambda: bw.ordered(np.array([True, False]), 2), "indices are given by values of type bool; pass their num",
        lambda: bw.ordered(np.flatnonzero([True, True]), 2)),
    "half an index": (lambda: bw.ordered([0.5, 1.0], 2), "indices are given by values of type float64",
        lambda: bw.ordered([0, 1], 2)),
    "missing index": (lambda: bw.ordered([0, None], 2), "indices has no value at sample 1 (None)",
        lambda: bw.ordered([0, 1], 2)),
})  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_works(name):
    told_and_followed(CASES[name])


def test_every_refusal_in_the_code_is_among_these():
    check_that_all_are_reached(FILES, 16, [CASES])
