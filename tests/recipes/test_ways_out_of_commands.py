"""Every refusal of the commands themselves: its fact, and its way out, which is followed here and works."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pytest

import batchwright as bw
from batchwright.cli import app as application
from batchwright.cli import inspecting, look, main, planning, shared, written
from batchwright.recipes import RecipeRun

from ..refusals import SOURCE, cases, check_that_all_are_reached, told_and_followed
from .data import table

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")

TABLE = str(table(Path(tempfile.mkdtemp())))
EMPTY = str(Path(TABLE).with_name("empty.csv"))
Path(EMPTY).write_text("kind,n\n")
RECIPE = str(Path(TABLE).with_name("recipe.json"))
Path(RECIPE).write_text(json.dumps(bw.shuffled(8, 4).to_recipe()))


def made(**options):
    return lambda: planning.made(TABLE, options)


def rows(samples):
    return lambda: bw.shuffled(samples, 4).table()


def write(hidden=False):
    held = sys.modules.get("pyarrow")
    if hidden:
        sys.modules["pyarrow"] = None
    try:
        return bw.shuffled(8, 4).table().to_parquet(Path(TABLE).with_name("out.parquet"))
    finally:
        if hidden:
            sys.modules.pop("pyarrow") if held is None else sys.modules.update(pyarrow=held)


def one_step():
    return look.step_of(bw.shuffled(8, 4), RecipeRun(), 0, None, {})


CASES = cases("refuse message follow", {
    "shares": (lambda: planning.target_of("cat=half"), "the shares are 'cat=half'; write them as cat=0.5,dog=0.5",
        lambda: planning.target_of("cat=0.5,dog=0.5")),
    "shares with a comma": (lambda: planning.target_of("cat, wild=0.5,dog=0.5"),
        """; write them as cat=0.5,dog=0.5, and where a label has a comma as an object of JSON in quotes of the shell: """
        """'{"cat, wild": 0.5, "dog": 0.5}'""",
        lambda: planning.target_of('{"cat, wild": 0.5, "dog": 0.5}')),
    "a share twice": (lambda: planning.target_of("cat=0.5,cat=0.5"),
        "a label stands twice in the shares 'cat=0.5,cat=0.5'; write every label once",
        lambda: planning.target_of("cat=0.5,dog=0.5")),
    "a recipe as TOML": (lambda: written.check_recipe(Path("r.toml")),
        "--save 'r.toml' does not end in .json, and a recipe is written as JSON; pass a name that ends in it",
        lambda: written.check_recipe(Path("r.json"))),
    "kind": (made(kind="mixed", batch_size=2), "the plan 'mixed' is made of several data sets or plans; write a recipe",
        lambda: bw.from_recipe(bw.mixed({"a": 4, "b": 4}, 2).to_recipe())),
    "margin": (made(kind="raked", batch_size=2),
        "a plan 'raked' needs --margin, a column and its shares; pass --margin label:uniform",
        made(margin=["kind:uniform"], batch_size=2)),
    "one side": (made(shape=["n"], batch_size=2),
        "--shape n is one number a sample, and a shape has several; pass --shape once for each side; for lengths, which are "
        "padded, pass --length and --max-tokens in place of --shape and --batch-size",
        lambda: (made(shape=["n", "w"], batch_size=2)(), made(length="n", max_tokens=100)())),
    "column": (made(kind="weighted", batch_size=2),
        "a plan 'weighted' needs --weight, the name of a column; pass one of kind, n, w",
        made(kind="weighted", batch_size=2, weight="w")),
    "option": (made(label="kind", batch_size=2, capacity=3, kind="balanced"),
        "a plan 'balanced' takes no --capacity; leave it out",
        made(label="kind", batch_size=2, kind="balanced")),
    "target of a shuffle": (made(target="sqrt", batch_size=2),
        "a plan 'shuffled' takes no --target; leave it out, or ask for another plan with --kind",
        made(kind="balanced", label="kind", target="sqrt", batch_size=2)),
    "by": (made(length="n", max_tokens=100, by=["kind"]), "a plan 'budgeted' takes no --by; leave it out",
        made(length="n", max_tokens=100)),
    "option beside a recipe": (lambda: planning.made(RECIPE, {"batch_size": 2}),
        "says how its plan is made, and --batch-size is given too; leave the option out",
        lambda: planning.made(RECIPE, {})),
    "no lengths": (lambda: inspecting.describe_files(EMPTY, None, "n", []),
        "has 0 values; pass a file of at least one sample",
        lambda: inspecting.describe_files(TABLE, None, "n", [])),
    "text as lengths": (lambda: inspecting.describe_files(TABLE, None, "kind", []),
        "numbers are needed; pass the name of a column of numbers as --length",
        lambda: inspecting.describe_files(TABLE, None, "n", [])),
    "rank": (lambda: look.step_of(bw.shuffled(8, 4), RecipeRun(), 0, 2, {}),
        "rank is 2, and the run has 1 rank; pass a smaller --rank; or pass the number of ranks as --world-size",
        lambda: look.step_of(bw.shuffled(8, 4), RecipeRun(world_size=3), 0, 2, {})),
    "folder": (lambda: shared.check_folder("--save", Path("nowhere/r.json")),
        "there is no folder 'nowhere' to write --save r.json in; make it, or pass another path",
        lambda: shared.check_folder("--save", Path("r.json"))),
    "no kind of table": (lambda: written.check_table(Path("out.txt")),
        "--out 'out.txt' ends in none of .csv, .parquet, .md; pass a name that ends in one of them",
        lambda: written.check_table(Path("out.md"))),
    "a plan as another table": (lambda: written.check_plan_table(Path("out.csv")),
        "--out 'out.csv' does not end in .parquet, and the table of a plan is written as Parquet; pass a name that",
        lambda: written.check_plan_table(Path("out.parquet"))),
    "batch size": (made(label="kind"), "a plan 'balanced' needs --batch-size; pass --batch-size 64",
        made(label="kind", batch_size=64)),
    "an option of another kind": (made(label="kind", order="file", batch_size=4),
        "a plan 'balanced' takes no --order; leave it out, or ask for another plan with --kind",
        made(label="kind", batch_size=4)),
    "no samples in a micro-batch": (made(label="kind", batch_size=0), "batch_size is 0, the least is 1; pass batch_size=1",
        made(label="kind", batch_size=1)),
    "rows of one source": (
        lambda: look.step_of(bw.mixed({"a": 4, "b": 5}, 2), RecipeRun(), 0, None, {"kind": bw.Column(TABLE, "kind")}),
        "the plan has 9 samples, of several sources, and column 'kind' has",
        lambda: look.step_of(bw.mixed({"a": 4, "b": 5}, 2), RecipeRun(), 0, None, {})),
    "many samples": (rows(1 << 29), "the table counts every sample, and there are 536870912, more than 268435456",
        rows(1000)),
    "no pyarrow": (lambda: write(hidden=True), "a table of a plan needs pyarrow, which is not installed", write),
    "nothing to show": (lambda: application._data_of({"samples": 10}),
        "the recipe names no data file, so there is no column to show; leave out",
        one_step),
})  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(name):
    told_and_followed(CASES[name])


def test_every_refusal_has_a_case():
    files = [*sorted((SOURCE / "cli").glob("*.py")), SOURCE / "plans" / "table.py"]
    check_that_all_are_reached(files, 10, [CASES])


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra_the_command_says_how_to_get_it(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit, match="pip install 'batchwright"):
        main()
