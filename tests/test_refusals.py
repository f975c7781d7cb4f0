"""G11: what cannot be delivered is refused when it is asked for, with the fact, the numbers and the way out."""

from __future__ import annotations

import numpy as np
import pytest

import batchwright as bw

LABELS = ["cat"] * 6 + ["dog"] * 4


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: bw.balanced(LABELS, 0), "batch_size is 0, the least is 1; pass batch_size=1 or more."),
        (lambda: bw.balanced(LABELS, -4), "batch_size is -4"),
        (lambda: bw.balanced([], 4), "the dataset is empty"),
        (lambda: bw.shuffled(0, 4), "the dataset is empty"),
        (lambda: bw.weighted([], 4), "the dataset is empty"),
        (lambda: bw.weighted([1.0, float("nan")], 4), r"weights has no value at sample 1 \(.*nan.*\)"),
        (lambda: bw.weighted([1.0, float("inf")], 4), "weights at sample 1 is inf"),
        (lambda: bw.weighted([1.0, -2.0], 4), "the weight of sample 1 is -2.0"),
        (lambda: bw.weighted([0, 0], 4), "all 2 weights are 0"),
        (lambda: bw.balanced(LABELS, 4, target={"cat": 0.5, "dog": 0.4}), "the shares sum to 0.9, not to 1"),
        (
            lambda: bw.balanced(LABELS, 4, target={"cat": 0.5, "dgo": 0.5}),
            "given to 'dgo' but the labels are 'cat', 'dog'",
        ),
        (lambda: bw.balanced(LABELS, 4, target={"cat": 1}), "1 of 2 groups have no share, 'dog' the first"),
        (
            lambda: bw.balanced(bw.Groups.from_sizes({"a": 3, "b": 0}), 4, target={"a": 0.5, "b": 0.5}),
            "gives group 'b' the share 0.5 but it has 0 samples",
        ),
        (lambda: bw.balanced(LABELS, 4, per_class=3), "per_class=3 does not divide batch_size=4"),
        (lambda: bw.balanced(LABELS, 4, per_class=0), "per_class is 0"),
        (lambda: bw.balanced(LABELS, 12, per_class=4), "asks for 3 classes a batch, there are 2"),
        (lambda: bw.balanced(LABELS, 10, per_class=5, distinct=True), "group 'dog' has 4 samples but a batch takes 5"),
        (lambda: bw.balanced(LABELS, 4, draw="exactly"), "draw is 'exactly'"),
        (lambda: bw.balanced(LABELS, 4, epoch="smaller"), "epoch is 'smaller'"),
        (lambda: bw.balanced(LABELS, 4, epoch=0), "epoch is 0 micro-batches"),
        (lambda: bw.balanced(LABELS, 4, seed=-1), "seed is -1"),
        (lambda: bw.balanced(LABELS, 4, seed=2**64), "seed is 18446744073709551616"),
        (lambda: bw.balanced(LABELS, 2**26), "the most is 12064"),
        (
            lambda: bw.balanced(LABELS, 4, target=bw.targets.schedule(0, 1, epochs=3), epoch="largest"),
            "has no one length where the target moves",
        ),
        (lambda: bw.balanced(LABELS, 4).epoch(-1), "epoch is -1"),
        (lambda: bw.balanced(LABELS, 4).epoch(0, 0), "multiple is 0"),
        (lambda: bw.balanced(LABELS, 4).audit(batches=0), "0 micro-batches from 0 on"),
        (lambda: bw.balanced(LABELS, 4).prior_between(3, 3), "no micro-batches from 3 to 3"),
        (lambda: bw.balanced(LABELS, 4, target={"cat": 1, "dog": 0}).weights([9]), "group 'dog' is never drawn"),
        (lambda: bw.balanced(LABELS, 4).weights([10]), "asked for, the dataset has 10"),
        (lambda: bw.balanced(LABELS, 4, target=lambda c, e: [0.5, 0.5]).sampled_prior, "may move for ever"),
        (lambda: bw.balanced(LABELS, 4).sampler(rank=2, world_size=2), "rank 2 is outside a world of 2"),
        (lambda: bw.balanced(LABELS, 4).sampler(rank=0, world_size=0), "rank 0 is outside a world of 0"),
        (lambda: bw.balanced(LABELS, 4).sampler(rank=0), "rank is 0 and world_size None"),
        (lambda: bw.balanced(LABELS, 4).sampler(accumulate=0), "accumulate is 0"),
        (lambda: bw.balanced(LABELS, 4).sampler().seek(4), "step 4 of an epoch of 3 steps"),
    ],
)
def test_refused_with_the_fact_and_a_way_out(build, said):
    with pytest.raises(bw.Infeasible, match=said) as caught:
        build()
    assert isinstance(caught.value, ValueError)
    assert caught.value.way_out
    assert str(caught.value).endswith(f"{caught.value.way_out}.")


def test_a_state_of_another_plan_is_refused():
    state = bw.balanced(LABELS, 4).sampler().state_dict()
    for other in (bw.balanced(LABELS, 4, seed=1), bw.balanced(LABELS[::-1], 4), bw.balanced(LABELS, 2)):
        with pytest.raises(bw.Infeasible, match="the state is of plan"):
            other.sampler().load_state_dict(state)
    with pytest.raises(bw.Infeasible, match="the state has version 99, this is version 1"):
        bw.balanced(LABELS, 4).sampler().load_state_dict({**state, "version": 99})


def test_positions_outside_are_index_errors():
    plan = bw.balanced(LABELS, 4)
    with pytest.raises(IndexError, match="counts from 0"):
        plan[-1]
    with pytest.raises(IndexError, match="past the last"):
        plan[2**40]
    with pytest.raises(IndexError, match="micro-batch 3 of an epoch of 3"):
        plan.epoch(0)[3]
    with pytest.raises(TypeError):
        iter(plan)


def test_what_is_merely_poor_is_a_warning_that_says_what_it_costs():
    with pytest.warns(bw.PoorWarning, match="'dog' has 4, a batch takes 8"):
        bw.balanced(LABELS, 16)
    with pytest.warns(bw.PoorWarning, match="'all' has 3, a batch takes 4"):
        bw.shuffled(3, 4)
    with pytest.warns(bw.PoorWarning, match="1 of 3 samples have weights above 0 but too small"):
        bw.weighted(np.array([1.0, 1.0, 1e-30]), 4)
