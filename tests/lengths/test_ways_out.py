"""The cases of budgets, packs, partition and positions come to every refusal in their code."""

from __future__ import annotations

import pytest

from ..plans.test_hybrid import CASES as HYBRID
from ..refusals import SOURCE, check_that_all_are_reached
from .test_limited_parts import CASES as LIMITED
from .test_ways_out_of_budgets import CASES as BUDGETS
from .test_ways_out_of_packs import CASES as PACKS
from .test_ways_out_of_partition import CASES as PARTITION
from .test_ways_out_of_positions import CASES as POSITIONS

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # ways out that give nearly what was asked

PLANS = [
    *(
        "budgeted",
        "bucketed",
        "grouped",
        "hybrid",
        "packed",
        "by_length",
        "batch_costs",
        "length_arguments",
        "length_summary",
        "pieces",
        "delivered",
        "changed_steps",
        "laid_out",
    ),
]


FILES = [
    *(SOURCE / "plans" / f"{name}.py" for name in PLANS),
    *(SOURCE / "lengths").glob("*.py"),
    *(SOURCE / "orders").glob("*.py"),
]


def test_every_refusal_in_the_code_is_among_these():
    check_that_all_are_reached(FILES, 92, [BUDGETS, HYBRID, LIMITED, PACKS, PARTITION, POSITIONS])
