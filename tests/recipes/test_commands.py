"""The commands: what they tell is what the library gives, every --json has its form, and exit codes tell scripts."""

from __future__ import annotations

import json
import random

import pyarrow.parquet
import pytest
from typer.testing import CliRunner

import batchwright as bw
from batchwright.cli.app import app

from .data import table

SHELL = CliRunner()

# The form of every --json: the type of a value, the values of a dictionary by name, or [the form of every item].
NUMBER, TEXT = (int, float), (str,)
GUARANTEES = [{"guarantee": TEXT, "bound": (*NUMBER, type(None)), "worst": NUMBER, "kept": (bool,), "where": TEXT}]
PLACE = {"step": (int,), "rank": (int,), "micro_batch": (int,), "epoch": (int,)}
FORMS = {
    "inspect": {
        "files": TEXT, "columns": [TEXT], "samples": (int,),
        "labels": {"label": {
            "groups": (int,), "imbalance": NUMBER, "effective_groups": NUMBER, "counts": (list,), "missing": (int,),
        }},
        "lengths": {"column": TEXT, "total": NUMBER, "mean": NUMBER, "quantiles": (dict,)},
    },
    "plan": {
        "fingerprint": TEXT, "samples": (int,), "groups": (int,), "epoch_batches": (int,), "epoch_steps": (int,),
        "world_size": (int,), "accumulate": (int,), "notes": [TEXT], "guarantees": GUARANTEES, "kept": (bool,),
    },
    "compare": {"plans": [{
        "plan": TEXT, "micro_batches": (int,), "samples_a_batch": NUMBER, "missing_rarest": NUMBER, "covered": NUMBER,
        "repeats_in_a_batch": NUMBER, "padding": NUMBER, "largest_work_over_mean": NUMBER,
    }]},
    "rewind": {
        "step": (int,), "epoch": (int,), "step_in_epoch": (int,), "seconds": NUMBER,
        "samples": [{"micro_batch": (int,), "rank": (int,), "slot": (int,), "sample": (int,)}],
    },
    "sample": {
        "sample": (int,), "step": (int,), "before": PLACE, "next": PLACE, "seconds": NUMBER,
        "looked_at": {"first_step": (int,), "last_step": (int,)},
    },
    "audit": {"fingerprint": TEXT, "guarantees": GUARANTEES, "kept": (bool,)},
    "check": {"plan": TEXT, "fingerprint": TEXT, "samples": (int,), "same": (bool,)},
    "index": {"index": TEXT, "bytes": (int,)},
    "error": {"error": {"fact": TEXT, "way_out": TEXT}},
}  # fmt: skip


def check_form(value, form, at="$"):
    if isinstance(form, tuple):
        assert isinstance(value, form), (at, value)
    elif isinstance(form, list):
        assert isinstance(value, list), at
        assert value or at.endswith("notes"), at
        for number, item in enumerate(value):
            check_form(item, form[0], f"{at}[{number}]")
    else:
        assert set(value) == set(form), at
        for name, part in form.items():
            check_form(value[name], part, f"{at}.{name}")


def run(*arguments, code=0):
    done = SHELL.invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, (done.output, done.exception)
    return done


def told(*arguments, form, code=0):
    found = json.loads(run(*arguments, "--json", code=code).stdout)
    check_form(found, FORMS[form])
    return found


@pytest.fixture
def data(tmp_path):
    draw = random.Random(1)
    rows = [(f"{i}.png", draw.choices("abcd", [60, 25, 10, 5])[0], draw.randint(5, 99)) for i in range(500)]
    path = tmp_path / "t.csv"
    path.write_text("file,label,n\n" + "\n".join(",".join(map(str, row)) for row in rows))
    return path


@pytest.fixture
def recipe(data):
    path = data.parent / "r.json"
    run("plan", data, "--label", "label", "--batch-size", 8, "--target", "sqrt", "--world-size", 2,
        "--accumulate", 2, "--save", path)  # fmt: skip
    return path


def test_inspect_counts(data):
    found = told("inspect", data, "--label", "label", "--length", "n", form="inspect")
    groups = bw.balanced(bw.Column(data, "label"), 8).groups
    assert dict(found["labels"]["label"]["counts"]) == dict(zip(groups.names, groups.sizes.tolist(), strict=True))
    text = run("inspect", data, "--label", "label", "--length", "n").stdout
    assert "█" in text
    assert "quantile" in text


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
    told("plan", data, "--by", "label", "--by", "n", "--batch-size", 8, "--target", "natural", form="plan")
    assert "G2 quota" in run("plan", data, "--label", "label", "--batch-size", 8).stdout


