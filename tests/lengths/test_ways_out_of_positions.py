"""Every refusal of positions of a run and of orders: its fact, and its way out, which works."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

import batchwright as bw
from batchwright.orders.task_schedule import reduced, task_schedule

from ..refusals import cases, told_and_followed
from .small import LABELS, NAME, budget, ends

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # ways out that give nearly what was asked

HUGE = [[0] * 9999]


def moving(**more):
    return bw.balanced(LABELS, 4, target=lambda counts, epoch: [0.5, 0.5], **more)


def resumed(plan=None, /, **entries):
    """What is left of an epoch, of a run whose state was changed."""
    plan = bw.budgeted(np.arange(1, 61) % 9 + 1, 20, window=8) if plan is None else plan
    sampler = plan.sampler()
    sampler.load_state_dict({**sampler.state_dict(), **entries})
    return list(sampler)


def set_again(times=12):
    """The plan of a run in which the shares were set so often, and the first epoch that it still knows whole."""
    sampler = bw.balanced(LABELS, 4, target=bw.targets.moving("uniform")).sampler(rank=0, world_size=1)
    for number in range(times):
        sampler.seek(0, epoch=100 * number)
        sampler.retarget([0.3, 0.7] if number % 2 else [0.7, 0.3])
    return sampler.plan, -(-sampler.plan.share_changes[0].first // sampler.plan.epoch_batches)


def of_ranks(batch_size, ranks=2):
    return bw.shuffled(400, batch_size, local=bw.Shards([100] * 4, ranks=ranks))


def in_shards(builder, batch_size):
    return builder(np.arange(400) % 2 + 1, batch_size, local=bw.Shards([100] * 4))


def buckets(window=8):
    return bw.bucketed(np.arange(1, 601)[:, None] % 9 + 1, 4, buckets=3, window=window)


def ordered():
    return bw.budgeted(np.arange(1, 61) % 9 + 1, 20, window=8, order=bw.shuffled(60, 4))


def set_often():
    """A plan whose shares were set more often than it knows."""
    sampler = bw.balanced(LABELS, 4, target=bw.targets.moving("uniform", floor=0.2, ceiling=0.7), epoch=100).sampler()
    for number in range(10):
        sampler.retarget([0.7 - 0.04 * number, 0.3 + 0.04 * number])
        list(sampler)
    return sampler.plan


def with_too_few_at_the_end():
    """The last window of an epoch that was laid out with fewer micro-batches than its samples need."""
    plan = buckets()
    windows = copy.copy(plan.windows)
    windows.layout = replace(windows.layout, last_batches=1, regular_windows=windows.layout.window_count - 1)
    return windows.cut_window(windows.layout.window_count - 1)


CASES = cases("refuse message follow", {  # what is refused, what is said of it, and what its way out says to do
    # places of a run
    "step_size": (
        lambda: budget().epoch_length(0), "step_size is 0, the least is 1", lambda: budget().epoch_length(1)),
    "step": (lambda: budget().stepped(0), "step_size is 0, the least is 1", lambda: ends(budget().stepped(1))),
    "a large step": (
        lambda: ordered().stepped(10**7),
        "a step has 10000000 micro-batches, and a plan by lengths plans 131072 together at most; pass a smaller world_size",
        lambda: ordered().stepped(4096)[0]),
    "epoch": (lambda: budget().epoch(-1), "epoch is -1, the least is 0", lambda: ends(budget())),
    "window": (
        lambda: budget(window=HUGE), "micro-batches; pass a whole number of 1 or more, or \"epoch\"",
        lambda: [ends(budget(window=window)) for window in (1, "epoch")]),
    # states
    "a step of a state": (
        lambda: resumed(plan={"step_size": 1 << 30}),
        "the state's step_size is 1073741824 and its shift 0, the largest step is ", lambda: resumed(plan={"step_size": 1})),
    "a shift of a state": (
        lambda: resumed(plan={"step_size": 4, "shift": 4}), "the state's step_size is 4 and its shift 4", resumed),
    "no step of a state": (lambda: resumed(plan={}), "the state says {} of its plan; load what", resumed),
    "something else of a state": (
        lambda: resumed(plan={"step_size": 1, "ahead": [0]}), "the state says {'ahead': [0], 'step_size': 1} of its",
        resumed),
    "no list that follows": (
        lambda: resumed(plan={"step_size": 1, "then": 3}), "the state's then is 3; load what state_dict() gave", resumed),
    "a list that followed before": (
        lambda: resumed(consumed=4, plan={"step_size": 1, "then": {"step_size": 2, "at": 3, "start": 0}}),
        "the state goes on at micro-batch 3 as micro-batch 0, and stands at 4; load what state_dict() gave", resumed),
    "no windows of a state": (
        lambda: resumed(ordered(), plan={"step_size": 1, "windows": [[0, 0]]}),
        "the state's windows are [[0, 0]]; load what",
        lambda: resumed(ordered())),
    "a later window": (
        lambda: resumed(ordered(), plan={"step_size": 1, "windows": [[1, 8, 0]]}),
        "the state's windows are [[1, 8, 0]], and it stands at micro-batch 0; load what", lambda: resumed(ordered())),
    "windows in another order": (
        lambda: resumed(ordered(), plan={"step_size": 1, "windows": [[1, 8, 0], [0, 0, 0]]}),
        "the state's windows are [[1, 8, 0], [0, 0, 0]]; load what", lambda: resumed(ordered())),
    "an item that is not there": (
        lambda: resumed(ordered(), plan={"step_size": 1, "windows": [[0, 0, 5]]}),
        "the state says that window 0 begins at item 5 of place 0; load what", lambda: resumed(ordered())),
    "a place of another epoch": (
        lambda: resumed(buckets(), plan={"step_size": 1, "windows": [[0, 601, 0]]}),
        "the state says that window 0 begins at place 601; load what", lambda: resumed(buckets())),
    # windows
    "too few micro-batches at the end": (
        with_too_few_at_the_end, " micro-batches, and 1 are left of it; pass window=\"epoch\"",
        lambda: ends(buckets("epoch"))),
    # orders
    "a sample of no shard": (
        lambda: bw.Shards([3, 4]).of([0, 7]), "samples 0 to 7 asked for, the set of shards has 7; pass numbers from 0 to 6",
        lambda: bw.Shards([3, 4]).of([0, 6])),
    "a sample before the first shard": (
        lambda: bw.Shards([3, 4]).of(-1), "samples -1 to -1 asked for, the set of shards has 7; pass numbers from 0 to 6",
        lambda: bw.Shards([3, 4]).of(0)),
    "forgotten shares": (
        lambda: set_often().prior_between(5, 9), "the shares before micro-batch ",
        lambda: set_often().prior_between(set_often().share_changes[0].first, 1000)),
    "a late micro-batch": (
        lambda: bw.balanced(LABELS, 4).audit(first=1 << 40),
        "micro-batch 1099511627776 is past the last, 382252089343; ask for 0 to 382252089343",
        lambda: [bw.balanced(LABELS, 4).audit(first=first, batches=4) for first in (0, 382252089343 - 3)]),
    "a weight below 0": (
        lambda: bw.weighted([1, -2.5], 4), "the weight of sample 1 is -2.5; pass weights of 0 or more",
        lambda: bw.weighted([1, 0], 4)[0]),
    "no weight": (lambda: bw.weighted([0, 0], 4), "all 2 weights are 0; give one sample a weight above 0",
                  lambda: bw.weighted([0, 1], 4)[0]),
    "weights that move": (
        lambda: bw.weighted([1, 2], 2).order.shares.moved([1, 1]),
        "the weights of samples cannot be set; group the samples and balance the groups with target=targets.moving(...)",
        lambda: bw.balanced([0, 1], 2, target=bw.targets.moving("uniform")).sampler().retarget([0.4, 0.6])),
    "late epoch of a moving target": (
        lambda: moving()[10**9], "epoch 333333333 is asked for, a target that moves is followed for 131072 epochs; build",
        lambda: (moving(epoch=10**6)[10**9],
                 bw.balanced(LABELS, 4, target=bw.targets.schedule(0, 1, epochs=3))[10**9])),
    # shards
    "shards without samples": (
        lambda: bw.Shards([0, 0]), "the 2 shards have 0 samples; pass the number of samples of each shard",
        lambda: bw.Shards([0, 5])),
    "more ranks than shards": (
        lambda: bw.Shards([4, 0, 5], ranks=3), "2 shards have samples, there are 3 ranks; pass ranks=2 or fewer",
        lambda: bw.Shards([4, 0, 5], ranks=2)),
    "shards of other samples": (
        lambda: bw.shuffled(99, 4, local=bw.Shards([50, 50])), "the shards have 100 samples, the plan has 99; pass",
        lambda: bw.shuffled(99, 4, local=bw.Shards([50, 49]))),
    "few samples in shards": (
        lambda: bw.shuffled(20, 8, local=bw.Shards([10, 10])), "a pass has 20 samples for 1 ranks, fewer than 3",
        lambda: (bw.shuffled(20, 8), bw.shuffled(20, 6, local=bw.Shards([10, 10])))),
    "few open shards": (
        lambda: bw.shuffled(100, 8, local=bw.Shards([50, 50], open=1)),
        "open=1 is too few for micro-batches of 8: where a rank goes on to other shards it needs up to 2; pass open=2",
        lambda: bw.shuffled(100, 8, local=bw.Shards([50, 50], open=2))),
    "few open small shards": (
        lambda: bw.shuffled(100, 8, local=bw.Shards([3, 4, 93], open=2)),
        "the smallest 2 shards together have fewer than 8 samples, and where a rank goes on to other shards it needs",
        lambda: (bw.shuffled(100, 8, local=bw.Shards([3, 4, 93], open=8)),
                 bw.shuffled(100, 8, local=bw.Shards([50, 50], open=2)))),
    "shards of ranks in a mixture": (
        lambda: bw.mixed({"a": of_ranks(4), "b": 100}, 8), "a micro-batch of the mixture takes up to 7 samples of several",
        lambda: (bw.mixed({"a": of_ranks(4), "b": 100}, 8, target="uniform"),
                 bw.mixed({"a": of_ranks(4, ranks=1), "b": 100}, 8))),
    "balanced shards in a mixture": (
        lambda: bw.mixed({"a": in_shards(bw.balanced, 4), "b": 100}, 8), "and is balanced in micro-batches of 4; give that",
        lambda: bw.mixed({"a": in_shards(bw.balanced, 4), "b": 100}, 8, target="uniform")),
    "weighted shards in a mixture": (
        lambda: bw.mixed({"a": in_shards(bw.weighted, 4), "b": 100}, 8), "weighted in micro-batches of 4; give that source",
        lambda: bw.mixed({"a": in_shards(bw.weighted, 4), "b": 100}, 8, target="uniform")),
    "forgotten micro-batch": (
        lambda: set_again()[0][0],
        "were set, and only the last 8 times that shares were set are known; go on from micro-batch",
        lambda: [plan.audit(first=epoch * plan.epoch_batches, batches=9) for plan, epoch in [set_again()]]),
    "turns too far apart": (
        lambda: task_schedule([10**16, 10**8, 1], [1, 2, NAME]),
        "nnn' has one turn in 10000000100000001, and others lie so far",
        lambda: (task_schedule(reduced([10**16, 10**8])), task_schedule([10**16, 10**8, 10**8]))),
})  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    told_and_followed(CASES[case])
