"""What the tests of refusals share: cases, that a refusal is told well, and which of them no case reaches."""

from __future__ import annotations

import ast
import pathlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

import batchwright
from batchwright import Infeasible

SOURCE = pathlib.Path(batchwright.__file__).parent


class Case(NamedTuple):
    """A call that is refused, a call that does what the way out says, and what the refusal says."""

    refuse: Callable[..., Any]
    follow: Callable[..., Any]
    message: str = ""
    """A part of the message."""
    in_fact: str = ""
    """A regular expression of a part of the fact."""
    fact: str = "(?s:.*)"
    """A regular expression of the whole fact."""
    way_out: str | None = None
    """The whole way out."""


def cases(columns: str, rows: Mapping[str, tuple[Any, ...]]) -> dict[str, Case]:
    """The cases of a table, whose columns are named as the parts of a case."""
    return {name: Case(**dict(zip(columns.split(), row, strict=True))) for name, row in rows.items()}


def told(refusal: Infeasible, case: Case, longest: int = 1300) -> None:
    """A refusal says what its case says, in bounded length, and has a way out."""
    assert case.message in str(refusal)
    assert re.search(case.in_fact, refusal.fact), refusal.fact
    assert re.fullmatch(case.fact, refusal.fact), refusal.fact
    assert case.way_out in (None, refusal.way_out)
    assert refusal.way_out
    assert len(str(refusal)) < longest


def told_and_followed(case: Case, longest: int = 1300) -> None:
    """A refusal is told well, and what its way out says works."""
    with pytest.raises(Infeasible) as refusal:
        case.refuse()
    told(refusal.value, case, longest)
    case.follow()


class Place(NamedTuple):
    """Where the code makes an `Infeasible`."""

    file: str
    first: int
    last: int
    name: str
    """The module and how the call begins."""


def places_of(files: Iterable[pathlib.Path]) -> set[Place]:
    return {
        Place(str(file), call.lineno, call.end_lineno or 0, f"{file.stem}: {ast.unparse(call.args[-2:][0])}"[:90])
        for file in files
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "id", None) == "Infeasible"
    }


@contextmanager
def refusals_noted() -> Iterator[list[tuple[str, int]]]:
    """The files and lines where refusals are made meanwhile; a process can send them to another.

    Their tracebacks end at the line of the user, so that they do not say it.
    """
    made: list[tuple[str, int]] = []
    original = Infeasible.__init__

    def noting(self: Infeasible, *arguments: str) -> None:
        frame = sys._getframe(1)
        made.append((frame.f_code.co_filename, frame.f_lineno))
        original(self, *arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Infeasible, "__init__", noting)
        yield made


def unreached(
    places: Iterable[Place],
    tables: Iterable[Mapping[str, Case]],
    elsewhere: Iterable[tuple[str, int]] = (),
) -> list[str]:
    """The places that no case of these tables comes to, and that were not come to elsewhere: at these files and lines."""
    with refusals_noted() as noted:
        for table in tables:
            for case in table.values():
                with pytest.raises(Infeasible):
                    case.refuse()
    made = {*elsewhere, *noted}
    return sorted(
        place.name
        for place in places
        if not any(file == place.file and place.first <= at <= place.last for file, at in made)
    )


def check_that_all_are_reached(
    files: Iterable[pathlib.Path],
    least: int,
    tables: Iterable[Mapping[str, Case]],
    elsewhere: Iterable[tuple[str, int]] = (),
) -> None:
    """These files have at least so many places, and the cases of these tables come to every one of them."""
    places = places_of(files)
    assert len(places) >= least
    left = unreached(places, tables, elsewhere)
    assert left == [], left
