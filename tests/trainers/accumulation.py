"""What every trainer that accumulates by itself is held to: it and the sampler agree, or it is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import batchwright as bw


def check_that_the_two_are_compared(once: Callable[..., Any], option: str, *, one_is_seen: bool = True) -> None:
    """`once(of the loader, of the trainer)` begins a run that accumulates so many micro-batches by each.

    Args:
        once: the run.
        option: the trainer's setting, as the message names it.
        one_is_seen: whether a trainer that does not accumulate can be seen.
    """
    option = re.escape(option)
    said = (
        rf"plan\.loader accumulates 2 micro-batches for an optimizer step, {option} is 4; "
        rf"pass plan\.loader\(accumulate=4\) or {option}=2"
    )
    with pytest.raises(bw.Infeasible, match=said):
        once(2, 4)
    if one_is_seen:
        with pytest.warns(bw.PoorWarning, match="is 1: a step takes 1 in place of 2"):
            once(2, 1)
    with pytest.warns(bw.PoorWarning, match="is 4: the last step of an epoch has 2 of 4"):
        once(1, 4)
    for agreed in ((4, 4), (1, 1), (1, 5)):
        once(*agreed)
    once(4, 1, fetch="step")
