"""How often single samples come: limits for `raked` and `multilabel`, and a note for summaries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import Infeasible, check_number, exactly

__all__ = ["LEAST_REPEATS", "above", "check_repeats", "repeats_note"]

LEAST_REPEATS = 0.1  # the default: on average, every sample comes once in ten epochs at least
# A sample that is expected p times in an epoch comes in at least one of any 3 / p consecutive epochs, since the offsets
# of cycles are spread evenly (see `kernels.light`). The longest distances that were counted: 13 epochs for p = 0.1, 31
# for 0.05, 256 for 0.01.
_LATEST = 3
_DEALT = 1 + 1e-6  # weights are rounded when they are dealt: with a floor this much higher, they never fall below it
_AT = 1e-9  # a value this near to a limit counts as equal to it


def check_repeats(min_repeats: Any, max_repeats: Any) -> tuple[float, float]:
    """Check the limits on how often a sample comes.

    Raises:
        Infeasible: the floor is not from 0 to 1, or the ceiling is below 1.
    """
    least, most = check_number(min_repeats, "min_repeats"), check_number(max_repeats, "max_repeats", or_infinite=True)
    if not 0 <= least <= 1:
        raise Infeasible(f"min_repeats is {exactly(least)}", "pass min_repeats from 0 to 1")
    if not most >= 1:
        raise Infeasible(f"max_repeats is {exactly(most)}", "pass max_repeats=1 or more")
    return float(least), float(most)


def above(min_repeats: float) -> float:
    """The floor that is used for the weights, so that `min_repeats` still holds when they are rounded."""
    return min(1.0, min_repeats * _DEALT)


def repeats_note(repeats: np.ndarray, samples: np.ndarray, min_repeats: float, max_repeats: float) -> str:
    """A note for summaries on how often samples come.

    Args:
        repeats: how often a sample of each cell comes in as many draws as there are samples, float64 (cells,).
        samples: the number of samples of each cell, int64 (cells,).
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
