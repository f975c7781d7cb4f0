"""G11: what cannot be delivered is refused when it is asked for, with the fact, the numbers and the way out."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import batchwright as bw

LABELS = ["cat"] * 6 + ["dog"] * 4


COUNTED = {  # what has a length that counts no samples
    "loader": DataLoader(range(8), batch_size=2),
    "sampler": bw.shuffled(8, 2).sampler(),
    "splits": {"train": range(8), "test": range(2)},
    "columns": {"x": [1] * 8},
    "text": "12345",
    "set": {1, 2},
    "fraction": 1.5,
    "truth": True,
    "nothing": None,
    "negative": -1,
}


@pytest.mark.parametrize("kind", COUNTED)
def test_a_length_that_counts_no_samples_is_no_number_of_samples(kind):
    for build in (lambda counted: bw.shuffled(counted, 2), lambda counted: bw.mixed({"a": counted, "b": 5}, 2)):
        with pytest.raises(bw.Infeasible, match=r"samples is|source 'a' is"):
            build(COUNTED[kind])


def test_what_has_samples_is_counted():
    frame = pd.DataFrame({"x": [1, 2, 3], "y": [1, 2, 3]})
    for samples in (3, np.int64(3), torch.tensor(3), [1, 2, 3], torch.zeros(3, 2), frame, frame["x"], range(3)):
        assert bw.shuffled(samples, 1).groups.sample_count == 3
        assert bw.mixed({"a": samples}, 1).groups.sample_count == 3


MOVING = bw.balanced(LABELS, 4, target=bw.targets.moving("uniform"))


def feedback(rule):
    found = bw.feedback.Feedback(MOVING.sampler(), rule)
    found.observe([1.0, 2.0], samples=[0, 9])
    return found


def adjusted(**arguments):
    return bw.correct.LogitAdjustment.from_plan(bw.balanced(LABELS, 4), **arguments)


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
        (lambda: bw.balanced(LABELS, True), "batch_size is True, not a whole number"),
        (lambda: bw.balanced(LABELS, 4, distinct="yes"), "distinct is 'yes', neither True nor False"),
        (lambda: bw.mixed({"a": 8}, 4, distinct="no"), "distinct is 'no'"),
        (lambda: bw.hierarchical([LABELS], [2, 2], distinct=1), "distinct is 1, neither"),
        (lambda: bw.raked({"a": LABELS}, {"a": "uniform"}, 4, closest=0), "closest is 0"),
        (lambda: bw.raked([LABELS], ["uniform"], 4), "attributes is of type list; pass attributes by name"),
        (lambda: bw.split(LABELS, {"all": 1}, stratify="no"), "stratify is 'no'"),
        (lambda: bw.partition([1, 2], 2, equal_size="no"), "equal_size is 'no'"),
        (lambda: bw.alternating({"a": bw.shuffled(8, 4)}, named="no"), "named is 'no'"),
        (lambda: bw.alternating({"a": bw.shuffled(8, 4)}, same_dataset="no"), "same_dataset is 'no'"),
        (lambda: bw.correct.LogitAdjustment([0.5, 0.5], [0.5, 0.5], binary="no"), "binary is 'no'"),
        (lambda: adjusted(order=["dog", "cat", "cat"]), "order names class 'cat' twice"),
        (lambda: bw.hierarchical([LABELS, LABELS[1:]], [1, 1, 1]), r"groupings of \[10, 9\] samples"),
        (lambda: bw.hierarchical([LABELS], 4), "levels is of type list and per is of type int"),
        (lambda: bw.shuffled(-(10**60), 2), "samples is a negative number of 200 bits, the least is 0; pass a dataset"),
        (lambda: bw.hierarchical(None, [4]), "levels is None and per is of type list"),
        (lambda: bw.raked({"a": LABELS}, {"a": "uniform"}, 4, max_repeats="a"), "max_repeats is 'a'"),
        (
            lambda: bw.mixed({"a": 8}, 4, per_source=3),
            "per_source=3 does not divide batch_size=4; .* or another per_source",
        ),
        (lambda: bw.balanced(LABELS, 4, per_class=3), "per_class=3 does not divide batch_size=4"),
        (lambda: bw.balanced(LABELS, 4, per_class=0), "per_class is 0"),
        (lambda: bw.balanced(LABELS, 12, per_class=4), "asks for 3 groups a batch, there are 2"),
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
        (lambda: bw.balanced(LABELS, 4).epoch(0, 0), "step_size is 0"),
        (lambda: bw.balanced(LABELS, 4).audit(batches=0), "batches is 0, the least is 1"),
        (lambda: bw.balanced(LABELS, 4).audit(batches="a"), "batches is 'a', not a whole number"),
        (lambda: bw.balanced(LABELS, 4).audit(first=-1), "first is -1, the least is 0"),
        (lambda: bw.balanced(LABELS, 4).audit(batches=4)["G99"], "no finding is called 'G99'; pass one of 'G1 size'"),
        (lambda: bw.split(LABELS, {"train": 1})["val"], "no part is called 'val'; pass one of 'train'"),
        (lambda: bw.split(LABELS, {"train": 1}).labels("val"), "no part is called 'val'"),
        (lambda: bw.Geometry(micro_batch="a"), "micro_batch is 'a', not a whole number"),
        (
            lambda: bw.Composition(bw.balanced(LABELS, 4)),
            "a sampler or a loader of a plan is needed, this is of type FixedPlan",
        ),
        (
            lambda: bw.Composition(bw.balanced(LABELS, 4).sampler(), lengths=[1]),
            "there are 1 lengths, the plan yields 10",
        ),
        (
            lambda: bw.Composition(bw.balanced(LABELS, 4).sampler()).after(0, print, epoch=0),
            "step is 0, the least is 1",
        ),
        (lambda: feedback(None), "the rule is None; pass a rule that is made"),
        (lambda: feedback(bw.feedback.by_signal), "such as by_signal"),
        (
            lambda: bw.feedback.Feedback(MOVING, bw.feedback.by_signal()),
            "a sampler or a loader of a plan is needed, this is of type FixedPlan",
        ),
        (lambda: feedback(lambda signal, update: [1.0]).update(), "the rule gives 1 shares for 2 groups"),
        (lambda: feedback(lambda signal, update: "ab").update(), "what the rule gives is of type str"),
        (lambda: MOVING.weights([0]), "shares move, .*; pass epoch="),
        (lambda: bw.correct.Weights(MOVING)([0]), "shares move, .*; pass epoch="),
        (lambda: bw.correct.Weights(MOVING, clip="a"), "clip is 'a'"),
        (
            lambda: bw.correct.Weights(MOVING.sampler()),
            "a plan is needed, this is of type BatchSampler; pass sampler.plan",
        ),
        (lambda: bw.Collate().with_plan(MOVING.sampler()), "a plan is needed, .*; pass sampler.plan"),
        (lambda: bw.correct.Weighted(range(10), MOVING), r"weights is of type FixedPlan; pass Weights\(plan\)"),
        (
            lambda: bw.correct.LogitAdjustment.from_sampler(MOVING),
            "a sampler or a loader of a plan is needed, this is of type FixedPlan",
        ),
        (lambda: bw.correct.LossScale(MOVING.sampler()).at(1.5), "number is 1.5, not a whole number"),
        (lambda: adjusted(tau="a"), "tau is 'a'"),
        (lambda: adjusted(batches="a"), "batches is 'a'"),
        (lambda: adjusted(class_of=5), "class_of is 5; pass class_of as a function"),
        (lambda: bw.balanced(LABELS, 4).check(None), "the model is None"),
        (lambda: bw.balanced(LABELS, 4).prior_between(3, 3), "no micro-batches from 3 to 3"),
        (lambda: bw.balanced(LABELS, 4, target={"cat": 1, "dog": 0}).weights([9]), "group 'dog' is never drawn"),
        (lambda: bw.balanced(LABELS, 4).weights([10]), "asked for, the dataset has 10"),
        (lambda: bw.balanced(LABELS, 4, target=lambda c, e: [0.5, 0.5]).sampled_prior, "may move without end"),
        (lambda: bw.balanced(LABELS, 4).sampler(rank=2, world_size=2), "rank 2 is outside a world of 2"),
        (
            lambda: bw.balanced(LABELS, 4).sampler(rank=0, world_size=0),
            "world_size is 0, the least is 1; pass world_size=1 or more",
        ),
        (lambda: bw.balanced(LABELS, 4).sampler(rank=0), "rank is 0 and world_size is None"),
        (lambda: bw.balanced(LABELS, 4).sampler(accumulate=0), "accumulate is 0"),
        (lambda: bw.balanced(LABELS, 4).sampler().load_state_dict("{}"), "the state is of type str"),
        (lambda: bw.balanced(LABELS, 4).sampler().load_state_dict(None), "the state is None"),
        (lambda: bw.balanced(LABELS, 4).sampler().state_at(1, epoch="a"), "epoch is 'a', not a whole number"),
        (lambda: bw.balanced(LABELS, 4).sampler().seek(1, epoch=-1), "epoch is -1, the least is 0"),
        (lambda: bw.balanced(LABELS, 4).sampler().seek(4), "batch 4 of an epoch of 3 batches"),
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
    with pytest.raises(bw.Infeasible, match="the state has version 99, this is version 2"):
        bw.balanced(LABELS, 4).sampler().load_state_dict({**state, "version": 99})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("consumed", "3", "the state's consumed is '3', not a whole number"),
        ("consumed", 2.5, "the state's consumed is 2.5"),
        ("consumed", 10**9, "the state has consumed 1000000000 micro-batches of an epoch of 3"),
        ("consumed", -1, "the state's epoch, consumed and step_size are 0, -1 and 1"),
        ("epoch", -1, "are -1, 0 and 1"),
        ("epoch", None, "the state's epoch is None"),
        ("step_size", 0, "are 0, 0 and 0"),
        ("origin", -5, "consumed 0 micro-batches of an epoch of 3 from -5 on"),
        ("plan", {"share_changes": [[1, 2]]}, r"the state's share_changes are \[\[1, 2\]\]"),
        ("plan", ["a"], r"the state's plan is \['a'\]"),
        ("plan", {"step_size": 1}, r"the state says \{'step_size': 1\} of a plan of micro-batches of a fixed size"),
    ],
)
def test_a_state_that_holds_what_no_state_holds_is_refused_and_changes_nothing(name, value, said):
    sampler = bw.balanced(LABELS, 4).sampler()
    before = sampler.state_dict()
    with pytest.raises(bw.Infeasible, match=said):
        sampler.load_state_dict({**before, name: value})
    with pytest.raises(bw.Infeasible, match="the state has no 'origin'"):
        sampler.load_state_dict({key: value for key, value in before.items() if key != "origin"})
    assert sampler.state_dict() == before


def test_positions_outside_are_index_errors():
    plan = bw.balanced(LABELS, 4)
    with pytest.raises(IndexError, match="counts from 0"):
        plan[-1]
    for number in (89 * 2**32, 2**40, 2**63, 2**70):
        with pytest.raises(bw.Infeasible, match="past the last, 382252089343; ask for 0 to 382252089343"):
            plan[number]
    assert plan[89 * 2**32 - 1].size == 4
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
        bw.weighted(np.array([1.0, 1.0, 1e-30]), 2)


class Refusing(torch.utils.data.Dataset):
    """A dataset in which something cannot be delivered."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        raise bw.Infeasible(f"sample {index} is empty", "leave it out")


