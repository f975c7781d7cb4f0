"""Write the page of all errors and warnings from the source of the package, so that it cannot go stale."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import batchwright

SOURCE = Path(batchwright.__file__).parent
TITLES = {
    "Numbers and words": ("errors",),
    "Labels, columns and groups": ("inputs", "labels", "groups", "group_parts"),
    "Targets": ("targets",),
    "Plans": ("plans", "orders", "base_plan", "kinds"),
    "Lengths, budgets and packs": ("lengths", "costs"),
    "Runs, ranks and states": (
        "run", "position", "micro_batches", "ranks", "distributed", "accumulation", "geometry", "composition",
    ),
    "The loader": ("loader",),
    "Collate": ("collate",),
    "Corrections and feedback": ("correct", "feedback"),
    "Streams": ("online",),
    "Splits and shared lists": ("splitting", "shared_list"),
    "Files, recipes and commands": ("files", "recipes", "index_files", "calls", "cli", "plain_engine"),
    "Reports and exports": ("report", "exported", "notebook"),
    "Trainers": ("adapters",),
    "Audits": ("audit",),
}  # fmt: skip
REST = "Others"
HEAD = """# Errors and warnings

An error is an `Infeasible`: what is wrong, with the numbers that show it, and what to do instead. `error.fact` and
`error.way_out` are its two parts. A `PoorWarning` says that something works, at a cost. What stands in italics is filled in.
Search this page for some words of the message that you have.

This page is written from the source: it has every message of this version.
"""


class Message(NamedTuple):
    """A message: the words that are fixed, and names for what is filled in between asterisks."""

    fact: str
    way_out: str


@cache
def trees() -> dict[Path, ast.Module]:
    """The source of the package, file by file."""
    return {file: ast.parse(file.read_text()) for file in sorted(SOURCE.rglob("*.py"))}


def constants() -> dict[str, ast.expr]:
    """Texts that modules keep under a name."""
    found: dict[str, ast.expr] = {}
    for tree in trees().values():
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found.setdefault(node.targets[0].id, node.value)
    return found


def words(node: ast.expr | None, known: dict[str, ast.expr]) -> str:
    """The text of an expression, what is filled in as *name*."""
    if node is None:
        return ""
    if isinstance(node, ast.Constant):
        return escaped(str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(words(part, known) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return words(node.value, known) if isinstance(node.value, (ast.Constant, ast.JoinedStr)) else named(node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return words(node.left, known) + words(node.right, known)
    if isinstance(node, ast.Name) and isinstance(known.get(node.id), (ast.Constant, ast.JoinedStr, ast.BinOp)):
        return words(known[node.id], known)
    if isinstance(node, ast.IfExp):
        return f"{words(node.body, known)} / {words(node.orelse, known)}"
    return named(node)


def named(node: ast.expr) -> str:
    """A name for a value: that of the variable or attribute that is shown."""
    names = [
        part.id if isinstance(part, ast.Name) else part.attr
        for part in ast.walk(node)
        if isinstance(part, (ast.Name, ast.Attribute))
    ]
    plain = [
        name for name in names if name not in ("shown", "listed", "typed", "self", "len", "int", "said", "exactly")
    ]
    name = (plain or names or ["..."])[0].strip("_").replace("_", " ")
    name = "argument" if name == "called" else name
    return "the message says" if name in ("way out", "otherwise", "instead", "pass") else f"*{escaped(name)}*"


def escaped(text: str) -> str:
    """The text with everything escaped that means something in Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>|#$~^])", r"\\\1", " ".join(text.split(" "))).replace("\n", " ")


def messages() -> Iterator[tuple[str, str, Message]]:
    """The title, "error" or "warning", and the message, in the order of the source."""
    known = constants()
    title_of = {module: title for title, modules in TITLES.items() for module in modules}
    for file, tree in trees().items():
        title = title_of.get(file.relative_to(SOURCE).parts[0].removesuffix(".py"), REST)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if called == "Infeasible" and len(node.args) == 2:
                yield title, "error", Message(*(words(part, known) for part in node.args))
            elif called == "warn" and isinstance(node.func, ast.Name):
                for text in node.args:
                    yield title, "warning", Message(words(text, known), "")


def page() -> str:
    """The page."""
    found: dict[tuple[str, str], set[Message]] = {}
    for title, kind, message in messages():
        if len(re.sub(r"\*[^*]*\*", "", message.fact).strip()) > 3:  # more than what is filled in
            found.setdefault((title, kind), set()).add(message)
    parts = [HEAD]
    for title in (*TITLES, REST):
        for kind, head in (("error", "| error | what to do |"), ("warning", "| warning |")):
            rows = sorted(found.get((title, kind), ()), key=lambda message: message.fact.strip("*").lower())
            if not rows:
                continue
            if f"\n## {title}\n" not in parts:
                parts.append(f"\n## {title}\n")
            columns = 2 if kind == "error" else 1
            lines = [head, "|" + "---|" * columns, *("| " + " | ".join(row[:columns]) + " |" for row in rows)]
            parts.append("\n" + "\n".join(lines) + "\n")
    return "".join(parts)


def write(path: Path) -> None:
    """Write the page if it is not there as it should be."""
    text = page()
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


if __name__ == "__main__":
    write(Path(__file__).parent / "messages.md")
