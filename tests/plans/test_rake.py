"""Raking: margins met, least entropy, refused where they cannot be; several labels a sample."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import minimize

import batchwright as bw
from batchwright.targets.raking import solve_raking

from ..examples import examples


def table(seed, sides):
    """A random table's attributes, one row a sample, and random margins."""
    random = np.random.default_rng(seed)
    shape = [np.arange(side) for side in sides]
    cells = np.stack(np.meshgrid(*shape, indexing="ij"), axis=-1).reshape(-1, len(sides))
    rows = np.repeat(cells, random.integers(1, 30, len(cells)), axis=0)
    margins = {
        name: dict(enumerate(random.dirichlet(np.full(side, 3.0)))) for name, side in zip("abc", sides, strict=False)
    }
    return {name: rows[:, column] for column, name in enumerate("abc"[: len(sides)])}, margins


def raked_slowly(columns, margins, cycles=3000):
    """Iterative proportional fitting, a weight a sample, one margin after the other."""
    weights = np.ones(len(next(iter(columns.values())))) / len(next(iter(columns.values())))
    for _ in range(cycles):
        for name, column in columns.items():
            now = np.bincount(column, weights=weights)
            weights *= (np.array(list(margins[name].values())) / now)[column]
    return weights


@examples(25)
@given(seed=st.integers(0, 10**6), sides=st.lists(st.integers(2, 5), min_size=1, max_size=3))
def test_raking_matches_iterative_proportional_fitting(seed, sides):
    columns, margins = table(seed, sides)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        plan = bw.raked(columns, margins, 64, min_repeats=0)  # as raking has no floor
    weights = raked_slowly(columns, margins)
    assert 1 / plan.weights(np.arange(weights.size)) / weights.size == pytest.approx(weights, rel=1e-6, abs=1e-9)
    shares = plan.shares()
    for place, name in enumerate(columns):
        levels = np.array([cell[place] for cell in plan.groups.names])
        assert np.bincount(levels, weights=shares) == pytest.approx(list(margins[name].values()), abs=1e-7)


def test_cells_are_dealt_and_margins_keep_the_bound_that_is_told():
    columns, margins = table(3, [2, 4, 3])
    plan = bw.raked(columns, margins, 64, distinct=False)
    assert plan.audit(batches=200).kept
    notes = [note for note in plan.summary().notes if note.startswith("in a micro-batch")]
    assert len(notes) == 3
    for note, (name, column) in zip(notes, columns.items(), strict=True):
        bound = float(note.split("within ")[1].split()[0])
        wanted = 64 * np.array(list(margins[name].values()))
        off = max(np.abs(np.bincount(column[plan[t]], minlength=wanted.size) - wanted).max() for t in range(300))
        assert off <= bound * 1.01


def test_an_empty_cell_that_makes_a_margin_unreachable_is_refused_by_name():
    sex = ["m"] * 60 + ["f"] * 40
    outcome = ["ill"] * 60 + ["well"] * 40  # no woman is ill
    margins = {"sex": {"m": 0.5, "f": 0.5}, "outcome": {"ill": 0.7, "well": 0.3}}
    with pytest.raises(bw.Infeasible, match=r"'(sex|outcome)' '(m|f|ill|well)' reaches 0\.[46]"):
        bw.raked({"sex": sex, "outcome": outcome}, margins, 20)
    plan = bw.raked({"sex": sex, "outcome": outcome}, margins, 20, closest=True)
    assert plan.shares() == pytest.approx([0.4, 0.6], abs=1e-3)  # half way between
    assert sum(note.startswith("margin") for note in plan.summary().notes) == 4


def test_no_sample_repeats_more_than_the_cap():
    columns = {"a": np.repeat([0, 1], [900, 100]), "b": np.tile([0, 1], 500)}
    margins = {"a": {0: 0.6, 1: 0.4}, "b": {0: 0.7, 1: 0.3}}
    free = bw.raked(columns, margins, 40)
    capped = bw.raked(columns, margins, 40, max_repeats=4.5)
    repeats = [(plan.shares() / plan.natural_prior).max() for plan in (free, capped)]
    assert repeats[0] > 4.5 >= repeats[1] - 1e-9
    assert np.bincount([0, 0, 1, 1], weights=capped.shares()) == pytest.approx([0.6, 0.4], abs=1e-7)
    with pytest.raises(bw.Infeasible, match="max_repeats=3"):
        bw.raked(columns, margins, 40, max_repeats=3)


