"""Shares nearest to the natural ones that meet sums over overlapping attributes: raking and exponential tilting."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["MOST_SUMS", "REACHED", "Raking", "solve_raking"]

MOST_SUMS = 4096
"""The most sums at once: a step of Newton's method takes their cube, some seconds for this many."""

REACHED = 1e-7  # a sum this close to what was wanted is met

_STAGES = ((1e-3, 1e-5), (1e-6, 1e-7), (1e-10, 1e-12))  # what a squared multiplier costs, and when a slope is flat
_HARD = 1e-14
_MOST_STEPS = 100
_HALVINGS = 80  # of a range of some 1,000: exact to the last digit
_WEAKEST, _STRONGEST = 1e-8, 1e8  # damping that is tried
_STEEPEST = 60.0  # items e^60 times as likely as others: what wants more cannot be met


class Raking(NamedTuple):
    """Shares of items, and their sums by attribute.

    Attributes:
        shares: float64, one an item, summing to 1.
        reached: float64, the sum of shares by attribute.
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
    """The shares of least relative entropy from `base` whose sums by attribute are as wanted.

    They are `base * exp(...)` with one multiplier an attribute, kept within `floor * base` and `cap * base`, and are found
    by Newton's method on the convex dual (Csiszar 1975; for attributes that do not overlap this is raking, Deming and
    Stephan 1940). Sums that cannot be met are met as closely as can be: in the least squares of the gaps, weighed at least
    1,000 times against the entropy. Items with an attribute whose wanted sum is 0 are left out, whatever the floor.

    Args:
        base: natural shares, summing to 1.
        starts: where the attributes of every item begin, and the end of the last.
        attributes: those of item i, ascending, are `attributes[starts[i]:starts[i + 1]]`.
        wanted: the sum of shares of every attribute.
        floor: the least share that each may have, as a multiple of its natural one, 0 to 1.
        cap: the most, 1 or more.
    """
    from ..kernels.raking import evaluate_raking

    count = wanted.size + 1  # the last attribute is that of all items: it sums to 1
    sizes = np.diff(starts)
    all_attributes = np.full(attributes.size + base.size, wanted.size, np.int64)
    own = np.arange(attributes.size) + np.repeat(np.arange(base.size), sizes)
    all_attributes[own] = attributes
    starts = (starts + np.arange(starts.size)).astype(np.int64)
    goal = np.append(wanted, 1.0)
    removed = np.zeros(base.size, bool)  # a wanted sum of 0 is met by leaving its items out
    np.logical_or.at(removed, np.repeat(np.arange(base.size), np.diff(starts)), goal[all_attributes] <= 0)
    natural = np.where(removed, 0.0, base).astype(np.float64)
    least, most = natural * floor, np.where(removed, 0.0, base * cap)

    weights, sums, curvature = np.empty(base.size), np.empty(count), np.empty((count, count))

    here = np.zeros(count)
    for ridge, flat in _STAGES:
        cost = np.full(count, ridge)
        cost[-1] = _HARD  # all shares sum to 1, whatever else is met

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
    """Newton's method, damped (Levenberg 1944) where there is no curvature because items are at their limits.

    `derivatives` are of the point whose height was asked last.
    """
    level, damping = height(here), 0.0
    slope, steepness = derivatives(here)
    for _ in range(_MOST_STEPS):
        if np.abs(slope).max() < flat or damping > _STRONGEST:
            break
        step = -np.linalg.solve(steepness + damping * np.eye(here.size), slope)
        lower = height(here + step)
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
    """The multipliers, all shifted so that the weights sum to 1, as far as their limits allow."""
    exponents = np.add.reduceat(here[attributes], starts[:-1])
    low, high = -700.0 - exponents.max(), 700.0 - exponents.min()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        total = np.clip(natural * np.exp(np.minimum(exponents + middle, 700.0)), least, most).sum()
        low, high = (low, middle) if total > 1 else (middle, high)
    moved = here.copy()
    moved[-1] += high
    return moved
