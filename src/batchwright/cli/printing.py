"""What the commands print on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console, Group
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ..audit import Audit
from ..errors import escaped

__all__ = ["comparison", "console", "description", "findings", "occurrences", "plan", "progress", "spinner"]

console = Console(highlight=False, markup=False)  # names of users may look like markup
_errors = Console(stderr=True)
_BARS = 20  # groups with a bar: the largest and the smallest
_WIDTH = 40  # characters of the longest bar
_PATIENCE = 1.0  # seconds before progress is shown


def spinner(what: str) -> AbstractContextManager[Any]:
    """On a terminal, what takes time and for how many seconds, while its end is not known; nothing in a file."""
    columns = SpinnerColumn(), TextColumn("{task.description} ..."), TimeElapsedColumn()
    bar = Progress(*columns, console=_errors, transient=True, disable=not _errors.is_terminal)
    bar.add_task(what, total=None)
    return bar


def progress(parts: Iterable[Any], what: str, count: int) -> Iterator[Any]:
    """Pass parts through; from the first second on, with a bar on the error stream."""
    began, last = time.monotonic(), 0
    with Progress(console=_errors, transient=True, disable=not _errors.is_terminal) as bar:
        task = None
        for number, part in enumerate(parts):
            if task is None and time.monotonic() - began > _PATIENCE:
                task = bar.add_task(what, total=count)
            if task is not None and number - last >= count // 200:
                bar.update(task, completed=number)
                last = number
            yield part


def findings(audit: Audit) -> list[dict[str, Any]]:
    """The lines of an audit as JSON values; a value without a bound has none."""
    return [
        {
            "guarantee": found.guarantee,
            "bound": found.bound if found.promised else None,
            "worst": found.worst,
            "kept": found.kept,
            "where": found.where,
        }
        for found in audit.findings
    ]


def description(facts: dict[str, Any]) -> Group:
    """Counts as bars, and lengths as quantiles."""
    names = ", ".join(facts["columns"])
    parts: list[Any] = [Text(escaped(f"{facts['files']}: {facts['samples']:,} samples, columns {names}"))]
    for name, labels in facts.get("labels", {}).items():
        missing = f", {labels['missing']:,} missing" if labels["missing"] else ""
        parts.append("")
        parts.append(
            f"{escaped(name)}: {labels['groups']:,} groups, imbalance {labels['imbalance']:,.1f}, "
            f"as even as {labels['effective_groups']:,.1f} groups{missing}"
        )
        parts.append(_bars(labels["counts"]))
    if "lengths" in facts:
        lengths = facts["lengths"]
        missing = f", {lengths['missing']:,} missing" if lengths["missing"] else ""
        total, mean = _number(lengths["total"]), _number(lengths["mean"])
        parts.append(f"\n{escaped(lengths['column'])}: {total} in all, {mean} on average{missing}")
        table = Table("quantile", box=None)
        for at in lengths["quantiles"]:
            table.add_column(at, justify="right")
        table.add_row("length", *(_number(value) for value in lengths["quantiles"].values()))
        parts.append(table)
    if "out" in facts:
        parts.append(f"\nwrote {facts['out']}")
    return Group(*parts)


def _number(value: float) -> str:
    """A number in full if it is whole or large, else with four digits; never -0."""
    value = value or 0.0
    return f"{value:,.0f}" if value.is_integer() or abs(value) >= 1000 else f"{value:.4g}"


def _bars(counts: list[list[Any]]) -> Table:
    table = Table(box=None, show_header=False)
    most, half = counts[0][1], _BARS // 2
    shown = counts if len(counts) <= _BARS else [*counts[:half], None, *counts[-half:]]
    for row in shown:
        if row is None:
            table.add_row(f"... {len(counts) - _BARS:,} more", "", "")
        else:
            table.add_row(
                Text(escaped(str(row[0]))[:30]), Text("█" * max(1, round(_WIDTH * row[1] / most))), f"{row[1]:,}"
            )
    return table


def plan(facts: dict[str, Any], summary: Any) -> Group:
    """The summary of a plan, its guarantees, and what was written."""
    table = Table("guarantee", "bound", "worst", "", "where", box=None)
    for found in facts["guarantees"]:
        bound, verdict = "", ""
        if found["bound"] is not None:
            bound, verdict = f"{found['bound']:.4g}", "kept" if found["kept"] else "BROKEN"
        table.add_row(found["guarantee"], bound, f"{found['worst']:.4g}", verdict, Text(found["where"]))
    ranks = "1 rank" if facts["world_size"] == 1 else f"{facts['world_size']} ranks"
    steps = f"{facts['epoch_steps']:,} steps an epoch on {ranks}, fingerprint {facts['fingerprint']}"
    written = [f"wrote {facts[key]}" for key in ("saved", "index", "out", "html") if key in facts]
    return Group(Text(str(summary)), "", steps, "", table, *written)


def comparison(facts: list[dict[str, Any]], out: str | None = None) -> Group:
    """One line a plan, and what was written."""
    table = Table(box=None)
    table.add_column("plan", no_wrap=True)
    headings = {
        "samples_a_batch": ("samples a batch", ",.1f"), "missing_rarest": ("without the rarest", ".1%"),
        "covered": ("samples seen", ".1%"), "repeats_in_a_batch": ("repeats in a batch", ".1%"),
        "padding": ("padding", ".1%"), "largest_work_over_mean": ("most work / mean", ".2f"),
    }  # fmt: skip
    shown = [key for key in headings if key in facts[0]]
    for key in shown:
        table.add_column(headings[key][0], justify="right")
    for line in facts:
        table.add_row(line["plan"], *(format(line[key], headings[key][1]) for key in shown))
    longest = max(facts, key=lambda line: line["epoch_batches"])
    measured, whole = longest["micro_batches"], longest["epoch_batches"]
    part = f"measured: the first {measured:,} of {whole:,} micro-batches; --batches {whole} measures all"
    return Group(table, *([part] if measured < whole else []), *([] if out is None else [f"wrote {out}"]))


def occurrences(facts: dict[str, Any]) -> Group:
    """When a sample came, and when it comes next."""
    at, first, last = facts["step"], facts["looked_at"]["first_step"], facts["looked_at"]["last_step"]
    farther = "; look farther with --epochs"
    lines = []
    for key, what, nowhere in (
        (
            "before",
            "came last in",
            f"came in no step from {first} to {at - 1}{farther}" if first else "never came before",
        ),
        ("next", "comes next in", f"comes in no step from {at} to {last}{farther}"),
    ):
        place = facts[key]
        lines.append(
            nowhere
            if place is None
            else f"{what} step {place['step']}, rank {place['rank']}, micro-batch {place['micro_batch']}, "
            f"epoch {place['epoch']}"
        )
    return Group(f"sample {facts['sample']}, at step {at}", *lines)
