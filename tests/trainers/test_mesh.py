"""Processes that hold parts of one model get the same batches from every trainer, or are refused."""

from __future__ import annotations

import pytest

from .. import processes
from . import recorder
from .programs import mesh

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers' own


@pytest.fixture(scope="module")
def ranks():
    return processes.run(mesh.every_trainer, 2)


@pytest.mark.parametrize("trainer", mesh.TRAINERS)
def test_two_parts_of_one_model_train_on_the_whole_plan(trainer, ranks):
    expected = [batch.tolist() for batch in recorder.plan().epoch(0)]
    for rank in ranks:
        assert rank[trainer]["seen"] == expected
        assert rank[trainer]["mean"] == 10
