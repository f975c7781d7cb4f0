"""Runs random programs, of plans or of streams: within seconds, and few of them refused."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis.strategies import SearchStrategy

import batchwright as bw

__all__ = ["outcome", "run_programs"]

SECONDS = 5  # of processor time: a program that takes more is refused when it is built, or is a fault
MOST_REFUSED = 0.5  # of the programs of a kind: those that are refused show little


def outcome(program: str, space: dict[str, Any]) -> str:
    """Run a program; whether it was refused or kept what the laws in it say."""
    begun, found = time.process_time(), "kept"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        try:
            exec(program, space)
        except bw.Infeasible:
            found = "refused"
    assert time.process_time() - begun < SECONDS, "a program takes seconds"
    return found


def run_programs(programs: SearchStrategy[str], count: int, run: Callable[[str], str]) -> None:
    """Run so many programs of one kind."""
    done: Counter[str] = Counter()

    @settings(max_examples=count, suppress_health_check=list(HealthCheck))
    @given(program=programs)
    def run_each(program: str) -> None:
        note(f"\n{program}\n")
        done[run(program)] += 1

    run_each()
    assert done["refused"] < MOST_REFUSED * done.total(), done
