"""The cases of the builders and of the sampler come to every refusal in their code."""

from __future__ import annotations

import pytest

from ..refusals import SOURCE, check_that_all_are_reached
from .test_ways_out_of_builders import CASES as BUILDERS
from .test_ways_out_of_samplers import CASES as SAMPLERS

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # ways out that give nearly what was asked

PLANS = [
    *(
        "balanced",
        "alternating",
        "mixed",
        "raked",
        "repeats",
        "multilabel",
        "rotating",
        "hierarchical",
        "tasks",
        "retarget",
    ),
    "fixed",
]
FILES = [
    *(f"plans/{name}.py" for name in PLANS),
    *(
        "lengths/layout.py",
        "interface.py",
        "micro_batches.py",
        "position.py",
        "sampler.py",
        "share.py",
        "state_checks.py",
        "epoch_iterator.py",
        "run_state.py",
    ),
]


def test_every_refusal_in_the_code_is_among_these(monkeypatch):
    check_that_all_are_reached((SOURCE / file for file in FILES), 83, [BUILDERS, SAMPLERS], monkeypatch)
