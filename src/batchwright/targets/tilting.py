"""Shares nearest to the natural ones that meet sums over overlapping attributes: raking and exponential tilting."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["MOST_SUMS", "REACHED", "Tilted", "tilted"]

MOST_SUMS = 4096
"""Sums that can be wanted at once: a step of Newton's method takes their cube, some seconds for so many."""

REACHED = 1e-7  # a sum this close to what was wanted is met

_STAGES = ((1e-3, 1e-5), (1e-6, 1e-7), (1e-10, 1e-12))  # what a squared multiplier costs, and when a slope is flat
_HARD = 1e-14
_MOST_STEPS = 40
_STEEPEST = 60.0  # items e^60 times as likely as others: what wants more cannot be met


class Tilted(NamedTuple):
    """Shares of items, and what they come to by attribute.

    Attributes:
        shares: float64, one an item, summing to 1.
        reached: float64, the sum of shares by attribute.
    """

    shares: np.ndarray
    reached: np.ndarray


def tilted(
    base: np.ndarray, cap: np.ndarray | None, starts: np.ndarray, attributes: np.ndarray, wanted: np.ndarray
) -> Tilted:
    """The shares of least relative entropy from `base` whose sums by attribute are as wanted.

    They are `min(cap, base * exp(...))` with one multiplier an attribute, found by Newton's method on the convex dual
    (Csiszar 1975; for attributes that do not overlap this is raking, Deming and Stephan 1940). Sums that cannot be met are
    met as closely as can be: in the least squares of the gaps, weighed at least 1,000 times against the entropy.

    Args:
        base: natural shares, summing to 1.
        cap: the largest share each may have; None for no bound.
        starts: where the attributes of every item begin, and the end of the last.
        attributes: those of item i, ascending, are `attributes[starts[i]:starts[i + 1]]`.
        wanted: the sum of shares of every attribute.
    """
    from ..kernels.tilt import tilt

    count = wanted.size + 1  # the last attribute is everybody's: it sums to 1
    sizes = np.diff(starts)
    everybody = np.full(attributes.size + base.size, wanted.size, np.int64)
    own = np.arange(attributes.size) + np.repeat(np.arange(base.size), sizes)
    everybody[own] = attributes
    starts = (starts + np.arange(starts.size)).astype(np.int64)
    goal = np.append(wanted, 1.0)
    most = np.full(base.size, np.inf) if cap is None else cap
    removed = np.zeros(base.size, bool)  # a wanted sum of 0 is met by leaving its items out
    np.logical_or.at(removed, np.repeat(np.arange(base.size), np.diff(starts)), goal[everybody] <= 0)
    natural = np.where(removed, 0.0, base).astype(np.float64)
    most = np.where(removed, 0.0, most)

    weights, sums, curvature = np.empty(base.size), np.empty(count), np.empty((count, count))

    here = np.zeros(count)
    for ridge, flat in _STAGES:
        cost = np.full(count, ridge)
        cost[-1] = _HARD  # all shares sum to 1, whatever else is met

        def height(at: np.ndarray, cost: np.ndarray = cost) -> float:
            dual: float = tilt(at, natural, most, starts, everybody, weights, sums, curvature)
            return dual - float(at @ goal) + float(cost @ at**2) / 2

        def derivatives(at: np.ndarray, cost: np.ndarray = cost) -> tuple[np.ndarray, np.ndarray]:
            return sums - goal + cost * at, curvature + np.diag(cost + _HARD)

        here = _lowest(height, derivatives, here, flat)
        if np.abs(here[:-1]).max(initial=0.0) > _STEEPEST:
            break
    total = weights.sum()
    return Tilted(weights / total, sums[:-1] / total)


def _lowest(
    height: Callable[[np.ndarray], float],
    derivatives: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    here: np.ndarray,
    flat: float,
) -> np.ndarray:
    """Newton's method with step halving; `derivatives` are of the point whose height was asked last."""
    level = height(here)
    for _ in range(_MOST_STEPS):
        slope, steepness = derivatives(here)
        if np.abs(slope).max() < flat:
            break
        step = -np.linalg.solve(steepness, slope)
        falls, length = float(slope @ step), 1.0
        while (lower := height(here + length * step)) > level + 1e-4 * length * falls and length > 1e-12:
            length /= 2
        if lower >= level:
            height(here)
            break
        here, level = here + length * step, lower
    return here
