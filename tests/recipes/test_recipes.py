"""Recipes: the plan they make is the plan they were made from, and nothing else can be made of them."""

from __future__ import annotations

import copy
import json
import os
import shutil
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright import recipes, targets
from batchwright.index_files import write_index

from ..plans import differing
from .data import KINDS, LENGTHS, table

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")

SHARES = {"cat": 0.5, "dog": 0.25, "eel": 0.25}


def plans(kinds, lengths, weights):
    """A plan of every kind, with columns, nested plans and targets."""
    return {
        "alternating": bw.alternating({"a": bw.shuffled(10, 2), 7: bw.balanced(kinds, 4)}, target={"a": 0.5, 7: 0.5}),
        "balanced": bw.balanced(kinds, 4, target=targets.schedule("natural", SHARES, epochs=3), seed=5),
        "bucketed": bw.bucketed([(2, 1), (1, 2), (4, 2), (2, 4)], 2, buckets=[(2, 1), (1, 2)]),
        "budgeted": bw.budgeted({"a": lengths, "b": lengths}, {"a": 20, "b": 30.5}, order=bw.balanced(kinds, 4)),
        "evaluation": bw.evaluation(lengths, max_tokens=16, order="length"),
        "grouped": bw.grouped(lengths, 2),
        "hierarchical": bw.hierarchical([kinds, lengths], [2, 1, 1]),
        "mixed": bw.mixed({"a": 100, ("b", 1): bw.balanced(kinds, 4)}, 16, target={"a": 0.5, ("b", 1): 0.5}),
        "multilabel": bw.multilabel([[0], [0, 1], [1], [0]], 2),
        "ordered": bw.ordered([2, 0, 1], 2),
        "hybrid": bw.hybrid(lengths, ranks=2, tokens_per_rank=16, batch_size=4),
        "packed": bw.packed(lengths, 12, balance=lengths),
        "raked": bw.raked({"k": kinds}, {"k": {"cat": 0.4, "dog": 0.3, "eel": 0.3}}, 10),
        "rotating": bw.rotating(kinds, 3, per_class=1),
        "sequential": bw.sequential(kinds, 4),
        "shuffled": bw.shuffled(10**12, 4),
        "weighted": bw.weighted(weights, 4),
    }


@pytest.fixture
def columns(tmp_path):
    path = table(tmp_path)
    return [bw.Column(path, name) for name in ("kind", "n", "w")]


def test_a_plan_of_every_kind_comes_back_from_json(columns):
    made = plans(*columns)
    assert set(made) == set(recipes.PLANS)
    for name, plan in made.items():
        recipe = json.loads(json.dumps(plan.to_recipe()))
        assert recipe["plan"] == name
        again = bw.from_recipe(recipe)
        assert again.fingerprint == plan.fingerprint == recipe["fingerprint"]
        assert [again[t].tolist() for t in range(5)] == [plan[t].tolist() for t in range(5)]
        assert again.to_recipe() == recipe


def recipe_or_reason(plan):
    try:
        return plan.to_recipe(), ""
    except bw.Infeasible as error:
        return None, str(error)


@pytest.mark.parametrize("builder", sorted(recipes.PLANS))
def test_every_argument_comes_back_or_is_refused_in_words(builder):
    written = refused = 0
    for _, argument, plan in differing.plans(builder):
        recipe, why = recipe_or_reason(plan)
        assert recipe is not None or any(word in why for word in ("function", " is inf", "of type")), (argument, why)
        if recipe is None:
            refused += 1
            continue
        assert bw.from_recipe(json.loads(json.dumps(recipe))).fingerprint == plan.fingerprint, argument
        written += 1
    assert written > refused


def test_every_builder_is_in_the_table():
    assert set(recipes.PLANS) == set(differing.builders())


@pytest.mark.parametrize(
    "target",
    [
        "sqrt", 0.3, Fraction(1, 3), SHARES, [0.5, 0.25, 0.25], np.array([0.5, 0.25, 0.25]), targets.uniform(),
        targets.natural(),
        targets.blend(0.2), targets.power(0.4), targets.temperature(3), targets.effective_number(0.9),
        targets.repeat_factor(0.4),
        targets.capped(3, budget=20), targets.moving("sqrt", ceiling=0.9),
        targets.schedule(targets.power(0.5), "uniform", epochs=2),
        targets.in_units("uniform", LENGTHS),
        targets.in_units("uniform", torch.tensor(LENGTHS)), targets.explicit(SHARES),
    ],
    ids=str,
)  # fmt: skip
def test_targets_come_back(target):
    plan = bw.balanced(KINDS, 4, target=target)
    assert bw.from_recipe(json.loads(json.dumps(plan.to_recipe()))).fingerprint == plan.fingerprint


@given(
    labels=st.one_of(
        st.lists(st.integers(-5, 5), min_size=1, max_size=30),
        st.lists(st.text(max_size=3), min_size=1, max_size=30),
        st.lists(st.booleans(), min_size=1, max_size=30),
        st.lists(st.sampled_from([0.5, 1.5, -2.25]), min_size=1, max_size=30).map(
            lambda held: np.array(held, np.float32)
        ),
    ),
    size=st.integers(1, 8),
    seed=st.integers(0, 2**64 - 1),
)
def test_small_labels_come_back(labels, size, seed):
    plan = bw.balanced(labels, size, seed=seed)
    assert bw.from_recipe(json.loads(json.dumps(plan.to_recipe()))).fingerprint == plan.fingerprint


