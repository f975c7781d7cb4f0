"""Streams of any kind over any source, through any story of readers and kills: what a slow count says, the streams keep."""

from __future__ import annotations

import math
import time
import warnings
from collections import Counter
from functools import partial

import pytest
from hypothesis import HealthCheck, given, note, settings

import batchwright as bw
from batchwright.kernels.__main__ import compile_all

from . import stream_counting, stream_programs, stream_sources
from .stream_kept import KEPT

LAST = ['']
SECONDS = 5  # of processor time: a program that takes more is a fault
MOST_REFUSED = 0.5  # of the programs of a kind: those that are refused show little


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """What a program takes is not to be what compiling the kernels takes."""
    compile_all()


def run(program: str) -> str:
    """Run a program; whether it was refused."""
    space = {
        "bw": bw,
        "inf": math.inf,
        "n": stream_sources.number_of,
        "S": partial(stream_sources.Samples, failed=set()),
        **stream_sources.SOURCES,
        **stream_counting.LAWS,
    }
    begun, outcome = time.process_time(), "kept"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        try:
            exec(program, space)
        except bw.Infeasible as refusal:
            outcome = "refused"
            LAST[0] = str(refusal)
    assert time.process_time() - begun < SECONDS, "a program takes seconds"
    return outcome


def run_programs(kind: str, count: int, workers: tuple[int, ...] = (0,)) -> None:
    """Run so many programs with a stream of this kind."""
    done: Counter[str] = Counter()

    @settings(max_examples=count, suppress_health_check=list(HealthCheck))
    @given(program=stream_programs.programs(kind, workers))
    def run_each(program: str) -> None:
        note(f"\n{program}\n")
        done[run(program)] += 1

    run_each()
    assert done["refused"] < MOST_REFUSED * done.total(), done


every_kind = pytest.mark.parametrize("kind", stream_programs.MAKERS)


@every_kind
def test_three_hundred_programs(kind):
    run_programs(kind, -(-300 // len(stream_programs.MAKERS)))