def test_a_refusal_in_a_worker_reaches_the_user_as_itself():
    loader = DataLoader(Refusing(), batch_sampler=bw.shuffled(4, 2).sampler(), num_workers=1)
    with pytest.raises(bw.Infeasible, match=r"sample \d is empty; leave it out\."):
        list(loader)
    refusal = bw.Infeasible("one", "two")
    copy = pickle.loads(pickle.dumps(refusal))
    assert (copy.fact, copy.way_out, str(copy)) == ("one", "two", "one; two.")


NUMBERS = st.lists(st.floats(0.01, 10), min_size=1, max_size=40)


@given(
    labels=st.lists(st.sampled_from("abc"), min_size=1, max_size=30),
    batch_size=st.integers(-5, 0) | st.floats() | st.just("8"),
    seed=st.integers(max_value=-1) | st.integers(min_value=2**64) | st.none(),
)
def test_no_plan_is_made_of_a_batch_size_or_seed_that_cannot_be(labels, batch_size, seed):
    for arguments in ({"batch_size": batch_size}, {"batch_size": 2, "seed": seed}):
        with pytest.raises(bw.Infeasible) as caught:
            bw.balanced(labels, **arguments)
        assert caught.value.way_out


@given(weights=NUMBERS, data=st.data(), bad=st.sampled_from([float("nan"), float("inf"), -1.0]))
def test_no_plan_is_made_of_a_weight_that_cannot_be(weights, data, bad):
    place = data.draw(st.integers(0, len(weights) - 1))
    weights[place] = bad
    with pytest.raises(bw.Infeasible, match=f"sample {place} "):
        bw.weighted(weights, 4)


