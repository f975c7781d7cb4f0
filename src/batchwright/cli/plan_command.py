"""`batchwright plan`: a plan of data files or of a recipe, its numbers, its guarantees, and what it is written to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..plans.by_length import LengthPlan
from ..recipes import read_recipe
from . import planning, printing, recipe_paths, written
from .shared import (
    BROKEN,
    Accumulate,
    AsJson,
    Files,
    Label,
    Length,
    WorldSize,
    app,
    audit_in,
    check_folder,
    command,
    completions,
    named_columns,
    print_facts,
    run_with,
)

__all__ = ["plan"]

_OF_THE_RUN = {"files", "world_size", "accumulate", "out", "epochs", "save", "index", "html", "as_json"}
"""The arguments of the command that are no options of a plan."""
_DATA, _KIND, _OUT = "Columns of the data", "What the plan is", "What is written"


def _column(help: str) -> Any:
    return typer.Option(help=help, autocompletion=named_columns, rich_help_panel=_DATA)


def _word(option: str, help: str) -> Any:
    return typer.Option(help=help, autocompletion=completions(option), rich_help_panel=_KIND)


def _number(help: str) -> Any:
    return typer.Option(help=help, rich_help_panel=_KIND)


def _written(help: str) -> Any:
    return typer.Option(help=help, dir_okay=False, rich_help_panel=_OUT)


@command(
    app,
    "plan",
    "batchwright plan train.csv --label class --batch-size 64 --target sqrt",
    "batchwright plan train.csv --label class --batch-size 64 --target cat=0.5,dog=0.5 --save recipe.json",
    "batchwright plan train.csv --weight weight --batch-size 64 --epoch 500",
    "batchwright plan corpus.parquet --length tokens --max-tokens 16384 --world-size 8 --out plan.parquet",
    "batchwright plan corpus.parquet --length tokens --capacity 4096 --label source --target web=0.7,books=0.3",
    "batchwright plan faces.csv --label person --cohorts 50 --per-class 4",
    "batchwright plan shop.csv --by category --by item --per 4 --per 2 --per 2",
    "batchwright plan people.csv --margin sex:uniform --margin age:0.5 --batch-size 64",
    "batchwright plan test.csv --kind evaluation --batch-size 64 --world-size 8",
    "batchwright plan recipe.toml --out plan.parquet --html report.html",
)
def plan(
    files: Files,
    label: Label = None,
    length: Length = None,
    weight: Annotated[str | None, _column("the column of weights")] = None,
    by: Annotated[
        list[str] | None, _column("balance the combinations with this column too; the levels of a hierarchy")
    ] = None,
    shape: Annotated[list[str] | None, _column("the column of shapes, or one for every side, for buckets")] = None,
    indices: Annotated[str | None, _column("the column of sample numbers, for an order of your own")] = None,
    together: Annotated[str | None, _column("keep samples of one value of this column in one pack")] = None,
    kind: Annotated[str | None, _word("kind", "the kind of plan, if the other options do not tell")] = None,
    batch_size: Annotated[int | None, _number("samples in a micro-batch")] = None,
    target: Annotated[
        str | None, _word("target", "uniform, natural, sqrt, a number from 0 to 1, or shares: cat=0.5,dog=0.5 or JSON")
    ] = None,
    margin: Annotated[
        list[str] | None, _number("a column and its shares, source:web=0.7,books=0.3 or sex:uniform; repeat it")
    ] = None,
    closest: Annotated[bool, _number("margin: as near as possible, where margins cannot be met")] = False,
    per_class: Annotated[int | None, _number("samples of a class that come together")] = None,
    per: Annotated[list[int] | None, _number("hierarchy: how many of each level, then samples; repeat it")] = None,
    cohorts: Annotated[int | None, _number("rotating: classes are divided into so many cohorts")] = None,
    unit: Annotated[str | None, _word("unit", "what keeps to one cohort: batch or step")] = None,
    max_tokens: Annotated[int | None, _number("the budget of a micro-batch")] = None,
    max_samples: Annotated[int | None, _number("budget: the most samples in a micro-batch")] = None,
    round_length: Annotated[int | None, _number("budget: lengths are padded to multiples of it")] = None,
    round_count: Annotated[int | None, _number("budget: samples are a multiple of it")] = None,
    capacity: Annotated[int | None, _number("the length of a pack")] = None,
    packs: Annotated[int | None, _number("packs in a micro-batch")] = None,
    max_per_pack: Annotated[int | None, _number("the most samples in a pack")] = None,
    ranks: Annotated[int | None, _number("hybrid: how many ranks share a step")] = None,
    tokens_per_rank: Annotated[int | None, _number("hybrid: the most tokens that a rank runs at once")] = None,
    widen: Annotated[int | None, _number("hybrid: how many times the ranks that it needs a sample may have")] = None,
    solver: Annotated[str | None, _word("solver", "how packs are filled: fast or exact")] = None,
    too_long: Annotated[
        str | None, _word("too_long", "samples over the limit: refuse, alone, truncate, skip or split")
    ] = None,
    buckets: Annotated[int | None, _number("how many buckets of shapes")] = None,
    window: Annotated[str | None, _word("window", "micro-batches that are planned together, or epoch")] = None,
    level: Annotated[bool, _number("grouped: micro-batches of a step cost nearly the same")] = False,
    draw: Annotated[str | None, _word("draw", "exact, or random: independent draws")] = None,
    distinct: Annotated[bool, _number("refuse a plan that must repeat a sample in a micro-batch")] = False,
    order: Annotated[str | None, _word("order", "evaluation: file, shuffled or length")] = None,
    epoch: Annotated[str | None, _word("epoch", "natural, largest, smallest, or a number of micro-batches")] = None,
    seed: Annotated[int | None, _number("the seed of the plan; 0 if left out")] = None,
    world_size: WorldSize = None,
    accumulate: Accumulate = None,
    out: Annotated[Path | None, _written("write step, rank, slot, index, group and pass, as Parquet")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="epochs in --out", rich_help_panel=_OUT)] = 1,
    save: Annotated[Path | None, _written("write the recipe, as JSON")] = None,
    index: Annotated[
        bool, typer.Option(help="with --save: also the index of the labels, for rewind", rich_help_panel=_OUT)
    ] = False,
    html: Annotated[Path | None, _written("write a report with pictures, for a browser")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a plan of data files, or of a recipe; show its numbers and its guarantees.

    The options tell the kind of the plan: --label balances, --max-tokens cuts by a budget, --capacity packs,
    --tokens-per-rank divides long samples among ranks, --weight, --shape, --margin, --per, --cohorts and --indices have a
    plan each, and without any of them samples are shuffled.
    With --label, plans by lengths cut samples that come in balance. For mixtures and tasks, pass a recipe.
    """
    options = {name: value for name, value in locals().items() if name not in _OF_THE_RUN}
    check_folder("--html", html)
    written.check_recipe(save)
    written.check_plan_table(out)
    if index and save is None:
        raise typer.BadParameter("--index is written beside the recipe; pass --save recipe.json too")
    with printing.spinner("making the plan"):
        made = planning.made(files, options)
        run = run_with(read_recipe(files) if planning.is_recipe(files) else {}, world_size or ranks, accumulate)
        recipe = None if save is None else recipe_paths.relative_to(made.to_recipe(), save.parent)
    with printing.spinner("measuring it"):
        step_size = run.step_size if run.step_size > 1 else None  # then the plan's own, as in its audit
        if isinstance(made, LengthPlan):
            summary: Any = made.summary(step_size, accumulate=run.accumulate)
        else:
            summary = made.summary(step_size)
        audit = audit_in(made, run)
    facts: dict[str, Any] = {
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
    if save is not None and recipe is not None:
        recipe["run"] = {"world_size": run.world_size, "accumulate": run.accumulate}
        if index:  # before the recipe: this may refuse the plan
            facts["index"] = str(recipe_paths.write_index_of(made, save, recipe["arguments"]))
        save.write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
        facts["saved"] = str(save)
    if out is not None:
        table = made.table(epochs=epochs, world_size=run.world_size, accumulate=run.accumulate)
        facts["out"] = str(out)
        facts["rows"] = table.to_parquet(out, watch=lambda steps, count: printing.progress(steps, "writing", count))
    if html is not None:
        with printing.spinner("writing the report"):
            made.report(html, world_size=run.world_size, accumulate=run.accumulate, audit=audit)
        facts["html"] = str(html)
    print_facts(facts, as_json, lambda: printing.plan(facts, summary))
    if not audit.kept:
        raise typer.Exit(BROKEN)
