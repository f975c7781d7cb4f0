from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import batchwright as bw
from batchwright.correct import check, synchronised


def dense() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.ReLU(), nn.BatchNorm1d(2))


def over_images() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(2))


def test_one_value_per_channel_is_refused_by_the_layers_name() -> None:
    with pytest.raises(bw.Infeasible, match=r"'1' sees 1 value per channel .* larger batches"):
        check(bw.shuffled(10, batch_size=1), dense())
    with pytest.raises(bw.Infeasible, match="sees 1 value"):
        bw.shuffled(10, batch_size=1).check(dense())
    check(bw.shuffled(10, batch_size=2), dense())
    bw.shuffled(10, batch_size=2).check(dense(), example=torch.zeros(1, 3))
    check(bw.shuffled(10, batch_size=1), nn.Linear(3, 2))


def test_the_positions_of_an_example_count() -> None:
    plan = bw.shuffled(10, batch_size=1)
    with pytest.raises(bw.Infeasible, match="'3' sees 1 value per channel"):
        check(plan, over_images(), example=torch.zeros(1, 1, 5, 5))
    check(plan, over_images()[:2], example=(torch.zeros(1, 1, 5, 5), None))
    with pytest.warns(bw.PoorWarning, match="'1' normalises 1 sample at a time; pass example="):
        check(plan, over_images()[:2])


def test_an_example_leaves_the_model_as_it_was() -> None:
    model = over_images().train()
    check(bw.shuffled(10, batch_size=2), model, example=torch.ones(1, 1, 5, 5))
    assert all(module.training for module in model.modules())
    assert model[1].num_batches_tracked == 0
    assert not model[1]._forward_pre_hooks


def test_synchronised_layers_count_all_ranks() -> None:
    plan, row = bw.shuffled(10, batch_size=1), torch.zeros(1, 3)
    check(plan, synchronised(dense()), world_size=2, example=row)
    with pytest.raises(bw.Infeasible, match="sees 1 value"):
        check(plan, synchronised(dense()), world_size=1, example=row)
    with pytest.raises(bw.Infeasible, match="sees 1 value"):
        check(plan, dense(), world_size=2)


def test_layers_that_see_one_class_at_a_time_are_named() -> None:
    plan = bw.balanced(["cat"] * 20 + ["dog"] * 20, batch_size=4, per_class=2)
    check(plan, dense())
    one_at_a_time = bw.balanced(["cat"] * 20 + ["dog"] * 20, batch_size=4, per_class=4)
    drawn = [set(one_at_a_time.groups.group_of(one_at_a_time[t]).tolist()) for t in range(10)]
    assert all(len(classes) == 1 for classes in drawn)
    with pytest.warns(bw.PoorWarning, match="10 of 10 batches hold one class only, .* BatchNorm layers '1', '3'"):
        check(one_at_a_time, dense())
    check(one_at_a_time, synchronised(dense()), world_size=2)


def test_classes_may_be_other_than_the_plans_groups() -> None:
    plan = bw.balanced(["web"] * 20 + ["books"] * 20, batch_size=4)
    classes = bw.Groups.from_labels(np.repeat([0, 1], [2, 38]))
    with pytest.warns(bw.PoorWarning, match=r"\d+ of 10 batches hold one class only"):
        check(plan, dense(), classes=classes)


def test_a_plan_of_one_class_is_not_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(bw.shuffled(40, batch_size=4), dense())


def test_plans_of_tasks_check_too_and_name_what_a_layer_sees_one_of() -> None:
    cats, dogs = bw.balanced(["cat"] * 20, 4), bw.balanced(["dog"] * 20, 4)
    with pytest.warns(
        bw.PoorWarning, match=r"10 of 10 batches hold one task only, .* '1', '3' never hold what tells tasks"
    ):
        bw.alternating({"cats": cats, "dogs": dogs}).check(dense())
    both = bw.alternating({"first": cats, "second": dogs})
    labels = ["cat"] * 10 + ["dog"] * 10 + ["cat"] * 10 + ["dog"] * 10
    both.check(dense(), classes=labels)  # every task has both classes
    with pytest.warns(bw.PoorWarning, match="one class only"):
        both.check(dense(), classes=["cat"] * 20 + ["dog"] * 20)
    with pytest.raises(bw.Infeasible, match="classes are given for 2 samples, the plan draws from 40"):
        both.check(dense(), classes=["cat", "dog"])
    with pytest.raises(bw.Infeasible, match="'1' sees 1 value per channel"):
        bw.alternating({"a": cats, "b": bw.shuffled(9, 1)}).check(dense())
    with pytest.warns(bw.PoorWarning, match="one task only"):
        bw.alternating({"cats": cats, "dogs": dogs}, unit="step").check(synchronised(dense()), world_size=2)
    bw.alternating({"cats": cats, "dogs": dogs}, target="uniform").check(synchronised(dense()), world_size=2)


def test_rotating_cohorts_of_one_class_are_named_and_larger_ones_are_not() -> None:
    labels = ["cat"] * 20 + ["dog"] * 20 + ["owl"] * 20
    with pytest.warns(bw.PoorWarning, match=r"64 of 64 batches hold one class only"):
        bw.rotating(labels, [["cat"], ["dog"], ["owl"]], per_class=2, epoch=64).check(dense())
    bw.rotating(labels, [["cat", "dog"], ["dog", "owl"]], per_class=2).check(dense())
    with pytest.warns(bw.PoorWarning, match="one class only"):
        bw.rotating(labels, 3, per_class=2).check(dense())


def test_tasks_of_one_dataset_are_known_by_the_classes_of_their_plans() -> None:
    cats = bw.Groups.from_indices({"cat": range(20)}, sample_count=40)
    dogs = bw.Groups.from_indices({"dog": range(20, 40)}, sample_count=40)
    plan = bw.alternating({"a": bw.balanced(cats, 4), "b": bw.balanced(dogs, 4)}, same_dataset=True)
    with pytest.warns(bw.PoorWarning, match="one class only"):
        plan.check(dense())


def test_plans_by_lengths_check_the_smallest_batch() -> None:
    lengths = [3] * 20 + [30]
    bw.budgeted(lengths, 40).check(nn.Linear(3, 2))
    with pytest.raises(bw.Infeasible, match="'1' sees 1 value per channel"):
        bw.budgeted(lengths, 32).check(dense())
    bw.packed([4] * 40, 40, order=bw.balanced(["cat"] * 20 + ["dog"] * 20, 4), window=2).check(dense())
