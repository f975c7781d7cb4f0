"""Recipes: balanced quantities match the reference and are refused where they cannot be."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.targets import Active, Compensating, Filler, Fixed, formula, quantities

REFERENCE = [Fixed("A", 20), Active("B", 30, 30, 35), Compensating("C", 10, factor=1.10), Filler("D", 40)]


def test_the_reference_case_to_six_digits():
    found = quantities(REFERENCE, 100)
    assert [round(float(quantity), 6) for quantity in found.values()] == [20, 25.714286, 14.714286, 39.571429]
    assert sum(found.values()) == 100


def test_lots_of_different_strength_share_a_line_and_deliver_its_strength():
    line = Active({"lot 1": 0.6, "lot 2": 0.4}, 30, 30, {"lot 1": 35, "lot 2": 24})
    found = quantities([line, Compensating("C", 10, factor=0.5), Filler("D")], 100)
    assert found["lot 1"] * 35 + found["lot 2"] * 24 == 30 * 30
    moved = found["lot 1"] + found["lot 2"] - 30
    assert found["C"] == 10 - moved / 2
    assert sum(found.values()) == 100


@given(
    fixed=st.integers(0, 20),
    estimated=st.integers(1, 20),
    strength=st.integers(20, 60),
    factor=st.integers(-10, 10),
    fillers=st.lists(st.integers(1, 9), min_size=1, max_size=3),
)
def test_whatever_comes_out_sums_to_the_size(fixed, estimated, strength, factor, fillers):
    lines = [Fixed("fixed", fixed), Active("active", estimated, 30, strength), Compensating("counter", 15, factor / 10)]
    lines += [Filler(f"filler {number}", share) for number, share in enumerate(fillers)]
    balanced = Fraction(estimated * 30, strength)
    counter = 15 - Fraction(factor, 10) * (balanced - estimated)
    if min(counter, 100 - fixed - balanced - counter) < 0:
        with pytest.raises(bw.Infeasible, match="comes out at -"):
            quantities(lines, 100)
        return
    found = quantities(lines, 100)
    assert sum(found.values()) == 100
    assert min(found.values()) >= 0
    assert found["active"] * strength == estimated * 30
    assert list(found) == ["fixed", "active", "counter", *(f"filler {number}" for number in range(len(fillers)))]


def test_a_plan_deals_the_recipe():
    labels = ["A"] * 200 + ["B"] * 300 + ["C"] * 150 + ["D"] * 400
    plan = bw.balanced(labels, 100, target=formula(REFERENCE, 100))
    counts = np.array([np.bincount(plan.groups.group_of(plan[t]), minlength=4) for t in range(700)])
    assert counts[:, 0].tolist() == [20] * 700
    assert counts.mean(axis=0) == pytest.approx(
        [20, 180 / 7, 10 + 1.1 * 30 / 7, 100 - 20 - 180 / 7 - 10 - 33 / 7], abs=0.01
    )
    assert "25.7" not in plan.order.shares.shown
    assert "0.257142857" in plan.order.shares.shown


@pytest.mark.parametrize(
    ("lines", "fact"),
    [
        ([Fixed("A", 90), Active("B", 30, 30, 35), Filler("D")], "'D' comes out at -15.7"),
        ([Active("B", 50, 30, 10), Filler("D")], "'B' comes out at 150, the size is 100"),
        ([Active("B", 50, 10, 30), Compensating("C", 1, -1), Filler("D")], "'C' comes out at -32"),
        ([Fixed("A", 20), Fixed("A", 20), Filler("D")], "'A' is given twice"),
        ([Fixed("A", 20)], "come to 20, the size is 100, and no line is a filler"),
        ([("A", 20), Filler("D")], r"a line is \('A', 20\)"),
    ],
)
def test_what_cannot_be_is_refused_with_the_line(lines, fact):
    with pytest.raises(bw.Infeasible, match=fact):
        formula(lines, 100)


NO_NUMBERS = [
    None,
    "20",
    "many",
    b"2",
    True,
    [2],
    {"x": 2},
    np.array([1, 2]),
    float("nan"),
    float("inf"),
    object(),
    10**400,
]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: repr(value)[:20])
def test_a_quantity_that_is_no_finite_number_is_refused_by_its_name(value):
    for made, called in [
        (lambda: Fixed("A", value), "estimated of line 'A'"),
        (lambda: Active("A", value, 1, 1), "estimated of line 'A'"),
        (lambda: Active("A", 1, value, 1), "target_strength of line 'A'"),
        (lambda: Active("A", 1, 1, value), "line 'A'"),
        (lambda: Active({"x": value}, 1, 1, 1), "the part of lot 'x'"),
        (lambda: Active({"x": 1}, 1, 1, {"x": value}), "strength of lot 'x'"),
        (lambda: Compensating("A", value), "estimated of line 'A'"),
        (lambda: Compensating("A", 1, value), "factor of line 'A'"),
        (lambda: Filler("A", value), "estimated of line 'A'"),
        (lambda: quantities([Filler("A")], value), "the size"),
        (lambda: formula([Filler("A")], value), "the size"),
    ]:
        with pytest.raises(bw.Infeasible, match=called) as refusal:
            made()
        assert len(str(refusal.value)) < 1300


@pytest.mark.parametrize("lines", [None, 3, "AB", {"A": 3}, Filler("A"), np.float64(3)], ids=repr)
def test_lines_that_are_no_list_are_refused(lines):
    with pytest.raises(bw.Infeasible, match=r"lines is .*; pass a list of Fixed"):
        quantities(lines, 100)


@pytest.mark.parametrize(
    "name", [["A"], {"A"}, np.array(["A", "B"]), object(), {"A": 1}], ids=["list", "set", "array", "object", "dict"]
)
def test_a_name_that_no_group_can_have_is_refused(name):
    for line in (Fixed, Compensating, Filler):
        with pytest.raises(bw.Infeasible, match=r"the name of a line is .*; pass the label of a group"):
            line(name, 3)


def test_numbers_of_numpy_and_torch_are_taken_as_the_numbers_they_hold():
    lines = [Fixed("A", np.float32(0.5)), Active("B", torch.tensor(2), np.array([1]), Decimal("0.5")), Filler("C")]
    assert quantities((line for line in lines), np.int64(10)) == {"A": Fraction(1, 2), "B": 4, "C": Fraction(11, 2)}


def test_quantities_beyond_floats_are_told():
    with pytest.raises(bw.Infeasible, match=r"line 'A' comes out at a number of 2990 bits, the size is 1;"):
        quantities([Active("A", 1e300, 1e300, 1e-300), Filler("B")], 1)


def test_lines_refuse_half_valid_values():
    with pytest.raises(bw.Infeasible, match="strength of line 'B' is nan, not a finite number"):
        Active("B", 30, 30, float("nan"))
    with pytest.raises(bw.Infeasible, match="strength 0"):
        Active("B", 30, 30, 0)
    with pytest.raises(bw.Infeasible, match=r"0\.9"):
        Active({"x": 0.5, "y": 0.4}, 30, 30, 10)
    assert quantities([Fixed("A", 0.1), Fixed("B", 0.2), Filler("C")], 1)["C"] == Fraction(7, 10)
