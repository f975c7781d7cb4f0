from __future__ import annotations

import math
import pickle
import warnings

import numpy as np
import pandas
import polars
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.correct import LogitAdjustment
from batchwright.correct.class_priors import class_priors

LABELS = ["cat"] * 900 + ["dog"] * 80 + ["owl"] * 20
NATURAL = np.array([0.9, 0.08, 0.02])


def offsets(ratio: np.ndarray) -> list[float]:
    return pytest.approx(np.log(ratio).tolist(), rel=1e-6)


@pytest.mark.parametrize("target", ["uniform", "natural", "sqrt", 0.5, {"cat": 0.5, "dog": 0.3, "owl": 0.2}])
def test_trained_is_what_the_plan_really_draws(target: object) -> None:
    """Over a full period of the plan the counts are the shares, exactly."""
    plan = bw.balanced(LABELS, batch_size=30, target=target)
    drawn = np.bincount(plan.groups.group_of(np.concatenate([plan[t] for t in range(1000)])), minlength=3)
    trained = class_priors(plan).trained
    assert np.abs(drawn / drawn.sum() - trained).max() < 6 / 30_000
    assert LogitAdjustment.from_plan(plan).offset.tolist() == offsets(NATURAL / trained)


def test_deploy_may_be_natural_uniform_a_mapping_or_shares() -> None:
    plan = bw.balanced(LABELS, batch_size=30)
    deploy = np.array([0.2, 0.3, 0.5])
    by_class = dict(zip(["owl", "cat", "dog"], [0.5, 0.2, 0.3], strict=True))
    assert LogitAdjustment.from_plan(plan).offset.tolist() == offsets(NATURAL * 3)
    assert LogitAdjustment.from_plan(plan, deploy="natural").offset.tolist() == offsets(NATURAL * 3)
    assert LogitAdjustment.from_plan(plan, deploy=by_class).offset.tolist() == offsets(deploy * 3)
    assert LogitAdjustment.from_plan(plan, deploy=deploy).offset.tolist() == offsets(deploy * 3)
    assert LogitAdjustment.from_plan(plan, deploy=deploy, mode="loss").offset.tolist() == offsets(1 / (deploy * 3))


@pytest.mark.parametrize("mode", ["post_hoc", "loss"])
def test_balanced_sampling_and_a_balanced_loss_do_not_correct_twice(mode: str) -> None:
    balanced, shuffled = (bw.balanced(LABELS, batch_size=30, target=target) for target in ("uniform", "natural"))
    assert LogitAdjustment.from_plan(balanced, mode=mode, deploy="uniform").offset.tolist() == [0, 0, 0]
    sign = -1 if mode == "loss" else 1
    once = LogitAdjustment.from_plan(shuffled, mode=mode, deploy="uniform").offset.numpy()
    assert once.tolist() == pytest.approx((-sign * np.log(NATURAL * 3)).tolist(), rel=1e-6)