def test_a_recipe_goes_to_another_folder_with_its_data(columns, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = bw.balanced(bw.Column("table.csv", "kind"), 4)
    (tmp_path / "run.json").write_text(json.dumps(plan.to_recipe()))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy("table.csv", elsewhere)
    shutil.copy("run.json", elsewhere)
    monkeypatch.chdir("/")
    assert bw.from_recipe(elsewhere / "run.json").fingerprint == plan.fingerprint
    os.replace(elsewhere / "table.csv", tmp_path / "moved.csv")
    (tmp_path / "data").mkdir()
    os.replace(tmp_path / "moved.csv", tmp_path / "data" / "table.csv")
    assert bw.from_recipe(elsewhere / "run.json", root=tmp_path / "data").fingerprint == plan.fingerprint


def test_toml_is_read_too(columns, tmp_path):
    (tmp_path / "run.toml").write_text("""
        batchwright = 1
        plan = "balanced"
        [arguments]
        batch_size = 4
        labels = { column = "kind", in = "table.csv" }
        target = { map = [["cat", 0.5], ["dog", 0.25], ["eel", 0.25]] }
        [run]
        world_size = 2
    """)
    plan = bw.from_recipe(tmp_path / "run.toml")
    assert plan.fingerprint == bw.balanced(KINDS, 4, target=SHARES).fingerprint
    assert recipes.run_of(recipes.read_recipe(tmp_path / "run.toml")) == recipes.RecipeRun(2, 1)


def test_data_that_the_user_changes_later_do_not_change_the_recipe():
    labels = list(KINDS)
    plan = bw.balanced(labels, 4)
    before = plan.to_recipe()
    labels[0] = "dog"
    assert plan.to_recipe() == before
    before["arguments"]["labels"][0] = "dog"
    assert plan.to_recipe() != before


def test_a_plan_keeps_no_data_for_its_recipe():
    plan = bw.balanced(np.arange(100_000) % 3, 4)
    assert len(repr(vars(plan)["_call"])) < 300


@pytest.mark.parametrize("written", [KINDS, [2, 1, 2, 3], [0.5, 1.5, 0.5, 2.0], [True, False, True, True]], ids=str)
@pytest.mark.parametrize("fingerprints", [True, False])
def test_a_plan_of_a_recipe_has_that_recipe_with_an_index_beside_it_and_without(tmp_path, written, fingerprints):
    data, path = tmp_path / "t.csv", tmp_path / "run.json"
    data.write_text("\n".join(["kind", *map(str, written)]))
    recipe = bw.balanced(bw.Column(data, "kind"), 2, seed=3).to_recipe()
    held = copy.deepcopy(recipe)
    if not fingerprints:
        del held["fingerprint"], held["arguments"]["labels"]["count"], held["arguments"]["labels"]["digest"]
    path.write_text(json.dumps(held))
    assert bw.from_recipe(path).to_recipe() == recipe
    write_index(path, held["arguments"], tmp_path)
    indexed = bw.from_recipe(path)
    assert indexed.groups.index.base is not None  # mapped from the disk
    assert indexed.to_recipe() == recipe
    nested = bw.packed([3] * len(written), 6, order=indexed)
    assert bw.from_recipe(nested.to_recipe()).fingerprint == nested.fingerprint


def test_a_recipe_of_other_data_is_refused_with_an_index_beside_it_too(columns, tmp_path):
    path, recipe = tmp_path / "run.json", bw.balanced(columns[0], 4).to_recipe()
    write_index(path, recipe["arguments"], tmp_path)
    recipe["arguments"]["labels"]["digest"] = "0" * 32
    path.write_text(json.dumps(recipe))
    with pytest.raises(bw.Infeasible, match="the data changed"):
        bw.from_recipe(path)


def test_the_index_beside_a_recipe_is_used_until_the_data_change(columns, tmp_path):
    path, recipe = tmp_path / "run.json", bw.balanced(columns[0], 4).to_recipe()
    path.write_text(json.dumps(recipe))
    plan = bw.from_recipe(path)
    folder = write_index(path, recipe["arguments"], tmp_path)
    (tmp_path / "table.csv").rename(tmp_path / "kept.csv")
    (tmp_path / "kept.csv").rename(tmp_path / "table.csv")
    indexed = bw.from_recipe(path)
    assert indexed.fingerprint == plan.fingerprint
    assert indexed[3].tolist() == plan[3].tolist()
    assert indexed.groups.index.base is not None  # mapped from the disk
    (folder / "0.starts.npy").write_bytes(b"damaged")
    assert bw.from_recipe(path)[3].tolist() == plan[3].tolist()
    write_index(path, recipe["arguments"], tmp_path)
    (tmp_path / "table.csv").write_text((tmp_path / "table.csv").read_text().replace("eel", "dog"))
    with pytest.raises(bw.Infeasible, match="the data changed"):
        bw.from_recipe(path)