@pytest.mark.parametrize(("world_size", "accumulate"), [(1, 1), (3, 1), (2, 2)])
def test_rewind_tells_what_the_ranks_were_given(recipe, world_size, accumulate):
    plan = bw.from_recipe(recipe)
    ranks = [plan.sampler(rank=rank, world_size=world_size, accumulate=accumulate) for rank in range(world_size)]
    world = "--world-size", world_size, "--accumulate", accumulate
    steps = plan.epoch_length(world_size * accumulate) // (world_size * accumulate)
    epochs = [[list(rank) for rank in ranks] for _ in range(2)]
    for step in (0, 7, steps - 1, steps, steps + 5):
        lists = epochs[step // steps]
        for rank in range(world_size):
            first = step % steps * accumulate
            wanted = [sample for batch in lists[rank][first : first + accumulate] for sample in batch]
            found = told("rewind", recipe, "--step", step, "--rank", rank, *world, form="rewind")
            assert [row["sample"] for row in found["samples"]] == wanted
            assert (found["epoch"], found["step_in_epoch"]) == divmod(step, steps)


def test_rewind_finds_a_sample_before_and_after(recipe):
    plan = bw.from_recipe(recipe)
    found = told("rewind", recipe, "--sample", 7, "--step", 40, "--epochs", 6, form="sample")
    low, middle, high = found["before"]["micro_batch"], 40 * 4, found["next"]["micro_batch"]
    assert low < middle <= high
    assert [number for number in range(low, high + 1) if 7 in plan[number]] == [low, high]
    nowhere = json.loads(run("rewind", recipe, "--sample", 7, "--step", 0, "--json").stdout)
    assert nowhere["before"] is None
    assert "never came before" in run("rewind", recipe, "--sample", 7, "--step", 0).stdout


def test_rewind_shows_columns_of_the_data(recipe):
    rows = json.loads(run("rewind", recipe, "--step", 3, "--show", "file", "--show", "label", "--json").stdout)[
        "samples"
    ]
    labels = bw.Column(recipe.parent / "t.csv", "label")
    assert all(row["file"] == f"{row['sample']}.png" and row["label"] == labels[row["sample"]] for row in rows)
    assert "0.png" in run("rewind", recipe, "--step", 3, "--show", "file").stdout


def test_the_command_line_comes_before_the_run_of_a_recipe(recipe):
    found = told("plan", recipe, "--world-size", 3, form="plan")
    assert (found["world_size"], found["accumulate"]) == (3, 2)


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


def test_compare_audit_and_check(data, recipe):
    lines = told("compare", data, "--label", "label", "--length", "n", "--batch-size", 16, form="compare")["plans"]
    by_name = {line["plan"]: line for line in lines}
    assert by_name["uniform"]["missing_rarest"] == 0 < by_name["shuffle"]["missing_rarest"]
    assert by_name["budgets"]["padding"] < by_name["shuffle"]["padding"]
    assert told("audit", recipe, form="audit")["kept"]
    assert told("recipe", "check", recipe, form="check")["same"]
    told("recipe", "index", recipe, form="index")
    for command in (["compare", data, "--label", "label"], ["audit", recipe], ["recipe", "check", recipe]):
        assert run(*command).stdout.strip()


def test_exit_codes_and_errors(data, recipe):
    assert "pass one of these names" in run("inspect", data, "--label", "lable", code=1).stderr
    told("inspect", data, "--label", "lable", form="error", code=1)
    run("plan", data, "--label", "label", code=1)
    run("plan", data, "--label", "label", "--batch-size", 8, "--capacity", 3, code=1)
    run("plan", data, "--kind", "raked", "--batch-size", 8, code=1)
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
    assert "No such file" in error["error"]["fact"]
    data.write_text(data.read_text().replace(",d,", ",a,"))
    assert "the data changed" in run("recipe", "check", recipe, code=1).stderr
    assert "the data changed" in run("audit", recipe, code=1).stderr


def test_a_broken_guarantee_has_its_own_exit_code(recipe, monkeypatch):
    from batchwright.orders import Dealt

    right = Dealt.batches
    monkeypatch.setattr(Dealt, "batches", lambda self, first, stride, count: right(self, first, stride, count) * 0)
    run("audit", recipe, code=3)


def test_help_teaches_by_examples():
    for command in ("inspect", "plan", "compare", "rewind", "audit", "demo"):
        assert f"batchwright {command} " in run(command, "--help").stdout
    assert "--step" in run("rewind", "--help").stdout


def test_every_kind_of_file_is_inspected(tmp_path):
    assert json.loads(run("inspect", table(tmp_path), "--json").stdout)["samples"] == 8
