"""Recipes: balanced quantities match the reference and are refused where they cannot be."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
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
        ([Active("B", 50, 30, 10), Filler("D")], "'B' comes out at 150 of 100"),
        ([Active("B", 50, 10, 30), Compensating("C", 1, -1), Filler("D")], "'C' comes out at -32"),
        ([Fixed("A", 20), Fixed("A", 20), Filler("D")], "'A' is given twice"),
        ([Fixed("A", 20)], "come to 20 of 100"),
        ([Fixed("A", float("nan")), Filler("D")], "nan stands where a finite number is needed"),
        ([Active("A", float("inf"), 1, 1), Filler("D")], "inf stands where"),
        ([Compensating("A", 3, float("nan")), Filler("D")], "nan stands where"),
        ([("A", 20), Filler("D")], r"a line is \('A', 20\)"),
    ],
)
def test_what_cannot_be_is_refused_with_the_line(lines, fact):
    with pytest.raises(bw.Infeasible, match=fact):
        formula(lines, 100)


def test_lines_refuse_half_valid_values():
    with pytest.raises(bw.Infeasible, match="nan stands where"):
        Active("B", 30, 30, float("nan"))
    with pytest.raises(bw.Infeasible, match="strength 0"):
        Active("B", 30, 30, 0)
    with pytest.raises(bw.Infeasible, match=r"0\.9"):
        Active({"x": 0.5, "y": 0.4}, 30, 30, 10)
    assert quantities([Fixed("A", 0.1), Fixed("B", 0.2), Filler("C")], 1)["C"] == Fraction(7, 10)