@examples(15)
@given(seed=st.integers(0, 10**6))
def test_raking_is_the_nearest_distribution_a_general_solver_finds(seed):
    random = np.random.default_rng(seed)
    carries = random.random((12, 3)) < 0.4
    carries[:3] = np.eye(3, dtype=bool)
    carries[3:5] = False
    base = np.full(12, 1 / 12)
    wanted = (0.3 / 12 + 0.7 * random.dirichlet(np.full(12, 4.0))) @ carries
    attributes = np.nonzero(carries)[1]
    starts = np.concatenate([[0], np.cumsum(carries.sum(axis=1))])
    found = solve_raking(base, starts, attributes, wanted, floor=0.3, cap=2.4)
    assert found.shares.sum() == pytest.approx(1)
    assert 0.3 - 1e-9 <= found.shares.min() * 12 <= found.shares.max() * 12 <= 2.4 + 1e-9
    assert found.reached == pytest.approx(wanted, abs=1e-7)
    slow = minimize(
        lambda x: float(np.sum(x * np.log(np.maximum(x, 1e-300) / base))),
        base,
        jac=lambda x: np.log(np.maximum(x, 1e-300) / base) + 1,
        bounds=[(0.3 / 12, 0.2)] * 12,
        constraints={"type": "eq", "fun": lambda x: np.append(x @ carries - wanted, x.sum() - 1)},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    assume(slow.success)  # 100 of 100 seeds; where few were, hypothesis would refuse the law
    entropy = float(np.sum(found.shares * np.log(found.shares / base)))
    assert entropy == pytest.approx(slow.fun, abs=1e-6)


@examples(15)
@given(seed=st.integers(0, 10**6), floor=st.sampled_from([0.0, 0.1, 0.5]))
def test_sums_out_of_reach_of_floor_and_cap_are_met_in_least_squares(seed, floor):
    random = np.random.default_rng(seed)
    carries = random.random((12, 3)) < 0.4
    carries[:3] = np.eye(3, dtype=bool)
    base, wanted = np.full(12, 1 / 12), random.uniform(0.01, 0.99, 3)
    starts = np.concatenate([[0], np.cumsum(carries.sum(axis=1))])
    found = solve_raking(base, starts, np.nonzero(carries)[1], wanted, floor=floor, cap=1.8)
    assert found.shares.min() * 12 >= floor - 1e-6
    assert found.shares.max() * 12 <= 1.8 + 1e-6
    slow = minimize(
        lambda x: float(np.sum((x @ carries - wanted) ** 2)),
        base,
        jac=lambda x: 2 * carries @ (x @ carries - wanted),
        bounds=[(floor / 12, 1.8 / 12)] * 12,
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    assume(slow.success)  # 300 of 300 seeds and floors; where few were, hypothesis would refuse the law
    assert float(np.sum((found.reached - wanted) ** 2)) <= slow.fun + 1e-3


def long_tailed(samples=3000, labels=20):
    """A matrix of labels whose rates fall from 0.9 to 0.002."""
    random = np.random.default_rng(0)
    return (random.random((samples, labels)) < np.geomspace(0.9, 0.002, labels)).astype(int)


@pytest.mark.parametrize("limits", [{}, {"max_repeats": 1000}, {"min_repeats": 0.25}])
def test_a_long_tail_starves_no_sample(limits):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        plan = bw.multilabel(long_tailed(), 32, **limits)
    least = limits.get("min_repeats", 0.1)
    repeats = plan.rates(np.arange(3000)) * 3000
    assert repeats.min() >= least
    epochs = round(2 / least)
    drawn = np.concatenate([batch for epoch in range(epochs) for batch in plan.epoch(epoch)])
    assert np.unique(drawn).size == 3000  # without a floor 343 and fewer in ten epochs
    notes = plan.summary().notes
    assert any(f"each once in {round(1 / least)} epochs or fewer on average, within" in note for note in notes)
    assert any("with min_repeats=0 the label furthest off would miss its rate by" in note for note in notes)


def test_without_a_floor_samples_are_starved_as_asked():
    with pytest.warns(bw.PoorWarning, match="a lower min_repeats"):
        free = bw.multilabel_weights(long_tailed(), min_repeats=0)
    assert free.weights.min() < 1e-3
    with pytest.warns(bw.PoorWarning):
        kept = bw.multilabel_weights(long_tailed())
    assert "with min_repeats=0 the label furthest off would miss" in str(kept)
    assert np.abs(free.reached - free.wanted).max() < np.abs(kept.reached - kept.wanted).max()


def test_raking_keeps_a_floor_where_the_margins_leave_it_and_tells_where_not():
    columns = {"a": np.repeat([0, 1], [900, 100]), "b": np.tile([0, 1], 500)}
    for part, floor in {0.05: 0.01, 0.0005: 0.0, 0.5: 0.1}.items():
        margins = {"a": {0: part, 1: 1 - part}, "b": "uniform"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bw.PoorWarning)
            plan = bw.raked(columns, margins, 40)
        shares = np.bincount(columns["a"], weights=plan.rates(np.arange(1000)))
        assert shares == pytest.approx([part, 1 - part], abs=1e-6)  # margins come first
        assert (plan.rates(np.arange(1000)) * 1000).min() >= floor
        lowered = [note for note in plan.summary().notes if "the floor was lowered" in note]
        assert [f"lowered to {floor:g};" in note for note in lowered] == [True] * (floor < 0.1)
    with pytest.raises(bw.Infeasible, match=r"together with min_repeats=0\.1: .* widen these limits"):
        bw.raked(columns, {"a": {0: 0.05, 1: 0.95}, "b": "uniform"}, 40, min_repeats=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        near = bw.raked(columns, {"a": {0: 0.05, 1: 0.95}, "b": "uniform"}, 40, min_repeats=0.1, closest=True)
    assert (near.rates(np.arange(1000)) * 1000).min() == pytest.approx(0.1, rel=1e-3)


LISTS = [["cat"], ["cat", "dog"], [], ["bird"], ["cat", "bird"], ["dog"]] * 30


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("form", ["lists", "dense", "sparse", "torch", "torch sparse", "torch rows"])
def test_every_form_of_labels_says_the_same(form):
    dense = np.array([[name in row for name in ("bird", "cat", "dog")] for row in LISTS], int)
    labels = {
        "lists": lambda: LISTS,
        "dense": lambda: dense,
        "sparse": lambda: sparse.coo_matrix(dense),
        "torch": lambda: torch.tensor(dense),
        "torch sparse": lambda: torch.tensor(dense).to_sparse(),
        "torch rows": lambda: torch.tensor(dense, dtype=torch.float32).to_sparse_csr(),
    }[form]()
    rates = bw.multilabel_weights(labels, target=0.5)
    assert rates.reached == pytest.approx(rates.wanted, abs=1e-8)
    assert rates.weights[:6] == pytest.approx(bw.multilabel_weights(LISTS, target=0.5).weights[:6])


def test_labels_come_at_their_rates_and_samples_in_turn():
    plan = bw.multilabel(LISTS, 30, target={"bird": 0.4, "cat": 0.5, "dog": 0.5})
    drawn = np.bincount(plan.order.take(0, 120_000), minlength=180)
    for name, wanted in {"bird": 0.4, "cat": 0.5, "dog": 0.5}.items():
        carries = np.array([name in row for row in LISTS])
        assert drawn[carries].sum() / 120_000 == pytest.approx(wanted, abs=0.001)
    assert plan.audit(batches=100).kept
    assert {"bird", "cat", "dog"} <= set(str(plan.summary()).split())


def test_rates_that_cannot_be_reached_are_approached_and_told():
    with pytest.warns(bw.PoorWarning, match="2 of 2 labels miss their rate"):
        rates = bw.multilabel_weights([["a"], ["b"], ["a", "b"], []], target={"a": 0.9, "b": 0.9}, max_repeats=1.5)
    assert rates.weights.max() <= 1.5 + 1e-6
    assert rates.reached[0] == pytest.approx(rates.reached[1])
    assert 0.5 < rates.reached[0] < 0.8
    assert "0.9" in str(rates)


def test_a_rate_of_zero_leaves_the_label_out():
    rates = bw.multilabel_weights(LISTS, target={"bird": 0, "cat": 0.5, "dog": 0.5})
    assert rates.reached[0] == 0
    assert rates.weights[3] == 0


@pytest.mark.parametrize(
    ("labels", "options", "fact"),
    [
        ([["a"], ["b"]], {"target": {"a": 0.5}}, "'b' has no wanted rate"),
        ([["a"]], {"target": {"a": 0.5, "c": 0.1}}, "'c' has a rate but no sample"),
        ([["a"]], {"target": {"a": 1.5}}, "1.5"),
        (["a", "b"], {}, "'a'"),
        (7, {}, "the labels are of type int"),
        ([[{}], [1]], {}, "a label of sample 0 is of type dict, which cannot be hashed"),
        ([[1, 0], [1, 1], [0, 0]], {}, r"each of them from 0 to 1: these are no names, .*; pass np.array\(labels\)"),
        ([[True, False], [False, True]], {}, "these are no names"),
        (torch.zeros(4, 2, device="meta"), {}, "labels is a tensor on the meta device"),
        (np.array([["a", "b"]]), {}, "labels holds values of type"),
        ([["a"]], {"target": {"a": "x"}}, "the rate of label 'a' is 'x', not a finite number"),
        ([["a"]], {"max_repeats": "a"}, "max_repeats is 'a'"),
        ([["a"]], {"target": bw.targets.moving("uniform")}, "moves"),
        ([], {}, "0 samples"),
        ([["a"]], {"max_repeats": 0.5}, "max_repeats is 0.5"),
        ([["a"]], {"min_repeats": 1.5}, "min_repeats is 1.5"),
        ([["a"]], {"min_repeats": -1}, "min_repeats is -1"),
        ([["a"]], {"min_repeats": "a"}, "min_repeats is 'a'"),
        ([["a"]], {"target": bw.targets.schedule("natural", "uniform", epochs=2)}, "moves"),
        (np.array([[np.nan, 1], [0, 1]]), {}, "labels is nan at sample 0, label 0: 1 says that a label holds"),
        (
            torch.tensor([[np.nan, 1], [0, 1]]).to_sparse(),
            {},
            "labels is nan at sample 0, label 0: 1 says that a label holds",
        ),
    ],
)
def test_labels_and_rates_that_make_no_sense_are_refused(labels, options, fact):
    with pytest.raises(bw.Infeasible, match=fact):
        bw.multilabel_weights(labels, **options)


def test_indicators_are_read_alike_from_whatever_holds_them():
    rows = [[1, 0], [1, 1], [1, 0], [0, 0]] * 50
    names = [[name for name, holds in zip(["sky", "sea"], row, strict=True) if holds] for row in rows]
    wanted = bw.multilabel_weights(names, target={"sky": 0.75, "sea": 0.5})
    frames = [pd.DataFrame(rows, columns=["sky", "sea"]), pl.DataFrame(rows, schema=["sky", "sea"], orient="row")]
    for frame in frames:
        found = bw.multilabel_weights(frame, target={"sky": 0.75, "sea": 0.5})
        assert found.names == ["sky", "sea"]
        assert found.weights == pytest.approx(wanted.weights)
    matrices = [np.array(rows), torch.tensor(rows).bfloat16(), torch.tensor(rows).bfloat16().to_sparse()]
    numbers = [torch.tensor([number for number, holds in enumerate(row) if holds]) for row in rows]
    for matrix in [*matrices, numbers]:
        found = bw.multilabel_weights(matrix, target={0: 0.75, 1: 0.5})
        assert found.weights == pytest.approx(wanted.weights)


def test_a_rate_that_cannot_be_reached_is_told():
    with pytest.warns(bw.PoorWarning, match=r"2 of 2 labels miss their rate, label 'b' the most: it reaches 1 of 0\.1"):
        bw.multilabel([["a", "b"]] * 2, 1, target={"a": 0.9, "b": 0.1})


@pytest.mark.parametrize(
    ("columns", "margins", "fact"),
    [
        ({"a": [0, 1]}, {}, "margins has 0 entries"),
        ({"a": [0, 1], "b": [0, 1]}, {"a": "uniform"}, "'b' has no margin"),
        ({"site": [0, 1]}, {"sites": "uniform"}, r"'site' has no margin; .* \(did you mean 'sites'\?\)"),
        ({"b": [0, 1]}, {"a": "uniform", "b": "uniform"}, "'a' has no column"),
        ({}, {}, "attributes has 0 entries"),
        ({"a": [0, 1]}, {"a": bw.targets.schedule("natural", "uniform", epochs=2)}, "'a': the margin moves"),
        ({"a": [0, 1], "b": [0, 1, 1]}, {"a": "uniform", "b": "uniform"}, r"different lengths: \{'a': 2, 'b': 3\}"),
    ],
)
def test_what_cannot_be_raked_is_refused(columns, margins, fact):
    with pytest.raises(bw.Infeasible, match=fact):
        bw.raked(columns, margins, 4)
