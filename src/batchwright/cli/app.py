"""The commands: each reads its arguments, asks the module that knows, and prints text or JSON."""

from __future__ import annotations

import importlib
import sys
import time
from contextlib import nullcontext, redirect_stdout
from typing import Annotated, Any

import typer
from rich.text import Text

from batchwright import __version__

from ..errors import Infeasible
from ..exported import Table
from ..files import Column
from ..index_files import has_small_index
from ..kernels.__main__ import compile_all
from ..kernels.compile import interpreted
from ..recipes import from_recipe, read_recipe, run_of
from . import comparing, inspecting, look, plan_command, printing, quick, recipe_paths
from .demos import DEMOS, QUICK
from .shared import (
    BROKEN,
    Accumulate,
    AsJson,
    Files,
    Label,
    Length,
    Out,
    Recipe,
    Seed,
    WorldSize,
    app,
    audit_in,
    command,
    named_columns,
    print_facts,
    recipes,
    run_with,
)
from .written import check_table, table_of_description, write_table

__all__ = ["app", "plan_command"]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"batchwright {__version__}")
        raise typer.Exit


@app.callback()
def batchwright(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version and exit")
    ] = False,
) -> None:
    """Decide exactly what goes into every training batch.

    Look at data with [bold]inspect[/], compare ways to fill batches with [bold]compare[/], make a plan with [bold]plan[/],
    look into a step of a run with [bold]rewind[/]. Every command has examples: batchwright plan --help.

    Exit codes: 0 all is well; 1 it cannot be done, and the message says what can; 2 the command line is wrong;
    3 a guarantee is broken.
    """


