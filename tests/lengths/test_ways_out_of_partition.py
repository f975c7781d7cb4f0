"""Every refusal of `partition`: its fact, and its way out, which works."""

from __future__ import annotations

import pytest

import batchwright as bw

from ..refusals import cases, told_and_followed

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # ways out that give nearly what was asked

CASES = cases("refuse message follow", {  # what is refused, what is said of it, and what its way out says to do
    "costs in a table": (
        lambda: bw.partition([[1, 2]], 2), "costs have 2 dimensions, one is needed; pass one number an item",
        lambda: bw.partition([1, 2], 2)),
    "a cost below 0": (
        lambda: bw.partition([1, -0.1], 2), "the cost of item 1 is -0.1; pass finite costs of 0 or more",
        lambda: bw.partition([1, 0], 2)),
    "items that do not divide": (
        lambda: bw.partition([1, 2, 3], 4, equal_size=True),
        "3 items do not divide into 4 parts of equal size; pass a multiple of 4 items, or equal_size=False",
        lambda: (bw.partition([1, 2, 3, 4], 4, equal_size=True), bw.partition([1, 2, 3], 4, equal_size=False))),
    "a sum of costs": (
        lambda: bw.partition([1e308] * 4, 2),
        "the costs sum to more than 1.7976931348623157e+308; pass costs in a larger unit",
        lambda: bw.partition([1e308 / 1e300] * 4, 2)),
    "an item above max_cost": (
        lambda: bw.partition([5, 5.5], 1, max_cost=3), "item 1 costs 5.5, max_cost is 3; pass max_cost=10.5 or more.",
        lambda: bw.partition([5, 5.5], 1, max_cost=10.5)),
    "a sum above max_cost": (
        lambda: bw.partition([5, 5, 5], 2, max_cost=7),
        "the costs sum to 15, 2 parts of at most 7 hold 14; pass max_cost=10 or more, or more parts: with 3, one for every "
        "item, no part costs more than its item.",
        lambda: (bw.partition([5, 5, 5], 2, max_cost=10), bw.partition([5, 5, 5], 3, max_cost=7))),
    "a part above max_cost": (
        lambda: bw.partition([3, 3, 3], 2, max_cost=5),
        "the best partition found has a part that costs 6, max_cost is 5; pass max_cost=6 or more, or more parts: with 3,",
        lambda: (bw.partition([3, 3, 3], 2, max_cost=6), bw.partition([3, 3, 3], 3, max_cost=5))),
})  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    told_and_followed(CASES[case])
