"""A plan whose first epoch has more micro-batches than a plan can have is refused where it is made."""

from __future__ import annotations

import inspect

import pytest

import batchwright as bw
from batchwright.micro_batches import LAST
from batchwright.recipes import PLANS

LABELS = ["cat"] * 6 + ["dog"] * 4
_TASKS = {"a": bw.shuffled(9, 3), "b": bw.balanced(LABELS, 4)}
_MANY = bw.Groups.from_sizes({"a": 10**13, "b": 3})
_EPOCHS = {  # a plan of every builder that is told the length of its epoch
    "alternating": lambda epoch: bw.alternating(_TASKS, epoch=epoch),
    "balanced": lambda epoch: bw.balanced(LABELS, 4, epoch=epoch),
    "balanced, moving": lambda epoch: bw.balanced(LABELS, 4, target=bw.targets.moving("uniform"), epoch=epoch),
    "hierarchical": lambda epoch: bw.hierarchical([LABELS], [2, 2], epoch=epoch),
    "in shards": lambda epoch: bw.shuffled(100, 4, local=bw.Shards([50, 50]), epoch=epoch),
    "independent": lambda epoch: bw.balanced(LABELS, 4, draw="random", epoch=epoch),
    "mixed": lambda epoch: bw.mixed({"a": 9, "b": 8}, 4, epoch=epoch),
    "multilabel": lambda epoch: bw.multilabel([["a"], ["b"], ["a", "b"]], 2, epoch=epoch),
    "ordered": lambda epoch: bw.ordered([2, 1, 0], 2, epoch=epoch),
    "raked": lambda epoch: bw.raked({"a": LABELS}, {"a": "natural"}, 4, epoch=epoch),
    "rotating": lambda epoch: bw.rotating([0, 0, 1, 1], 2, per_class=1, epoch=epoch),
    "sequential": lambda epoch: bw.sequential(9, 2, epoch=epoch),
    "shuffled": lambda epoch: bw.shuffled(9, 2, epoch=epoch),
    "weighted": lambda epoch: bw.weighted([1.0, 2.0, 4.0], 2, epoch=epoch),
}


def test_every_builder_with_an_epoch_is_here():
    named = {name for name, builder in PLANS.items() if "epoch" in inspect.signature(builder).parameters}
    assert named <= {name.partition(",")[0] for name in _EPOCHS}


@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
@pytest.mark.parametrize("name", _EPOCHS)
def test_a_plan_has_all_micro_batches_of_its_first_epoch(name):
    plan = _EPOCHS[name](LAST + 1)
    assert plan[plan.epoch_batches - 1].size
    with pytest.raises(bw.Infeasible, match=f"an epoch has {LAST + 2} micro-batches, and a plan has {LAST + 1}"):
        _EPOCHS[name](LAST + 2)


@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda size: bw.shuffled(10**12, size),
        lambda size: bw.shuffled(10**12, size, draw="random"),
        lambda size: bw.sequential(10**12, size),
        lambda size: bw.evaluation(10**12, size),
        lambda size: bw.mixed({"a": 10**12, "b": 9}, size),
        lambda size: bw.balanced(_MANY, 10 * size, target="natural"),
        lambda size: bw.balanced(_MANY, 20 * size, epoch="largest"),
        lambda size: bw.alternating({"a": bw.shuffled(5 * 10**11, size), "b": bw.shuffled(5 * 10**11, size)}),
    ],
)
def test_an_epoch_of_too_many_samples_is_refused_where_the_plan_is_made(make):
    plan = make(3)
    assert plan[plan.epoch_batches - 1].size
    with pytest.raises(
        bw.Infeasible, match="so the first epoch would never end; let a micro-batch have 2 times as many"
    ):
        make(2)
    plan = make(4)
    assert plan[plan.epoch_batches - 1].size