@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # shares may be possible and poor
@given(shares=st.dictionaries(st.sampled_from("abc"), st.floats(0, 1), min_size=1), labels=st.just(list("aabbc")))
def test_no_plan_is_made_of_shares_that_cannot_be(shares, labels):
    possible = set(shares) == set("abc") and abs(sum(shares.values()) - 1) <= 1e-6
    if possible:
        bw.balanced(labels, 2, target=shares)
    else:
        with pytest.raises(bw.Infeasible):
            bw.balanced(labels, 2, target=shares)


@given(
    labels=st.lists(st.integers(0, 4), min_size=4, max_size=60),
    weights=NUMBERS,
    batch_size=st.integers(1, 4),
    target=st.sampled_from(["uniform", "natural", "sqrt"]),
)
def test_what_is_passed_in_is_left_as_it_was_and_not_kept(labels, weights, batch_size, target):
    column, heavy = np.array(labels), np.array(weights)
    before, heavy_before = column.copy(), heavy.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        plans = [bw.balanced(column, batch_size, target=target), bw.weighted(heavy, batch_size)]
        plans += [bw.weighted(heavy, batch_size, draw="random")]
    expected = [plan[3].tolist() for plan in plans]
    assert np.array_equal(column, before)
    assert np.array_equal(heavy, heavy_before)
    column[:], heavy[:] = 0, 0
    assert [plan[3].tolist() for plan in plans] == expected


