"""How long a call takes when nothing disturbs it: machines are shared, so the least of several times is what counts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

__all__ = ["Ratio", "paired", "timed"]

Result = TypeVar("Result")


def timed(call: Callable[[], Result], *, rounds: int = 1) -> tuple[Result, float]:
    """The last result, and the least seconds of `rounds` calls."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - start)
    return result, best


class Ratio(NamedTuple):
    """How often the time of one call goes into that of another: the middle of all rounds, and their quartiles."""

    middle: float
    low: float
    high: float


def paired(ours: Callable[[], Any], theirs: Callable[[], Any], *, rounds: int = 15) -> Ratio:
    """The time of `ours` over that of `theirs`, called in turn: what slows the machine down slows both."""
    ratios = [timed(ours)[1] / timed(theirs)[1] for _ in range(rounds)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return Ratio(middle, low, high)
