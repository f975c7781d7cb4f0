"""Evaluation in every trainer, on 1, 2 and 4 processes: every sample counts exactly once, in the order of the file."""

from __future__ import annotations

import pytest

from .. import processes
from .programs.evaluating import EVALUATIONS, evaluate

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers' own


@pytest.mark.parametrize("trainer", EVALUATIONS)
@pytest.mark.parametrize("world", [1, 2, 4])
def test_21_samples_are_21_and_their_mean_is_10(trainer, world):
    for counted, mean in processes.run(evaluate, world, trainer, 21):
        assert counted == list(range(21))
        assert mean == pytest.approx(10, rel=1e-12)


@pytest.mark.parametrize("trainer", EVALUATIONS)
@pytest.mark.parametrize("samples", [1, 2, 9, 16, 24])
def test_other_numbers_of_samples_on_four_processes(trainer, samples):
    """One sample for four ranks, two, a last step that some ranks miss, and none that is short."""
    for counted, mean in processes.run(evaluate, 4, trainer, samples):
        assert counted == list(range(samples))
        assert mean == pytest.approx((samples - 1) / 2, rel=1e-6)
