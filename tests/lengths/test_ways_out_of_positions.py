"""Every refusal of positions of a run and of orders: its fact, and its way out, which works."""

from __future__ import annotations

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


def elastic():
    """A sampler of two ranks, of a run that went through 4 micro-batches of its epoch with one."""
    plan = bw.budgeted(np.arange(1, 61) % 9 + 1, 20, window=8)
    one, two = plan.sampler(), plan.sampler(rank=0, world_size=2)
    one.seek(4)
    two.load_state_dict(one.state_dict())
    return two


def resumed(**entries):
    plan = bw.budgeted(np.arange(1, 61) % 9 + 1, 20, window=8)
    sampler = plan.sampler()
    sampler.load_state_dict({**sampler.state_dict(), **entries})
    return sampler


CASES = cases("refuse message follow", {  # what is refused, what is said of it, and what its way out says to do
    # places of a run
    "multiple": (
        lambda: budget().layout(0), "multiple is 0; pass world_size * accumulate, 1 or more", lambda: budget().layout(1)),
    "epoch": (
        lambda: budget().epoch(-1), "epoch is -1; pass 0 or more: epochs count from 0", lambda: ends(budget())),
    "window": (
        lambda: budget(window=HUGE), "micro-batches; pass a whole number of 1 or more, or \"epoch\"",
        lambda: [ends(budget(window=window)) for window in (1, "epoch")]),
    "multiples of a state": (
        lambda: resumed(multiple=1 << 30), "the state's multiples are [1073741824], the most is 16777216; load what",
        lambda: list(resumed())),
    "trail of no window": (
        lambda: resumed(trail=[0, 999, 0, 0]), "the state's trail is [0, 999, 0, 0]; load what state_dict() gave, as it was",
        lambda: list(resumed())),
    "trail of no item": (
        lambda: resumed(trail=[0, 0, 0, 5]), "the state's trail is [0, 0, 0, 5]; load what state_dict() gave, as it was",
        lambda: list(resumed())),
    "before what is left": (
        lambda: elastic().seek(1),
        "micro-batch 2 of epoch 0 is outside what is left of it, micro-batches 4 to 20: the run went on with another "
        "multiple; go on from micro-batch 4 or a later one, or with another epoch.",
        lambda: (elastic().seek(2), elastic().seek(3), elastic().seek(0, epoch=1), list(elastic()))),
    # orders
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
    "turns too far apart": (
        lambda: task_schedule([10**16, 10**8, 1], [1, 2, NAME]),
        "nnn' has one turn in 10000000100000001, and others lie so far",
        lambda: (task_schedule(reduced([10**16, 10**8])), task_schedule([10**16, 10**8, 10**8]))),
})  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    told_and_followed(CASES[case])
