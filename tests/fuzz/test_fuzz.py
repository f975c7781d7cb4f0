"""Plans of any kind and settings, through any story of runs, worlds and kills: what a slow count says, the plan keeps."""

from __future__ import annotations

import numpy as np
import pytest

import batchwright as bw

from . import counting, programs
from .kept import KEPT
from .running import outcome, run_programs


def run(program: str) -> str:
    """Run a program; whether its plan was refused."""
    return outcome(program, {"bw": bw, "np": np, **counting.LAWS})


every_kind = pytest.mark.parametrize("kind", programs.MAKERS)


@every_kind
def test_three_hundred_programs(kind):
    run_programs(programs.programs(kind), -(-300 // len(programs.MAKERS)), run)


@pytest.mark.long
@every_kind
def test_twenty_thousand_programs(kind):
    run_programs(programs.programs(kind), -(-20_000 // len(programs.MAKERS)), run)


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
