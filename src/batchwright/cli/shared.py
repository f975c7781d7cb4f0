"""What all commands share: the application, their options, their refusals, and how they print."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from ..audit import Audit
from ..errors import Infeasible, PoorWarning, said, shown
from ..files import Column
from ..plans.plan import Plan
from ..recipes import RecipeRun, run_of
from . import printing
from .planning import CHOICES, KINDS

__all__ = [
    "BROKEN", "Accumulate", "AsJson", "Files", "Label", "Length", "Out", "Recipe", "Seed", "WorldSize", "app",
    "audit_in", "check_folder", "command", "completions", "named_columns", "print_facts", "recipes", "run_with",
]  # fmt: skip

INFEASIBLE, BROKEN = 1, 3  # exit codes; 2 is what typer gives for a wrong command line
_HELP = {"help_option_names": ["-h", "--help"]}


class _HelpOrder(TyperGroup):
    """The commands in the order in which a new user needs them."""

    _ORDER = ("inspect", "plan", "compare", "rewind", "audit", "recipe", "kernels", "demo")

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=self._ORDER.index)


app = typer.Typer(
    cls=_HelpOrder,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings=_HELP,
    pretty_exceptions_enable=False,
)
recipes = typer.Typer(no_args_is_help=True, help="Check a recipe, or write the index that makes rewind fast.")
app.add_typer(recipes, name="recipe")


def named_columns(ctx: typer.Context, incomplete: str) -> list[str]:
    """For the completion of a shell: the columns of the data files that stand before on the command line."""
    given = ctx.params.get("files") or next(iter(ctx.args), "")  # in args, while the option before has no value yet
    try:
        return [name for name in Column.names(given) if name.startswith(incomplete)]
    except (Infeasible, OSError, KeyError, TypeError):
        return []


def completions(option: str) -> Callable[[str], list[str]]:
    """For the completion of a shell: the words that an option takes."""
    known = sorted(KINDS) if option == "kind" else CHOICES[option]
    return lambda incomplete: [word for word in known if word.startswith(incomplete)]


Files = Annotated[
    str, typer.Argument(help="CSV, Parquet, JSON lines, .npy, .pt, a folder of them or of images, a pattern in quotes")
]
Recipe = Annotated[Path, typer.Argument(help="a recipe, JSON or TOML, from plan --save or plan.to_recipe()")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of text")]
Label = Annotated[str | None, typer.Option(help="the column of labels", autocompletion=named_columns)]
Length = Annotated[str | None, typer.Option(help="the column of lengths", autocompletion=named_columns)]
Out = Annotated[
    Path | None, typer.Option(dir_okay=False, help="write the numbers as a table: .csv, .parquet or .md (Markdown)")
]
Seed = Annotated[int, typer.Option(help="the seed of the plan")]
WorldSize = Annotated[int | None, typer.Option(min=1, help="ranks of the run; those in the recipe, or 1, if left out")]
Accumulate = Annotated[
    int | None, typer.Option(min=1, help="micro-batches of a rank in a step; those in the recipe, or 1, if left out")
]


def command(group: typer.Typer, name: str, *examples: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
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


def print_facts(facts: Any, as_json: bool, text: Callable[[], Any]) -> None:
    """Print what a command tells, as JSON or as text."""
    if as_json:
        typer.echo(json.dumps(facts, default=str))
    else:
        printing.console.print(text())


def run_with(recipe: Mapping[str, Any], world_size: int | None, accumulate: int | None) -> RecipeRun:
    """The run that a recipe names, with what the command line says instead."""
    named = run_of(recipe)
    return RecipeRun(world_size or named.world_size, accumulate or named.accumulate)


def audit_in(plan: Plan, run: RecipeRun) -> Audit:
    """The audit of a plan on the ranks of a run; with one rank, on those that the plan was made for, if it was for any."""
    found: Audit = plan.audit_of_run(run.step_size) if run.step_size > 1 else plan.audit()
    return found


def check_folder(option: str, path: Path | None) -> None:
    """Refuse a path in a folder that does not exist, before anything is read."""
    if path is not None and not path.parent.is_dir():
        raise Infeasible(
            f"there is no folder {shown(str(path.parent))} to write {option} {path.name} in",
            "make it, or pass another path",
        )
