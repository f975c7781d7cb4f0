"""The commands: each reads its arguments, asks `making` and `look`, and prints text or JSON."""

from __future__ import annotations

import importlib
import json
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.text import Text

from ..errors import Infeasible, PoorWarning, said
from ..files import Column
from ..index_files import has_small_index
from ..kernels.compile import interpreted
from ..recipes import Run, from_recipe, read_recipe, run_of
from . import DEMOS, QUICK, look, making, printing, quick

__all__ = ["app"]

INFEASIBLE, BROKEN = 1, 3  # exit codes; 2 is what typer gives for a wrong command line
_HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", context_settings=_HELP, pretty_exceptions_enable=False)
recipes = typer.Typer(no_args_is_help=True, help="Check a recipe, or write the index that makes rewind fast.")
app.add_typer(recipes, name="recipe")

Files = Annotated[
    str, typer.Argument(help="CSV, Parquet, JSON lines, .npy, .pt, a folder of them or of images, a pattern in quotes")
]
Recipe = Annotated[Path, typer.Argument(help="a recipe, JSON or TOML, from plan --save or plan.to_recipe()")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of text")]
Label = Annotated[str | None, typer.Option(help="the column of labels")]
Length = Annotated[str | None, typer.Option(help="the column of lengths")]
Seed = Annotated[int, typer.Option(help="the seed of the plan")]
WorldSize = Annotated[int | None, typer.Option(min=1, help="ranks of the run; those in the recipe, or 1, if left out")]
Accumulate = Annotated[
    int | None, typer.Option(min=1, help="micro-batches of a rank in a step; those in the recipe, or 1, if left out")
]


@app.callback()
def batchwright() -> None:
    """Decide exactly what goes into every training batch.

    Look at data with [bold]inspect[/], make a plan with [bold]plan[/], look into a step with [bold]rewind[/].

    Exit codes: 0 all is well; 1 it cannot be done, and the message says what can; 2 the command line is wrong;
    3 a guarantee is broken.
    """


def _command(group: typer.Typer, name: str, *examples: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A command whose refusals are one line and exit code 1, with examples below its help."""
    epilog = "\n\n".join(["Examples:", *examples])

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        @group.command(name, epilog=epilog)
        @wraps(function)
        def run(*arguments: Any, **named: Any) -> Any:
            with warnings.catch_warnings(record=True) as poor:
                warnings.simplefilter("always", PoorWarning)
                try:
                    return function(*arguments, **named)
                except Infeasible as error:
                    _refuse(error.fact, error.way_out, named.get("as_json", False))
                except OSError as error:
                    way_out = "pass a file that can be read, or written in a folder that is there"
                    _refuse(said(error), way_out, named.get("as_json", False))
                finally:
                    for warning in poor if not named.get("as_json") else []:
                        typer.echo(f"note: {warning.message}", err=True)

        return run

    return add


def _refuse(fact: str, way_out: str, as_json: bool) -> NoReturn:
    if as_json:
        typer.echo(json.dumps({"error": {"fact": fact, "way_out": way_out}}))
    else:
        typer.echo(f"cannot be done: {fact}; {way_out}.", err=True)
    raise typer.Exit(INFEASIBLE)


def _print(told: Any, as_json: bool, text: Callable[[], Any]) -> None:
    if as_json:
        typer.echo(json.dumps(told, default=str))
    else:
        printing.console.print(text())


@_command(
    app,
    "inspect",
    "batchwright inspect train.csv --label class",
    "batchwright inspect 'data/*.parquet' --label language --length tokens --by source",
)
def inspect(
    files: Files,
    label: Label = None,
    length: Length = None,
    by: Annotated[list[str] | None, typer.Option(help="another column to count by; may be repeated")] = None,
    as_json: AsJson = False,
) -> None:
    """Count labels, show how imbalanced they are, and how lengths are distributed."""
    with printing.waiting("reading"):
        told = making.described(files, label, length, by or [])
    _print(told, as_json, lambda: printing.description(told))


@_command(
    app,
    "plan",
    "batchwright plan train.csv --label class --batch-size 64 --target sqrt",
    "batchwright plan train.csv --label class --batch-size 64 --target cat=0.5,dog=0.5 --save recipe.json",
    "batchwright plan corpus.parquet --length tokens --max-tokens 16384 --world-size 8 --out plan.parquet",
    "batchwright plan recipe.toml --out plan.parquet",
)
def plan(
    files: Files,
    label: Label = None,
    length: Length = None,
    weight: Annotated[str | None, typer.Option(help="the column of weights")] = None,
    by: Annotated[list[str] | None, typer.Option(help="balance the combinations with this column too")] = None,
    kind: Annotated[str | None, typer.Option(help="the kind of plan, if the other options do not tell")] = None,
    batch_size: Annotated[int | None, typer.Option(help="samples in a micro-batch")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="the budget of a micro-batch")] = None,
    capacity: Annotated[int | None, typer.Option(help="the length of a pack")] = None,
    target: Annotated[
        str | None, typer.Option(help="uniform, natural, sqrt, a number, or shares: cat=0.5,dog=0.5")
    ] = None,
    per_class: Annotated[int | None, typer.Option(help="samples of a class that come together")] = None,
    seed: Seed = 0,
    world_size: WorldSize = None,
    accumulate: Accumulate = None,
    epochs: Annotated[int, typer.Option(min=1, help="epochs in --out")] = 1,
    out: Annotated[Path | None, typer.Option(help="write every sample of every step as Parquet")] = None,
    save: Annotated[Path | None, typer.Option(help="write the recipe, as JSON")] = None,
    index: Annotated[
        bool, typer.Option(help="with --save: write the index of the labels too, so that rewind is fast")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a plan of data files, or of a recipe; show its numbers and its guarantees."""
    options = {
        "label": label, "length": length, "weight": weight, "by": by, "kind": kind, "batch_size": batch_size,
        "max_tokens": max_tokens, "capacity": capacity, "target": target, "per_class": per_class, "seed": seed or None,
    }  # fmt: skip
    if index and save is None:
        raise typer.BadParameter("--index is written beside the recipe; pass --save recipe.json too")
    with printing.waiting("making the plan"):
        made = making.made(files, options)
        run = _run(read_recipe(files) if making.is_recipe(files) else {}, world_size, accumulate)
        summary, audit = made.summary(), made.audit()
    told: dict[str, Any] = {
        "fingerprint": made.fingerprint,
        "samples": made.groups.sample_count,
        "groups": made.groups.group_count,
        "epoch_batches": made.epoch_length(run.step_size),
        "epoch_steps": made.epoch_length(run.step_size) // run.step_size,
        "world_size": run.world_size,
        "accumulate": run.accumulate,
        "notes": list(summary.notes),
        "guarantees": printing.findings(audit),
        "kept": audit.kept,
    }
    if save is not None:
        folder = save.parent
        recipe = making.relative_to(made.to_recipe(), folder)
        recipe["run"] = {"world_size": run.world_size, "accumulate": run.accumulate}
        save.write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
        told["saved"] = str(save)
        if index:
            told["index"] = str(making.write_index_of(made, save, recipe["arguments"]))
    if out is not None:
        table = made.table(epochs=epochs, ranks=run.world_size, accumulate=run.accumulate)
        told["out"] = str(out)
        told["rows"] = table.to_parquet(out, watch=lambda steps, count: printing.progress(steps, "writing", count))
    _print(told, as_json, lambda: printing.plan(told, summary))
    if not audit.kept:
        raise typer.Exit(BROKEN)


@_command(
    app,
    "compare",
    "batchwright compare train.csv --label class --batch-size 64",
    "batchwright compare corpus.parquet --label source --length tokens --batch-size 32 --json",
)
def compare(
    files: Files,
    label: Annotated[str, typer.Option(help="the column of labels")],
    length: Length = None,
    batch_size: Annotated[int, typer.Option(help="samples in a micro-batch")] = 64,
    batches: Annotated[int, typer.Option(min=1, help="micro-batches that are measured, at most an epoch")] = 1000,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """The same data under a shuffle, weights, balance, budgets and packing, side by side."""
    with printing.waiting("comparing"):
        told = making.compared(files, label, length, batch_size, batches, seed)
    _print({"plans": told}, as_json, lambda: printing.comparison(told))


@_command(
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
    run = _run(held, world_size, accumulate)
    once = interpreted() if sample is None and has_small_index(recipe) else nullcontext()
    with printing.waiting("reading"), once:
        made = from_recipe(recipe)
        if sample is not None:
            told = look.occurrences(made, run, sample, step, epochs)
        else:
            source = _data_of(held["arguments"]) if show else None
            shown = {name: Column(recipe.parent / str(source), name) for name in show or []}
            told = look.step_of(made, run, step, rank, shown)
    told["seconds"] = round(time.perf_counter() - began, 4)
    _print(
        told,
        as_json,
        lambda: printing.occurrences(told) if sample is not None else Text(quick.step_text(told, show or [])),
    )


def _run(recipe: Mapping[str, Any], world_size: int | None, accumulate: int | None) -> Run:
    """The run that a recipe names, with what the command line says instead."""
    named = run_of(recipe)
    return Run(world_size or named.world_size, accumulate or named.accumulate)


def _data_of(arguments: Any) -> str:
    """The first data file that a recipe names."""
    waiting = [arguments]
    while waiting:
        held = waiting.pop(0)
        if isinstance(held, dict) and "column" in held:
            return str(held["in"])
        waiting += held.values() if isinstance(held, dict) else held if isinstance(held, list) else []
    raise Infeasible("the recipe names no data file, so there is no column to show", "leave out --show")


@_command(app, "audit", "batchwright audit recipe.json", "batchwright audit recipe.json --json && sbatch train.sh")
def audit(recipe: Recipe, as_json: AsJson = False) -> None:
    """Measure the guarantees of a recipe's plan; exit code 3 if one is broken."""
    with printing.waiting("measuring"):
        made = from_recipe(recipe)
        found = made.audit()
    told = {"fingerprint": made.fingerprint, "guarantees": printing.findings(found), "kept": found.kept}
    _print(told, as_json, lambda: str(found))
    if not found.kept:
        raise typer.Exit(BROKEN)


@_command(recipes, "check", "batchwright recipe check recipe.json", "batchwright recipe check run.toml --json")
def check(recipe: Recipe, as_json: AsJson = False) -> None:
    """Make a recipe's plan, and compare its data and the plan with the fingerprints in it."""
    with printing.waiting("reading"):
        held = read_recipe(recipe)
        made = from_recipe(recipe)
    told = {
        "plan": held["plan"],
        "fingerprint": made.fingerprint,
        "samples": made.groups.sample_count,
        "same": "fingerprint" in held,
    }
    same = "the same plan as when it was written" if told["same"] else "it names no fingerprint to compare with"
    _print(told, as_json, lambda: f"{made!r}\nfingerprint {made.fingerprint}: {same}")


@_command(recipes, "index", "batchwright recipe index recipe.json")
def index_recipe(recipe: Recipe, as_json: AsJson = False) -> None:
    """Write the index of a recipe's labels beside it (4 bytes a sample), so that rewind need not read the data."""
    with printing.waiting("reading"):
        held = read_recipe(recipe)
        folder = making.write_index_of(from_recipe(recipe), recipe, held["arguments"])
    told = {"index": str(folder), "bytes": sum(file.stat().st_size for file in folder.iterdir())}
    _print(told, as_json, lambda: f"{told['index']}: {told['bytes']} bytes")


@_command(app, "demo", "batchwright demo lengths --quick")
def demo(
    name: Annotated[str, typer.Argument(help="; ".join(f"{key}: {what}" for key, what in DEMOS.items()))] = "balance",
    quick: Annotated[bool, typer.Option(help="as little as shows that it runs")] = False,
) -> None:
    """Measure something real on data that comes with scikit-learn or Python."""
    if name not in DEMOS:
        raise typer.BadParameter(f"no demo is called {name!r}; there are {', '.join(DEMOS)}")
    run = importlib.import_module(f"batchwright.demo.{name}").run
    run(**(QUICK[name] if quick else {}))
