"""Laws of `partition`: every item once, sizes and caps exact, near the mean, refusals with the way out."""

from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from batchwright.errors import Infeasible
from batchwright.lengths.partition import partition

COSTS = st.lists(st.integers(0, 1000), max_size=60)


@given(COSTS, st.integers(1, 8))
def test_every_item_is_in_one_part_and_the_inverse_brings_it_home(costs, parts):
    before = list(costs)
    split = partition(costs, parts)
    joined = np.concatenate(split.parts)
    assert sorted(joined) == list(range(len(costs)))
    assert joined[split.inverse].tolist() == list(range(len(costs)))
    assert split.restore([f"item {i}" for i in joined]) == [f"item {i}" for i in range(len(costs))]
    assert split.costs.tolist() == [float(np.array(costs)[part].sum()) for part in split.parts]
    assert costs == before


@given(st.integers(1, 8), st.integers(1, 12), st.data())
def test_equal_sizes_are_exact(parts, size, data):
    costs = data.draw(st.lists(st.integers(0, 10**6), min_size=parts * size, max_size=parts * size))
    assert {len(part) for part in partition(costs, parts, equal_size=True).parts} == {size}


@given(COSTS.filter(any), st.integers(1, 8))
def test_free_parts_are_within_grahams_bound(costs, parts):
    heaviest = partition(costs, parts).costs.max()
    assert heaviest <= sum(costs) / parts + (1 - 1 / parts) * max(costs) + 1e-9


@given(st.lists(st.floats(0, 1e9), max_size=40), st.integers(1, 5), st.booleans())
def test_the_same_costs_give_the_same_parts(costs, parts, equal):
    costs = costs[: len(costs) // parts * parts]
    first, second = (partition(costs, parts, equal_size=equal) for _ in range(2))
    assert [p.tolist() for p in first.parts] == [p.tolist() for p in second.parts]


@given(COSTS, st.integers(1, 8), st.integers(1, 5000), st.booleans())
def test_a_cap_is_kept_or_refused(costs, parts, cap, equal):
    costs = costs[: len(costs) // parts * parts]
    if sum(costs) > parts * cap or max(costs, default=0) > cap:
        with pytest.raises(Infeasible, match=str(cap)):
            partition(costs, parts, equal_size=equal, max_cost=cap)
    else:
        with suppress(Infeasible):  # possible on paper, but no such partition was found
            assert partition(costs, parts, equal_size=equal, max_cost=cap).costs.max() <= cap


def test_the_figures_of_a_post_training_batch():
    draw = np.random.default_rng(0)
    costs = np.clip(draw.lognormal(6.5, 1, 1024), 16, 16384).astype(int)
    assert partition(costs, 64, equal_size=True).max_over_mean <= 1.0002
    costs = np.clip(np.random.default_rng(0).lognormal(6.5, 1, 16384), 16, 16384).astype(int)
    assert partition(costs, 256).max_over_mean <= 1.0003


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        ({"costs": [1, 2, 3], "parts": 2, "equal_size": True}, ["3 items", "2 parts"]),
        ({"costs": [1, -2], "parts": 2}, ["item 1", "-2"]),
        ({"costs": [1, float("nan")], "parts": 2}, ["item 1", "nan"]),
        ({"costs": [1], "parts": 0}, ["parts is 0"]),
        ({"costs": [1], "parts": 2.0}, ["parts is 2.0", "not a whole number"]),
        ({"costs": ["a"], "parts": 1}, ["costs at position 0 is 'a'"]),
        ({"costs": (cost for cost in [1, 2]), "parts": 1}, ["costs is of type generator"]),
        ({"costs": torch.zeros(2, device="meta"), "parts": 1}, ["costs is a tensor on the meta device"]),
        ({"costs": [1], "parts": 1, "max_cost": "a"}, ["max_cost is 'a'"]),
        ({"costs": [9, 1], "parts": 2, "max_cost": 8}, ["item 0", "9", "8"]),
        ({"costs": [5, 5, 5], "parts": 2, "max_cost": 7}, ["15", "14"]),
        ({"costs": [5, 5, 5], "parts": 2, "max_cost": 8}, ["10", "8"]),
        ({"costs": [[1]], "parts": 1}, ["2 dimensions"]),
    ],
)
def test_what_no_partition_can_deliver_is_refused(arguments, numbers):
    with pytest.raises(Infeasible) as refusal:
        partition(arguments.pop("costs"), arguments.pop("parts"), **arguments)
    assert all(number in refusal.value.fact for number in numbers)
    assert refusal.value.way_out.startswith("pass ")


def test_costs_may_be_tensors_of_any_kind():
    costs = torch.tensor([7.0, 5, 4, 3, 2, 1], requires_grad=True)
    for given_as in (costs, costs.detach().bfloat16()):
        assert partition(given_as, 2).costs.tolist() == [11, 11]


def test_parts_beyond_the_items_stay_empty():
    assert sorted(len(part) for part in partition([3, 2], 4).parts) == [0, 0, 1, 1]
    assert partition([], 3).max_over_mean == 1.0
