"""What the tests of refusals share: that a refusal is told well, and which of them no case reaches."""

from __future__ import annotations

import ast
import pathlib
import sys

import pytest

import batchwright
from batchwright import Infeasible

SOURCE = pathlib.Path(batchwright.__file__).parent


def told_and_followed(refused, said, follow):
    """A refusal has its fact, is bounded, and what its way out says works."""
    with pytest.raises(Infeasible) as refusal:
        refused()
    assert said in str(refusal.value)
    assert len(str(refusal.value)) < 1300
    assert refusal.value.way_out
    follow()


def places_of(files):
    """Where the code makes an `Infeasible` or requires something, as file and first and last line."""
    return {
        (str(file), call.lineno, call.end_lineno)
        for file in files
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "id", None) in ("Infeasible", "require")
    }


def unreached(places, calls, monkeypatch):
    """The places that none of these refused calls comes to."""
    made = set()
    original = Infeasible.__init__

    def noting(self, *arguments):
        frame = sys._getframe(1)
        made.add((frame.f_code.co_filename, frame.f_lineno))
        if frame.f_code.co_name == "require":
            made.add((frame.f_back.f_code.co_filename, frame.f_back.f_lineno))
        original(self, *arguments)

    monkeypatch.setattr(Infeasible, "__init__", noting)
    for refused in calls:
        with pytest.raises(Infeasible):
            refused()
    return sorted(
        f"{pathlib.Path(name).name}:{first}"
        for name, first, last in places
        if not any(file == name and first <= at <= last for file, at in made)
    )
