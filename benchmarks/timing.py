"""How long a call takes when nothing disturbs it: machines are shared, so the least of several times is what counts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

__all__ = ["Ratio", "paired", "timed"]

Result = TypeVar("Result")

_BLOCK = (
    0.0005  # seconds: far above what reading a clock takes, and so short that a machine changes little within a round
)
_LEAST_ROUNDS, _LEAST_CALLS = 8, 4
_LONG = 0.05  # seconds: a single call finds what it needs in no cache anyway


def timed(call: Callable[[], Result], *, rounds: int = 1) -> tuple[Result, float]:
    """The last result, and the least seconds of `rounds` calls."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - start)
    return result, best


class Ratio(NamedTuple):
    """How often the processor time of one call goes into that of another: the middle of all rounds, and their quartiles."""

    middle: float
    low: float
    high: float


def paired(ours: Callable[[], Any], theirs: Callable[[], Any], *, seconds: float) -> tuple[float, float, Ratio]:
    """The processor seconds of a call of each, the medians of rounds, and the ratios of rounds, for about so many seconds.

    A round is a block of calls of one, then one of the other, as a worker makes them: neither finds its data in a cache that
    the other filled. What slows the machine down slows both blocks, and what other processes take is not counted. The order
    within rounds alternates, so that neither always comes first.
    """
    _, once = timed(theirs, rounds=5)
    calls = max(1 if once > _LONG else _LEAST_CALLS, round(_BLOCK / once))
    rounds: list[tuple[float, float]] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(rounds) < _LEAST_ROUNDS:
        if len(rounds) % 2:
            theirs_took, ours_took = _each(theirs, calls), _each(ours, calls)
        else:
            ours_took, theirs_took = _each(ours, calls), _each(theirs, calls)
        rounds.append((ours_took, theirs_took))
    low, middle, high = statistics.quantiles([ours_took / theirs_took for ours_took, theirs_took in rounds], n=4)
    mine, other = (statistics.median(took) for took in zip(*rounds, strict=True))
    return mine, other, Ratio(middle, low, high)


def _each(call: Callable[[], Any], calls: int) -> float:
    """The processor seconds of a call."""
    start = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - start) / calls
