"""How often single samples come: the limits of builders that weigh samples, and what summaries say of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import Infeasible, check_number, exactly

__all__ = ["LEAST_REPEATS", "above", "check_repeats", "repeats_note"]

LEAST_REPEATS = 0.1  # every sample comes once in ten epochs on average, as the ceiling of 10 is its counterpart
# A sample expected p times an epoch comes in one of any 3 / p epochs in a row: so near to each other are the offsets of so
# many cycles (see `kernels.light`). Counted: 13 epochs for 0.1, 31 for 0.05, 256 for 0.01.
_LATEST = 3
_DEALT = 1 + 1e-6  # weights are rounded when they are dealt: a floor this much higher keeps its promise
_AT = 1e-9


def check_repeats(min_repeats: Any, max_repeats: Any) -> tuple[float, float]:
    """The limits as numbers.

    Raises:
        Infeasible: a floor that is not 0 to 1, or a ceiling below 1.
    """
    least, most = check_number(min_repeats, "min_repeats"), check_number(max_repeats, "max_repeats", or_infinite=True)
    if not 0 <= least <= 1:
        raise Infeasible(f"min_repeats is {exactly(least)}", "pass min_repeats from 0 to 1")
    if not most >= 1:
        raise Infeasible(f"max_repeats is {exactly(most)}", "pass max_repeats=1 or more")
    return float(least), float(most)


def above(min_repeats: float) -> float:
    """The floor as it is to be dealt."""
    return min(1.0, min_repeats * _DEALT)


def repeats_note(repeats: np.ndarray, samples: np.ndarray, min_repeats: float, max_repeats: float) -> str:
    """How often samples come, in words.

    Args:
        repeats: float64 (cells,), how often a sample comes while as many are drawn as there are.
        samples: int64 (cells,), how many samples come that often.
        min_repeats: the floor that was set.
        max_repeats: the ceiling that was set.
    """
    drawn = repeats > 0
    if not drawn.any():
        return "no sample is drawn"
    least, most = float(repeats[drawn].min()), float(repeats.max())
    at_floor = int(samples[drawn & (repeats <= above(min_repeats) * (1 + _AT))].sum())
    at_ceiling = int(samples[repeats >= max_repeats * (1 - _AT)].sum())
    limited = [f"{at_floor} samples are at the floor, min_repeats={min_repeats:g}"] if at_floor else []
    limited += [f"{at_ceiling} at the ceiling, max_repeats={max_repeats:g}"] if at_ceiling else []
    never = int(samples[~drawn].sum())
    limited += [f"{never} never come, as a share or rate of 0 asks for"] if never else []
    return (
        f"a sample comes {least:.3g} to {most:.3g} times an epoch on average: each once in "
        f"{math.ceil(1 / least - _AT)} epochs or fewer on average, within {math.ceil(_LATEST / least - _AT)} for certain"
        + "".join(f"; {part}" for part in limited)
    )
