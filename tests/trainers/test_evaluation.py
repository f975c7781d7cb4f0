"""Evaluation in every trainer, on 1, 2 and 4 processes: every sample counts exactly once, in the order of the file."""

from __future__ import annotations

import pytest

from .. import processes
from .programs.evaluating import EVALUATIONS, evaluate

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers' own

# 21; one sample for all ranks, and two; a last step that some ranks miss; no step that is short
SIZES = [21, 1, 2, 9, 24]


@pytest.mark.parametrize("trainer", EVALUATIONS)
@pytest.mark.parametrize("world", [1, 2, 4])
def test_21_samples_are_21_and_their_mean_is_10(trainer, world):
    for rank in processes.run(evaluate, world, trainer, SIZES):
        for samples, (counted, mean) in zip(SIZES, rank, strict=True):
            assert counted == list(range(samples))
            assert mean == pytest.approx((samples - 1) / 2, rel=1e-12)
