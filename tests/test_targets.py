"""Each target against its closed formula and a table computed by hand."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import batchwright as bw
from batchwright import Infeasible, targets

COUNTS = st.lists(st.integers(1, 10**6), min_size=1, max_size=50)


def normalised(weights):
    return np.array(weights, float) / math.fsum(weights)


@given(counts=COUNTS, q=st.floats(0, 1))
def test_power(counts, q):
    expected = normalised([n**q for n in counts])
    assert targets.power(q).shares(counts) == pytest.approx(expected, rel=1e-10)


@given(counts=COUNTS)
def test_natural_uniform_and_square_root_are_powers(counts):
    assert np.array_equal(targets.natural().shares(counts), np.array(counts) / sum(counts))
    assert np.array_equal(targets.uniform().shares(counts), np.full(len(counts), 1 / len(counts)))
    assert np.array_equal(targets.resolve("sqrt").shares(counts), targets.power(0.5).shares(counts))


@given(counts=COUNTS, alpha=st.floats(0, 1))
def test_blend(counts, alpha):
    expected = (1 - alpha) * normalised(counts) + alpha / len(counts)
    assert targets.blend(alpha).shares(counts) == pytest.approx(expected, rel=1e-12)


@given(counts=COUNTS, beta=st.floats(0.001, 0.99999))
def test_effective_number(counts, beta):
    expected = normalised([n * (1 - beta) / (1 - beta**n) for n in counts])
    assert targets.effective_number(beta).shares(counts) == pytest.approx(expected, rel=1e-6)


@given(counts=COUNTS, threshold=st.floats(0, 1))
def test_repeat_factor(counts, threshold):
    shares = [n / sum(counts) for n in counts]
    expected = normalised([f * max(1.0, math.sqrt(threshold / f)) for f in shares])
    assert targets.repeat_factor(threshold).shares(counts) == pytest.approx(expected, rel=1e-10)


@given(counts=COUNTS, max_passes=st.integers(1, 20))
def test_capped_is_as_uniform_as_the_caps_allow(counts, max_passes):
    """Characterised, not recomputed: no cap is passed, and a group below its cap has the largest share of all."""
    drawn = targets.capped(max_passes).shares(counts) * sum(counts)
    caps = np.array(counts) * max_passes
    assert (drawn <= caps * (1 + 1e-9)).all()
    free = drawn < caps * (1 - 1e-9)
    if free.any():
        assert drawn[free] == pytest.approx(drawn.max(), rel=1e-9)
    assert drawn.sum() == pytest.approx(sum(counts))


@given(counts=COUNTS, weights=st.lists(st.integers(0, 50), min_size=20, max_size=20), max_passes=st.integers(1, 20))
def test_capped_is_as_near_to_shares_as_the_caps_allow(counts, weights, max_passes):
    """Groups below their cap have shares in the wanted proportion, and no other has more than that."""
    weights = np.array([1, *weights][: len(counts)], float) * (np.array(counts) > 0)
    assume(weights.any() and max_passes * np.sum(np.array(counts)[weights > 0]) >= sum(counts))
    shares = (weights / weights.sum()).tolist()
    drawn = targets.capped(max_passes, shares).shares(counts) * sum(counts)
    caps = np.array(counts) * max_passes
    assert (drawn <= caps * (1 + 1e-9)).all()
    assert (drawn[weights == 0] == 0).all()
    free, held = (drawn < caps * (1 - 1e-9)) & (weights > 0), weights > 0
    if free.any():
        assert drawn[free] / weights[free] == pytest.approx((drawn[held] / weights[held]).max(), rel=1e-6)
    assert drawn.sum() == pytest.approx(sum(counts))


@given(counts=st.lists(st.integers(1, 1000), min_size=2, max_size=5), epoch=st.integers(0, 30))
def test_schedule(counts, epoch):
    way = min(epoch, 20) / 20
    start, end = normalised(counts), np.full(len(counts), 1 / len(counts))
    linear = targets.schedule("natural", "uniform", epochs=20)
    assert linear.shares(counts, epoch) == pytest.approx((1 - way) * start + way * end)
    cosine = targets.schedule("natural", "uniform", epochs=20, shape="cosine")
    eased = 0.5 - 0.5 * math.cos(math.pi * way)
    assert cosine.shares(counts, epoch) == pytest.approx((1 - eased) * start + eased * end)
    squared = targets.schedule("natural", "uniform", epochs=20, shape=lambda x: x * x)
    assert squared.shares(counts, epoch) == pytest.approx((1 - way**2) * start + way**2 * end)


@pytest.mark.parametrize(
    ("target", "counts", "by_hand"),
    [
        (targets.natural(), [60, 30, 10], [0.6, 0.3, 0.1]),
        (targets.uniform(), [60, 30, 10], [1 / 3, 1 / 3, 1 / 3]),
        (targets.uniform(), [60, 0, 10], [0.5, 0, 0.5]),
        (targets.blend(0.25), [60, 40], [0.575, 0.425]),
        (targets.power(0.5), [81, 16, 1], [9 / 14, 4 / 14, 1 / 14]),
        (targets.effective_number(0.9), [2, 1], [2 / 1.9 / (2 / 1.9 + 1), 1 / (2 / 1.9 + 1)]),
        (targets.repeat_factor(0.16), [96, 4], [0.96 / 1.04, 0.08 / 1.04]),
        (targets.capped(3), [85, 10, 5], [0.55, 0.30, 0.15]),
        (targets.capped(1, budget=30), [85, 10, 5], [15 / 30, 10 / 30, 5 / 30]),
        (targets.schedule("natural", {0: 0, 1: 1}, epochs=4), [60, 40], [0.6, 0.4]),
        (targets.resolve(lambda counts: counts / counts.sum()), [60, 40], [0.6, 0.4]),
        (targets.resolve(lambda counts, epoch: [1 - epoch, epoch]), [60, 40], [1, 0]),
    ],
)
def test_tables_by_hand(target, counts, by_hand):
    assert target.shares(counts) == pytest.approx(by_hand, rel=1e-12)


@given(counts=COUNTS)
def test_shares_sum_to_one_and_survive_a_pickle(counts):
    for target in (
        targets.natural(),
        targets.blend(0.3),
        targets.power(0.3),
        targets.capped(2),
        targets.repeat_factor(0.1),
    ):
        assert target.shares(counts).sum() == pytest.approx(1)
        assert np.array_equal(pickle.loads(pickle.dumps(target)).shares(counts), target.shares(counts))


def test_written_decimals_are_meant_exactly():
    assert targets.explicit({"a": 0.1, "b": 0.2, "c": 0.7}).exact([1, 1, 1], names=["a", "b", "c"]) == [1, 2, 7]


def test_a_third_three_times_is_a_third():
    weights = targets.explicit(dict.fromkeys("abc", 1 / 3)).exact([1, 1, 1], names="abc")
    assert len(set(weights)) == 1


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: targets.resolve("unifrom"), "no target is called 'unifrom'"),
        (lambda: targets.resolve(object()), "the target is of type object, which is not understood"),
        (lambda: targets.resolve([0.5, 0.6]), "the shares sum to 1.1"),
        (lambda: targets.resolve(["a", "b"]), "the target at position 0 is 'a', of type str"),
        (lambda: targets.resolve([0.5, 0.5]).shares([1, 1, 1]), "gave 2 shares for 3 groups"),
        (lambda: targets.resolve(targets.temperature), "the target is targets.temperature itself; call it"),
        (lambda: targets.resolve(targets.uniform), "the target is targets.uniform itself; call it"),
        (lambda: targets.resolve(True), "alpha is True, not a finite number"),
        (lambda: targets.temperature("2"), "the temperature is '2', not a finite number"),
        (lambda: targets.temperature(math.inf), "the temperature is inf, not a finite number"),
        (lambda: targets.capped("a"), "max_passes is 'a'"),
        (lambda: targets.resolve(targets.moving), "the target is targets.moving itself; call it"),
        (lambda: targets.resolve(targets.in_units), "the target is targets.in_units itself; call it"),
        (lambda: targets.capped(2, budget=1.5), "budget is 1.5, not a whole number"),
        (lambda: targets.moving("uniform", floor="a"), "floor is 'a', not a finite number"),
        (lambda: targets.moving(targets.moving("uniform")), "moves by itself"),
        (lambda: targets.schedule("natural", "uniform", epochs="3"), "epochs is '3', not a whole number"),
        (lambda: targets.schedule("natural", "uniform", epochs=1.5), "epochs is 1.5, not a whole number"),
        (lambda: targets.schedule(targets.moving("uniform"), "natural", epochs=2), "cannot be scheduled"),
        (lambda: targets.in_units(targets.moving("uniform"), [1, 2]), r"pass moving\(in_units"),
        (lambda: targets.explicit([0.5, 0.5]), "shares is of type list; pass shares by name"),
        (lambda: targets.explicit({"a": "x", "b": 1}), "the share of 'a' is 'x', not a finite number"),
        (
            lambda: targets.resolve(lambda counts: None).shares([1]),
            "the target function gives at epoch 0 is None",
        ),
        (lambda: targets.blend(1.5), "alpha is 1.5"),
        (lambda: targets.power(-1), "q is -1"),
        (lambda: targets.effective_number(1.0), "beta is 1.0"),
        (lambda: targets.repeat_factor(2), "threshold is 2"),
        (lambda: targets.capped(0), "max_passes is 0"),
        (lambda: targets.capped(0.5).shares([10]), "0.5 passes through 10 samples give 5, the budget is 10"),
        (lambda: targets.explicit({"a": 0.5, "b": 0.4}), "the shares sum to 0.9, not to 1"),
        (lambda: targets.explicit({"a": float("nan")}), "the share of 'a' is nan"),
        (lambda: targets.explicit({"a": 1.5, "b": -0.5}), "'b' has share -0.5"),
        (lambda: targets.explicit({}), "shares has 0 entries"),
        (lambda: targets.explicit({"x": 1}).shares([1], names=["a"]), "a share is given to 'x' but the labels are 'a'"),
        (lambda: targets.explicit({"a": 1}).shares([1, 1], names="ab"), "1 of 2 groups have no share, 'b' the first"),
        (
            lambda: targets.explicit({"a": 0.5, "b": 0.5}).shares([1, 0], names="ab"),
            "'b' the share 0.5 but it has 0 samples",
        ),
        (lambda: targets.schedule("natural", "uniform", epochs=0), "epochs is 0"),
        (lambda: targets.schedule("natural", "uniform", epochs=1, shape="square"), "shape is 'square'"),
        (lambda: targets.schedule(lambda c, e: c, "uniform", epochs=1), "never settles"),
        (lambda: targets.resolve(lambda counts: [0.5] * 2).shares([1, 1, 1]), "gives 2 shares for 3 groups"),
        (lambda: targets.resolve(lambda counts: [0.5, 0.6]).shares([1, 1]), "sum to 1.1 at epoch 0"),
        (lambda: targets.resolve(lambda counts: [math.nan, 1]).shares([1, 1]), "gives group 0 the share nan"),
        (lambda: targets.uniform().shares([0, 0]), "gives all 2 groups no share"),
    ],
)
def test_refusals(build, said):
    with pytest.raises(Infeasible, match=said):
        build()


def test_shares_are_read_alike_from_whatever_holds_them():
    given = {"a": 0.3, "b": 0.7}
    in_order = [[0.3, 0.7], (0.3, 0.7), np.array([0.3, 0.7]), torch.tensor([0.3, 0.7], dtype=torch.float64)]
    by_label = [pd.Series(given), {name: torch.tensor(share, dtype=torch.float64) for name, share in given.items()}]
    for target in [*in_order, *by_label]:
        assert targets.resolve(target).exact([5, 5], names=["a", "b"]) == [3, 7]


def test_where_turns_go_on_for_ever_no_target_that_is_set_later_is_taken():
    moving = targets.moving("uniform")
    with pytest.raises(Infeasible, match="moves"):
        bw.alternating({"a": bw.shuffled(4, 2)}, target=moving)
    with pytest.raises(Infeasible, match="moves"):
        bw.hierarchical([list("aabb")], [1, 1], target=moving)
    with pytest.raises(Infeasible, match="moves"):
        bw.raked({"x": list("aabb")}, {"x": moving}, 2)


@pytest.mark.parametrize("kind", [dict, pd.Series])
def test_a_series_is_read_by_label_wherever_shares_are_given(kind):
    labels, given = ["a"] * 90 + ["b"] * 30, kind({"b": 0.9, "a": 0.1})
    assert bw.balanced(labels, 10, target=given).shares().tolist() == [0.1, 0.9]
    sampler = bw.balanced(labels, 10, target=targets.moving("uniform")).sampler(rank=0, world_size=1)
    sampler.retarget(given)
    assert sampler.plan.prior_between(0, 10).round(6).tolist() == [0.1, 0.9]
    rates = bw.multilabel_weights([["a"], ["a", "b"], ["b"], []], target=kind({"b": 0.75, "a": 0.5}))
    assert rates.wanted.tolist() == [0.5, 0.75]
    adjusted = bw.correct.LogitAdjustment.from_plan(bw.balanced(labels, 10), deploy=given, mode="post_hoc")
    assert adjusted.offset.argmax() == 1


def test_a_function_may_give_its_shares_one_by_one():
    whole = targets.resolve(lambda counts: counts / counts.sum()).shares([3, 1]).tolist()
    assert targets.resolve(lambda counts: (n / counts.sum() for n in counts)).shares([3, 1]).tolist() == whole
    assert targets.resolve(lambda counts: map(float, counts / counts.sum())).shares([3, 1]).tolist() == whole


def test_a_whole_budget_may_be_written_as_a_float():
    assert repr(targets.capped(2, budget=1e6)) == repr(targets.capped(2, budget=1_000_000))
