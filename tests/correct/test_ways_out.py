"""The cases of `correct` come to every refusal in its code, and messages are short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from batchwright.correct import LogitAdjustment, Weights, per_group, recalibrate
from batchwright.errors import Infeasible

from ..evaluation.test_ways_out import CASES as EVALUATION
from ..refusals import SOURCE, check_that_all_are_reached
from .ranks import Ranks
from .small import MANY, norm
from .test_ways_out_of_batchnorm import CASES as BATCHNORM
from .test_ways_out_of_batchnorm import OVER_RANKS
from .test_ways_out_of_loss_scale import CASES as LOSS_SCALE
from .test_ways_out_of_priors import CASES as PRIORS
from .test_ways_out_of_weights import CASES as WEIGHTS


@pytest.mark.parametrize(
    "make",
    [
        lambda: LogitAdjustment.from_plan(MANY, order=["a"]),
        lambda: LogitAdjustment.from_plan(MANY, order=["a", "a" * 9999, "a" * 9999]),
        lambda: LogitAdjustment.from_plan(MANY, deploy={"a" * 9999: 1}),
        lambda: LogitAdjustment.from_plan(MANY, deploy=[1] + [0] * 199, mode="loss"),
        lambda: LogitAdjustment.from_plan(MANY, class_of="a" * 9999),
        lambda: LogitAdjustment([0.5, 0.5], "a" * 9999),
        lambda: LogitAdjustment([0.5, 0.5], "uniform", mode="a" * 9999),
        lambda: Weights(MANY).report().bias({}),
        lambda: recalibrate(norm(), [], stream="a" * 9999),
        lambda: per_group(norm(), ["a" * 9999])(torch.randn(1, 3), groups=torch.tensor([0])),
    ],
)
def test_messages_are_short_however_long_and_many_names_are(make: Callable[[], Any]) -> None:
    with pytest.raises(Infeasible) as caught:
        make()
    assert len(str(caught.value)) < 1300


def test_every_refusal_in_the_code_is_among_these(ranks: Ranks) -> None:
    over_ranks = [case.refuse(ranks)[0][1] for case in OVER_RANKS.values()]
    check_that_all_are_reached(
        (SOURCE / "correct").rglob("*.py"), 55, [BATCHNORM, EVALUATION, LOSS_SCALE, PRIORS, WEIGHTS], over_ranks
    )