@command(
    app,
    "inspect",
    "batchwright inspect train.csv --label class",
    "batchwright inspect 'data/*.parquet' --label language --length tokens --by source",
    "batchwright inspect train.csv --label class --out counts.csv",
)
def inspect(
    files: Files,
    label: Label = None,
    length: Length = None,
    by: Annotated[
        list[str] | None, typer.Option(help="another column to count by; may be repeated", autocompletion=named_columns)
    ] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Count labels, show how imbalanced they are, and how lengths are distributed.

    --out writes one number a row: its column, what it is, of which label or quantile, and the number.
    """
    check_table(out)
    with printing.spinner("reading"):
        facts = inspecting.describe_files(files, label, length, by or [])
    if out is not None:
        write_table(table_of_description(facts), out)
        facts["out"] = str(out)
    print_facts(facts, as_json, lambda: printing.description(facts))


@command(
    app,
    "compare",
    "batchwright compare train.csv --label class --batch-size 64",
    "batchwright compare corpus.parquet --label source --length tokens --batch-size 32 --json",
    "batchwright compare train.csv --label class --out comparison.md",
)
def compare(
    files: Files,
    label: Annotated[str, typer.Option(help="the column of labels")],
    length: Length = None,
    batch_size: Annotated[int, typer.Option(help="samples in a micro-batch")] = 64,
    batches: Annotated[int, typer.Option(min=1, help="micro-batches that are measured, at most an epoch")] = 1000,
    seed: Seed = 0,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """The same data under a shuffle, weights, balance, budgets and packing, side by side."""
    check_table(out)
    with printing.spinner("reading"):
        ways = comparing.ways(files, label, length, batch_size, seed)
    facts = comparing.compared(
        ways, batches, lambda numbers: printing.progress(numbers, "comparing", batches * len(ways.plans))
    )
    written = {}
    if out is not None:
        write_table(Table({name: [line[name] for line in facts] for name in facts[0]}), out)
        written = {"out": str(out)}
    print_facts({"plans": facts, **written}, as_json, lambda: printing.comparison(facts, **written))


@command(
    app,
    "rewind",
    "batchwright rewind recipe.json --step 12345",
    "batchwright rewind recipe.json --step 12345 --rank 3 --show file --show class",
    "batchwright rewind recipe.json --sample 77 --step 12345",
)
def rewind(
    recipe: Recipe,
    step: Annotated[int, typer.Option(help="the step, counted through all epochs, the first is 0")] = 0,
    rank: Annotated[int | None, typer.Option(help="only this rank")] = None,
    show: Annotated[
        list[str] | None, typer.Option(help="a column of the recipe's data file to show; may be repeated")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="say when this sample came before the step, and comes next")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="with --sample: epochs to look through, before and after")] = 1,
    world_size: WorldSize = None,
    accumulate: Accumulate = None,
    as_json: AsJson = False,
) -> None:
    """Which samples were in a step; or when a sample came, and when it comes next."""
    began = time.perf_counter()
    held = read_recipe(recipe)
    run = run_with(held, world_size, accumulate)
    once = interpreted() if sample is None and has_small_index(recipe) else nullcontext()
    with once:
        with printing.spinner("reading"):
            made = from_recipe(recipe)
        if sample is not None:
            total = 2 * epochs * made.epoch_length(run.step_size)
            facts = look.occurrences(
                made, run, sample, step, epochs, lambda numbers: printing.progress(numbers, "looking", total)
            )
        else:
            source = _data_of(held["arguments"]) if show else None
            shown = {name: Column(recipe.parent / str(source), name) for name in show or []}
            facts = look.step_of(made, run, step, rank, shown)
    facts["seconds"] = round(time.perf_counter() - began, 4)
    print_facts(
        facts,
        as_json,
        lambda: printing.occurrences(facts) if sample is not None else Text(quick.step_text(facts, show or [])),
    )


def _data_of(arguments: Any) -> str:
    """The first data file that a recipe names."""
    waiting = [arguments]
    while waiting:
        held = waiting.pop(0)
        if isinstance(held, dict) and "column" in held:
            return str(held["in"])
        waiting += held.values() if isinstance(held, dict) else held if isinstance(held, list) else []
    raise Infeasible("the recipe names no data file, so there is no column to show", "leave out --show")


@command(app, "audit", "batchwright audit recipe.json", "batchwright audit recipe.json --json && sbatch train.sh")
def audit(recipe: Recipe, as_json: AsJson = False) -> None:
    """Measure the guarantees of a recipe's plan, on the ranks that it names; exit code 3 if one is broken."""
    with printing.spinner("measuring"):
        made = from_recipe(recipe)
        found = audit_in(made, run_of(read_recipe(recipe)))
    facts = {"fingerprint": made.fingerprint, "guarantees": printing.findings(found), "kept": found.kept}
    print_facts(facts, as_json, lambda: str(found))
    if not found.kept:
        raise typer.Exit(BROKEN)


@command(recipes, "check", "batchwright recipe check recipe.json", "batchwright recipe check run.toml --json")
def check(recipe: Recipe, as_json: AsJson = False) -> None:
    """Make a recipe's plan, and compare its data and the plan with the fingerprints in it."""
    with printing.spinner("reading"):
        held = read_recipe(recipe)
        made = from_recipe(recipe)
    facts = {
        "plan": held["plan"],
        "fingerprint": made.fingerprint,
        "samples": made.groups.sample_count,
        "same": True if "fingerprint" in held else None,  # another than the plan's was refused
    }
    same = "the same plan as when it was written" if facts["same"] else "it names no fingerprint to compare with"
    print_facts(facts, as_json, lambda: f"{made!r}\nfingerprint {made.fingerprint}: {same}")


@command(recipes, "index", "batchwright recipe index recipe.json")
def index_recipe(recipe: Recipe, as_json: AsJson = False) -> None:
    """Write the index of a recipe's labels beside it (4 bytes a sample), so that rewind need not read the data."""
    with printing.spinner("reading"):
        held = read_recipe(recipe)
        folder = recipe_paths.write_index_of(from_recipe(recipe), recipe, held["arguments"])
    facts = {"index": str(folder), "bytes": sum(file.stat().st_size for file in folder.iterdir())}
    print_facts(facts, as_json, lambda: f"{facts['index']}: {facts['bytes']} bytes")


@command(app, "kernels", "batchwright kernels", "RUN pip install batchwright && batchwright kernels")
def kernels(as_json: AsJson = False) -> None:
    """Compile everything ahead, for a container image: any user of it then starts at once.

    The kernels are kept beside the library if that folder can be written, and found there by every user of the machine with
    the same kind of processor. Without this, the first process on a machine compiles what it needs.
    """
    ready = compile_all(lambda numbers, count: printing.progress(numbers, "compiling", count))
    print_facts(ready._asdict(), as_json, lambda: str(ready))


@command(app, "demo", "batchwright demo", "batchwright demo lengths --quick", "batchwright demo correct --json")
def demo(
    name: Annotated[str, typer.Argument(help="; ".join(f"{key}: {what}" for key, what in DEMOS.items()))] = "balance",
    quick: Annotated[bool, typer.Option(help="as little as shows that it runs")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure something real on data that comes with scikit-learn or Python."""
    if name not in DEMOS:
        raise typer.BadParameter(f"no demo is called {name!r}; there are {', '.join(DEMOS)}")
    run = importlib.import_module(f"batchwright.demo.{name}").run
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        tables = run(**(QUICK[name] if quick else {}))
    if as_json:
        print_facts({"demo": name, "tables": tables}, as_json, str)
