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
from batchwright.kernels.compile import DECLARED

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
