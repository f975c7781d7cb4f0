"""The page of a report: one HTML file that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from typing import Any

from ..exported import Table
from .numbers import ReportNumbers
from .sections import Section, key_numbers, sections

__all__ = ["page"]

# Nothing may be fetched, so that a page that somebody else made cannot tell where it is opened.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def page(report: ReportNumbers) -> str:
    """The page as HTML."""
    parts = sections(report)
    links = [*((part.name, part.heading) for part in parts), *([("guarantees", "Guarantees")] if report.audit else [])]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(report.title)}</title>",
            f"<style>{_file('page.css')}</style>\n</head>\n<body>",
            '<a class="skip" href="#content">To the pictures</a>',
            f"<header><h1>{escape(report.title)}</h1>",
            f'<p class="plan"><code>{escape(report.plan)}</code></p>',
            f'<p class="quiet">Epoch {report.epoch:,}, {escape(str(report.walk))}. Fingerprint '
            f"<code>{report.fingerprint}</code>.</p></header>",
            "<nav aria-label='Parts'>" + "".join(f'<a href="#{name}">{words}</a>' for name, words in links) + "</nav>",
            '<main id="content">',
            *_key_numbers(report),
            *_notes(report),
            *(line for part in parts for line in _section(report, part)),
            *_guarantees(report),
            "</main>",
            '<p id="said" class="unseen" role="status" aria-live="polite"></p>',
            f'<script type="application/json" id="numbers">{_json(report.to_dict())}</script>',
            f"<script>{_file('echarts.min.js')}</script>",
            f"<script>{_file('page.js')}</script>",
            "</body>\n</html>\n",
        ]
    )


def _file(name: str) -> str:
    return (files(__package__) / "files" / name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    """JSON that may stand in a script: no name of a group can end the script."""
    return json.dumps(value, separators=(",", ":"), default=str).replace("<", "\\u003c")


def _key_numbers(report: ReportNumbers) -> Iterator[str]:
    yield '<dl class="keys">'
    for name, value, remark in key_numbers(report):
        yield f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(remark)}</small></dd></div>"
    yield "</dl>"


def _notes(report: ReportNumbers) -> Iterator[str]:
    if report.notes:
        yield '<ul class="notes">' + "".join(f"<li>{escape(note)}</li>" for note in report.notes) + "</ul>"


def _section(report: ReportNumbers, part: Section) -> Iterator[str]:
    yield f'<section id="{part.name}" aria-labelledby="{part.name}-heading">'
    yield f'<h2 id="{part.name}-heading">{part.heading}</h2>'
    yield f"<p>{escape(part.text)}</p><p class='found'>{escape(part.found)}</p>"
    yield f'<div class="pictures" data-picture="{part.name}" data-said="{escape(part.found)}"></div>'
    tables = [report.tables[part.name], *([report.tables["repeats"]] if part.name == "passes" else [])]
    yield f"<details><summary>{'Table' if len(tables) == 1 else 'Tables'}</summary>"
    yield from map(_table, tables)
    yield "</details></section>"


def _guarantees(report: ReportNumbers) -> Iterator[str]:
    """The audit, with a bar that says how much of its limit the worst value takes."""
    audit = report.audit
    if audit is None:
        return
    yield '<section id="guarantees" aria-labelledby="guarantees-heading"><h2 id="guarantees-heading">Guarantees</h2>'
    yield (
        f"<p>Measured on micro-batches {audit.first:,} to {audit.first + audit.batches - 1:,}. A value without a limit is "
        "only reported.</p>"
    )
    yield '<div class="scroll"><table class="audit"><thead><tr><th scope="col">guarantee</th><th scope="col">limit</th>'
    yield '<th scope="col">worst seen</th><th scope="col"></th><th scope="col">where</th></tr></thead><tbody>'
    for one in audit.findings:
        verdict, bound = "", one.bound if one.promised else None
        if one.promised:
            verdict = '<span class="kept">kept</span>' if one.kept else '<span class="broken">BROKEN</span>'
        yield (
            f'<tr><th scope="row">{escape(one.guarantee)}</th><td class="number">{_number(bound)}</td>'
            f'<td class="number">{_number(one.worst)}</td><td>{verdict}</td><td>{escape(one.where)}</td></tr>'
        )
    yield "</tbody></table></div></section>"


def _table(table: Table) -> str:
    """A table with all of its rows."""
    columns = table.columns()
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = []
    for row in zip(*columns.values(), strict=True):
        first, *others = row
        cells = "".join(f'<td class="number">{_number(value)}</td>' for value in others)
        body.append(f'<tr><th scope="row">{escape(_number(first))}</th>{cells}</tr>')
    return (
        f'<div class="scroll"><table><caption>{escape(table.title)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
