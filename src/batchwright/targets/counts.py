"""Targets that are formulas of the sizes of groups: natural, uniform, and between these."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from ..calls import recorded
from ..errors import Infeasible, check_number
from .target import Number, Target, fraction, to_twelve_digits

__all__ = [
    "blend",
    "effective_number",
    "natural",
    "power",
    "repeat_factor",
    "temperature",
    "uniform",
]


@recorded
def natural() -> Target:
    """Shares in proportion to the sizes of groups: every sample comes equally often (instance-balanced).

    Example:
        >>> natural().shares([3, 1]).tolist()
        [0.75, 0.25]
    """
    return Target(_power, (1,), "natural()")


@recorded
def uniform() -> Target:
    """Equal shares for all groups that have samples (class-balanced).

    Example:
        >>> uniform().shares([3, 1]).tolist()
        [0.5, 0.5]
    """
    return Target(_power, (0,), "uniform()")


@recorded
def blend(alpha: Number) -> Target:
    """A mean of natural and uniform: `(1 - alpha) * natural + alpha * uniform`, alpha from 0 to 1.

    Example:
        >>> blend(0.5).shares([3, 1]).tolist()
        [0.625, 0.375]
    """
    alpha = check_number(alpha, "alpha")
    if not 0 <= alpha <= 1:
        raise Infeasible(f"alpha is {alpha}", "pass a number from 0 (natural) to 1 (uniform)")
    return Target(_blend, (fraction(alpha),), f"blend({alpha})")


@recorded
def power(q: Number) -> Target:
    """Shares proportional to `size ** q`: q = 1, 1/2, 0 are instance-, square-root- and class-balanced.

    Kang et al. 2020, "Decoupling representation and classifier for long-tailed recognition", equation 1. With
    q = 1 / T it is the temperature sampling of multilingual models.

    Example:
        >>> power(0.5).shares([9, 1]).tolist()
        [0.75, 0.25]
    """
    q = check_number(q, "q")
    if not 0 <= q <= 1:
        raise Infeasible(f"q is {q}", "pass a number from 0 (class-balanced) to 1 (instance-balanced)")
    return Target(_power, (q,), f"power({q})")


@recorded
def temperature(degree: Number) -> Target:
    """Shares proportional to `size ** (1 / T)`: T = 1 is natural, a larger T is more even.

    The multilingual mixtures of mT5 (Xue et al. 2021, section 3.2); `power(1 / T)` under the name it has there.

    Example:
        >>> temperature(2).shares([9, 1]).tolist()
        [0.75, 0.25]
    """
    degree = check_number(degree, "the temperature")
    if degree < 1:
        raise Infeasible(f"the temperature is {degree}", "pass 1 (natural) or more")
    return Target(_power, (float(1 / fraction(degree)),), f"temperature({degree})")


@recorded
def effective_number(beta: float) -> Target:
    """Samples weighted by the inverse effective number of their group: share ~ n * (1 - beta) / (1 - beta ** n).

    Cui et al. 2019, "Class-balanced loss based on effective number of samples", equation 2. beta = 0 is natural, beta
    towards 1 uniform.

    Example:
        >>> effective_number(0.5).shares([2, 1]).round(4).tolist()
        [0.5714, 0.4286]
    """
    beta = check_number(beta, "beta")
    if not 0 <= beta < 1:
        raise Infeasible(f"beta is {beta}", "pass a number from 0 up to, not including, 1, such as 0.999")
    return Target(_effective_number, (beta,), f"effective_number({beta})", needs=("sizes",) if beta else ())


@recorded
def repeat_factor(threshold: float) -> Target:
    """Groups rarer than `threshold` are repeated: share ~ f * max(1, sqrt(threshold / f)) with f the natural share.

    Gupta, Dollar, Girshick 2019, "LVIS", section 5.2 (category-level repeat factors).

    Example:
        >>> repeat_factor(0.25).shares([15, 1]).round(4).tolist()
        [0.8824, 0.1176]
    """
    threshold = check_number(threshold, "threshold")
    if not 0 <= threshold <= 1:
        raise Infeasible(f"threshold is {threshold}", "pass a natural share, from 0 to 1, such as 0.001")
    return Target(_repeat_factor, (threshold,), f"repeat_factor({threshold})")


def _power(counts: Sequence[int], names: Any, epoch: int, q: Number) -> Sequence[Number]:
    if q in (0, 1):
        return [count if q else int(count > 0) for count in counts]
    return [to_twelve_digits(count ** float(q)) if count else 0 for count in counts]


def _blend(counts: Sequence[int], names: Any, epoch: int, alpha: Fraction) -> Sequence[Number]:
    total, filled = sum(counts), sum(count > 0 for count in counts)
    # In integers: both are multiplied by what they would be divided by, total and number of groups.
    to_natural, to_uniform = (alpha.denominator - alpha.numerator) * filled, alpha.numerator * total
    return [to_natural * count + to_uniform * (count > 0) for count in counts]


def _effective_number(counts: Sequence[int], names: Any, epoch: int, beta: float) -> Sequence[Number]:
    if beta == 0:
        return counts
    # 1 - beta ** n, without the loss of digits when beta is near 1.
    return [to_twelve_digits(n * (1 - beta) / -math.expm1(n * math.log(beta))) if n else 0 for n in counts]


def _repeat_factor(counts: Sequence[int], names: Any, epoch: int, threshold: float) -> Sequence[Number]:
    total = sum(counts)
    return [to_twelve_digits(n * max(1.0, math.sqrt(threshold * total / n))) if n else 0 for n in counts]
