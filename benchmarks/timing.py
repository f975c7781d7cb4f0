"""How long a call takes when nothing disturbs it: machines are shared, so the least of several times is what counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["timed"]

Result = TypeVar("Result")


def timed(call: Callable[[], Result], *, rounds: int = 1) -> tuple[Result, float]:
    """The last result, and the least seconds of `rounds` calls."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - start)
    return result, best
