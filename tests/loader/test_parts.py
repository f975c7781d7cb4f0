"""The parts of a `ConcatDataset` are compared with the sources of a mixture and with tasks."""

from __future__ import annotations

import gc
import pickle
from itertools import permutations
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import ConcatDataset, Subset, TensorDataset

import batchwright as bw

from .datasets import Numbers


def plans(sizes: dict[str, int]) -> list[Any]:
    mixture, lengths = bw.mixed(sizes, 4), [3] * sum(sizes.values())
    split = bw.packed([n % 5 + 1 for n in range(sum(sizes.values()))], 2, order=mixture, too_long="split")
    tasks = bw.alternating({name: bw.shuffled(size, 2) for name, size in sizes.items()})
    return [mixture, tasks, bw.budgeted(lengths, 12, order=mixture), split]


def loader(plan: Any, parts: list[Any], **options: Any) -> Any:
    dataset = ConcatDataset(parts)
    if hasattr(plan, "pieces") and len(dataset) != plan.groups.sample_count:
        dataset = plan.pieces(dataset)
    return plan.loader(dataset, num_workers=0, **options)


@pytest.mark.filterwarnings("ignore:.*:batchwright.PoorWarning")
def test_parts_in_another_order_than_the_sources_are_refused_and_in_their_order_taken() -> None:
    sizes = {"web": 20, "code": 8, "books": 14}
    for plan in plans(sizes):
        for order in permutations(sizes):
            parts = [Numbers(sizes[name]) for name in order]
            if order == tuple(sizes):
                loader(plan, parts)
                continue
            with pytest.raises(bw.Infeasible, match=r"of the plan has \d+ samples, and in its place the ConcatDataset"):
                loader(plan, parts)
            loader(plan, parts, check_data=False)


@given(parts=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=3), min_size=1, max_size=4))
@pytest.mark.filterwarnings("ignore:source . has 0 samples:batchwright.PoorWarning")
def test_a_source_may_be_concatenated_of_several_parts_itself(parts: list[list[int]]) -> None:
    sizes = {name: sum(part) for name, part in enumerate(parts)}
    if not sum(sizes.values()):
        return
    plan = bw.mixed(sizes, 1)
    nested = [ConcatDataset([Numbers(size) for size in part]) for part in parts]
    loader(plan, [bw.identified(part) if number % 2 else part for number, part in enumerate(nested)])
    loader(plan, [Numbers(size) for part in parts for size in part])


def test_a_source_that_ends_within_a_part_is_warned_of() -> None:
    plan = bw.mixed({"web": 9, "code": 3}, 4)
    with pytest.warns(bw.PoorWarning, match=r"source 'web' of the plan, of 9 samples, ends within a part"):
        loader(plan, [Numbers(3), Numbers(8), Numbers(1)])
    # of classes nothing follows: they do not lie one behind the other
    loader(bw.balanced([0] * 9 + [1] * 3, 4), [Numbers(3), Numbers(9)])
    loader(bw.shuffled(12, 4), [Numbers(3), Numbers(9)])


def test_data_sets_of_one_size_that_changed_places_are_known_by_the_objects_that_the_plan_was_made_of() -> None:
    web, code = Numbers(12), Numbers(12)
    labelled = ["cat", "dog"] * 6
    mixture = bw.mixed({"web": web, "code": bw.shuffled(code, 2)}, 4)
    plans = [
        mixture,
        pickle.loads(pickle.dumps(mixture)),
        bw.budgeted([3] * 24, 12, order=mixture),
        bw.alternating({"web": bw.shuffled(web, 2), "code": bw.shuffled(code, 2)}),
        bw.mixed({"web": len(web), "code": bw.balanced(labelled, 2)}, 4),
    ]
    for number, plan in enumerate(plans):
        loader(plan, [web, code])
        if number in (1, 4):  # in another process, or made of numbers and labels, it cannot be known
            loader(plan, [code, web])
            continue
        with pytest.raises(
            bw.Infeasible, match="source 'web' of the plan has the samples from 0 on, and its data set begins at"
        ):
            loader(plan, [code, web])
        loader(plan, [code, web], check_data=False)
        loader(plan, [Numbers(12), Numbers(12)])  # other objects say nothing


SWAPPED = "source '.+' of the plan has the samples from .* on, and its data set begins at sample"


def test_parts_are_known_also_where_only_a_plan_that_is_gone_or_another_concatenation_held_them() -> None:
    a, b, c = (TensorDataset(torch.arange(50), torch.arange(50) % 2) for _ in range(3))
    by_sources = [
        bw.mixed({"a": bw.balanced(a, 4), "b": bw.balanced(b, 4), "c": c}, 10),
        bw.mixed({"a": a, "b": b, "c": c}, 10),
        bw.mixed({"ab": ConcatDataset([a, b]), "c": c}, 10),
        bw.mixed({"ab": bw.mixed({"a": a, "b": bw.shuffled(b, 2)}, 4), "c": c}, 10),
        bw.mixed({"abc": ConcatDataset([a, ConcatDataset([b, c])]), "d": 50}, 10),
        bw.alternating({"ab": bw.shuffled(ConcatDataset([a, b]), 2), "c": bw.shuffled(c, 2)}),
    ]
    gc.collect()
    for plan in by_sources:
        more = [Numbers(50)] * (plan.groups.sample_count > 150)
        for one, other, third in permutations([a, b, c]):
            for parts in (
                [one, other, third, *more],
                [ConcatDataset([one, other]), third, *more],
                [one, ConcatDataset([ConcatDataset([other]), third, *more])],
            ):
                if (one, other, third) == (a, b, c):
                    loader(plan, parts)
                else:
                    with pytest.raises(bw.Infeasible, match=SWAPPED):
                        loader(plan, parts)


def test_of_a_source_whose_first_part_is_gone_nothing_is_known() -> None:
    b, c = Numbers(12), Numbers(12)
    plan = bw.mixed({"ab": ConcatDataset([Numbers(12), b]), "c": c}, 4)
    gc.collect()
    loader(plan, [b, Numbers(12), c])
    with pytest.raises(bw.Infeasible, match=SWAPPED):
        loader(plan, [c, Numbers(12), b])


def test_one_data_set_as_two_sources_may_have_both_places() -> None:
    web = Numbers(12)
    loader(bw.mixed({"web": web, "again": web}, 4), [web, web])


@pytest.mark.parametrize("sample", [{"x": [1, 2]}, 3, "text"])
def test_lists_of_samples_are_no_labels_where_they_are_concatenated(sample: Any) -> None:
    parts = [[sample] * 9, [sample] * 3]
    loader(bw.mixed({"web": 9, "code": 3}, 4), parts).peek()
    bw.balanced(["cat", "dog"] * 2, 2).loader(Subset([sample] * 9, [0, 3, 4, 5]), num_workers=0).peek()