def test_looping_over_a_plan_says_what_to_loop_over():
    lengths = [3] * 8
    plans = [bw.shuffled(8, 2), bw.budgeted(lengths, 6), bw.alternating({"a": bw.shuffled(8, 2)})]
    for plan in plans:
        with pytest.raises(TypeError, match=r"give plan.sampler\(\) to a DataLoader, loop over plan.epoch\(0\)"):
            list(plan)


@pytest.mark.parametrize("number", [np.uint8, np.int64, torch.tensor])
def test_a_whole_number_counts_alike_in_every_integer_type(number):
    assert len(bw.partition(np.ones(1000), number(4), equal_size=True)) == 4
    assert bw.Geometry(micro_batch=number(200), accumulate=number(2)).rank_samples == 400
    sampler = bw.shuffled(600, 2).sampler(rank=0, world_size=2, accumulate=number(2))
    assert bw.correct.LossScale(sampler).at(number(140), epoch=number(1)) == 0.25
    assert bw.shuffled(600, 2).sampler(fetch=number(2)).fetch == 2
    assert bw.packed([1, 2, 3] * 10, 8, window=number(4)).window == 4


def test_infinity_is_a_limit_that_limits_nothing():
    labels, rates = [["c"], ["c", "d"], ["c"], []], {"c": 0.75, "d": 0.5}
    assert bw.multilabel_weights(labels, target=rates, max_repeats=np.inf).reached.round(6).tolist() == [0.75, 0.5]
    assert bw.partition([1, 2, 3], 2, max_cost=np.inf).costs.tolist() == [3, 3]
    plan, free = bw.balanced(LABELS, 4), [0, 6]
    assert bw.correct.Weights(plan, clip=np.inf)(free).tolist() == bw.correct.Weights(plan)(free).tolist()
    margins = {"label": "uniform"}
    assert bw.raked({"label": LABELS}, margins, 4, max_repeats=np.inf).shares().round(6).tolist() == [0.5, 0.5]
    with pytest.raises(bw.Infeasible, match="clip is -inf"):
        bw.correct.Weights(plan, clip=-np.inf)
