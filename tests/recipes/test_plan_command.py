"""The command `plan`: its options make the plan that the library makes of the same arguments, and others are refused."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow.parquet
import pytest

import batchwright as bw
import batchwright.cli
from batchwright.cli.planning import KINDS
from batchwright.recipes import PLANS as PLANS_OF_RECIPES

from .commands import run, told


@pytest.mark.parametrize("kind", ["shuffled", "sequential", "evaluation"])
@pytest.mark.parametrize("option", ["label", "length", "weight", "by"])
def test_a_column_that_a_plan_does_not_need_is_refused(data, kind, option):
    refused = run("plan", data, "--kind", kind, "--batch-size", 8, f"--{option}", "n", code=1).stderr
    assert f"a plan {kind!r} takes no --{option}; leave it out" in " ".join(refused.split())


def test_an_evaluation_by_lengths_is_told_its_column(data):
    for options in (["--max-tokens", 800], ["--capacity", 800], ["--batch-size", 8, "--order", "length"]):
        refused = run("plan", data, "--kind", "evaluation", *options, code=1).stderr
        assert "a plan 'evaluation' needs --length, the name of a column" in " ".join(refused.split())
        told("plan", data, "--kind", "evaluation", *options, "--length", "n", form="plan")


def test_rows_are_counted_by_a_column_that_can_be_read(tmp_path):
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps({"id": i if i % 2 else str(i), "x": i}) for i in range(20)))
    assert told("plan", tmp_path / "t.jsonl", "--batch-size", 4, form="plan")["samples"] == 20


def test_a_seed_of_0_beside_a_recipe_is_refused_as_any_other(recipe):
    for seed in (0, 3):
        assert "--seed is given too" in " ".join(run("plan", recipe, "--seed", seed, code=1).stderr.split())


def test_an_option_of_another_kind_of_plan_is_refused(data):
    refused = run("plan", data, "--label", "label", "--order", "file", "--batch-size", 4, code=1).stderr
    assert "a plan 'balanced' takes no --order" in " ".join(refused.split())


def test_plan_tells_the_plan_of_the_library(data):
    found = told(
        "plan", data, "--label", "label", "--batch-size", 8, "--target", "a=0.5,b=0.2,c=0.2,d=0.1", form="plan"
    )
    plan = bw.balanced(bw.Column(data, "label"), 8, target={"a": 0.5, "b": 0.2, "c": 0.2, "d": 0.1})
    assert found["fingerprint"] == plan.fingerprint
    assert found["kept"]
    told("plan", data, "--length", "n", "--max-tokens", 800, form="plan")
    told("plan", data, "--length", "n", "--capacity", 200, form="plan")
    told("plan", data, "--weight", "n", "--batch-size", 8, form="plan")
    told("plan", data, "--kind", "evaluation", "--batch-size", 8, form="plan")
    assert "G2 quota" in run("plan", data, "--label", "label", "--batch-size", 8).stdout


PLANS = {
    "balanced": ("--label label --batch-size 8", lambda c: bw.balanced(c("label"), 8)),
    "cells": ("--by label --by k --batch-size 8 --target natural --epoch 9",
        lambda c: bw.balanced(bw.Groups.combine(c("label"), c("k")), 8, target="natural", epoch=9)),
    "classes": ("--label label --batch-size 8 --per-class 2 --seed 3 --epoch largest --distinct",
        lambda c: bw.balanced(c("label"), 8, per_class=2, seed=3, epoch="largest", distinct=True)),
    "random": ("--label label --batch-size 8 --draw random", lambda c: bw.balanced(c("label"), 8, draw="random")),
    "weighted": ("--weight n --batch-size 8", lambda c: bw.weighted(c("n"), 8)),
    "shuffled": ("--batch-size 8", lambda c: bw.shuffled(500, 8)),
    "sequential": ("--kind sequential --batch-size 8", lambda c: bw.sequential(500, 8)),
    "ordered": ("--indices i --batch-size 8", lambda c: bw.ordered(c("i"), 8)),
    "grouped": ("--length n --batch-size 8 --window 32 --level", lambda c: bw.grouped(c("n"), 8, window=32, level=True)),
    "bucketed": ("--shape n --shape n2 --batch-size 8 --buckets 2",
        lambda c: bw.bucketed(np.column_stack([c("n"), c("n2")]), 8, buckets=2)),
    "budgeted": ("--length n --max-tokens 800 --max-samples 12 --round-length 8 --window epoch",
        lambda c: bw.budgeted(c("n"), 800, max_samples=12, round_length=8, window="epoch")),
    "budgeted in balance": ("--length n --max-tokens 800 --label label --target sqrt",
        lambda c: bw.budgeted(c("n"), 800, order=bw.balanced(c("label"), 1, target="sqrt"))),
    "packed": ("--length n --capacity 90 --packs 2 --max-per-pack 4 --too-long split",
        lambda c: bw.packed(c("n"), 90, packs=2, max_per_pack=4, too_long="split")),
    "packed together": ("--length n --capacity 400 --together pair", lambda c: bw.packed(c("n"), 400, together=c("pair"))),
    "hybrid": ("--length n --ranks 4 --tokens-per-rank 100 --widen 3 --batch-size 50",
        lambda c: bw.hybrid(c("n"), ranks=4, tokens_per_rank=100, widen=3, batch_size=50)),
    "evaluation": ("--kind evaluation --batch-size 8 --order shuffled",
        lambda c: bw.evaluation(500, 8, order="shuffled")),
    "evaluation in tokens": ("--kind evaluation --length n --max-tokens 800",
        lambda c: bw.evaluation(c("n"), max_tokens=800)),
    "hierarchical": ("--by label --by k --per 2 --per 2 --per 2",
        lambda c: bw.hierarchical([c("label"), c("k")], [2, 2, 2])),
    "raked": ("--margin label:a=0.4,b=0.3,c=0.2,d=0.1 --margin k:uniform --batch-size 8",
        lambda c: bw.raked({"label": c("label"), "k": c("k")},
            {"label": {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1}, "k": "uniform"}, 8)),
    "rotating": ("--label label --cohorts 2 --per-class 3",
        lambda c: bw.rotating(c("label"), 2, per_class=3)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
@pytest.mark.parametrize("name", PLANS)
def test_every_kind_of_plan_can_be_made_of_options(data, name):
    options, make = PLANS[name]
    plan = make(lambda column: bw.Column(data, column))
    saved = data.parent / "saved.json"
    found = told("plan", data, *options.split(), *([] if name == "bucketed" else ["--save", saved]), form="plan")
    assert found["fingerprint"] == plan.fingerprint
    if name != "bucketed":
        assert told("recipe", "check", saved, form="recipe check")["fingerprint"] == plan.fingerprint


@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
def test_labels_in_lists_make_a_plan_of_several_labels(tmp_path):
    rows = [{"tags": ["a"] if at % 3 else ["a", "b"]} for at in range(60)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = told(
        "plan", tmp_path / "t.jsonl", "--kind", "multilabel", "--label", "tags", "--batch-size", 8, form="plan"
    )
    assert found["fingerprint"] == bw.multilabel([row["tags"] for row in rows], 8).fingerprint


def test_every_plan_has_options_or_is_named_as_one_of_several_data_sets():
    made = {name.split()[0] for name in PLANS} - {"cells", "classes", "random"} | {"multilabel"}
    assert made == set(KINDS) == set(PLANS_OF_RECIPES) - {"mixed", "alternating"}


def test_the_command_line_comes_before_the_run_of_a_recipe(recipe):
    found = told("plan", recipe, "--world-size", 3, form="plan")
    assert (found["world_size"], found["accumulate"]) == (3, 2)


def test_a_table_of_a_plan_has_the_name_of_its_format(data):
    for name in ("plan.csv", "plan.xyz", "plan"):
        out = data.with_name(name)
        assert "does not end in .parquet" in " ".join(
            run("plan", data, "--batch-size", 8, "--out", out, code=1).stderr.split()
        )
        assert not out.exists()


@pytest.mark.parametrize("name", ["r.toml", "r.csv", "r"])
def test_a_recipe_has_a_name_that_it_can_be_read_by(tmp_path, name):
    refused = run("plan", tmp_path / "nothing.csv", "--batch-size", 8, "--save", tmp_path / name, code=1).stderr
    assert f"--save {name!r} does not end in .json, and a recipe is written as JSON; pass a name" in refused
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["cat, wild", "dog=2", "c,d=0.5"])
def test_labels_of_any_text_can_be_given_shares(tmp_path, name):
    with (tmp_path / "t.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows([["kind"], *[[name], ["7"]] * 10])
    shares = json.dumps({name: 0.75, "7": 0.25})
    given = "plan", tmp_path / "t.csv", "--batch-size", 4, "--kind"
    plan = bw.balanced(bw.Column(tmp_path / "t.csv", "kind"), 4, target={name: 0.75, "7": 0.25})
    found = told(*given, "balanced", "--label", "kind", "--target", shares, form="plan")
    assert found["fingerprint"] == plan.fingerprint
    told(*given, "raked", "--margin", f"kind:{shares}", form="plan")


@pytest.mark.parametrize("labels", [[7, -3], [0.5, 7.0], ["7", "007"], ["7", "cat"], ["1e400", "2"]], ids=str)
def test_shares_are_given_to_labels_of_any_type(tmp_path, labels):
    (tmp_path / "t.csv").write_text("\n".join(["kind", *map(str, labels * 10)]))
    shares = {str(label): share for label, share in zip(labels, (0.75, 0.25), strict=True)}
    plan = bw.balanced(labels * 10, 4, target=dict(zip(labels, (0.75, 0.25), strict=True)))
    for target in (json.dumps(shares), ",".join(f"{label}={share}" for label, share in shares.items())):
        given = "plan", tmp_path / "t.csv", "--batch-size", 4, "--label", "kind", "--target", target
        assert told(*given, form="plan")["fingerprint"] == plan.fingerprint


def test_a_refused_index_leaves_no_recipe(data):
    saved = data.with_name("w.json")
    run("plan", data, "--weight", "n", "--batch-size", 8, "--save", saved, "--index", code=1)
    assert not saved.exists()


def test_margins_that_cannot_be_met_are_met_as_nearly_as_possible_with_closest(data):
    margins = "--margin", "label:a=0.9,b=0.1,c=0,d=0", "--margin", "pair:uniform", "--batch-size", 8
    assert "closest" in run("plan", data, *margins, code=1).stderr
    assert "reaches" in run("plan", data, *margins, "--closest").stdout


def test_the_summary_of_an_evaluation_is_that_on_the_ranks_of_the_run(data):
    heads = [bw.evaluation(500, batch_size=64).summary(ranks).head()[0] for ranks in (1, 3)]
    given = ("plan", data, "--kind", "evaluation", "--batch-size", 64)
    assert heads[0] in run(*given).stdout
    assert heads[1] in run(*given, "--world-size", 3).stdout


@pytest.mark.parametrize(
    "options",
    [
        ("--batch-size", 64),
        ("--batch-size", 64, "--label", "label"),
        ("--length", "n", "--max-tokens", 800),
        ("--length", "n", "--ranks", 2, "--tokens-per-rank", 100, "--batch-size", 50),
        ("--label", "label", "--kind", "rotating", "--cohorts", 2, "--per-class", 3),
    ],
    ids=str,
)
def test_the_summary_is_that_of_the_run(data, options):
    saved = data.with_name("r.json")
    run("plan", data, *options, "--save", saved, "--world-size", 3)
    plan = bw.from_recipe(saved)
    for ranks in (3, 5):
        printed = " ".join(run("plan", saved, "--world-size", ranks).stdout.split())
        assert " ".join(str(plan.summary(ranks)).split()) in printed


def test_the_table_is_the_plan(recipe):
    out = recipe.parent / "plan.parquet"
    rows = json.loads(run("plan", recipe, "--out", out, "--epochs", 2, "--json").stdout)["rows"]
    found = pyarrow.parquet.read_table(out).to_pylist()
    plan, seen = bw.from_recipe(recipe), {}
    assert rows == len(found) == 2 * 8 * plan.epoch_length(4)
    for place, row in enumerate(found):
        number, slot = divmod(place, 8)
        index = int(plan[number][slot])
        names, _ = plan.locate([index])
        wanted = {"epoch": number // plan.epoch_length(4), "step": number // 4, "rank": number % 2}
        wanted |= {"micro": number % 4 // 2, "slot": slot, "pack": None, "index": index, "group": names[0]}
        assert row == wanted | {"pass": seen.get(index, 0)}
        seen[index] = row["pass"] + 1


def test_a_report_is_written(recipe):
    page = recipe.with_name("report.html")
    found = told("plan", recipe, "--html", page, form="plan")
    assert found["html"] == str(page)
    text = page.read_text()
    assert text.lstrip().lower().startswith("<!doctype html")
    assert found["fingerprint"] in text