def test_a_schedule_counts_the_batches_trained() -> None:
    target = bw.targets.schedule("natural", "uniform", epochs=4)
    plan = bw.balanced(LABELS, batch_size=30, target=target, epoch=10)
    for batches in (10, 25, 40, 400):
        mean = np.mean([plan.shares(batch // 10) for batch in range(batches)], axis=0)
        assert class_priors(plan, batches=batches).trained == pytest.approx(mean)
        assert LogitAdjustment.from_plan(plan, batches=batches).offset.tolist() == offsets(NATURAL / mean)


def test_logits_may_stand_in_another_order_and_be_more_than_the_plan_knows() -> None:
    plan = bw.balanced(LABELS, batch_size=30)
    adjust = LogitAdjustment.from_plan(plan, order=["owl", "yak", "cat", "dog"])
    assert adjust.classes == ["owl", "yak", "cat", "dog"]
    assert adjust.offset[[2, 3, 0]].tolist() == offsets(NATURAL * 3)
    probabilities = adjust(torch.zeros(4)).softmax(-1)
    assert probabilities.tolist() == pytest.approx([0.02, 0, 0.9, 0.08], abs=1e-6)


def test_groups_may_be_cells_of_domain_and_class() -> None:
    sizes = {("day", "cat"): 60, ("day", "dog"): 20, ("night", "cat"): 5, ("night", "dog"): 15}
    shares = {("day", "cat"): 0.1, ("day", "dog"): 0.2, ("night", "cat"): 0.3, ("night", "dog"): 0.4}
    plan = bw.balanced(bw.Groups.from_sizes(sizes), batch_size=10, target=shares)

    by_class = LogitAdjustment.from_plan(plan, class_of=lambda name: name[1])
    assert by_class.offset.tolist() == offsets(np.array([0.65 / 0.4, 0.35 / 0.6]))

    by_both = LogitAdjustment.from_plan(plan, class_of=lambda name: name[1], domain_of=lambda name: name[0])
    ratios = np.array([[0.75 / (1 / 3), 0.25 / (2 / 3)], [0.25 / (3 / 7), 0.75 / (4 / 7)]])
    assert by_both.offset.flatten().tolist() == offsets(ratios.flatten())

    told = LogitAdjustment.from_plan(
        plan, class_of=lambda name: name[1], domain_of=lambda name: name[0], deploy={"cat": 0.5, "dog": 0.5}
    )
    assert told.offset.flatten().tolist() == offsets((0.5 / np.array([[1, 2], [9 / 7, 12 / 7]]) * 3).flatten())


def test_binary_models_take_one_log_odds() -> None:
    plan = bw.balanced([0] * 980 + [1] * 20, batch_size=10)
    adjust = LogitAdjustment.from_plan(plan, binary=True)
    assert adjust.offset.item() == pytest.approx(math.log(0.02 / 0.98), rel=1e-6)


ILL = ["ill"] * 7 + ["well"] * 93


def test_log_odds_of_named_classes_say_whose_they_are() -> None:
    plan = bw.balanced(ILL, batch_size=10)
    with pytest.warns(
        bw.PoorWarning, match="the log-odds are taken to be those of 'well', the second of 'ill' and 'well'"
    ):
        taken = LogitAdjustment.from_plan(plan, binary=True)
    named = {
        first: LogitAdjustment.from_plan(plan, binary=True, order=[first, *({*ILL} - {first})]) for first in set(ILL)
    }
    assert taken.positive == named["ill"].positive == "well"
    assert named["well"].positive == "ill"
    assert taken.offset == named["ill"].offset == -named["well"].offset
    assert named["well"].offset.item() == pytest.approx(math.log(0.07 / 0.93), rel=1e-6)
    assert "log-odds of 'well' +2.59" in repr(taken)
    assert "log-odds of 'ill' -2.59" in repr(named["well"])
    assert "2 classes: 'ill' -1.97, 'well' +0.621" in repr(LogitAdjustment.from_plan(plan))


SIZES = {"small": 5, "medium": 2, "large": 3}
GRADES = [name for name, size in SIZES.items() for _ in range(size)]


@pytest.mark.parametrize(
    "column",
    [
        lambda: pandas.Series(pandas.Categorical(GRADES, categories=list(SIZES), ordered=True)),
        lambda: pandas.DataFrame({"label": pandas.Categorical(GRADES, categories=list(SIZES), ordered=True)}),
        lambda: polars.Series(GRADES, dtype=polars.Enum(list(SIZES))),
    ],
)
def test_ordered_categories_are_the_order_of_the_logits(column) -> None:
    plan = pickle.loads(pickle.dumps(bw.balanced(column(), batch_size=3)))
    assert plan.fingerprint == bw.balanced(GRADES, batch_size=3).fingerprint
    adjust = LogitAdjustment.from_plan(plan)
    assert adjust.classes == list(SIZES)
    assert adjust.offset.tolist() == offsets(0.3 * np.array(list(SIZES.values())))
    assert LogitAdjustment.from_plan(bw.balanced(GRADES, batch_size=3)).classes == sorted(SIZES)
    assert LogitAdjustment.from_plan(plan, order=sorted(SIZES)).classes == sorted(SIZES)


def test_numbers_as_text_are_warned_of_where_their_order_is_that_of_text() -> None:
    for count in (10, 12):
        plan = bw.balanced([str(i % count) for i in range(10 * count)], batch_size=count)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = LogitAdjustment.from_plan(plan).classes
        assert found == sorted(map(str, range(count)))
        assert bool(told) == (count > 10)
        assert all("the logits are taken to be of '0', '1', '10', '11', '2'" in str(one.message) for one in told)


@given(st.data())
def test_the_classes_may_be_in_any_dimension(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    shape[dim] = 3
    adjust = LogitAdjustment([1 / 3] * 3, [0.5, 0.3, 0.2])
    logits = torch.randn(shape)
    adjusted = adjust(logits, dim=dim)
    for place in range(3):
        assert torch.equal(adjusted.select(dim, place), logits.select(dim, place) + adjust.offset[place])


CLASSES = np.array(["cat", "dog", "owl"])[np.arange(1000) % 3]


@pytest.mark.parametrize(
    ("plan", "trained"),
    [
        (lambda: bw.shuffled(1000, 30), [334, 333, 333]),
        (lambda: bw.weighted(1.0 + (CLASSES == "owl"), 30), [334, 333, 666]),
        (lambda: bw.mixed({"a": 400, "b": bw.balanced(CLASSES[400:], 6)}, 30, target="uniform"), None),
        (lambda: bw.alternating({"a": bw.balanced(CLASSES, 6), "b": bw.shuffled(1000, 9)}, same_dataset=True), None),
        (lambda: bw.budgeted([5] * 1000, 60, order=bw.balanced(LABELS, 30)), None),
    ],
)
def test_classes_may_be_other_than_the_plans_groups(plan: object, trained: list[float] | None) -> None:
    made = plan()
    adjust = LogitAdjustment.from_plan(made, classes=CLASSES)
    assert adjust.classes == ["cat", "dog", "owl"]
    rates = made.rates(np.arange(1000))
    by_sample = np.array([rates[name == CLASSES].sum() for name in adjust.classes])
    if trained is not None:
        assert by_sample == pytest.approx(np.array(trained) / sum(trained))
    assert adjust.offset.tolist() == pytest.approx(np.log([0.334, 0.333, 0.333] / by_sample).tolist(), abs=1e-6)
    by_group = bw.Groups.from_labels(CLASSES)
    assert torch.equal(LogitAdjustment.from_plan(made, classes=by_group).offset, adjust.offset)


def test_menon_needs_a_shuffled_plan_and_the_classes() -> None:
    adjust = LogitAdjustment.from_plan(bw.shuffled(1000, 30), classes=LABELS, deploy="uniform", mode="loss")
    assert adjust.offset.tolist() == offsets(NATURAL * 3)


def test_a_sampler_knows_how_long_a_schedule_was_trained_on() -> None:
    target = bw.targets.schedule("natural", "uniform", epochs=4)
    plan = bw.balanced(LABELS, batch_size=30, target=target, epoch=10)
    sampler = plan.sampler(rank=0, world_size=3)
    with pytest.raises(bw.Infeasible, match="given out 0 batches"):
        LogitAdjustment.from_sampler(sampler)
    for epoch in range(1, 4):  # of 12 micro-batches
        list(sampler)
        adjust = LogitAdjustment.from_sampler(sampler, deploy="uniform")
        assert torch.equal(adjust.offset, LogitAdjustment.from_plan(plan, batches=12 * epoch, deploy="uniform").offset)
    elsewhere = plan.sampler(rank=1, world_size=2)
    elsewhere.load_state_dict(sampler.state_dict())
    assert torch.equal(LogitAdjustment.from_sampler(elsewhere, deploy="uniform").offset, adjust.offset)


@pytest.mark.parametrize("times", [1, 3, 12])  # a sampler remembers eight
def test_shares_set_while_training_count_for_as_long_as_they_held(times: int) -> None:
    target = bw.targets.moving("natural", ceiling=0.9)
    plan = bw.balanced(LABELS, batch_size=30, target=target, epoch=100)
    sampler = plan.sampler()
    generator = np.random.default_rng(times)
    drawn = np.zeros(3)
    for _ in range(times):
        sampler.retarget(generator.dirichlet([5, 5, 5]))
        for batch in sampler:
            drawn += np.bincount(plan.groups.group_of(batch), minlength=3)
    trained = drawn / drawn.sum()
    adjust = LogitAdjustment.from_sampler(sampler, deploy="uniform")
    assert adjust.offset.tolist() == pytest.approx(np.log(1 / 3 / trained).tolist(), abs=20 / drawn.sum())
    with pytest.raises(bw.Infeasible, match=r"may move without end.*LogitAdjustment.from_sampler"):
        LogitAdjustment.from_plan(plan)
    resumed = plan.sampler()
    resumed.load_state_dict(sampler.state_dict())
    assert torch.equal(LogitAdjustment.from_sampler(resumed, deploy="uniform").offset, adjust.offset)


def test_refusals() -> None:
    plan = bw.balanced(LABELS, batch_size=30)
    with pytest.raises(bw.Infeasible, match=r"this is of type BatchSampler; call LogitAdjustment.from_sampler"):
        LogitAdjustment.from_plan(plan.sampler())
    with pytest.raises(bw.Infeasible, match="a plan is needed, this is of type list"):
        LogitAdjustment.from_plan(LABELS)
    with pytest.raises(bw.Infeasible, match="batches is 0"):
        LogitAdjustment.from_plan(plan, batches=0)
    with pytest.raises(bw.Infeasible, match="classes are given for 3 samples, the plan draws from 1000"):
        LogitAdjustment.from_plan(plan, classes=[1, 2, 3])
    with pytest.raises(bw.Infeasible, match=r"are of 1 classes: 'all'; name the class of every logit .* classes="):
        LogitAdjustment.from_plan(bw.shuffled(9, 3))(torch.zeros(4, 3))
    with pytest.raises(bw.Infeasible, match=r"order names 2 classes, the plan has 1 besides \('owl'\)"):
        LogitAdjustment.from_plan(plan, order=["cat", "dog"])
    with pytest.raises(
        bw.Infeasible, match=r"names 1 that the plan does not know \('yak'\) and lacks 1 of its 3 classes \('owl'\)"
    ):
        LogitAdjustment.from_plan(plan, deploy={"cat": 0.5, "dog": 0.4, "yak": 0.1})
    with pytest.raises(bw.Infeasible, match="deploy is 'even'"):
        LogitAdjustment.from_plan(plan, deploy="even")
    sizes = {("day", "cat"): 60, ("night", "cat"): 40}
    lopsided = bw.balanced(bw.Groups.from_sizes(sizes), batch_size=10, target={("day", "cat"): 1, ("night", "cat"): 0})
    with pytest.raises(bw.Infeasible, match="domain 'night' has share 0"):
        LogitAdjustment.from_plan(lopsided, class_of=lambda name: name[1], domain_of=lambda name: name[0])


def test_the_dimension_that_is_advised_is_that_of_the_logits_as_they_were_given() -> None:
    adjust = LogitAdjustment([1 / 3] * 3, [0.5, 0.3, 0.2])
    logits = torch.randn(2, 5, 3, 7)
    for dim in (1, -1):
        with pytest.raises(bw.Infeasible, match="pass dim=2, the dimension of the classes"):
            adjust(logits, dim=dim)
    assert adjust(logits, dim=2).shape == logits.shape


def test_a_model_without_data_is_shown_without_offsets() -> None:
    assert "3 classes: 0, 1, 2, mode=" in repr(LogitAdjustment([1 / 3] * 3, [0.5, 0.3, 0.2]).to("meta"))


def test_an_order_that_labels_declare_is_not_asked_for_again() -> None:
    labels = pandas.Categorical(["neg"] * 9 + ["pos"], categories=["neg", "pos"], ordered=True)
    adjust = LogitAdjustment.from_plan(bw.balanced(labels, 2), binary=True)
    assert adjust.positive == "pos"


FILE = np.repeat([0, 1], [400, 600])
NOT_RANDOM = {
    "sequential": lambda: bw.sequential(1000, 10),
    "sequential, batches that wrap around": lambda: bw.sequential(1000, 64),
    "ordered": lambda: bw.ordered([*range(0, 1000, 2), *[3] * 101], 7, samples=1000),
    "a task of each": lambda: bw.alternating({"a": bw.ordered(range(399, -1, -1), 10), "b": bw.sequential(600, 10)}),
    "a source of a mixture": lambda: bw.mixed({"a": bw.ordered(range(399, -1, -1), 10), "b": 600}, 10),
}


@pytest.mark.parametrize("name", NOT_RANDOM)
def test_of_an_order_that_is_not_random_what_was_drawn_is_counted(name: str) -> None:
    plan = NOT_RANDOM[name]()
    labels = np.repeat([0, 1, 2], [200, 200, 600]) if name == "a source of a mixture" else FILE
    groups = bw.Groups.from_labels(labels)
    for start, stop in ((0, 1), (0, 10), (3, 40), (95, 130), (7, 507)):
        drawn = np.bincount(labels[np.concatenate([plan[t] for t in range(start, stop)])], minlength=labels.max() + 1)
        off = np.abs(plan.prior_between(start, stop, groups) * drawn.sum() - drawn)
        # Tasks and sources are counted by their wanted shares, which they have within a turn, or within a draw or two.
        assert off.max() <= (1e-6 if "ordered" in name or "sequential" in name else 10)
    assert plan.prior_between(0, plan.horizon()) == pytest.approx(plan.sampled_prior)


def test_a_run_that_stopped_in_the_middle_of_a_file_is_corrected_for_what_it_had() -> None:
    sampler = bw.sequential(1000, 10).sampler(rank=0, world_size=1)
    for _ in zip(range(50), sampler, strict=False):
        pass
    adjust = LogitAdjustment.from_sampler(sampler, classes=FILE)
    had = 1 - 400 / 500
    assert adjust.offset.tolist() == pytest.approx([np.log(0.4 / (1 - had)), np.log(0.6 / had)], rel=1e-5)
    whole = LogitAdjustment.from_plan(bw.sequential(1000, 64), classes=FILE)  # epochs without end, not the first alone
    assert whole.offset.tolist() == pytest.approx([0, 0], abs=1e-6)


@pytest.mark.parametrize("share", ["exact", None, [1], float("nan"), 10**400, True])
def test_a_share_by_name_that_is_no_number_is_refused_by_its_name(share: object) -> None:
    with pytest.raises(bw.Infeasible, match=r"deploy\['a'\] is .*, not a finite number"):
        LogitAdjustment.from_plan(bw.balanced(["a"] * 9 + ["b"], 2), deploy={"a": share, "b": 0.5})
