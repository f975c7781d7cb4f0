"""The commands: what they tell is what the library gives, every --json has its form, and exit codes tell scripts."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet
import pytest
from rich.console import Console

import batchwright as bw
import batchwright.cli
from batchwright.cli import printing
from batchwright.cli.app import app
from batchwright.cli.planning import KINDS
from batchwright.kernels.compile import DECLARED
from batchwright.recipes import PLANS as PLANS_OF_RECIPES

from .commands import SHELL, run, told
from .data import table


def test_inspect_counts(data):
    found = told("inspect", data, "--label", "label", "--length", "n", form="inspect")
    groups = bw.balanced(bw.Column(data, "label"), 8).groups
    assert dict(found["labels"]["label"]["counts"]) == dict(zip(groups.names, groups.sizes.tolist(), strict=True))
    text = run("inspect", data, "--label", "label", "--length", "n").stdout
    assert "█" in text
    assert "quantile" in text


def test_rows_of_several_numbers_are_refused_by_inspect_and_compare(tmp_path):
    for kind in (int, float):
        np.save(tmp_path / "two.npy", np.ones((3, 2), kind))
        for command in (["inspect"], ["inspect", "--label", "two"], ["compare", "--label", "two"]):
            name, *options = command
            options = options or ["--length", "two"]
            refused = " ".join(run(name, tmp_path / "two.npy", *options, code=1).stderr.split())
            assert "has shape 3 x 2, one value a sample is needed; pass" in refused
    np.save(tmp_path / "one.npy", np.ones((3, 1)))
    assert told("inspect", tmp_path / "one.npy", "--length", "one", form="inspect")["lengths"]["mean"] == 1


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.1, 0.35, 1.1], "0.1 0.125 0.225 0.35 0.725 1.025 1.085 1.1"),
        ([-0.0, -0.25], "-0.25 -0.2375 -0.1875 -0.125 -0.0625 -0.0125 -0.0025 0"),
        ([5, 7, 9], "5 5.2 6 7 8 8.8 8.96 9"),
        ([0.5, 20_000], "0.5 1,000 5,000 10,000 15,000 19,000 19,800 20,000"),
    ],
)
def test_numbers_of_any_size_are_shown(tmp_path, values, shown):
    (tmp_path / "t.csv").write_text("\n".join(["n", *map(str, values)]))
    printed = run("inspect", tmp_path / "t.csv", "--length", "n").stdout
    assert printed.splitlines()[-1].split() == ["length", *shown.split()]


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


def test_compare_audit_and_check(data, recipe):
    lines = told("compare", data, "--label", "label", "--length", "n", "--batch-size", 16, form="compare")["plans"]
    by_name = {line["plan"]: line for line in lines}
    assert by_name["uniform"]["missing_rarest"] == 0 < by_name["shuffle"]["missing_rarest"]
    assert by_name["budgets"]["padding"] < by_name["shuffle"]["padding"]
    assert told("audit", recipe, form="audit")["kept"]
    assert told("recipe", "check", recipe, form="recipe check")["same"] is True
    held = json.loads(recipe.read_text())
    recipe.with_name("bare.json").write_text(json.dumps({name: held[name] for name in held if name != "fingerprint"}))
    assert told("recipe", "check", recipe.with_name("bare.json"), form="recipe check")["same"] is None
    assert "no fingerprint to compare with" in run("recipe", "check", recipe.with_name("bare.json")).stdout
    told("recipe", "index", recipe, form="recipe index")
    for command in (["compare", data, "--label", "label"], ["audit", recipe], ["recipe", "check", recipe]):
        assert run(*command).stdout.strip()
    for options in (["--kind", "evaluation"], ["--accumulate", 2]):
        found = told(
            "plan",
            data,
            "--length",
            "n",
            "--max-tokens",
            500,
            *options,
            "--world-size",
            3,
            "--save",
            recipe,
            form="plan",
        )
        expected = printing.findings(bw.from_recipe(recipe).audit_of_run(3 * found["accumulate"]))
        assert expected == found["guarantees"] == told("audit", recipe, form="audit")["guarantees"]
        assert expected != printing.findings(bw.from_recipe(recipe).audit())


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".md"])
def test_what_inspect_and_compare_tell_is_written_as_a_table(data, suffix):
    path = data.parent / f"out{suffix}"
    found = told("inspect", data, "--label", "label", "--by", "k", "--length", "n", "--out", path, form="inspect")
    assert found["out"] == str(path)
    assert path.name in "".join(run("inspect", data, "--out", path).stdout.split())
    told("inspect", data, "--label", "label", "--by", "k", "--length", "n", "--out", path, form="inspect")
    expected = {(None, "samples", None): 500}
    for column, labels in found["labels"].items():
        expected |= {
            (column, name, None): labels[name] for name in ("groups", "imbalance", "effective_groups", "missing")
        }
        expected |= {(column, "count", str(label)): count for label, count in labels["counts"]}
    expected |= {("n", name, None): found["lengths"][name] for name in ("total", "mean", "missing")}
    expected |= {("n", "quantile", at): length for at, length in found["lengths"]["quantiles"].items()}
    assert {
        (column or None, what, name or None): pytest.approx(float(value), rel=1e-5)
        for column, what, name, value in rows_of(path)[1:]
    } == expected
    found = told(
        "compare", data, "--label", "label", "--length", "n", "--batch-size", 16, "--out", path, form="compare"
    )
    head, *rows = rows_of(path)
    assert head == list(found["plans"][0])
    assert [row[0] for row in rows] == [line["plan"] for line in found["plans"]]
    for row, line in zip(rows, found["plans"], strict=True):
        assert [float(value) for value in row[1:]] == pytest.approx(list(line.values())[1:], rel=1e-5)


def rows_of(path):
    """The rows of a table in a file, the names of its columns first."""
    if path.suffix == ".parquet":
        table = pyarrow.parquet.read_table(path)
        return [table.column_names, *(list(row.values()) for row in table.to_pylist())]
    lines = path.read_text().splitlines()
    if path.suffix == ".csv":
        return list(csv.reader(lines))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert set(rows[1]) == {"---"}
    return [rows[0], *rows[2:]]


def test_the_comparison_fits_80_columns(data, monkeypatch):
    monkeypatch.setattr("batchwright.cli.printing.console", Console(width=80))
    lines = run("compare", data, "--label", "label", "--length", "n", "--batch-size", 16).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    assert "measured" not in lines[-1]
    given = "compare", data, "--label", "label", "--batch-size", 4, "--batches", 100
    assert (
        run(*given).stdout.splitlines()[-1]
        == "measured: the first 100 of 125 micro-batches; --batches 125 measures all"
    )
    assert [line["epoch_batches"] for line in told(*given, form="compare")["plans"]] == [125] * 4


def test_a_table_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path):
    for command in ("inspect", "compare"):
        refused = run(command, tmp_path / "nothing.csv", "--label", "x", "--out", tmp_path / "out.txt", code=1).stderr
        assert "--out 'out.txt' ends in none of .csv, .parquet, .md; pass a name" in refused
        refused = run(command, "nothing.csv", "--label", "x", "--out", tmp_path / "no" / "out.md", code=1).stderr
        assert "to write --out out.md in; make it" in refused


def test_kernels_are_compiled_and_said_to_be_kept(monkeypatch):
    few = dict(list(DECLARED.items())[:2])  # all of them take a minute where none is compiled
    monkeypatch.setattr("batchwright.kernels.__main__.DECLARED", few)
    found = told("kernels", form="kernels")
    assert found["kernels"] == 2
    assert "2 kernels ready in" in run("kernels").stdout


def test_exit_codes_and_errors(data, recipe):
    assert "pass one of these names" in run("inspect", data, "--label", "lable", code=1).stderr
    told("inspect", data, "--label", "lable", form="error", code=1)
    run("plan", data, "--label", "label", code=1)
    run("plan", data, "--label", "label", "--batch-size", 8, "--capacity", 3, code=1)
    run("plan", data, "--kind", "mixed", "--batch-size", 8, code=1)
    assert run("--version").stdout == f"batchwright {bw.__version__}\n"
    assert (
        "--kind is 'balance'; pass 'alternating', 'balanced'"
        in run("plan", data, "--kind", "balance", "--batch-size", 8, code=1).stderr
    )
    run("plan", data, "--kind", "weighted", "--batch-size", 8, code=1)
    run("rewind", recipe, "--step", "soon", code=2)
    run("rewind", recipe, "--step", -1, code=1)
    last = 89 * 2**32 // 4 - 1
    assert f"pass step={last} or less" in run("rewind", recipe, "--step", last + 1, code=1).stderr
    run("rewind", recipe, "--step", last)
    run("rewind", recipe, "--step", 1, "--world-size", 0, code=2)
    run("rewind", recipe, "--sample", 1, "--epochs", 0, code=2)
    run("plan", data, "--batch-size", 8, "--epochs", 0, code=2)
    run("plan", data, "--batch-size", 8, "--index", code=2)
    run("compare", data, "--label", "label", "--batches", 0, code=2)
    assert "numbers are needed" in run("inspect", data, "--length", "label", code=1).stderr
    assert "numbers are needed" in run("compare", data, "--label", "label", "--length", "label", code=1).stderr
    nowhere = data.parent / "nowhere" / "r.json"
    error = told("plan", data, "--batch-size", 8, "--save", nowhere, form="error", code=1)
    assert f"no folder '{nowhere.parent}' to write --save r.json in" in error["error"]["fact"]
    run("plan", data, "--batch-size", 8, "--html", data.parent, code=2)
    data.write_text(data.read_text().replace(",d,", ",a,"))
    assert "the data changed" in run("recipe", "check", recipe, code=1).stderr
    assert "the data changed" in run("audit", recipe, code=1).stderr


def test_a_broken_guarantee_has_its_own_exit_code(recipe, monkeypatch):
    from batchwright.orders import Dealt

    right = Dealt.batches_at
    monkeypatch.setattr(Dealt, "batches_at", lambda self, numbers: right(self, numbers) * 0)
    run("audit", recipe, code=3)


def test_help_teaches_by_examples():
    for command in ("inspect", "plan", "compare", "rewind", "audit", "demo", "kernels", "recipe check", "recipe index"):
        assert f"batchwright {command}" in run(*command.split(), "--help").stdout
    assert "--step" in run("rewind", "--help").stdout


def test_every_kind_of_file_is_inspected(tmp_path):
    assert json.loads(run("inspect", table(tmp_path), "--json").stdout)["samples"] == 8


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("batchwright ", ["inspect", "plan", "compare", "rewind", "audit", "recipe", "kernels", "demo"]),
        ("batchwright plan {data} --label ", ["file", "label", "n", "k", "i", "pair", "n2"]),
        ("batchwright plan {data} --label la", ["label"]),
        ("batchwright plan nowhere.csv --label ", []),
        ("batchwright plan {data} --kind ba", ["balanced"]),
        ("batchwright plan {data} --too-long s", ["skip", "split"]),
    ],
)
def test_a_shell_completes_commands_columns_and_words(data, line, found):
    words = line.format(data=data)
    asked = {"_BATCHWRIGHT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = SHELL.invoke(app, [], prog_name="batchwright", env=asked)
    assert done.stdout.split() == found


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "batchwright", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"batchwright {bw.__version__}\n"
