"""Plans of any kind and settings, through any story of runs, worlds and kills: what a slow count says, the plan keeps."""

from __future__ import annotations

import time
import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings

import batchwright as bw
from batchwright.kernels.__main__ import compile_all

from . import counting, programs
from .kept import KEPT

SECONDS = 5  # of processor time: a program that takes more is refused when the plan is built, or is a fault
MOST_REFUSED = 0.5  # of the programs of a kind: those that are refused show little


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """What a program takes is not to be what compiling the kernels takes."""
    compile_all()


def run(program: str) -> str:
    """Run a program; whether its plan was refused."""
    outcome, seconds = timed(program)
    assert seconds < SECONDS, "a program takes seconds"
    return outcome


def timed(program: str) -> tuple[str, float]:
    """Run a program; whether its plan was refused, and the seconds of processor time."""
    space = {"bw": bw, "np": np, **counting.LAWS}
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        try:
            exec(program, space)
        except bw.Infeasible:
            return "refused", time.process_time() - begun
    return "kept", time.process_time() - begun


def run_programs(kind: str, count: int) -> None:
    """Run so many programs with a plan of this kind."""
    done: Counter[str] = Counter()

    @settings(max_examples=count, suppress_health_check=list(HealthCheck))
    @given(program=programs.programs(kind))
    def run_each(program: str) -> None:
        note(f"\n{program}\n")
        done[run(program)] += 1

    run_each()
    assert done["refused"] < MOST_REFUSED * done.total(), done


every_kind = pytest.mark.parametrize("kind", programs.MAKERS)


@every_kind
def test_three_hundred_programs(kind):
    run_programs(kind, -(-300 // len(programs.MAKERS)))


@pytest.mark.long
@every_kind
def test_twenty_thousand_programs(kind):
    run_programs(kind, -(-20_000 // len(programs.MAKERS)))


def test_programs_that_once_failed():
    for name, program in KEPT.items():
        assert run(program) == "kept", name


WRONG = [
    "quotas([[0, 0], [0, 0]], [0, 1], [0.5, 0.5], 2)",
    "quotas([[0, 1]] * 40, [0, 1], [0.4, 0.6], 2)",
    "coverage([[0, 1, 0, 0]], [0, 0])",
    "once([[0, 1], [1, 1]], range(4))",
    "within([[0, 1]], [5, 5], 9, padded=False, samples=None)",
    "sequence([[0, 1], [1, 2]], range(3))",
    "cohort([[0, 1]], [0, 1], [[0], [1]], 1)",
    "nested([[0, 1]], [[0, 0], [0, 0]], [1, 1, 1])",
    "turns([[1]], {'a': bw.sequential(9, 1)}, [0])",
    "delivered(bw.shuffled(9, 3), [(1, 1, 'micro', 5, None)])[5]",
    "sizes([[1], [1, 2]], 1)",
    "samples_of([[3]], 3)",
    "few_shards([[6, 5]], [1, 1], 1, 5)",
]


@pytest.mark.parametrize("wrong", WRONG)
def test_the_counting_sees_what_is_wrong(wrong):
    with pytest.raises((AssertionError, IndexError, ValueError)):
        run(wrong)
