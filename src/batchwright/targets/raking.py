"""Finds shares nearest to the natural ones with given sums over attributes: raking, or exponential tilting.

The shares of least relative entropy are `base * exp(sum of multipliers)`. The multipliers minimise a convex function,
the dual; so Newton's method finds them, whatever attributes overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["MOST_SUMS", "REACHED", "Raking", "solve_raking"]

MOST_SUMS = 4096
"""The most sums at once: a step of Newton's method takes time with their cube, some seconds for this many."""

REACHED = 1e-7  # a sum this near to the wanted one counts as met

# Three stages, each from the result of the one before: the ridge (the cost of a squared multiplier), and the slope that
# counts as flat. A large ridge makes the first steps safe where sums cannot be met; the last one is so small that sums
# which can be met are met to 1e-10 or so. The numbers were chosen by trial.
_STAGES = ((1e-3, 1e-5), (1e-6, 1e-7), (1e-10, 1e-12))
_HARD = 1e-14  # the ridge of the multiplier for the sum of all shares, which must be met exactly
_MOST_STEPS = 100  # of Newton's method in a stage; most problems take ten or twenty
_HALVINGS = 80  # bisection steps over a range of about 1,400: exact to the last digit
_WEAKEST, _STRONGEST = 1e-8, 1e8  # the range of damping that is tried
_STEEPEST = 60.0  # stop if items become e^60 times as likely as others: such sums cannot be met


class Raking(NamedTuple):
    """Shares of items, and their sums by attribute.

    Attributes:
        shares: the share of each item, float64 (items,), summing to 1.
        reached: the sum of the shares of each attribute, float64 (attributes,).
    """

    shares: np.ndarray
    reached: np.ndarray


def solve_raking(
    base: np.ndarray,
    starts: np.ndarray,
    attributes: np.ndarray,
    wanted: np.ndarray,
    *,
    floor: float = 0.0,
    cap: float = math.inf,
) -> Raking:
    """Find the shares of least relative entropy from `base` whose sums by attribute are as wanted.

    They are `base * exp(...)` with one multiplier for each attribute, cut off at `floor * base` and `cap * base`, found
    by Newton's method on the convex dual (Csiszar 1975; for attributes that do not overlap this is raking, Deming and
    Stephan 1940). Sums that cannot be met are met as nearly as possible, by least squares of the gaps, with at least
    1,000 times the weight of the entropy. Items with an attribute whose wanted sum is 0 get no share, even with a
    floor.

    Args:
        base: the natural shares, float64 (items,), summing to 1.
        starts: where the attributes of every item start, and the end of the last, int64 (items + 1).
        attributes: the attributes of item i, ascending, are `attributes[starts[i]:starts[i + 1]]`, int64.
        wanted: the wanted sum of the shares of every attribute, float64 (attributes,).
        floor: the smallest share of an item, as a multiple of its natural share, 0 to 1.
        cap: the largest, as a multiple of its natural share, 1 or more.
    """
    from ..kernels.raking import evaluate_raking

    count = wanted.size + 1  # one more attribute, which all items have: it sums to 1
    sizes = np.diff(starts)
    all_attributes = np.full(attributes.size + base.size, wanted.size, np.int64)
    own = np.arange(attributes.size) + np.repeat(np.arange(base.size), sizes)
    all_attributes[own] = attributes
    starts = (starts + np.arange(starts.size)).astype(np.int64)
    goal = np.append(wanted, 1.0)
    removed = np.zeros(base.size, bool)  # a wanted sum of 0 would need an infinite multiplier: leave the items out
    np.logical_or.at(removed, np.repeat(np.arange(base.size), np.diff(starts)), goal[all_attributes] <= 0)
    natural = np.where(removed, 0.0, base).astype(np.float64)
    least, most = natural * floor, np.where(removed, 0.0, base * cap)

    weights, sums, curvature = np.empty(base.size), np.empty(count), np.empty((count, count))

    here = np.zeros(count)
    for ridge, flat in _STAGES:
        cost = np.full(count, ridge)
        cost[-1] = _HARD

        def height(at: np.ndarray, cost: np.ndarray = cost) -> float:
            dual: float = evaluate_raking(at, natural, least, most, starts, all_attributes, weights, sums, curvature)
            return dual - float(at @ goal) + float(cost @ at**2) / 2

        def derivatives(at: np.ndarray, cost: np.ndarray = cost) -> tuple[np.ndarray, np.ndarray]:
            return sums - goal + cost * at, curvature + np.diag(cost + _HARD)

        here = _lowest(height, derivatives, here, flat)
        if np.abs(here[:-1]).max(initial=0.0) > _STEEPEST:
            break
    shifted = _summing_to_one(here, natural, least, most, starts, all_attributes)
    evaluate_raking(shifted, natural, least, most, starts, all_attributes, weights, sums, curvature)
    total = weights.sum()
    return Raking(weights / total, sums[:-1] / total)


def _lowest(
    height: Callable[[np.ndarray], float],
    derivatives: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    here: np.ndarray,
    flat: float,
) -> np.ndarray:
    """Minimise by Newton's method, damped (Levenberg 1944) where items at their limits leave no curvature.

    `derivatives` are those of the point at which `height` was evaluated last.
    """
    level, damping = height(here), 0.0
    slope, steepness = derivatives(here)
    for _ in range(_MOST_STEPS):
        if np.abs(slope).max() < flat or damping > _STRONGEST:
            break
        step = -np.linalg.solve(steepness + damping * np.eye(here.size), slope)
        lower = height(here + step)
        # Armijo's rule, with its usual constant 1e-4: a step must lower the function by this part of what the slope
        # promises.
        if lower > level + 1e-4 * float(slope @ step) or not np.isfinite(lower):
            damping = max(_WEAKEST, 10 * damping)
            continue
        here, level, damping = here + step, lower, damping / 10 if damping > _WEAKEST else 0.0
        slope, steepness = derivatives(here)
    return here


def _summing_to_one(
    here: np.ndarray,
    natural: np.ndarray,
    least: np.ndarray,
    most: np.ndarray,
    starts: np.ndarray,
    attributes: np.ndarray,
) -> np.ndarray:
    """Shift all multipliers so that the weights sum to 1, as far as their limits allow."""
    exponents = np.add.reduceat(here[attributes], starts[:-1])
    # exp(709) is about the largest number in float64.
    low, high = -700.0 - exponents.max(), 700.0 - exponents.min()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        total = np.clip(natural * np.exp(np.minimum(exponents + middle, 700.0)), least, most).sum()
        low, high = (low, middle) if total > 1 else (middle, high)
    moved = here.copy()
    moved[-1] += high
    return moved
